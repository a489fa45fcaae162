package httpapi

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"dvr/controller/appender"
	"dvr/eventlog"
)

// pastReads are the reads that take at=.
var pastReads = []string{
	"/routes", "/routes?router=r1", "/routes/10.1.0.0/16", "/routes/10.1.0.0/16?router=r2", "/v1/routes", "/v1/routes?within=10.0.0.0/8&limit=1000",
	"/v1/lookup?address=10.1.2.3&router=r1", "/v1/lookup?address=10.1.2.3", "/v1/routers", "/v1/routers/r1", "/v1/routers/r2/vector",
	"/v1/links", "/v1/links/r1/r2", "/v1/topology", "/kv", "/kv/k",
	"/v1/guards", "/v1/freezes", "/v1/timers", "/v1/confirmations", "/v1/auth", "/v1/routers/r2/rib", "/v1/routers/r2/fib",
}

// Every read of a past revision gives what it gave then, the position, the
// absence of things and the ETag included; so does a read of that revision's time.
func TestReadsOfThePastGiveWhatTheyGave(t *testing.T) {
	a := newAPI(t)
	type given struct {
		code           int
		body, tag, pos string
	}
	then := map[eventlog.Revision]map[string]given{}
	ask := func(path string) given {
		r := a.do("GET", path, "")
		g := given{r.Code, r.Body, r.Header.Get("Etag"), r.Header.Get("Dvr-Position")}
		if r.Code != 200 {
			g.pos = "" // a problem has that of the newest state
		}
		return g
	}
	look := func() {
		m := map[string]given{}
		for _, path := range pastReads {
			m[path] = ask(path)
		}
		then[a.revision()] = m
	}
	times := map[eventlog.Revision]string{}
	steps := []func(){
		func() { a.add("10.0.0.0/8", "192.0.2.1", 10) },
		func() { a.add("10.1.0.0/16", "192.0.2.2", 10) },
		func() {
			a.must("PUT", "/v1/links/r1/r2", `{"cost_ab":5,"address_a":["172.16.0.1"],"address_b":["172.16.0.2"]}`)
		},
		func() {
			a.must("POST", "/routes", `{"destination":"10.1.2.0/24","next_hop":"192.0.2.3","router":"r2"}`)
		},
		func() { a.must("PUT", "/v1/routers/r1", `{"description":"core"}`) },
		func() { a.must("PUT", "/kv/k", `{"value":"1"}`) },
		func() { a.must("PUT", "/v1/guards/g", `{"type":"max_routes","limit":1000}`) },
		func() { a.must("PUT", "/v1/freezes/f", `{"routers":["nobody"]}`) },
		func() { a.must("PUT", "/kv/later?not_before=1h", `{"value":"v"}`) },
		func() { a.must("PUT", "/kv/soon?confirm_within=1h", `{"value":"v"}`) },
		func() {
			a.must("POST", "/v1/commits", `{"events":[{"kind":"role.set","actor":"zoe","grants":[{"role":"viewer"}]}]}`)
		},
		func() { a.must("DELETE", "/v1/guards/g", "") },
		func() { a.must("DELETE", "/v1/freezes/f", "") },
		func() { a.must("PUT", "/v1/links/r1/r2", `{"cost_ab":7,"address_b":["172.16.0.2"]}`) },
		func() { a.must("DELETE", "/routes/10.1.0.0/16", "") },
		func() { a.must("DELETE", "/kv/k", "") },
		func() { a.must("DELETE", "/v1/links/r1/r2", "") },
		func() { a.must("DELETE", "/v1/routers/r1", "") },
	}
	look()
	for _, step := range steps {
		for c := a.must("GET", fmt.Sprintf("/v1/commits/%d", a.revision()), "").json(t)["time"].(string); time.Now().UTC().Format("2006-01-02T15:04:05.000Z") <= c; {
		} // log time has milliseconds: the next commit is another
		step()
		look()
	}
	for r := range then {
		times[r] = a.must("GET", fmt.Sprintf("/v1/commits/%d", r), "").json(t)["time"].(string)
	}
	for r, m := range then {
		for path, want := range m {
			sep := "?"
			if strings.Contains(path, "?") {
				sep = "&"
			}
			for _, at := range []string{fmt.Sprint(r), times[r], strings.Replace(times[r], "Z", "+00:00", 1)} {
				if got := ask(path + sep + "at=" + url.QueryEscape(at)); got != want {
					t.Errorf("%s at %s:\n%+v\nthen:\n%+v", path, at, got, want)
				}
			}
		}
	}
}

// A listing of a past revision goes on at that revision.
func TestPagesOfThePast(t *testing.T) {
	a := newAPI(t)
	for i := range 5 {
		a.add(fmt.Sprintf("10.%d.0.0/16", i), "192.0.2.1", 1)
	}
	at := a.revision()
	a.must("DELETE", "/routes/10.3.0.0/16", "")
	a.add("10.2.128.0/17", "192.0.2.1", 1)
	var got []string
	path := fmt.Sprintf("/v1/routes?limit=2&at=%d", at)
	for next := path; ; {
		r := a.must("GET", next, "").json(t)
		for _, e := range r["routes"].([]any) {
			got = append(got, e.(map[string]any)["destination"].(string))
		}
		if r["next"] == nil {
			break
		}
		next = path + "&cursor=" + r["next"].(string)
		if other := a.do("GET", fmt.Sprintf("/v1/routes?limit=2&at=%d&cursor=%s", at-1, r["next"]), ""); other.Code != 400 || other.json(t)["field"] != "cursor" {
			t.Errorf("the cursor serves at another revision: %d %s", other.Code, other.Body)
		}
	}
	if fmt.Sprint(got) != "[10.0.0.0/16 10.1.0.0/16 10.2.0.0/16 10.3.0.0/16 10.4.0.0/16]" {
		t.Errorf("%v", got)
	}
}

func TestWhatAtRefuses(t *testing.T) {
	a := newAPI(t)
	a.add("10.0.0.0/8", "192.0.2.1", 10)
	for _, c := range []struct {
		path  string
		code  int
		field string
	}{
		{"/routes?at=0", 400, "at"}, {"/routes?at=x", 400, "at"}, {"/routes?at=99", 400, "at"}, {"/routes?at=", 400, "at"}, {"/routes?at=2026-13-01T00:00:00Z", 400, "at"},
		{"/routes?at=2999-01-01T00:00:00Z", 400, "at"}, {"/routes?at=1969-01-01T00:00:00Z", 400, "at"}, {"/routes?at=2001-01-01T00:00:00Z", 410, ""},
		{"/v1/lookup?address=10.1.1.1&router=r1&source=dataplane&at=1", 400, "at"},
		{"/v1/commits?at=1", 400, "at"}, {"/v1/commits/1?at=1", 400, "at"}, {"/v1/status?at=1", 400, "at"}, {"/v1/kv/history/k?at=1", 400, "at"},
	} {
		r := a.do("GET", c.path, "")
		if field, _ := r.json(t)["field"].(string); r.Code != c.code || field != c.field {
			t.Errorf("%s: %d %s", c.path, r.Code, r.Body)
		}
	}
	// The newest commit's time and later, up to now, mean the newest.
	if r := a.must("GET", "/routes?at="+time.Now().UTC().Format(time.RFC3339Nano), "").json(t); r["revision"] != float64(a.revision()) {
		t.Errorf("%v", r)
	}
}

func TestGoneNamesTheOldestRevision(t *testing.T) {
	a := newAPI(t)
	for i := range 6 {
		a.add(fmt.Sprintf("10.%d.0.0/16", i), "192.0.2.1", 1)
	}
	a.snapshot()
	kept := a.revision()
	a.add("10.9.0.0/16", "192.0.2.1", 1)
	if err := a.log.Truncate(context.Background(), kept+1); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/routes?at=2", "/v1/links?at=2", "/kv?at=2", "/v1/routes?at=" + "2020-01-01T00:00:00Z"} {
		r := a.do("GET", path, "")
		if r.Code != 410 || r.json(t)["oldest_revision"] != float64(kept) {
			t.Errorf("%s: %d %s, want the oldest to be %d", path, r.Code, r.Body, kept)
		}
	}
	if r := a.must("GET", fmt.Sprintf("/routes?at=%d", kept), "").json(t); len(r["routes"].(map[string]any)) != 6 {
		t.Errorf("%v", r)
	}
}

// snapshot stores that of the newest state.
func (a *api) snapshot() {
	a.t.Helper()
	st := a.app.State()
	if _, err := a.log.WriteSnapshot(context.Background(), appender.Describe(st), st.Save); err != nil {
		a.t.Fatal(err)
	}
}

// No read ignores at=: it is about that revision, or is refused.
func TestNoReadIgnoresTheMomentAskedFor(t *testing.T) {
	a := newAPI(t)
	a.add("10.2.0.0/16", "192.0.2.1", 10)
	a.must("PUT", "/v1/links/r1/r2", `{"interface_a":"eth0"}`)
	a.must("PUT", "/v1/routers/r2", `{}`)
	a.must("PUT", "/kv/k", `{"value":"1"}`)
	at := a.revision()
	a.must("PUT", "/kv/k", `{"value":"2"}`)
	of, present := 0, 0
	for _, c := range every {
		if c.method != "GET" {
			continue
		}
		sep := "?"
		if strings.Contains(c.target, "?") {
			sep = "&"
		}
		r := a.do("GET", fmt.Sprintf("%s%sat=%d", c.target, sep, at), "")
		switch {
		case r.Code == 400 && r.json(t)["field"] == "at":
			present++
		case r.Code == 200 && strings.HasSuffix(r.Header.Get("DVR-Position"), fmt.Sprint("/", at)):
			of++
		default:
			t.Errorf("%s at %d: %d, position %s", c.target, at, r.Code, r.Header.Get("DVR-Position"))
		}
	}
	if of < 20 || present < 10 {
		t.Errorf("%d of the past, %d of the present", of, present)
	}
}
