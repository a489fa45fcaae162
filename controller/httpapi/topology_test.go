package httpapi

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// line of three routers; r3 has a prefix.
func (a *api) chain() {
	a.must("PUT", "/v1/links/r1/r2", `{"address_a":["10.0.12.1"],"address_b":["10.0.12.2"],"tags":["core"]}`)
	a.must("PUT", "/v1/links/r2/r3", `{"address_a":["10.0.23.2"],"address_b":["10.0.23.3"]}`)
	a.must("POST", "/routes", `{"destination":"10.3.0.0/16","next_hop":"192.0.2.3","router":"r3","metric":5}`)
}

// forwards tells the next hops of r1 for r3's prefix.
func (a *api) forwards() string {
	a.t.Helper()
	var out []string
	for _, e := range a.must("GET", "/v1/routers/r1/fib", "").json(a.t)["fib"].([]any) {
		for _, h := range e.(map[string]any)["next_hops"].([]any) {
			out = append(out, fmt.Sprint(h.(map[string]any)["next_hop"]))
		}
	}
	return strings.Join(out, " ")
}

func TestALinkIsTakenDownAndUp(t *testing.T) {
	a := newAPI(t)
	a.chain()
	for _, step := range []struct{ method, path, status, forwards string }{
		{"POST", "/v1/links/r1/r2/down", "link down", ""},
		{"PUT", "/v1/links/r2/r1/up", "link up", "10.0.12.2"},
		{"PUT", "/v1/links/r2/r1/down", "link down", ""},
		{"POST", "/v1/links/r1/r2/up", "link up", "10.0.12.2"},
	} {
		r := a.must(step.method, step.path, "").json(t)
		if r["status"] != step.status || r["a"] != "r1" {
			t.Errorf("%s %s: %v", step.method, step.path, r)
		}
		if got := a.forwards(); got != step.forwards {
			t.Errorf("after %s: r1 forwards to %q", step.path, got)
		}
		before := a.app.State().Position().Revision
		if a.must(step.method, step.path, ""); a.app.State().Position().Revision != before {
			t.Errorf("%s again: something was stored", step.path)
		}
	}
	if l := a.must("GET", "/v1/links/r1/r2", ""); !strings.Contains(l.Body, `"tags":["core"]`) || !strings.Contains(l.Body, `"address_b":["10.0.12.2"]`) {
		t.Errorf("its other attributes: %s", l.Body)
	}
	// Parallel links by name.
	a.must("PUT", "/v1/links/r1/r2?name=b", `{"address_b":["10.0.99.2"]}`)
	if got := a.forwards(); got != "10.0.12.2 10.0.99.2" {
		t.Errorf("over both links: %q", got)
	}
	a.must("POST", "/v1/links/r1/r2/down", "")
	if got := a.forwards(); got != "10.0.99.2" {
		t.Errorf("over the one named b: %q", got)
	}
	a.must("POST", "/v1/links/r1/r2/down?name=b", "")
	if got := a.forwards(); got != "" {
		t.Errorf("over none: %q", got)
	}
	for path, code := range map[string]int{
		"/v1/links/r1/r3/down": 404, "/v1/links/r1/r2/down?name=c": 404, "/v1/links/r1/r1/up": 400, "/v1/links/r1/r2/sideways": 404,
	} {
		if r := a.do("POST", path, ""); r.Code != code {
			t.Errorf("%s: %d %s", path, r.Code, r.Body)
		}
	}
	if r := a.do("POST", "/v1/links/r1/r2/up", "{}"); r.Code != 400 {
		t.Errorf("with a body: %d", r.Code)
	}
	tag := a.must("GET", "/v1/links/r1/r2", "").Header.Get("Etag")
	a.must("POST", "/v1/links/r1/r2/up", "", "If-Match: "+tag)
	if r := a.do("POST", "/v1/links/r1/r2/down", "", "If-Match: "+tag); r.Code != 412 {
		t.Errorf("If-Match of before: %d", r.Code)
	}
}

// TestADrainKeepsTheRest: only how the router is drained changes, and nothing is
// stored where it is so already.
func TestADrainKeepsTheRest(t *testing.T) {
	a := newAPI(t)
	a.must("PUT", "/v1/routers/r1", `{"description":"Frankfurt","tags":["border"]}`)
	for _, step := range []struct{ path, status, drained string }{
		{"drain", "router drained", "soft"}, {"drain?hard=true", "router drained", "hard"}, {"undrain", "router undrained", "<nil>"}, {"drain?hard=false", "router drained", "soft"},
	} {
		if r := a.must("POST", "/v1/routers/r1/"+step.path, "").json(t); r["status"] != step.status || r["router"] != "r1" {
			t.Errorf("%s: %v", step.path, r)
		}
		if r := a.must("GET", "/v1/routers/r1", "").json(t); fmt.Sprintf("%v %v %v", r["drained"], r["description"], r["tags"]) != step.drained+" Frankfurt [border]" {
			t.Errorf("after %s: %v", step.path, r)
		}
		before := a.revision()
		if a.must("POST", "/v1/routers/r1/"+step.path, ""); a.revision() != before {
			t.Errorf("%s again: something was stored", step.path)
		}
	}
	tag := a.must("GET", "/v1/routers/r1", "").Header.Get("Etag")
	a.must("POST", "/v1/routers/r1/undrain", "", "If-Match: "+tag)
	if r := a.do("POST", "/v1/routers/r1/drain", "", "If-Match: "+tag); r.Code != 412 {
		t.Errorf("If-Match of before: %d", r.Code)
	}
	a.add("10.1.0.0/16", "192.0.2.1", 1)
	a.must("PUT", "/v1/links/r1/r9", `{}`) // which declares no r9
	a.must("POST", "/v1/routers/r9/undrain", "")
	if a.must("POST", "/v1/routers/r9/drain", ""); a.must("GET", "/v1/routers/r9", "").json(t)["drained"] != "soft" {
		t.Error("one that is known only is not drained")
	}
	for path, code := range map[string]int{"nobody/drain": 404, "nobody/undrain": 404, "r1/undrain?hard=true": 400, "r1/drain?hard=x": 400, "r1/drained": 404} {
		if r := a.do("POST", "/v1/routers/"+path, ""); r.Code != code {
			t.Errorf("%s: %d %s", path, r.Code, r.Body)
		}
	}
	if r := a.do("POST", "/v1/routers/r1/drain", "{}"); r.Code != 400 {
		t.Errorf("with a body: %d", r.Code)
	}
}

func TestDrainsMoveTransitAway(t *testing.T) {
	a := newAPI(t)
	a.chain()
	a.must("POST", "/routes", `{"destination":"10.2.0.0/16","next_hop":"192.0.2.2","router":"r2"}`)
	count := func() string {
		var out []string
		for _, e := range a.must("GET", "/v1/routers/r1/vector", "").json(t)["vector"].([]any) {
			out = append(out, fmt.Sprint(e.(map[string]any)["destination"]))
		}
		return strings.Join(out, " ")
	}
	for _, step := range []struct{ body, want string }{
		{`{}`, "10.2.0.0/16 10.3.0.0/16"}, {`{"drained":"soft"}`, "10.2.0.0/16"}, {`{"drained":"hard"}`, ""}, {`{"description":"back"}`, "10.2.0.0/16 10.3.0.0/16"},
	} {
		a.must("PUT", "/v1/routers/r2", step.body)
		if got := count(); got != step.want {
			t.Errorf("%s: r1 reaches %q", step.body, got)
		}
	}
	a.must("PUT", "/v1/routers/r2", `{"drained":"hard"}`)
	if r := a.must("GET", "/v1/routers/r2", ""); !strings.Contains(r.Body, `"drained":"hard"`) {
		t.Errorf("%s", r.Body)
	}
}

func TestWhatIsReferredToStays(t *testing.T) {
	a := newAPI(t)
	a.must("PUT", "/v1/routers/r2", `{"description":"middle"}`)
	a.chain()
	a.must("POST", "/routes", `{"destination":"10.2.0.0/16","next_hop":"192.0.2.2","router":"r2"}`)
	a.must("PUT", "/v1/links/r1/r2?name=b", `{}`)
	refused := func(want ...string) {
		t.Helper()
		r := a.do("DELETE", "/v1/routers/r2", "")
		p := r.json(t)
		if r.Code != 409 || p["type"] != "/problems/referred-to" {
			t.Fatalf("%d %s", r.Code, r.Body)
		}
		for _, w := range want {
			if !strings.Contains(p["detail"].(string), w) {
				t.Errorf("%q is not in %q", w, p["detail"])
			}
		}
	}
	refused("links r1-r2, r1-r2 (b), r2-r3", "routes of its own to 1 destinations (GET /v1/routes?router=r2)")
	a.must("DELETE", "/v1/links/r1/r2", "")
	a.must("DELETE", "/v1/links/r1/r2?name=b", "")
	refused("link r2-r3, ")
	a.must("DELETE", "/v1/links/r2/r3", "")
	refused("r2 is still referred to by routes of its own")
	a.must("DELETE", "/routes/10.2.0.0/16?router=r2", "")
	a.must("DELETE", "/v1/routers/r2", "")
	if r := a.do("DELETE", "/v1/routers/r2", ""); r.Code != 404 {
		t.Errorf("again: %d", r.Code)
	}
}

func TestTheRIBSaysWhyAndTheFIBWhat(t *testing.T) {
	a := newAPI(t)
	a.chain()
	a.must("POST", "/routes", `{"destination":"10.3.0.0/16","next_hop":"192.0.2.9","router":"r1","preference":200}`)
	a.must("POST", "/routes", `{"destination":"10.9.0.0/16","next_hop":"192.0.2.9","router":"r9"}`)
	rib := a.must("GET", "/v1/routers/r1/rib", "").json(t)["rib"].([]any)
	if len(rib) != 2 {
		t.Fatalf("%v", rib)
	}
	var why []string
	for _, d := range rib {
		for _, c := range d.(map[string]any)["candidates"].([]any) {
			c := c.(map[string]any)
			why = append(why, fmt.Sprint(c["router"], " ", c["chosen"], " ", c["metric_here"], " ", c["why"]))
		}
	}
	want := "r1 false 0 higher preference (200 > 1); r3 true 7 best, from r3 at distance 2; r9 false 0 router r9 cannot be reached"
	if got := strings.Join(why, "; "); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	fib := a.must("GET", "/v1/routers/r1/fib", "").json(t)
	e := fib["fib"].([]any)[0].(map[string]any)
	if len(fib["fib"].([]any)) != 1 || e["destination"] != "10.3.0.0/16" || len(e["class"].(string)) != 32 || fib["prefixes"] != 1. {
		t.Errorf("%v", fib)
	}
	if got := a.app.State().FIB("r1", nil).Digest().String(); fib["digest"] != got {
		t.Errorf("digest %v, want %s", fib["digest"], got)
	}
	for _, table := range []string{"rib", "fib", "vector"} {
		if r := a.do("GET", "/v1/routers/nobody/"+table, ""); r.Code != 404 {
			t.Errorf("%s of nobody: %d", table, r.Code)
		}
		for _, query := range []string{"limit=0", "limit=x", "after=x", "x=1", "after=10.0.0.0/8&cursor=10.0.0.0/8"} {
			if r := a.do("GET", "/v1/routers/r1/"+table+"?"+query, ""); r.Code != 400 {
				t.Errorf("%s?%s: %d", table, query, r.Code)
			}
		}
	}
}

func TestTablesOfARouterArePaged(t *testing.T) {
	a := newAPI(t)
	a.must("PUT", "/v1/routers/r1", `{}`)
	for i := range 7 {
		a.add(fmt.Sprintf("10.%d.0.0/16", i), "192.0.2.1", 1)
	}
	a.add("2001:db8::/32", "2001:db8::1", 1)
	for _, table := range []string{"rib", "fib", "vector"} {
		for limit := 1; limit <= 9; limit++ {
			var got []string
			cursor := ""
			for n := 0; n < 20; n++ {
				r := a.must("GET", fmt.Sprintf("/v1/routers/r1/%s?limit=%d%s", table, limit, cursor), "")
				m := r.json(t)
				list := m[table].([]any)
				if len(list) > limit {
					t.Fatalf("%s: %d of %d", table, len(list), limit)
				}
				for _, e := range list {
					got = append(got, e.(map[string]any)["destination"].(string))
				}
				next, _ := m["next"].(string)
				if next != r.Header.Get("DVR-Next-Cursor") {
					t.Errorf("%s: next %q, header %q", table, next, r.Header.Get("DVR-Next-Cursor"))
				}
				if next == "" {
					break
				}
				cursor = "&cursor=" + url.QueryEscape(next)
			}
			want := "10.0.0.0/16 10.1.0.0/16 10.2.0.0/16 10.3.0.0/16 10.4.0.0/16 10.5.0.0/16 10.6.0.0/16 2001:db8::/32"
			if strings.Join(got, " ") != want {
				t.Errorf("%s, limit %d: %v", table, limit, got)
			}
		}
	}
}

// TestProbesAreARoutersAttribute: in any order in, in the log's order out, by PUT,
// commit and import alike; a PUT without them takes them away.
func TestProbesAreARoutersAttribute(t *testing.T) {
	a := newAPI(t)
	const (
		given = `[{"next_hop":"fe80::1","interface":"eth0","interval_ms":1000},{"interval_ms":5000},{"next_hop":"192.0.2.1","interval_ms":500}]`
		want  = `"probes":[{"interval_ms":5000},{"next_hop":"192.0.2.1","interval_ms":500},{"next_hop":"fe80::1","interface":"eth0","interval_ms":1000}]`
	)
	a.must("PUT", "/v1/routers/r1", `{"description":"edge","probes":`+given+`}`)
	a.must("POST", "/v1/commits", `{"events":[{"kind":"router.set","router":"r2","probes":`+given+`}]}`)
	a.must("POST", "/v1/topology/import", `{"kind":"router.set","router":"r3","probes":`+given+`}`, "Content-Type: application/x-ndjson")
	for _, path := range []string{"/v1/routers/r1", "/v1/routers/r2", "/v1/routers/r3", "/v1/routers", "/v1/topology", "/v1/commits/2"} {
		if r := a.must("GET", path, ""); !strings.Contains(r.Body, want) {
			t.Errorf("%s: %s", path, r.Body)
		}
	}
	before := a.revision()
	if r := a.must("PUT", "/v1/routers/r1?dry_run=true", `{"description":"edge"}`); !strings.Contains(r.Body, "probes") {
		t.Errorf("the preview tells nothing of them: %s", r.Body)
	}
	a.must("PUT", "/v1/routers/r1", `{"description":"edge"}`)
	if r := a.must("GET", "/v1/routers/r1", ""); strings.Contains(r.Body, "probes") {
		t.Errorf("%s", r.Body)
	}
	if r := a.must("GET", fmt.Sprintf("/v1/routers/r1?at=%d", before), ""); !strings.Contains(r.Body, want) {
		t.Errorf("before: %s", r.Body)
	}
	a.must("POST", "/v1/rollback", fmt.Sprintf(`{"to":%d}`, before))
	if r := a.must("GET", "/v1/routers/r1", ""); !strings.Contains(r.Body, want) {
		t.Errorf("rolled back: %s", r.Body)
	}
}

func TestATopologyGoesOutAndComesBack(t *testing.T) {
	a := newAPI(t)
	a.chain()
	a.must("PUT", "/v1/routers/r2", `{"description":"middle","tags":["x"],"drained":"soft","probes":[{"interval_ms":5000}]}`)
	a.must("POST", "/v1/links/r2/r3/down", "")
	out := a.must("GET", "/v1/topology", "").Body
	if strings.Count(out, "\n") != 3 {
		t.Fatalf("%s", out)
	}
	b := newAPI(t)
	r := b.must("POST", "/v1/topology/import", out, "Content-Type: application/x-ndjson").json(t)
	if r["accepted"] != 3. {
		t.Errorf("%v", r)
	}
	if again := b.must("GET", "/v1/topology", "").Body; again != out {
		t.Errorf("came back as\n%s\nwant\n%s", again, out)
	}
	// Lines about one item stay in order, and what is at fault is refused alone.
	lines := []string{
		`{"kind":"link.set","a":"r1","b":"r2","cost_ab":3}`, `{"kind":"link.removed","a":"r1","b":"r2"}`,
		`{"kind":"link.set","a":"r1","b":"r2","cost_ab":4}`, `{"kind":"link.set","a":"r2","b":"r2"}`,
		`{"kind":"key.put","key":"k","value":"v"}`, `{"kind":"router.removed","router":"r2"}`,
		`{"destination":"10.0.0.0/8","next_hop":"192.0.2.1"}`,
	}
	r = b.must("POST", "/v1/topology/import", strings.Join(lines, "\n"), "Content-Type: application/x-ndjson").json(t)
	if r["accepted"] != 4. || r["refused_count"] != 3. || !strings.Contains(fmt.Sprint(r["refused"]), "is still referred to by links r1-r2, r2-r3") {
		t.Errorf("%v", r)
	}
	if l := b.must("GET", "/v1/links/r1/r2", ""); !strings.Contains(l.Body, `"cost_ab":4,`) {
		t.Errorf("%s", l.Body)
	}
}

// TestACommitRemovesNoRouterThatIsReferredTo: what DELETE refuses no commit does
// by the way, unless it removes the references, too.
func TestACommitRemovesNoRouterThatIsReferredTo(t *testing.T) {
	a := newAPI(t)
	a.chain()
	a.must("PUT", "/v1/guards/g", `{"type":"max_routes","limit":100,"routers":["r1"]}`)
	const gone = `{"kind":"router.removed","router":"r3"}`
	before := a.revision()
	for query, events := range map[string]string{
		"":                       gone,
		"?dry_run=true":          gone,
		"?force=true&reason=now": gone,
		"?confirm_within=60s":    gone + `,{"kind":"link.removed","a":"r2","b":"r3"}`,
	} {
		r := a.do("POST", "/v1/commits"+query, `{"events":[`+events+`]}`)
		if r.Code != 400 || !strings.Contains(r.Body, "events[0].router") || !strings.Contains(r.Body, "routes of its own to 1 destinations") || a.revision() != before {
			t.Errorf("%q: %d %s", query, r.Code, r.Body)
		}
	}
	a.must("POST", "/v1/commits", `{"events":[`+gone+`,{"kind":"link.removed","a":"r2","b":"r3"},{"kind":"route.withdrawn","router":"r3","destination":"10.3.0.0/16","next_hop":"192.0.2.3"}]}`)
	if r := a.do("GET", "/v1/routers/r3", ""); r.Code != 404 {
		t.Errorf("%d %s", r.Code, r.Body)
	}
}

// TestACommitRemovesNoRouterWithUnusableRoutes: what is withdrawn of a router's
// routes does not hide those that are left and cannot forward.
func TestACommitRemovesNoRouterWithUnusableRoutes(t *testing.T) {
	a := newAPI(t)
	const unusable = `"router":"r9","destination":"10.9.0.0/16","next_hop":"192.0.2.3"`
	const usable = `"router":"r9","destination":"10.10.0.0/16","next_hop":"192.0.2.3"`
	a.must("POST", "/v1/commits", `{"events":[{"kind":"router.set","router":"r9"},{"kind":"router.set","router":"r8"},
		{"kind":"route.announced",`+unusable+`,"metric":4294967295},{"kind":"route.announced",`+usable+`}]}`)
	remove := func(withdrawn ...string) answer {
		events := []string{`{"kind":"router.removed","router":"r8"}`, `{"kind":"router.removed","router":"r9"}`}
		for _, w := range withdrawn {
			events = append(events, `{"kind":"route.withdrawn",`+w+`}`)
		}
		return a.do("POST", "/v1/commits", `{"events":[`+strings.Join(events, ",")+`]}`)
	}
	for _, withdrawn := range [][]string{nil, {usable}, {unusable}} {
		if r := remove(withdrawn...); r.Code != 400 || !strings.Contains(r.Body, "events[1].router") || !strings.Contains(r.Body, "routes of its own") {
			t.Errorf("%q: %d %s", withdrawn, r.Code, r.Body)
		}
	}
	if r := remove(usable, unusable); r.Code != 201 {
		t.Errorf("%d %s", r.Code, r.Body)
	}
	if left := a.must("GET", "/v1/routes", "").Body; strings.Contains(left, "r9") {
		t.Errorf("left: %s", left)
	}
}
