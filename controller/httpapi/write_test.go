package httpapi

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"dvr/eventlog"
)

func candidates(t *testing.T, a *api, target string) (list []string) {
	t.Helper()
	for _, c := range a.must("GET", target, "").json(t)["candidates"].([]any) {
		m := c.(map[string]any)
		list = append(list, fmt.Sprint(m["router"], " ", m["next_hop"], " ", m["metric"], " ", m["chosen"]))
	}
	return list
}

func TestCandidates(t *testing.T) {
	a := newAPI(t)
	a.add("10.1.0.0/16", "192.0.2.1", 10)
	a.add("10.1.0.0/16", "192.0.2.2", 20)
	a.add("10.1.0.0/16", "192.0.2.1", 30) // the same identity: replaced
	r := a.must("GET", "/routes/10.1.0.0/16", "")
	if got := strings.Join(candidates(t, a, "/routes/10.1.0.0/16"), ", "); got != "* 192.0.2.1 30 false, * 192.0.2.2 20 true" {
		t.Errorf("candidates: %s", got)
	}
	if !strings.Contains(r.Body, `"why":"`) {
		t.Errorf("no reason: %s", r.Body)
	}
	escaped := a.must("GET", "/routes/10.1.0.0%2F16", "")
	if escaped.Body != r.Body {
		t.Errorf("escaped %s\nunescaped %s", escaped.Body, r.Body)
	}

	// PUT makes its candidates the only ones of its router.
	a.must("POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.9","router":"r1"}`)
	put := a.must("PUT", "/routes/10.1.0.0%2F16", `{"candidates":[{"next_hop":"192.0.2.2","metric":20},{"next_hop":"192.0.2.3","metric":5}]}`)
	if !strings.HasPrefix(put.Body, `{"destination":"10.1.0.0/16","status":"route replaced","revision":`) {
		t.Errorf("PUT: %s", put.Body)
	}
	got := strings.Join(candidates(t, a, "/routes/10.1.0.0/16"), ", ")
	if !strings.Contains(got, "* 192.0.2.2 20 false, * 192.0.2.3 5 true") || !strings.Contains(got, "r1 192.0.2.9 0") || strings.Contains(got, "192.0.2.1 ") {
		t.Errorf("after PUT: %s", got)
	}
	// The commit holds only what changed.
	commit := a.must("GET", fmt.Sprintf("/v1/commits/%d", a.revision()), "").Body
	if !strings.Contains(commit, `"n":2,`) || strings.Contains(commit, "192.0.2.2") {
		t.Errorf("a PUT touched what was equal: %s", commit)
	}
	a.must("PUT", "/routes/10.1.0.0/16", `{"next_hop":"192.0.2.4","router":"r1","metric":7}`)
	if got := strings.Join(candidates(t, a, "/routes/10.1.0.0/16?router=r1"), ", "); !strings.Contains(got, "r1 192.0.2.4 7") || strings.Contains(got, "192.0.2.9") {
		t.Errorf("after PUT of r1: %s", got)
	}

	// DELETE by next hop, by router, of all.
	a.must("DELETE", "/routes/10.1.0.0/16?next_hop=192.0.2.3", "")
	a.must("DELETE", "/routes/10.1.0.0/16?router=r1", "")
	if got := strings.Join(candidates(t, a, "/routes/10.1.0.0/16"), ", "); got != "* 192.0.2.2 20 true" {
		t.Errorf("after DELETE: %s", got)
	}
	a.add("10.1.0.0/16", "192.0.2.1", 30)
	a.must("DELETE", "/routes/10.1.0.0%2F16", "")
	if r := a.do("GET", "/routes/10.1.0.0/16", ""); r.Code != 404 {
		t.Errorf("after DELETE of all: %d", r.Code)
	}
	a.add("2001:db8::/32", "2001:db8::1", 1)
	a.must("DELETE", "/routes", `{"destination":"2001:db8::/32","next_hop":"2001:db8::1"}`)
	if r := a.do("DELETE", "/routes/2001:db8::%2F32", ""); r.Code != 404 {
		t.Errorf("second DELETE: %d", r.Code)
	}
}

// TestWhatRoutesMayBe: the legal forms at the edges of the refused ones.
func TestWhatRoutesMayBe(t *testing.T) {
	a := newAPI(t)
	for _, body := range []string{
		`{"destination":"0.0.0.0/0","next_hop":"192.0.2.1"}`,
		`{"destination":"::/0","next_hop":"fe80::1","interface":"eth0"}`,
		`{"destination":"10.0.0.0/8","next_hop":"2001:db8::1"}`,
		`{"destination":"10.0.0.1/32","interface":"eth0"}`,
		`{"destination":"10.3.0.0/16","type":"blackhole"}`,
		`{"destination":"10.4.0.0/16","next_hop":"192.0.2.1","metric":4294967294,"preference":255,"weight":256}`,
		`{"destination":"10.5.0.0/16","next_hop":"192.0.2.1","tags":["b","a"],"recursive":true,"via_default":true}`,
		"{\n  \"destination\": \"10.6.0.0/16\",\n\t\"next_hop\": \"192.0.2.1\"\r\n}\n",
		`{"next_hop":"192.0.2.1","metric":1,"destination":"10.7.0.0\/16"}`,
		`{"d\u0065stination":"10.8.0.0/16","next_hop":"192.0.2.1"}`,
		`{"destination":"10.9.0.0/16","next_hop":"192.0.2.1","origin":"lab"}`,
		`{"destination":"224.0.0.0/4","type":"blackhole"}`,
		`{"destination":"127.0.0.0/8","type":"unreachable"}`,
		`{"destination":"128.0.0.0/1","next_hop":"192.0.2.1"}`,
		`{"destination":"192.0.0.0/2","next_hop":"192.0.2.1"}`,
		`{"destination":"126.0.0.0/7","next_hop":"192.0.2.1"}`,
		`{"destination":"223.0.0.0/8","next_hop":"192.0.2.1"}`,
		`{"destination":"::/127","next_hop":"2001:db8::1"}`,
		`{"destination":"fe00::/7","next_hop":"2001:db8::1"}`,
	} {
		if r := a.do("POST", "/routes", body); r.Code != 201 {
			t.Errorf("%s: %d %s", body, r.Code, r.Body)
		}
	}
	if r := a.do("POST", "/routes", `{"destination":"10.0.0.0/8","next_hop":"192.0.2.1"}`, "Content-Type: application/json; charset=UTF-8"); r.Code != 201 {
		t.Errorf("charset: %d %s", r.Code, r.Body)
	}
	if r := a.do("POST", "/routes", `{"destination":"10.0.0.0/8","next_hop":"192.0.2.1"}`, "Content-Type: "); r.Code != 201 {
		t.Errorf("no content type: %d %s", r.Code, r.Body)
	}
}

func TestIdempotency(t *testing.T) {
	a := newAPI(t)
	const body = `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1","metric":1}`
	first := a.must("POST", "/routes", body, "Idempotency-Key: k1")
	at := a.revision()
	again := a.must("POST", "/routes?wait=logged&timeout=3s", body, "Idempotency-Key: k1")
	if again.Body != first.Body || again.Header.Get("DVR-Replayed") != "true" || first.Header.Get("DVR-Replayed") != "" || a.revision() != at {
		t.Errorf("repeated: %d %v %s", again.Code, again.Header, again.Body)
	}
	other := a.do("POST", "/routes", strings.Replace(body, "1}", "2}", 1), "Idempotency-Key: k1")
	if other.Code != 422 || a.revision() != at {
		t.Errorf("other body: %d %s", other.Code, other.Body)
	}
	if r := a.do("POST", "/routes?reason=x", body, "Idempotency-Key: k1"); r.Code != 422 {
		t.Errorf("other reason: %d", r.Code)
	}
	if r := a.must("POST", "/routes", body, "Idempotency-Key: k1", "X-DVR-Actor: bob"); r.Header.Get("DVR-Replayed") != "" {
		t.Error("another actor's key is another key")
	}

	// A deletion that is repeated succeeds again, under its key alone.
	del := a.must("DELETE", "/routes/10.1.0.0/16", "", "Idempotency-Key: k2")
	if r := a.must("DELETE", "/routes/10.1.0.0%2F16", "", "Idempotency-Key: k2"); r.Body != del.Body || r.Header.Get("DVR-Replayed") != "true" {
		t.Errorf("repeated DELETE: %s", r.Body)
	}
	if r := a.do("DELETE", "/routes/10.1.0.0/16", ""); r.Code != 404 {
		t.Errorf("DELETE without key: %d", r.Code)
	}

	// A refusal is not remembered.
	if r := a.do("POST", "/routes", `{"destination":"x"}`, "Idempotency-Key: k3"); r.Code != 400 {
		t.Fatal(r.Code)
	}
	a.must("POST", "/routes", body, "Idempotency-Key: k3")

	// Concurrent repetitions store once.
	at = a.revision()
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if r := a.do("POST", "/routes", `{"destination":"10.2.0.0/16","next_hop":"192.0.2.1"}`, "Idempotency-Key: k4"); r.Code != 201 {
				t.Errorf("%d %s", r.Code, r.Body)
			}
		})
	}
	wg.Wait()
	if a.revision() != at+1 {
		t.Errorf("32 repetitions stored %d commits", a.revision()-at)
	}
}

// TestReplayedAnswersAreEqual: a repetition is answered as the first call was,
// by status, body and position.
func TestReplayedAnswersAreEqual(t *testing.T) {
	a := newAPI(t)
	for i, c := range []struct{ method, target, body string }{
		{"PUT", "/v1/routers/r9", `{}`}, {"PUT", "/v1/links/r1/r2", `{}`}, {"PUT", "/routes/10.1.0.0/16", `{"next_hop":"192.0.2.1"}`},
		{"POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`}, {"POST", "/v1/commits", `{"events":[{"kind":"router.set","router":"r8"}]}`},
		{"DELETE", "/routes/10.1.0.0/16", ""}, {"DELETE", "/v1/links/r1/r2", ""}, {"DELETE", "/v1/routers/r9", ""},
		{"PUT", "/kv/a", `{"value":"v"}`}, {"DELETE", "/kv/a", ""}, {"DELETE", "/kv/a", ""}, {"DELETE", "/kv/b", ""},
	} {
		key := fmt.Sprintf("Idempotency-Key: k%d", i)
		first := a.must(c.method, c.target, c.body, key)
		again := a.must(c.method, c.target, c.body, key)
		if again.Code != first.Code || again.Body != first.Body || again.Header.Get("DVR-Position") != first.Header.Get("DVR-Position") || again.Header.Get("ETag") != first.Header.Get("ETag") || again.Header.Get("DVR-Replayed") != "true" {
			t.Errorf("%s %s: %d %s, then %d %s", c.method, c.target, first.Code, first.Body, again.Code, again.Body)
		}
	}
}

func TestPreconditions(t *testing.T) {
	a := newAPI(t)
	items := []struct{ name, target, body, method string }{
		{"destination by POST", "/routes/10.1.0.0/16", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`, "POST"},
		{"destination by PUT", "/routes/10.2.0.0/16", `{"next_hop":"192.0.2.1"}`, "PUT"},
		{"router", "/v1/routers/r1", `{"description":"x"}`, "PUT"},
		{"link", "/v1/links/r1/r2", `{"cost_ab":2}`, "PUT"},
	}
	for i, it := range items {
		t.Run(it.name, func(t *testing.T) {
			change := func(headers ...string) answer {
				target, body := it.target, strings.Replace(it.body, "}", fmt.Sprintf(`,"tags":["v%d"]}`, a.revision()), 1)
				if it.method == "POST" {
					target = "/routes"
				}
				return a.do(it.method, target, body, headers...)
			}
			if r := change("If-Match: *"); r.Code != 412 || r.json(t)["field"] != "If-Match" {
				t.Fatalf("If-Match * of nothing: %d %s", r.Code, r.Body)
			}
			if r := change("If-None-Match: *"); r.Code/100 != 2 {
				t.Fatalf("If-None-Match * of nothing: %d %s", r.Code, r.Body)
			}
			if r := change("If-None-Match: *"); r.Code != 412 || r.json(t)["field"] != "If-None-Match" {
				t.Fatalf("If-None-Match * of something: %d %s", r.Code, r.Body)
			}
			tag := a.must("GET", it.target, "").Header.Get("ETag")
			if want := fmt.Sprintf(`"1-%d-`, a.revision()); !strings.HasPrefix(tag, want) || len(tag) != len(want)+17 {
				t.Fatalf("ETag %s, want %s and a hash", tag, want)
			}
			if r := a.do("GET", it.target, "", "If-None-Match: "+tag[:strings.LastIndexByte(tag, '-')]+`"`); r.Code != 200 {
				t.Errorf("a tag without the hash of what is shown: %d", r.Code)
			}
			if r := a.do("GET", it.target, "", "If-None-Match: "+tag); r.Code != 304 || r.Body != "" {
				t.Errorf("not modified: %d %q", r.Code, r.Body)
			}
			a.add(fmt.Sprintf("172.%d.0.0/16", 16+i), "192.0.2.1", 1) // another item
			if r := change("If-Match: " + tag); r.Code/100 != 2 {
				t.Fatalf("If-Match: %d %s", r.Code, r.Body)
			}
			if r := change("If-Match: " + tag); r.Code != 412 {
				t.Errorf("stale If-Match: %d", r.Code)
			}
			if r := a.do("DELETE", it.target, "", "If-Match: "+tag); r.Code != 412 {
				t.Errorf("stale DELETE: %d", r.Code)
			}
			tag = a.must("GET", it.target, "").Header.Get("ETag")
			tag = tag[:strings.LastIndexByte(tag, '-')] + `"` // what the item is, whatever was shown
			if r := a.do("DELETE", it.target, "", `If-Match: "9-9", `+tag); r.Code != 200 {
				t.Errorf("DELETE: %d %s", r.Code, r.Body)
			}
		})
	}
}

// TestNotModifiedMeansThatNothingShownHasChanged: what an item shows may change
// without the item; its tag stays good for If-Match.
func TestNotModifiedMeansThatNothingShownHasChanged(t *testing.T) {
	a := newAPI(t)
	a.must("PUT", "/v1/links/r1/r2", `{"cost_ab":1,"address_a":["10.0.12.1"],"address_b":["10.0.12.2"]}`)
	a.must("POST", "/routes", `{"destination":"10.3.0.0/16","next_hop":"192.0.2.3","router":"r2","metric":5}`)
	tagOf := func(target string) string { return a.must("GET", target, "").Header.Get("ETag") }
	code := func(target, tag string) int { return a.do("GET", target, "", "If-None-Match: "+tag).Code }

	const seen = "/routes/10.3.0.0/16?router=r1"
	tag := tagOf(seen)
	if got := code(seen, tag); got != 304 {
		t.Fatalf("nothing has changed: %d", got)
	}
	if got := code("/routes/10.3.0.0/16?router=r2", tag); got != 200 {
		t.Errorf("seen from another router: %d", got)
	}
	a.must("PUT", "/v1/links/r1/r2", `{"cost_ab":9,"address_a":["10.0.12.1"],"address_b":["10.0.12.2"]}`)
	if got := code(seen, tag); got != 200 {
		t.Errorf("after the cost of a link changed: %d", got)
	}
	if r := a.must("PUT", "/routes/10.3.0.0/16", `{"router":"r2","next_hop":"192.0.2.4"}`, "If-Match: "+tag); r.Code != 200 {
		t.Errorf("If-Match after a link's change: %d", r.Code)
	}

	tag = tagOf("/v1/routers/r1")
	a.connect("r1")
	if got := code("/v1/routers/r1", tag); got != 200 {
		t.Errorf("a router whose data plane has come: %d", got)
	}
	if tag = tagOf("/v1/routers/r1"); code("/v1/routers/r1", tag) != 304 {
		t.Error("nothing has changed since")
	}
}

func TestActorReasonAndSourceAreKept(t *testing.T) {
	a := newAPI(t)
	a.must("POST", "/routes?reason="+url.QueryEscape("new peer, ünïcode"), `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`, "X-DVR-Actor: alice", "Idempotency-Key: k")
	m := a.must("GET", "/v1/commits/2", "").json(t)
	if m["actor"] != "alice" || m["reason"] != "new peer, ünïcode" || m["id"] != "k" || m["source"] != "192.0.2.1" || len(m["request"].(string)) != 32 {
		t.Errorf("%v", m)
	}
	a.add("10.2.0.0/16", "192.0.2.1", 1)
	if m := a.must("GET", "/v1/commits/3", "").json(t); m["actor"] != "anonymous" || len(m["id"].(string)) != 26 {
		t.Errorf("%v", m)
	}
}

func TestCommits(t *testing.T) {
	a := newAPI(t)
	r := a.must("POST", "/v1/commits", `{ "id": "c-1", "reason": "link up",
		"events": [
			{"kind": "router.set", "router": "r1"},
			{"destination": "10.1.0.0/16", "kind": "route.announced", "next_hop": "192.0.2.1"},
			{"kind": "link.set", "a": "r1", "b": "r2", "cost_ab": 3}
		] }`)
	if r.Code != 201 || r.Body != `{"status":"committed","id":"c-1","events":3,"revision":2}`+"\n" {
		t.Errorf("%d %s", r.Code, r.Body)
	}
	m := a.must("GET", "/v1/commits/2", "").json(t)
	if m["reason"] != "link up" || m["n"] != float64(3) || len(m["events"].([]any)) != 3 {
		t.Errorf("%v", m)
	}
	// All or nothing.
	if r := a.do("POST", "/v1/commits", `{"events":[{"kind":"router.set","router":"r5"},{"kind":"router.set","router":"?"}]}`); r.Code != 400 {
		t.Errorf("%d", r.Code)
	}
	if r := a.do("GET", "/v1/routers/r5", ""); r.Code != 404 {
		t.Errorf("half a commit: %d", r.Code)
	}
	for i := range 5 {
		a.add(fmt.Sprintf("10.%d.0.0/16", 10+i), "192.0.2.1", 1)
	}
	page := a.must("GET", "/v1/commits?after=2&limit=2", "").json(t)
	got := page["commits"].([]any)
	if len(got) != 2 || got[0].(map[string]any)["revision"] != float64(3) || page["next"] != float64(4) || page["revision"] != float64(7) {
		t.Errorf("%v", page)
	}
	if page := a.must("GET", "/v1/commits?after=7", "").json(t); len(page["commits"].([]any)) != 0 || page["next"] != nil {
		t.Errorf("%v", page)
	}
}

// TestLargeCommit: more than a batch holds is staged and still atomic.
func TestLargeCommit(t *testing.T) {
	a := newAPI(t)
	var b strings.Builder
	b.WriteString(`{"events":[`)
	const n = eventlog.MaxCommitEvents + 500
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"kind":"route.announced","destination":"10.%d.%d.0/24","next_hop":"192.0.2.1"}`, i/256, i%256)
	}
	b.WriteString(`]}`)
	a.must("POST", "/v1/commits", b.String())
	if m := a.must("GET", "/v1/status", "").json(t); m["revision"] != float64(2) || m["state"].(map[string]any)["routes"] != float64(n) {
		t.Errorf("%v", m)
	}
}

func TestTopology(t *testing.T) {
	a := newAPI(t)
	if r := a.must("PUT", "/v1/routers/r1", `{"description":"core","tags":["b","a"]}`); r.Code != 200 || !strings.HasPrefix(r.Body, `{"router":"r1","status":"router set","revision":2`) {
		t.Errorf("%d %s", r.Code, r.Body)
	}
	if r := a.must("PUT", "/v1/routers/r1", `{}`); r.Code != 200 {
		t.Errorf("second PUT: %d", r.Code)
	}
	// A path that names the greater router first gives the same link, sides exchanged.
	a.must("PUT", "/v1/links/r2/r1", `{"cost_ab":7,"cost_ba":3,"address_a":["2001:db8::2","10.0.12.2"],"address_b":["10.0.12.1"],"interface_a":"eth2","interface_b":"eth1"}`)
	want := `{"a":"r1","b":"r2","cost_ab":3,"cost_ba":7,"address_a":["10.0.12.1"],"address_b":["10.0.12.2","2001:db8::2"],"interface_a":"eth1","interface_b":"eth2","down":false,`
	for _, path := range []string{"/v1/links/r1/r2", "/v1/links/r2/r1"} {
		if r := a.must("GET", path, ""); !strings.HasPrefix(r.Body, want) {
			t.Errorf("%s: %s", path, r.Body)
		}
	}
	a.must("PUT", "/v1/links/r1/r2?name=b", `{"cost_ab":9}`)
	if l := a.must("GET", "/v1/links", "").json(t)["links"].([]any); len(l) != 2 {
		t.Errorf("links: %v", l)
	}
	// r2 is known for its link; a route names r3.
	a.must("POST", "/routes", `{"destination":"10.3.0.0/16","next_hop":"192.0.2.3","router":"r2","metric":5}`)
	a.must("POST", "/routes", `{"destination":"10.4.0.0/16","next_hop":"192.0.2.3","router":"r3"}`)
	var names []string
	for _, r := range a.must("GET", "/v1/routers", "").json(t)["routers"].([]any) {
		m := r.(map[string]any)
		names = append(names, fmt.Sprint(m["router"], m["declared"]))
	}
	if got := strings.Join(names, " "); got != "r1true r2false r3false" {
		t.Errorf("routers: %s", got)
	}
	v := a.must("GET", "/v1/routers/r1/vector", "")
	if !strings.HasPrefix(v.Body, `{"router":"r1","vector":[{"destination":"10.3.0.0/16","metric":8,"preference":1,"via":["r2"],"origin":["r2"],`) {
		t.Errorf("vector: %s", v.Body)
	}
	if r := a.must("GET", "/routes?router=r1", ""); !strings.Contains(r.Body, `"10.3.0.0/16":{"destination":"10.3.0.0/16","next_hop":"10.0.12.2","metric":8,`) {
		t.Errorf("table of r1: %s", r.Body)
	}
	if r := a.must("GET", "/v1/lookup?address=10.3.0.9&router=r1", "").json(t); r["destination"] != "10.3.0.0/16" || r["source"] != "controller" || len(r["class"].(string)) != 32 {
		t.Errorf("lookup: %v", r)
	}
	a.must("DELETE", "/v1/links/r2/r1", "")
	a.must("DELETE", "/v1/links/r1/r2?name=b", "")
	if v := a.must("GET", "/v1/routers/r1/vector", "").json(t); len(v["vector"].([]any)) != 0 {
		t.Errorf("vector without links: %v", v)
	}
	a.must("DELETE", "/v1/routers/r1", "")
	if r := a.do("GET", "/v1/routers/r1", ""); r.Code != 404 {
		t.Errorf("removed router: %d", r.Code)
	}
}
