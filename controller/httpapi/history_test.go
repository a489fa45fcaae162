package httpapi

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// story is a small network with a past, and the revisions of its steps.
func story(t *testing.T) (*api, map[string]uint64) {
	a := newAPI(t)
	at := map[string]uint64{}
	step := func(name, method, path, body string, headers ...string) {
		t.Helper()
		a.must(method, path, body, headers...)
		at[name] = uint64(a.revision())
	}
	step("link", "PUT", "/v1/links/r1/r2?reason=cable", `{"cost_ab":5,"cost_ba":5,"address_a":["172.16.0.1"],"address_b":["172.16.0.2"]}`, "X-DVR-Actor: carol")
	step("cover", "POST", "/routes?reason=transit", `{"destination":"10.0.0.0/8","next_hop":"192.0.2.1","router":"r2"}`, "X-DVR-Actor: alice")
	step("route", "POST", "/routes?reason=customer", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.2","metric":7,"router":"r2"}`, "X-DVR-Actor: bob")
	step("other", "POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.3","metric":9,"router":"r2"}`, "X-DVR-Actor: bob")
	step("bad", "DELETE", "/routes/10.1.0.0/16?reason=oops", "", "X-DVR-Actor: mallory")
	step("key", "PUT", "/kv/k", `{"value":"1"}`)
	step("down", "PUT", "/v1/links/r1/r2", `{"cost_ab":5,"cost_ba":5,"address_a":["172.16.0.1"],"address_b":["172.16.0.2"],"down":true}`)
	return a, at
}

func changesOf(t *testing.T, a *api, query string) []string {
	t.Helper()
	var out []string
	r := a.must("GET", "/v1/diff?"+query, "").json(t)
	for _, c := range r["changes"].([]any) {
		raw, _ := json.Marshal(c)
		out = append(out, string(raw))
	}
	return out
}

func TestDiffTellsIntentAndEffect(t *testing.T) {
	a, at := story(t)
	for _, c := range []struct {
		name     string
		from, to uint64
		more     string
		want     []string
	}{
		{"a withdrawal", at["other"], at["bad"], "", []string{
			`"change":"removed","destination":"10.1.0.0/16","kind":"route"`, `"change":"removed","destination":"10.1.0.0/16","kind":"route"`,
			`"before":[{"next_hop":"172.16.0.2","via":"r2","weight":1}],"change":"removed","destination":"10.1.0.0/16","kind":"entry","router":"r1"`,
			`"before":[{"next_hop":"192.0.2.2","weight":1}],"change":"removed","destination":"10.1.0.0/16","kind":"entry","router":"r2"`,
		}},
		{"the same backwards, at one router", at["bad"], at["other"], "&router=r2", []string{
			`"change":"added","destination":"10.1.0.0/16","kind":"route"`, `"change":"added","destination":"10.1.0.0/16","kind":"route"`,
			`"after":[{"next_hop":"192.0.2.2","weight":1}],"change":"added","destination":"10.1.0.0/16","kind":"entry","router":"r2"`,
		}},
		{"a candidate that is not chosen", at["route"], at["other"], "", []string{`"change":"added","destination":"10.1.0.0/16","kind":"route"`}},
		{"a key", at["bad"], at["key"], "", []string{`"after":{"key":"k","kind":"key.put","value":"1"},"change":"added","kind":"item"`}},
		{"a link", at["key"], at["down"], "", []string{
			`"change":"changed","kind":"item"`,
			`"before":[{"next_hop":"172.16.0.2","via":"r2","weight":1}],"change":"removed"`,
		}},
		{"nothing", at["key"], at["key"], "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := changesOf(t, a, fmt.Sprintf("from=%d&to=%d%s", c.from, c.to, c.more))
			if len(got) != len(c.want) {
				t.Fatalf("%d changes:\n%s", len(got), strings.Join(got, "\n"))
			}
			for i := range got {
				if !strings.Contains(got[i], c.want[i]) {
					t.Errorf("change %d is\n%s\nwant %s", i, got[i], c.want[i])
				}
			}
		})
	}
	group := changesOf(t, a, fmt.Sprintf("from=%d&to=%d&router=r1", at["key"], at["down"]))[1]
	if !strings.Contains(group, `"kind":"group"`) || !strings.Contains(group, `"prefixes":1`) || !strings.Contains(group, `"examples":["10.0.0.0/8"]`) {
		t.Errorf("%s", group)
	}
}

// Pages hold, together, the lines of the stream.
func TestDiffPagesAndStream(t *testing.T) {
	a, at := story(t)
	query := fmt.Sprintf("from=1&to=%d", at["down"])
	var pages []string
	path := "/v1/diff?limit=2&" + query
	for next := path; ; {
		r := a.must("GET", next, "")
		body := r.json(t)
		for _, c := range body["changes"].([]any) {
			raw, _ := json.Marshal(c)
			pages = append(pages, string(raw))
		}
		if body["next"] == nil {
			break
		}
		if r.Header.Get("Dvr-Next-Cursor") != fmt.Sprint(body["next"]) {
			t.Errorf("cursor %q, next %v", r.Header.Get("Dvr-Next-Cursor"), body["next"])
		}
		next = path + "&cursor=" + fmt.Sprint(body["next"])
	}
	stream := strings.Split(strings.TrimSpace(a.must("GET", "/v1/diff?"+query, "", "Accept: application/x-ndjson").Body), "\n")
	if len(pages) < 4 || len(stream) != len(pages)+2 {
		t.Fatalf("%d changes in pages, %d lines", len(pages), len(stream))
	}
	for i, line := range stream[1 : len(stream)-1] {
		var v any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		if raw, _ := json.Marshal(v); string(raw) != pages[i] {
			t.Errorf("line %d is %s, the page has %s", i, raw, pages[i])
		}
	}
	if !strings.HasPrefix(stream[0], `{"kind":"diff","from":{"revision":1,`) || stream[len(stream)-1] != fmt.Sprintf(`{"kind":"end","changes":%d}`, len(pages)) {
		t.Errorf("%s … %s", stream[0], stream[len(stream)-1])
	}
	for _, c := range []struct {
		path, field string
		code        int
	}{
		{"/v1/diff", "from", 400}, {"/v1/diff?from=0", "from", 400}, {"/v1/diff?from=99", "from", 400}, {"/v1/diff?from=1&to=99", "to", 400},
		{"/v1/diff?from=1&to=2&at=1", "at", 400}, {"/v1/diff?from=1&cursor=2", "cursor", 400}, {"/v1/diff?from=1&to=2&router=nobody", "router", 404}, {"/v1/diff?from=1&to=2&router=-", "router", 400},
	} {
		if r := a.do("GET", c.path, ""); r.Code != c.code || r.json(t)["field"] != c.field {
			t.Errorf("%s: %d %s", c.path, r.Code, r.Body)
		}
	}
}

func TestExplainNamesWhoseDoingItIs(t *testing.T) {
	a, at := story(t)
	e := a.must("GET", fmt.Sprintf("/v1/explain?address=10.1.2.3&router=r1&at=%d", at["other"]), "").json(t)
	hops := e["hops"].([]any)
	if e["outcome"] != "delivered" || len(hops) != 2 || e["revision"] != float64(at["other"]) {
		t.Fatalf("%v", e)
	}
	first, last := hops[0].(map[string]any), hops[1].(map[string]any)
	if first["destination"] != "10.1.0.0/16" || first["metric"] != 12.0 || fmt.Sprint(first["next"]) != "[r2]" || len(first["links"].([]any)) != 1 || first["installed"] != nil {
		t.Errorf("%v", first)
	}
	if fmt.Sprint(last["exits"]) != "[map[next_hop:192.0.2.2 weight:1]]" || len(last["candidates"].([]any)) != 2 {
		t.Errorf("%v", last)
	}
	why := fmt.Sprint(last["candidates"].([]any)[1].(map[string]any)["why"])
	if why != "higher metric (9 > 7)" {
		t.Errorf("%s", why)
	}
	var who []string
	for _, c := range e["commits"].([]any) {
		c := c.(map[string]any)
		who = append(who, fmt.Sprintf("%v %v %v %v", c["revision"], c["actor"], c["reason"], c["relevance"]))
	}
	want := fmt.Sprintf("[%d bob customer changed %d alice transit changed %d carol cable used %d bob <nil> candidate]", at["route"], at["cover"], at["link"], at["other"])
	if fmt.Sprint(who) != want {
		t.Errorf("%v, want %s", who, want)
	}
	// The culprit left nothing behind but its commit.
	e = a.must("GET", fmt.Sprintf("/v1/explain?address=10.1.2.3&router=r1&at=%d", at["bad"]), "").json(t)
	culprit := e["commits"].([]any)[0].(map[string]any)
	if culprit["actor"] != "mallory" || culprit["reason"] != "oops" || culprit["revision"] != float64(at["bad"]) || len(culprit["events"].([]any)) != 2 {
		t.Errorf("%v", culprit)
	}
	moved := map[string]any{"router": "r1", "before": "10.1.0.0/16 → r2 172.16.0.2", "after": "10.0.0.0/8 → r2 172.16.0.2"}
	if culprit["relevance"] != "changed" || !reflect.DeepEqual(culprit["changed"], moved) || e["left_out"] != 0.0 {
		t.Errorf("%v", culprit)
	}
	e = a.must("GET", "/v1/explain?address=10.1.2.3&router=r1", "").json(t)
	culprit = e["commits"].([]any)[0].(map[string]any)
	if e["outcome"] != "no route" || culprit["revision"] != float64(at["down"]) || fmt.Sprint(culprit["why"]) != "[link r1-r2 is down]" {
		t.Errorf("%v", e)
	}
	for _, c := range []struct {
		path, field string
		code        int
	}{{"/v1/explain", "address", 400}, {"/v1/explain?address=10.1.2.3&router=nobody", "router", 404}, {"/v1/explain?address=x&router=r1", "address", 400}} {
		if r := a.do("GET", c.path, ""); r.Code != c.code || r.json(t)["field"] != c.field {
			t.Errorf("%s: %d %s", c.path, r.Code, r.Body)
		}
	}
}

func TestExplainAsksTheDataPlanes(t *testing.T) {
	a, _ := story(t)
	a.connect("r2")
	installed := func() map[string]any {
		e := a.must("GET", "/v1/explain?address=10.1.2.3&router=r2", "").json(t)
		got, _ := e["hops"].([]any)[0].(map[string]any)["installed"].(map[string]any)
		return got
	}
	if got := installed(); got["agrees"] != true || got["destination"] != "10.0.0.0/8" {
		t.Errorf("%v", got)
	}
	p, run := a.attach("r1") // which takes nothing
	_, _ = p, run
	e := a.must("GET", "/v1/explain?address=10.1.2.3&router=r1&timeout=2s", "").json(t)
	if got, _ := e["hops"].([]any)[0].(map[string]any)["installed"].(map[string]any); got != nil && got["unknown"] == nil && got["agrees"] != true {
		t.Errorf("%v", got)
	}
}

func TestBlame(t *testing.T) {
	a, at := story(t)
	now := a.must("GET", "/v1/blame/10.1.0.0/16", "").json(t)
	if len(now["candidates"].([]any)) != 0 {
		t.Errorf("%v", now["candidates"])
	}
	var got []string
	path := "/v1/blame/10.1.0.0%2F16?limit=1"
	for next := path; ; {
		r := a.must("GET", next, "").json(t)
		for _, c := range r["history"].([]any) {
			c := c.(map[string]any)
			got = append(got, fmt.Sprintf("%v %v %d", c["revision"], c["actor"], len(c["events"].([]any))))
		}
		if r["next"] == nil {
			break
		}
		next = fmt.Sprintf("%s&before=%v", path, r["next"])
	}
	want := fmt.Sprintf("[%d mallory 2 %d bob 1 %d bob 1]", at["bad"], at["other"], at["route"])
	if fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
	then := a.must("GET", fmt.Sprintf("/v1/blame/10.1.0.0/16?at=%d", at["other"]), "").json(t)
	by := then["candidates"].([]any)[0].(map[string]any)["commit"].(map[string]any)
	if by["actor"] != "bob" || by["reason"] != "customer" || by["revision"] != float64(at["route"]) {
		t.Errorf("%v", by)
	}
	for _, c := range []struct {
		path string
		code int
	}{{"/v1/blame/10.77.0.0/16", 404}, {"/v1/blame/10.1.0.1/16", 400}, {"/v1/blame/10.1.0.0/16?before=0", 400}, {"/v1/blame/10.1.0.0/16?before=3&cursor=3", 400}} {
		if r := a.do("GET", c.path, ""); r.Code != c.code {
			t.Errorf("%s: %d %s", c.path, r.Code, r.Body)
		}
	}
}
