package httpapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dvr/controller/archive"
	"dvr/controller/service"
	"dvr/eventlog"
)

// received keeps an answer as an archive does, and gives what the archive holds.
func received(t *testing.T, dir *archive.Directory, body string) (archive.Report, error) {
	t.Helper()
	s, err := dir.Begin(testLog)
	if err != nil {
		t.Fatal(err)
	}
	defer s.End()
	if _, _, err = s.History(testLog, archive.Tip{}, func(w io.Writer) error { _, err := io.WriteString(w, body); return err }); err != nil {
		return archive.Report{}, err
	}
	return dir.Verify(context.Background())
}

func TestArchiveIsTheLogInFiles(t *testing.T) {
	a := newAPI(t)
	for i := range 9 {
		a.add(fmt.Sprintf("10.%d.0.0/16", i), "192.168.1.1", 10)
	}
	dir := archive.NewDirectory(t.TempDir())
	r := a.must("GET", "/v1/archive?to=4", "")
	if r.Header.Get("Content-Type") != "application/octet-stream" || !strings.Contains(r.Header.Get("Content-Disposition"), `"dvr-after-0.history"`) || r.Header.Get("DVR-Position") == "" {
		t.Errorf("%v", r.Header)
	}
	if got, err := received(t, dir, r.Body); err != nil || got.Sound() != nil || got.Newest().Last != 4 || got.Commits != 4 {
		t.Fatalf("%+v, %v", got, err)
	}
	r = a.must("GET", "/v1/archive?after=4", "")
	if got, err := received(t, dir, r.Body); err != nil || got.Sound() != nil || len(got.Spans) != 1 || got.Newest().Last != 10 || got.LogID != testLog {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := received(t, dir, r.Body[:len(r.Body)-2]); err == nil {
		t.Error("a file that was cut off passed")
	}
	if r := a.do("GET", "/v1/archive?after=10", ""); r.Code != http.StatusNoContent || r.Body != "" {
		t.Errorf("nothing: %d %q", r.Code, r.Body)
	}
	if r := a.do("HEAD", "/v1/archive", ""); r.Code != 200 || r.Body != "" {
		t.Errorf("HEAD: %d %q", r.Code, r.Body)
	}
	if err := a.log.Truncate(context.Background(), truncatedAt(t, a, 5)+1); err != nil {
		t.Fatal(err)
	}
	if r := a.do("GET", "/v1/archive?after=2", ""); r.Code != http.StatusGone || r.json(t)["oldest_revision"] != float64(5) {
		t.Errorf("what is truncated: %d %s", r.Code, r.Body)
	}
	for _, query := range []string{"?after=11", "?to=11", "?to=0", "?after=x", "?router=r1", "?at=3"} {
		if r := a.do("GET", "/v1/archive"+query, ""); r.Code != 400 {
			t.Errorf("%s: %d %s", query, r.Code, r.Body)
		}
	}
}

// Everything that is asked of the past is answered from the archive, and what lies
// before it is gone, with the reason.
func TestThePastIsReadFromTheArchive(t *testing.T) {
	a := newAPI(t)
	path := t.TempDir()
	dir := archive.NewDirectory(path)
	anew := func() {
		a.svc = service.New(a.throne, service.Planes(a.planes, "node-1"), archive.NewLog(a.log, dir))
		a.server = New(Config{Service: a.svc, Node: a.node, Cluster: a.nodes, Version: "test"})
	}
	anew()
	a.must("PUT", "/v1/routers/r1", "{}")
	for i := range 20 {
		a.add(fmt.Sprintf("10.%d.0.0/16", i%4), fmt.Sprintf("192.168.1.%d", 1+i/4), 10)
	}
	ask := []string{
		"/v1/routes?at=7", "/v1/diff?from=3&to=9", "/v1/diff?from=3&to=9&router=r1", "/v1/commits?after=2&limit=5", "/v1/commits/6", "/v1/blame/10.1.0.0/16",
		"/v1/explain?address=10.2.0.1&router=r1&at=8", "/v1/lookup?address=10.1.0.1&at=5",
	}
	before := map[string]string{}
	for _, q := range ask {
		before[q] = a.must("GET", q, "").Body
	}
	w := archive.NewArchivist(a.log, dir, "node-1", "test")
	w.State = a.svc.StateAt
	if err := w.Through(context.Background(), 15); err != nil {
		t.Fatal(err)
	}
	if err := a.log.Truncate(context.Background(), truncatedAt(t, a, 15)+1); err != nil {
		t.Fatal(err)
	}
	anew() // with no state at hand
	for _, q := range ask {
		if got := a.must("GET", q, "").Body; got != before[q] {
			t.Errorf("%s:\n%s\nbefore the log was truncated\n%s", q, got, before[q])
		}
	}
	files, err := filepath.Glob(filepath.Join(path, "*.history"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.Truncate(files[0], 100); err != nil {
		t.Fatal(err)
	}
	anew()
	for _, q := range ask[:4] {
		r := a.do("GET", q, "")
		if r.Code != http.StatusGone || !strings.Contains(r.Body, filepath.Base(files[0])) {
			t.Errorf("%s: %d %s", q, r.Code, r.Body)
		}
	}
}

func TestStatusTellsTheArchive(t *testing.T) {
	a := newAPI(t)
	if r := a.must("GET", "/v1/status", ""); strings.Contains(r.Body, `"archive"`) {
		t.Errorf("without one: %s", r.Body)
	}
	n := *a.node.status.Load()
	n.Archive = &ArchiveStatus{Directory: "/var/a", First: 3, Last: 9, Problem: "disk full"}
	a.node.status.Store(&n)
	if r := a.must("GET", "/metrics", ""); !strings.Contains(r.Body, "dvr_archive_revision 9\n") || !strings.Contains(r.Body, "dvr_archive_problem 1\n") {
		t.Error("the metrics say nothing of it")
	}
	if r := a.must("GET", "/v1/status", ""); !strings.Contains(r.Body, `"archive":{"directory":"/var/a","first_revision":3,"revision":9,"problem":"disk full"}`) {
		t.Errorf("%s", r.Body)
	}
}

// truncatedAt stores a snapshot of a revision, behind which the log can be truncated.
func truncatedAt(t *testing.T, a *api, r eventlog.Revision) eventlog.Revision {
	t.Helper()
	s, err := a.svc.StateAt(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	h := s.Head()
	info := eventlog.SnapshotInfo{
		LogID: testLog, Revision: r, Epoch: h.Epoch, EpochNonce: fmt.Sprintf("%x", h.Nonce[:]), Hash: fmt.Sprintf("%x", h.Hash[:]),
		Level: h.Level, Digest: s.Digest().String(), Time: s.Time(),
	}
	if _, err := a.log.WriteSnapshot(context.Background(), info, s.Save); err != nil {
		t.Fatal(err)
	}
	return r
}
