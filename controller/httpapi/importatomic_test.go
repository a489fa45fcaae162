package httpapi

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func (a *api) destinations() string {
	var out []string
	for d := range a.app.State().Destinations(netip.Prefix{}, netip.Prefix{}) {
		out = append(out, d.Prefix.String())
	}
	return strings.Join(out, " ")
}

func line(destination, more string) string {
	return fmt.Sprintf(`{"destination":%q,"next_hop":"192.0.2.1"%s}`, destination, more)
}

func TestAtomicImport(t *testing.T) {
	a := newAPI(t)
	var body strings.Builder
	for i := range 5000 { // more than a batch: it is staged
		body.WriteString(line(fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255), "") + "\n")
	}
	body.WriteString(line("10.0.0.0/24", `,"metric":9`) + "\n") // the last of a route's lines counts
	m := a.importLines("/v1/routes/import?atomic=true", body.String(), "Idempotency-Key: k").json(t)
	if m["accepted"] != 5001.0 || m["changes"] != 5000.0 || m["first_revision"] != 2.0 || m["last_revision"] != 2.0 || a.revision() != 2 {
		t.Fatalf("%v", m)
	}
	if s := a.app.State().Stats(); s.Routes != 5000 {
		t.Errorf("%d routes", s.Routes)
	}
	if d, _ := a.app.State().Destination(netip.MustParsePrefix("10.0.0.0/24")); d.Candidates[0].Metric != 9 {
		t.Errorf("%+v", d)
	}
	r := a.importLines("/v1/routes/import?atomic=true", body.String(), "Idempotency-Key: k")
	if r.Code != 200 || r.Header.Get("DVR-Replayed") != "true" || a.revision() != 2 {
		t.Errorf("repeated: %d %s", r.Code, r.Body)
	}
	r = a.importLines("/v1/routes/import?atomic=true", lines(line("11.0.0.0/8", ""), line("11.0.0.0/33", ""), line("12.0.0.0/8", "")))
	if r.Code != 400 || !strings.Contains(r.Body, "line 2") || a.revision() != 2 {
		t.Errorf("one line at fault: %d %s", r.Code, r.Body)
	}
}

// TestAtomicTopologyImport: lines about routers and links are of the one commit,
// too, and a dry run stores none of them.
func TestAtomicTopologyImport(t *testing.T) {
	a := newAPI(t)
	body := lines(`{"kind":"router.set","router":"a"}`, `{"kind":"router.set","router":"b","description":"one"}`, line("10.1.0.0/16", `,"router":"b"`),
		`{"kind":"link.set","a":"a","b":"b","cost_ab":7,"cost_ba":7}`, `{"kind":"router.set","router":"b","description":"two"}`)
	p := a.importLines("/v1/topology/import?dry_run=true", body).json(t)
	if p["status"] != "previewed" || p["events"] != 4.0 || a.revision() != 1 {
		t.Fatalf("dry run: %v, at revision %d", p, a.revision())
	}
	m := a.importLines("/v1/topology/import?atomic=true", body).json(t)
	if m["accepted"] != 5.0 || m["changes"] != 4.0 || m["first_revision"] != 2.0 || a.revision() != 2 || a.app.State().Digest().String() != p["digest"] {
		t.Errorf("%v, at revision %d; the dry run said digest %v", m, a.revision(), p["digest"])
	}
	if got := a.must("GET", "/v1/routers/b", "").json(t)["description"]; got != "two" {
		t.Errorf("the last line of a router counts: %v", got)
	}
	r := a.importLines("/v1/topology/import?atomic=true", lines(`{"kind":"router.set","router":"c"}`, `{"kind":"link.set","a":"c","b":"a"}`))
	if r.Code != 400 || !strings.Contains(r.Body, "line 2") || a.revision() != 2 {
		t.Errorf("one line at fault: %d %s", r.Code, r.Body)
	}
	for path, want := range map[string]string{"/v1/routes/import": "must be of a route", "/v1/topology/import": "must be of a router or link"} {
		if r = a.importLines(path+"?mode=replace", body); r.Code != 400 || !strings.Contains(r.Body, want) || a.revision() != 2 {
			t.Errorf("declarative, of both kinds: %d %s", r.Code, r.Body)
		}
	}
}

// TestDeclarativeTopologyImport: the lines are the routers and links that shall be;
// only the difference is committed, in an order that holds, and what is in use stays.
func TestDeclarativeTopologyImport(t *testing.T) {
	router := func(name, more string) string { return `{"kind":"router.set","router":"` + name + `"` + more + `}` }
	link := func(a, b string, cost int, more string) string {
		return fmt.Sprintf(`{"kind":"link.set","a":"%s","b":"%s","cost_ab":%d,"cost_ba":%d%s}`, a, b, cost, cost, more)
	}
	const edge = `,"tags":["edge"]`
	a := newAPI(t)
	a.importLines("/v1/topology/import", lines(router("a", ""), router("b", ""), router("c", edge), router("d", ""), link("a", "b", 7, ""), link("b", "c", 2, edge), link("c", "d", 3, edge)))
	a.must("POST", "/routes", `{"destination":"10.4.0.0/16","next_hop":"192.0.2.4","router":"d"}`)
	a.must("POST", "/routes", `{"destination":"10.5.0.0/16","next_hop":"192.0.2.4","router":"d"}`)
	exported := func() string { return a.must("GET", "/v1/topology", "").Body }
	for _, c := range []struct{ query, body, changes, left string }{
		{"", exported(), "0", exported()},
		// One cost changes, a link goes, another comes; the routers stay.
		{"", lines(router("a", ""), router("b", ""), router("c", edge), router("d", ""), link("a", "b", 9, ""), link("a", "d", 5, ""), link("c", "d", 3, edge)), "3",
			lines(router("a", ""), router("b", ""), router("c", edge), router("d", ""), link("a", "b", 9, ""), link("a", "d", 5, ""), link("c", "d", 3, edge))},
		// Of the scope alone: c and its link to d go, b gets into it.
		{"&scope=tag:edge", lines(router("b", edge), link("b", "d", 4, edge)), "4", lines(router("a", ""), router("b", edge), router("d", ""), link("a", "b", 9, ""), link("a", "d", 5, ""), link("b", "d", 4, edge))},
		{"&scope=router:b", lines(router("b", edge), link("b", "d", 4, edge)), "1", lines(router("a", ""), router("b", edge), router("d", ""), link("a", "d", 5, ""), link("b", "d", 4, edge))},
		// A whole router with its links.
		{"", lines(router("a", ""), router("d", ""), link("a", "d", 5, "")), "2", lines(router("a", ""), router("d", ""), link("a", "d", 5, ""))},
	} {
		before := a.revision()
		p := a.importLines("/v1/topology/import?mode=replace&dry_run=true"+c.query, c.body).json(t)
		if a.revision() != before || p["status"] != "previewed" || fmt.Sprint(p["events"]) != c.changes {
			t.Errorf("%s: dry run: %v", c.body, p)
		}
		m := a.importLines("/v1/topology/import?mode=replace"+c.query, c.body).json(t)
		if got := exported(); got != c.left || fmt.Sprint(m["changes"]) != c.changes {
			t.Errorf("%s: %v\n%s, want\n%s", c.query, m, got, c.left)
		}
		if c.changes != "0" && (a.revision() != before+1 || a.app.State().Digest().String() != p["digest"]) {
			t.Errorf("%s: at revision %d after %d, or the dry run said another state", c.query, a.revision(), before)
		}
	}
	before, was := a.revision(), exported()
	for _, bad := range []struct{ query, body, want string }{
		{"", lines(router("a", "")), "d is still referred to by routes of its own to 2 destinations (GET /v1/routes?router=d), such as 10.4.0.0/16, 10.5.0.0/16"},
		{"&scope=tag:x", lines(router("d", "")), "is not in the scope"},
		{"&scope=router:d", lines(router("d", ""), link("a", "b", 7, "")), "is not in the scope"},
		{"", lines(`{"kind":"router.removed","router":"a"}`), "leave the router or link out"},
		{"", lines(`{"kind":"link.removed","a":"a","b":"d"}`), "leave the router or link out"},
		{"&scope=origin:static", lines(router("d", "")), "tag:NAME or router:NAME"},
		{"&scope=router:*", lines(router("d", "")), "tag:NAME or router:NAME"},
		{"&atomic=false", lines(router("d", "")), "atomic"},
	} {
		if r := a.importLines("/v1/topology/import?mode=replace"+bad.query, bad.body); r.Code != 400 || !strings.Contains(r.Body, bad.want) || a.revision() != before || exported() != was {
			t.Errorf("%s %s: %d %s", bad.query, bad.body, r.Code, r.Body)
		}
	}
	// It may undo itself like any commit.
	m := a.importLines("/v1/topology/import?mode=replace&confirm_within=1h", lines(router("a", ""), router("d", ""))).json(t)
	if m["changes"] != 1.0 || strings.Contains(exported(), "link.set") {
		t.Fatalf("%v", m)
	}
	a.must("POST", "/v1/rollback", fmt.Sprintf(`{"commits":[%v]}`, m["first_revision"]))
	if exported() != was {
		t.Errorf("undone: %s", exported())
	}
}

func TestDeclarativeImport(t *testing.T) {
	a := newAPI(t)
	a.importLines("/v1/routes/import", lines(
		line("10.1.0.0/16", ""), line("10.2.0.0/16", `,"tags":["edge"]`), line("10.3.0.0/16", `,"router":"r1"`), line("10.4.0.0/16", `,"origin":"bgp"`)))
	for _, c := range []struct{ query, body, changes, left string }{
		{"mode=replace&scope=tag:edge", lines(line("10.5.0.0/16", `,"tags":["edge"]`)), "2", "10.1.0.0/16 10.3.0.0/16 10.4.0.0/16 10.5.0.0/16"},
		{"mode=replace&scope=router:r1", lines(line("10.3.0.0/16", `,"router":"r1"`)), "0", "10.1.0.0/16 10.3.0.0/16 10.4.0.0/16 10.5.0.0/16"},
		{"mode=replace&scope=origin:bgp", lines(line("10.6.0.0/16", `,"origin":"bgp"`), line("10.4.0.0/16", `,"origin":"bgp"`)), "1", "10.1.0.0/16 10.3.0.0/16 10.4.0.0/16 10.5.0.0/16 10.6.0.0/16"},
		{"mode=replace&scope=router:*", lines(line("10.1.0.0/16", "")), "3", "10.1.0.0/16 10.3.0.0/16"},
		{"mode=replace", lines(line("10.7.0.0/16", ""), line("10.1.0.0/16", "")), "2", "10.1.0.0/16 10.7.0.0/16"},
	} {
		before := a.revision()
		p := a.importLines("/v1/routes/import?dry_run=true&"+c.query, c.body).json(t)
		if a.revision() != before || p["status"] != "previewed" || fmt.Sprint(p["events"]) != c.changes {
			t.Errorf("%s: dry run: %v", c.query, p)
		}
		m := a.importLines("/v1/routes/import?"+c.query, c.body).json(t)
		if got := a.destinations(); got != c.left || fmt.Sprint(m["changes"]) != c.changes {
			t.Errorf("%s: %v %s, want %s", c.query, m, got, c.left)
		}
		if c.changes != "0" && a.app.State().Digest().String() != p["digest"] {
			t.Errorf("%s: the dry run said another state", c.query)
		}
	}
	for _, bad := range []struct{ query, body string }{
		{"mode=replace&scope=tag:edge", line("10.1.0.0/16", "")},
		{"mode=replace", line("10.1.0.0/16", `,"withdraw":true`)},
		{"mode=replace&atomic=false", line("10.1.0.0/16", "")},
		{"mode=other", line("10.1.0.0/16", "")},
		{"scope=tag:edge", line("10.1.0.0/16", "")},
		{"mode=replace&scope=edge", line("10.1.0.0/16", "")},
		{"confirm_within=1m", line("10.1.0.0/16", "")},
		{"force=true", line("10.1.0.0/16", "")},
		{"mode=replace", ""},
	} {
		before := a.revision()
		if r := a.importLines("/v1/routes/import?"+bad.query, bad.body+"\n"); r.Code != 400 || a.revision() != before {
			t.Errorf("%s %s: %d %s", bad.query, bad.body, r.Code, r.Body)
		}
	}
}

func TestImportUnderConfirmation(t *testing.T) {
	a := newAPI(t)
	m := a.importLines("/v1/routes/import?atomic=true&confirm_within=1h", lines(line("10.1.0.0/16", ""))).json(t)
	if m["confirm_by"] == nil || len(a.app.State().Pending()) != 1 {
		t.Errorf("%v", m)
	}
}

// TestReplaceByNothing: an empty body is refused, unless it is said that the scope
// may be emptied; and without a scope always.
func TestReplaceByNothing(t *testing.T) {
	a := newAPI(t)
	a.add("10.9.0.0/16", "192.0.2.1", 1)
	a.must("POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1","tags":["x"]}`)
	a.must("PUT", "/v1/routers/r1", `{"tags":["x"]}`)
	before := a.revision()
	for target, want := range map[string]string{
		"/v1/routes/import?mode=replace&scope=tag:x":                     "with allow_empty=true that removes all of the scope",
		"/v1/topology/import?mode=replace&scope=tag:x&allow_empty=false": "with allow_empty=true that removes all of the scope",
		"/v1/routes/import?mode=replace":                                 "one JSON object a line is expected",
		"/v1/routes/import?mode=replace&allow_empty=true":                `"field":"allow_empty"`,
		"/v1/routes/import?atomic=true&allow_empty=true":                 `"field":"allow_empty"`,
		"/v1/routes/import?mode=replace&scope=tag:x&allow_empty=perhaps": `"field":"allow_empty"`,
	} {
		if r := a.importLines(target, ""); r.Code != 400 || !strings.Contains(r.Body, want) || a.revision() != before {
			t.Errorf("%s: %d %s", target, r.Code, r.Body)
		}
	}
	p := a.importLines("/v1/routes/import?mode=replace&scope=tag:x&allow_empty=true&dry_run=true", "")
	if p.Code != 200 || a.revision() != before {
		t.Errorf("%d %s", p.Code, p.Body)
	}
	m := a.importLines("/v1/routes/import?mode=replace&scope=tag:x&allow_empty=true", "").json(t)
	if m["changes"] != 1.0 || a.destinations() != "10.9.0.0/16" {
		t.Errorf("%v, left %s", m, a.destinations())
	}
	a.importLines("/v1/topology/import?mode=replace&scope=tag:x&allow_empty=true", "")
	if r := a.do("GET", "/v1/routers/r1", ""); r.Code != 404 {
		t.Errorf("%d %s", r.Code, r.Body)
	}
	if m := a.importLines("/v1/routes/import?mode=replace&scope=tag:x&allow_empty=true", "").json(t); m["changes"] != 0.0 {
		t.Errorf("again: %v", m)
	}
}
