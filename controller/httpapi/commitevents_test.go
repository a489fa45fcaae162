package httpapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"dvr/eventlog"
)

// TestStagedCommitEvents: the events of a commit that is too large for a batch are
// shown in pages and as lines, as those of any other.
func TestStagedCommitEvents(t *testing.T) {
	a := newAPI(t)
	const n = 12_345
	var body strings.Builder
	for i := range n {
		body.WriteString(line(fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255), "") + "\n")
	}
	a.importLines("/v1/routes/import?atomic=true", body.String())
	type page struct {
		N      int
		Next   int
		Events []struct{ Kind, Destination string }
		Staged *struct {
			ID     string
			Parts  int
			Bytes  int64
			SHA256 string
		}
	}
	get := func(query string) (p page, r answer) {
		t.Helper()
		r = a.must("GET", "/v1/commits/2"+query, "")
		if err := json.Unmarshal([]byte(r.Body), &p); err != nil {
			t.Fatal(err)
		}
		return p, r
	}
	var all []string
	pages := 0
	for query := ""; ; pages++ {
		p, r := get(query)
		if p.N != n || p.Staged == nil || p.Staged.Parts < 2 || len(p.Staged.SHA256) != 64 {
			t.Fatalf("%s: %+v", query, p.Staged)
		}
		for _, e := range p.Events {
			if e.Kind != "route.announced" {
				t.Fatalf("%+v", e)
			}
			all = append(all, e.Destination)
		}
		if next := r.Header.Get("DVR-Next-Cursor"); next != "" && next != fmt.Sprint(p.Next) || (next == "") != (p.Next == 0) {
			t.Errorf("the next page is %q in the header, %d in the body", next, p.Next)
		}
		if p.Next == 0 {
			break
		}
		query = fmt.Sprintf("?cursor=%d", p.Next)
	}
	if pages != 1 || len(all) != n || all[0] != "10.0.0.0/24" || all[n-1] != fmt.Sprintf("10.%d.%d.0/24", (n-1)>>8, (n-1)&255) {
		t.Errorf("%d events from %s to %s on %d pages after the first", len(all), all[0], all[len(all)-1], pages)
	}
	if p, _ := get("?cursor=12340&limit=3"); len(p.Events) != 3 || p.Events[0].Destination != all[12340] || p.Next != 12343 {
		t.Errorf("a page in the middle: %+v", p)
	}
	for _, query := range []string{"?cursor=12345", "?cursor=99999999999999"} {
		if p, r := get(query); len(p.Events) != 0 || p.Next != 0 || !strings.Contains(r.Body, `"events":[]`) {
			t.Errorf("behind the end: %s", r.Body)
		}
	}
	r := a.must("GET", "/v1/commits/2", "", "Accept: application/x-ndjson")
	got := strings.Split(strings.TrimSuffix(r.Body, "\n"), "\n")
	if len(got) != n || r.Header.Get("Content-Type") != "application/x-ndjson" || r.Header.Get("DVR-Position") == "" {
		t.Fatalf("%d lines, %v", len(got), r.Header)
	}
	for i, l := range got {
		if !strings.Contains(l, fmt.Sprintf("%q", all[i])) {
			t.Fatalf("line %d is %s", i, l)
		}
	}
	if r := a.must("HEAD", "/v1/commits/2", "", "Accept: application/x-ndjson"); r.Body != "" {
		t.Errorf("HEAD has a body: %.100s", r.Body)
	}
	// The list says how many there are and where.
	if list := a.must("GET", "/v1/commits?after=1", "").Body; !strings.Contains(list, fmt.Sprintf(`"n":%d,"events":[{"kind":"commit.staged"`, n)) || len(list) > 1000 {
		t.Errorf("listed as %.1000s", list)
	}
	for query, field := range map[string]string{"?limit=0": "limit", "?limit=10001": "limit", "?cursor=-1": "cursor", "?cursor=x": "cursor"} {
		if r := a.do("GET", "/v1/commits/2"+query, ""); r.Code != 400 || r.json(t)["field"] != field {
			t.Errorf("%s: %d %s", query, r.Code, r.Body)
		}
	}
	if r := a.do("GET", "/v1/commits/2?limit=5", "", "Accept: application/x-ndjson"); r.Code != 400 || r.json(t)["field"] != "limit" {
		t.Errorf("a bounded stream: %d %s", r.Code, r.Body)
	}
	// A stage that was damaged is an error from its first byte on.
	var id string
	if err := a.log.Read(t.Context(), 1, func(b *eventlog.Batch) error {
		id = b.Commits[0].Events[0].(*eventlog.CommitStaged).ID
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := a.log.LoseStagePart(id); err != nil {
		t.Fatal(err)
	}
	for _, accept := range []string{"application/json", "application/x-ndjson"} {
		if r := a.do("GET", "/v1/commits/2", "", "Accept: "+accept); r.Code != 500 || r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("a damaged stage as %s: %d %.200s", accept, r.Code, r.Body)
		}
	}
}

// TestCommitEventPages: a commit in a batch has pages, too, for who asks for them.
func TestCommitEventPages(t *testing.T) {
	a := newAPI(t)
	a.must("POST", "/v1/commits", `{"events":[{"kind":"key.put","key":"a","value":"1"},{"kind":"key.put","key":"b","value":"2"},{"kind":"key.put","key":"c","value":"3"}]}`)
	for _, c := range []struct{ query, keys, next string }{
		{"", `"a" "b" "c"`, ""}, {"?limit=2", `"a" "b"`, "2"}, {"?limit=2&cursor=2", `"c"`, ""}, {"?cursor=3", ``, ""}, {"?limit=3", `"a" "b" "c"`, ""},
	} {
		r := a.must("GET", "/v1/commits/2"+c.query, "")
		var p struct {
			N      int
			Events []struct{ Key string }
		}
		if err := json.Unmarshal([]byte(r.Body), &p); err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, e := range p.Events {
			keys = append(keys, fmt.Sprintf("%q", e.Key))
		}
		if strings.Join(keys, " ") != c.keys || r.Header.Get("DVR-Next-Cursor") != c.next || p.N != 3 || strings.Contains(r.Body, "staged") {
			t.Errorf("%s: %s", c.query, r.Body)
		}
	}
	if r := a.must("GET", "/v1/commits/2", "", "Accept: application/x-ndjson"); strings.Count(r.Body, "\n") != 3 || !strings.HasPrefix(r.Body, `{"kind":"key.put","key":"a","value":"1"}`) {
		t.Errorf("as lines: %s", r.Body)
	}
	for _, accept := range []string{"application/json", "application/x-ndjson"} {
		if r := a.do("GET", "/v1/commits/3", "", "Accept: "+accept); r.Code != 404 {
			t.Errorf("one to come as %s: %d %s", accept, r.Code, r.Body)
		}
	}
}
