package httpapi

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"dvr/eventlog"
)

// TestDryRun: each mutation can be asked what it would do, nothing is stored,
// and it does that.
func TestDryRun(t *testing.T) {
	a := newAPI(t)
	a.connect("r1")
	a.add("10.0.0.0/8", "192.0.2.1", 1)
	a.must("PUT", "/v1/links/r1/r2", `{"interface_a":"eth0"}`)
	for _, c := range []struct {
		method, target, body   string
		added, changed, gone   float64 // items of intent
		inTable, fromTable, of float64 // prefixes of r1
	}{
		{"POST", "/routes", `{"destination":"10.2.0.0/16","next_hop":"192.0.2.1"}`, 1, 0, 0, 1, 0, 0},
		{"PUT", "/routes/10.2.0.0/16", `{"next_hop":"192.0.2.3"}`, 1, 0, 1, 0, 0, 1},
		{"POST", "/v1/commits", `{"events":[{"kind":"route.announced","router":"r2","destination":"10.3.0.0/16","next_hop":"192.0.2.9"},{"kind":"key.put","key":"k","value":"v"}]}`, 2, 0, 0, 1, 0, 0},
		{"PUT", "/kv/k", `{"value":"w"}`, 0, 1, 0, 0, 0, 0},
		{"PUT", "/v1/links/r1/r2", `{"down":true}`, 0, 1, 0, 0, 1, 0},
		{"PUT", "/v1/routers/r9", `{"description":"x"}`, 1, 0, 0, 0, 0, 0},
		{"DELETE", "/v1/routers/r9", "", 0, 0, 1, 0, 0, 0},
		{"DELETE", "/v1/links/r1/r2", "", 0, 0, 1, 0, 0, 0},
		{"DELETE", "/kv/k", "", 0, 0, 1, 0, 0, 0},
		{"DELETE", "/routes/10.2.0.0/16", "", 0, 0, 1, 0, 1, 0},
	} {
		before := a.revision()
		m := a.must(c.method, c.target+"?dry_run=true", c.body).json(t)
		if a.revision() != before {
			t.Fatalf("%s %s: something was stored", c.method, c.target)
		}
		i := m["intent"].(map[string]any)
		if m["status"] != "previewed" || i["added"] != c.added || i["changed"] != c.changed || i["removed"] != c.gone {
			t.Errorf("%s %s: %v", c.method, c.target, m)
		}
		if c.inTable+c.fromTable+c.of > 0 {
			r := routerOf(m, "r1")
			if r == nil || r["added"] != c.inTable || r["removed"] != c.fromTable || r["changed"] != c.of {
				t.Errorf("%s %s: %v", c.method, c.target, r)
			}
		}
		a.must(c.method, c.target, c.body)
		if got := a.app.State().Digest().String(); got != m["digest"] {
			t.Errorf("%s %s: digest %v, then %s", c.method, c.target, m["digest"], got)
		}
	}
	if m := a.must("DELETE", "/kv/absent?dry_run=true", "").json(t); m["events"] != 0.0 {
		t.Errorf("%v", m)
	}
	if r := a.do("DELETE", "/routes/10.99.0.0/16?dry_run=true", ""); r.Code != 404 {
		t.Errorf("what would be refused: %d %s", r.Code, r.Body)
	}
}

func routerOf(m map[string]any, id string) map[string]any {
	list, _ := m["routers"].([]any)
	for _, r := range list {
		if r := r.(map[string]any); r["router"] == id {
			return r
		}
	}
	return nil
}

// TestWhatIfIsTheCommitThatFollows: whatever is committed, the dry run before it
// said which state and which tables come of it.
func TestWhatIfIsTheCommitThatFollows(t *testing.T) {
	a := newAPI(t)
	rng := rand.New(rand.NewPCG(4, 2))
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	seen := map[string]bool{}
	for range 150 {
		var events []string
		clear(seen)
		for range 1 + rng.IntN(6) {
			router, prefix, hop := pick("*", "r1", "r2", "r3"), fmt.Sprintf("10.%d.0.0/%d", rng.IntN(6), pick8(rng)), fmt.Sprintf("192.0.2.%d", 1+rng.IntN(4))
			prefix = a.canonical(prefix)
			id, e := router+prefix+hop, ""
			switch rng.IntN(7) {
			case 0, 1, 2:
				e = fmt.Sprintf(`{"kind":"route.announced","router":%q,"destination":%q,"next_hop":%q,"metric":%d}`, router, prefix, hop, rng.IntN(3))
			case 3:
				hop = fmt.Sprintf("10.%d.0.9", rng.IntN(6))
				id = router + prefix + hop
				e = fmt.Sprintf(`{"kind":"route.announced","router":%q,"destination":%q,"next_hop":%q,"recursive":true}`, router, prefix, hop)
			case 4:
				e = fmt.Sprintf(`{"kind":"route.withdrawn","router":%q,"destination":%q,"next_hop":%q}`, router, prefix, hop)
			case 5:
				id = "link" + pick("r2", "r3")
				e = fmt.Sprintf(`{"kind":"link.set","a":"r1","b":%q,"interface_a":"eth0","interface_b":"eth0","down":%v}`, id[4:], rng.IntN(3) == 0)
			case 6:
				id = "key" + pick("a", "b")
				e = fmt.Sprintf(`{"kind":"key.put","key":%q,"value":"%d"}`, id[3:], rng.IntN(3))
			}
			if !seen[id] {
				seen[id] = true
				events = append(events, e)
			}
		}
		body := `{"events":[` + strings.Join(events, ",") + `]}`
		m := a.must("POST", "/v1/commits?dry_run=true", body).json(t)
		a.must("POST", "/v1/commits", body)
		s := a.app.State()
		if got := s.Digest().String(); got != m["digest"] {
			t.Fatalf("%s: digest %v, then %s", body, m["digest"], got)
		}
		for _, r := range m["routers"].([]any) {
			r := r.(map[string]any)
			fib := s.FIB(eventlog.RouterID(r["router"].(string)), nil)
			v4, v6 := fib.Len()
			if fib.Digest().String() != r["digest"] || float64(v4+v6) != r["prefixes"] {
				t.Fatalf("%s: table of %v: %v, then %s with %d", body, r["router"], r, fib.Digest(), v4+v6)
			}
		}
	}
}

func pick8(rng *rand.Rand) int { return []int{8, 16, 24}[rng.IntN(3)] }

// canonical is the prefix without host bits.
func (a *api) canonical(p string) string {
	if strings.HasSuffix(p, "/8") {
		return "10.0.0.0/8"
	}
	return p
}

func TestConfirmation(t *testing.T) {
	a := newAPI(t)
	m := a.must("POST", "/routes?confirm_within=1h", `{"destination":"10.0.0.0/8","next_hop":"192.0.2.1"}`).json(t)
	by, err := time.Parse(time.RFC3339, fmt.Sprint(m["confirm_by"]))
	if left := time.Until(by); err != nil || left < 59*time.Minute || left > time.Hour+time.Minute {
		t.Errorf("%v", m)
	}
	list := a.must("GET", "/v1/confirmations", "").json(t)["confirmations"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["commit"] != 2.0 || list[0].(map[string]any)["changes"] != 1.0 {
		t.Errorf("%v", list)
	}
	if r := a.do("POST", "/routes?confirm_within=1h", `{"destination":"10.0.0.0/8","next_hop":"192.0.2.1","metric":7}`); r.Code != 409 {
		t.Errorf("another one about the same: %d %s", r.Code, r.Body)
	}
	for _, target := range []string{"/v1/commits/9/confirm", "/v1/commits/1/confirm"} {
		if r := a.do("POST", target, ""); r.Code != 404 && r.Code != 409 {
			t.Errorf("%s: %d %s", target, r.Code, r.Body)
		}
	}
	for _, param := range []string{"expires_in=1h", "not_before=1h", "confirm_within=1h", "propose=true"} {
		name, _, _ := strings.Cut(param, "=")
		if r := a.do("POST", "/v1/commits/2/confirm?"+param, ""); r.Code != 400 || r.json(t)["field"] != name {
			t.Errorf("%s of a confirmation: %d %s", param, r.Code, r.Body)
		}
	}
	a.must("POST", "/v1/commits/2/confirm", "", "Idempotency-Key: c")
	if r := a.do("POST", "/v1/commits/2/confirm", ""); r.Code != 409 {
		t.Errorf("again: %d %s", r.Code, r.Body)
	}
	if r := a.must("POST", "/v1/commits/2/confirm", "", "Idempotency-Key: c"); r.Header.Get("DVR-Replayed") != "true" {
		t.Errorf("repeated: %v", r.Header)
	}
	for _, bad := range []string{"confirm_within=5", "confirm_within=1ms", "confirm_within=999h", "not_before=yesterday", "not_before=2020-01-01T00:00:00Z", "expires_in=0s", "dry_run=yes", "force=true", "propose=true&expires_in=1h"} {
		if r := a.do("POST", "/routes?"+bad, `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`); r.Code != 400 {
			t.Errorf("%s: %d %s", bad, r.Code, r.Body)
		}
	}
}

func TestScheduledAndLimited(t *testing.T) {
	a := newAPI(t)
	m := a.must("PUT", "/v1/routers/r1?not_before=8h", `{"description":"later"}`).json(t)
	if m["timer"] == nil || m["timer_at"] == nil {
		t.Fatalf("%v", m)
	}
	if r := a.do("GET", "/v1/routers/r1", ""); r.Code != 404 {
		t.Errorf("done at once: %s", r.Body)
	}
	if m := a.must("PUT", "/v1/routers/r2?not_before=8h&dry_run=true", `{}`).json(t); m["intent"].(map[string]any)["added"] != 1.0 {
		t.Errorf("a dry run of what is scheduled: %v", m)
	}
	timers := a.must("GET", "/v1/timers", "").json(t)["timers"].([]any)
	if len(timers) != 1 || !strings.Contains(fmt.Sprint(timers[0]), "later") {
		t.Errorf("%v", timers)
	}
	a.must("DELETE", "/v1/timers/"+m["timer"].(string), "")
	if r := a.do("DELETE", "/v1/timers/"+m["timer"].(string), ""); r.Code != 404 {
		t.Errorf("cancelled twice: %d", r.Code)
	}
	m = a.must("POST", "/v1/commits?expires_in=1h", `{"events":[{"kind":"route.announced","destination":"10.0.0.0/8","next_hop":"192.0.2.1"},{"kind":"key.put","key":"k","value":"v"}]}`).json(t)
	timer, ok := a.app.State().Timer(m["timer"].(string))
	if !ok || !timer.Undo || len(timer.Inverse) != 2 {
		t.Errorf("%+v", timer)
	}
	a.must("GET", "/kv/k", "")
}

// TestProtectedPrefixesStayReachable: a protected prefix is not taken out by what
// it is reached over either; a dry run says so, force passes, what is observed does.
func TestProtectedPrefixesStayReachable(t *testing.T) {
	a := newAPI(t)
	a.connect("r1")
	a.chain() // r1-r2-r3, which has 10.3.0.0/16
	a.must("PUT", "/v1/guards/core", `{"type":"protected","prefixes":["10.0.0.0/8"]}`)
	const why = "10.3.0.0/16, which is protected (10.0.0.0/8), would leave the table of router r1"
	before := a.revision()
	for _, c := range []struct{ method, target, body string }{
		{"POST", "/v1/links/r1/r2/down", ""}, {"POST", "/v1/links/r1/r2/down?dry_run=true", ""}, {"DELETE", "/v1/links/r2/r3", ""},
		{"PUT", "/v1/routers/r2", `{"drained":"soft"}`}, {"POST", "/v1/commits", `{"events":[{"kind":"link.removed","a":"r1","b":"r2"},{"kind":"key.put","key":"k","value":"v"}]}`},
	} {
		if r := a.do(c.method, c.target, c.body); r.Code != 409 || r.json(t)["type"] != "/problems/guarded" || !strings.Contains(r.json(t)["detail"].(string), why) || a.revision() != before {
			t.Errorf("%s %s: %d %s", c.method, c.target, r.Code, r.Body)
		}
	}
	a.must("PUT", "/v1/links/r1/r2", `{"cost_ab":7,"address_a":["10.0.12.1"],"address_b":["10.0.12.2"]}`)
	m := a.must("POST", "/v1/links/r1/r2/down?force=true&reason=splicing&dry_run=true", "").json(t)
	if fmt.Sprint(m["forced"]) != "[core]" || !strings.Contains(fmt.Sprint(m["warnings"]), "10.3.0.0/16 leaves the table") {
		t.Errorf("%v", m)
	}
	a.must("POST", "/v1/links/r1/r2/down?force=true&reason=splicing", "")
	a.must("POST", "/v1/links/r1/r2/up", "")
}

func TestGuardRails(t *testing.T) {
	a := newAPI(t)
	a.add("10.1.0.0/16", "192.0.2.1", 1)
	a.must("PUT", "/v1/guards/core", `{"type":"protected","prefixes":["10.0.0.0/8","9.0.0.0/8"]}`)
	a.must("PUT", "/v1/freezes/weekend", `{"routers":["r1"],"from":"2020-01-01T00:00:00Z"}`)
	for _, c := range []struct{ method, target, body, names string }{
		{"DELETE", "/routes/10.1.0.0/16", "", "(`dvr guard remove core` lifts it, --force --reason WHY passes)"},
		{"POST", "/routes", `{"destination":"10.9.0.0/16","next_hop":"192.0.2.1"}`, "core"},
		{"PUT", "/v1/routers/r1", `{}`, "(`dvr freeze remove weekend` lifts it, --force --reason WHY passes)"},
		{"DELETE", "/routes/10.1.0.0/16?dry_run=true", "", "core"},
	} {
		r := a.do(c.method, c.target, c.body)
		if m := r.json(t); r.Code != 409 || m["type"] != "/problems/guarded" || !strings.Contains(m["detail"].(string), c.names) {
			t.Errorf("%s %s: %d %s", c.method, c.target, r.Code, r.Body)
		}
	}
	m := a.must("DELETE", "/routes/10.1.0.0/16?force=true&reason=moved&dry_run=true", "").json(t)
	if fmt.Sprint(m["forced"]) != "[core weekend]" {
		t.Errorf("%v", m)
	}
	r := a.must("DELETE", "/routes/10.1.0.0/16?force=true&reason=moved", "").json(t)
	k := a.must("GET", fmt.Sprintf("/v1/commits/%v", r["revision"]), "").json(t)
	if fmt.Sprint(k["forced"]) != "[core weekend]" || k["reason"] != "moved" {
		t.Errorf("%v", k)
	}
	a.must("DELETE", "/v1/guards/core", "")
	a.must("DELETE", "/v1/freezes/weekend", "")
	a.must("POST", "/routes", `{"destination":"10.9.0.0/16","next_hop":"192.0.2.1"}`)
	for _, bad := range []string{`{"type":"x"}`, `{"type":"protected"}`, `{"type":"max_shrink","percent":0}`, `{"type":"max_routes","limit":1,"nonsense":2}`} {
		if r := a.do("PUT", "/v1/guards/g", bad); r.Code != 400 {
			t.Errorf("%s: %d %s", bad, r.Code, r.Body)
		}
	}
	// A freeze of everything is not what a forgotten member means.
	for body, code := range map[string]int{`{}`: 400, `{"until":"2099-01-01T00:00:00Z"}`: 400, `{"all":true,"routers":["r1"]}`: 400, `{"all":true,"until":"2099-01-01T00:00:00Z"}`: 200} {
		if r := a.do("PUT", "/v1/freezes/f", body); r.Code != code || code == 400 && r.json(t)["field"] != "all" {
			t.Errorf("%s: %d %s", body, r.Code, r.Body)
		}
	}
	for _, field := range []string{"from", "until"} {
		for _, bad := range []string{`"yesterday"`, `""`, `5`, `{}`} {
			r := a.do("PUT", "/v1/freezes/f", fmt.Sprintf(`{"all":true,%q:%s}`, field, bad))
			if m := r.json(t); r.Code != 400 || m["field"] != field || !strings.Contains(m["detail"].(string), "must be a time such as 2026-11-22T03:00:00Z") {
				t.Errorf("%s %s: %d %s", field, bad, r.Code, r.Body)
			}
		}
	}
	preview := a.must("POST", "/v1/commits?dry_run=true", `{"events":[{"kind":"freeze.set","name":"g"}]}`).json(t)
	if !strings.Contains(fmt.Sprint(preview["warnings"]), "every route, router and link") {
		t.Errorf("%v", preview)
	}
	if r := a.do("DELETE", "/v1/guards/absent", ""); r.Code != 404 {
		t.Errorf("%d", r.Code)
	}
}
