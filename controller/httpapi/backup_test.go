package httpapi

import (
	"bytes"
	"strings"
	"testing"

	"dvr/controller/backup"
)

func TestBackupIsTheStateAtOneRevision(t *testing.T) {
	a := newAPI(t)
	a.add("10.1.0.0/16", "192.168.1.1", 10)
	a.put("site", "core")
	a.must("PUT", "/v1/routers/r1", `{"description":"edge"}`)
	r := a.must("GET", "/v1/backup", "")
	if r.Header.Get("Content-Type") != "application/octet-stream" || r.Header.Get("DVR-Stale") != "" || !strings.Contains(r.Header.Get("Content-Disposition"), `"dvr-4.backup"`) {
		t.Errorf("%v", r.Header)
	}
	file := []byte(r.Body)
	b, err := backup.Read(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	s := a.app.State()
	if h := b.Header; h.Revision != 4 || h.Digest != s.Digest().String() || h.Node != "node-1" || h.Program != "test" || h.Made == 0 {
		t.Errorf("%+v of revision %d", h, s.Position().Revision)
	}
	var want, got bytes.Buffer
	if err := s.Save(&want); err != nil {
		t.Fatal(err)
	}
	if err := b.Fold.Current().Save(&got); err != nil {
		t.Fatal(err)
	}
	if got.String() != want.String() || !strings.Contains(got.String(), `"core"`) {
		t.Errorf("got\n%s\nwant\n%s", &got, &want)
	}
	r = a.must("GET", "/v1/backup?at=2", "")
	if b, err = backup.Read(strings.NewReader(r.Body), int64(len(r.Body))); err != nil || b.Header.Revision != 2 || b.Fold.Current().Stats().Routes != 1 || b.Fold.Current().Stats().Keys != 0 {
		t.Errorf("of the past: %+v, %v", b, err)
	}
	if r := a.do("HEAD", "/v1/backup", ""); r.Code != 200 || r.Body != "" || r.Header.Get("DVR-Position") == "" {
		t.Errorf("HEAD: %d %q", r.Code, r.Body)
	}
	for _, query := range []string{"?at=99", "?router=r1", "?consistency=some"} {
		if r := a.do("GET", "/v1/backup"+query, ""); r.Code != 400 {
			t.Errorf("%s: %d %s", query, r.Code, r.Body)
		}
	}
}
