package httpapi

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dvr/controller/auth"
	"dvr/controller/gate"
	"dvr/controller/service"
	"dvr/eventlog"
)

// tokens of a cluster where authorization is in force, by actor.
type tokens map[string]string

// as is the header of who comes with an actor's token.
func (k tokens) as(actor string) string { return "Authorization: Bearer " + k[actor] }

// tokenEvent is token.set of a new token.
func tokenEvent(actor, more string) (text, event string) {
	text, id, hash := auth.NewToken()
	return text, fmt.Sprintf(`{"kind":"token.set","id":%q,"actor":%q,"sha256":%q%s}`, id, actor, hex.EncodeToString(hash[:]), more)
}

// enforced puts authorization in force with root, oscar (operator), vera
// (viewer), ned (operator of 10.0.0.0/8) and a token of nora, who has no role.
func enforced(t testing.TB) (*api, tokens) {
	t.Helper()
	a, k := newAPI(t), tokens{}
	var events []string
	for actor, grant := range map[string]string{
		"root": `{"role":"admin"}`, "oscar": `{"role":"operator"}`, "vera": `{"role":"viewer"}`, "ned": `{"role":"operator","prefixes":["10.0.0.0/8"]}`, "nora": "",
	} {
		text, event := tokenEvent(actor, "")
		k[actor] = text
		if events = append(events, event); grant != "" {
			events = append(events, fmt.Sprintf(`{"kind":"role.set","actor":%q,"grants":[%s]}`, actor, grant))
		}
	}
	a.must("POST", "/v1/commits", `{"events":[`+strings.Join(append(events, `{"kind":"auth.enabled"}`), ",")+`]}`, "X-DVR-Actor: installer")
	return a, k
}

// TestWhoMayCall goes through every registered call as everybody: the class in
// the table decides, and who may only read changes nothing.
func TestWhoMayCall(t *testing.T) {
	a, k := enforced(t)
	served := map[string]bool{}
	for _, r := range a.server.echo.Routes() {
		if r.Method != http.MethodHead && !strings.HasPrefix(r.Method, "echo_") {
			served[r.Method+" "+r.Path] = true
		}
	}
	for call := range classes {
		if !served[call] {
			t.Errorf("%s is classified and not served", call)
		}
	}
	before := a.revision()
	path := strings.NewReplacer("/*", "/10.0.0.0/8", ":revision", "1", ":name", "n", ":id", "r1", ":a", "r1", ":b", "r2", ":router", "r1")
	for call := range served {
		method, shape, _ := strings.Cut(call, " ")
		k1 := classes[call]
		if k1 == unclassified {
			t.Errorf("nobody has said who may call %s", call)
		}
		for who, rank := range map[string]class{"": found, "nora": found, "vera": reads, "oscar": changes, "root": administers} {
			var headers []string
			if who != "" {
				headers = append(headers, k.as(who))
			}
			if rank >= changes && k1 >= changes {
				continue // they may, or the next test says so; here nothing changes
			}
			r := a.do(method, path.Replace(shape)+"?timeout=1ms", "", headers...)
			denied := r.Code == 401 || r.Code == 403
			if denied != (rank < min(k1, administers)) {
				t.Errorf("%s as %q: %d %s", call, who, r.Code, r.Body)
			}
			if denied && (r.Code == 401) != (who == "") {
				t.Errorf("%s as %q: %d", call, who, r.Code)
			}
			if r.Code == 401 && r.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: a 401 without a challenge", call)
			}
		}
		if k1 == administers {
			if r := a.do(method, path.Replace(shape), "", k.as("oscar")); r.Code != 403 || !strings.Contains(r.Body, "oscar has operator, and this call needs admin") {
				t.Errorf("%s as an operator: %d %s", call, r.Code, r.Body)
			}
		}
	}
	if a.revision() != before {
		t.Errorf("revision %d became %d", before, a.revision())
	}
}

// TestViewerChangesNothing sends every change that is described as a success
// elsewhere, with a viewer's token and with none.
func TestViewerChangesNothing(t *testing.T) {
	a, k := enforced(t)
	before, digest := a.revision(), a.app.State().Digest()
	n := 0
	for _, c := range every {
		if c.method == "GET" {
			continue
		}
		n++
		var headers []string
		if strings.HasSuffix(c.target, "/import") {
			headers = []string{"Content-Type: application/x-ndjson"}
		}
		target := strings.NewReplacer("{last}", "1", "{timer}", "at-1").Replace(c.target)
		for who, want := range map[string]int{"": 401, "vera": 403, "nora": 403} {
			h := append([]string{"X-DVR-Actor: root"}, headers...)
			if who != "" {
				h = append(h, k.as(who))
			}
			if r := a.do(c.method, target, c.body, h...); r.Code != want {
				t.Errorf("%s %s as %q: %d %s", c.method, target, who, r.Code, r.Body)
			}
		}
	}
	if a.revision() != before || a.app.State().Digest() != digest || n < 20 {
		t.Errorf("%d changes were tried, revision %d became %d", n, before, a.revision())
	}
	m := a.must("GET", "/v1/audit?limit=1000", "", k.as("root")).json(t)
	kept, own := 0.0, map[string]float64{}
	for _, x := range m["refusals"].([]any) {
		r := x.(map[string]any)
		kept += r["count"].(float64)
		own[fmt.Sprint(r["actor"], " ", r["authenticated"])]++
	}
	// Of who is not known those of a source are one, of actors each call is.
	if kept != float64(3*n) || m["total"] != kept || own["root false"] != 1 || own["vera true"] < float64(n)/2 || own["nora true"] != own["vera true"] {
		t.Errorf("%v refusals are kept of %d: %v", kept, 3*n, own)
	}
}

// TestViewerAndTheDescription: each operation of the API's description that is
// not a reading is refused to a viewer, to who has no role, and to nobody.
func TestViewerAndTheDescription(t *testing.T) {
	a, k := enforced(t)
	c, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	before, digest, n := a.revision(), a.app.State().Digest(), 0
	for _, op := range c.Operations() {
		if op.Method == http.MethodGet || op.Method == http.MethodHead || op.Method == http.MethodOptions || strings.HasPrefix(op.Path, "/api/") {
			continue // a reading, or the launcher's
		}
		n++
		for who, want := range map[string]int{"": 401, "vera": 403, "nora": 403} {
			headers := []string{"X-DVR-Actor: root", "X-HTTP-Method-Override: GET"}
			if who != "" {
				headers = append(headers, k.as(who))
			}
			if r := a.do(op.Method, op.Target(), "", headers...); r.Code != want && (who != "" || op.Target() != "/v1/cluster/members" || r.Code/100 != 4) {
				t.Errorf("%s %s as %q: %d %s", op.Method, op.Target(), who, r.Code, r.Body)
			}
		}
	}
	if a.revision() != before || a.app.State().Digest() != digest || n < 25 {
		t.Errorf("%d operations were tried, revision %d became %d", n, before, a.revision())
	}
}

// TestCredentials: what is forged, broken, expired, revoked or for something else is nobody's.
func TestCredentials(t *testing.T) {
	a, k := enforced(t)
	short, event := tokenEvent("root", fmt.Sprintf(`,"expires":%q`, eventlog.AppendTime(nil, time.Now().Add(-time.Hour).UnixMilli())))
	join, joinEvent := tokenEvent("root", `,"join":true`)
	a.must("POST", "/v1/commits", `{"events":[`+event+","+joinEvent+`]}`, k.as("root"))
	other, _, _ := auth.NewToken()
	root := k["root"]
	body := `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`
	before := a.revision()
	for what, header := range map[string]string{
		"no scheme": root, "basic": "Basic " + root, "empty": "Bearer ", "unknown": "Bearer " + other, "another's secret": "Bearer " + root[:strings.LastIndexByte(root, '_')] + other[strings.LastIndexByte(other, '_'):],
		"cut": "Bearer " + root[:len(root)-1], "longer": "Bearer " + root + "x", "expired": "Bearer " + short, "of a node": "Bearer " + join, "a certificate": "Bearer cert:root", "a JWT": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.",
	} {
		for _, c := range [][2]string{{"GET", "/routes"}, {"POST", "/routes"}} {
			r := a.do(c[0], c[1], map[string]string{"POST": body}[c[0]], "Authorization: "+header)
			if r.Code != 401 || strings.Contains(r.Body, root[len(root)-20:]) {
				t.Errorf("%s: %s: %d %s", what, c[0], r.Code, r.Body)
			}
		}
	}
	// What a client calls itself is told, and gives nothing; neither does the name that admission uses.
	r := a.do("POST", "/routes", body, "X-DVR-Actor: root", "dvr caller: root")
	if r.Code != 401 || a.revision() != before {
		t.Errorf("%d %s", r.Code, r.Body)
	}
	a.must("POST", "/routes", body, k.as("oscar"), "X-DVR-Actor: carol", "Idempotency-Key: once")
	c := a.must("GET", fmt.Sprintf("/v1/commits/%d", a.revision()), "", k.as("vera")).json(t)
	if c["actor"] != "oscar" || c["for"] != "carol" || !strings.HasPrefix(c["via"].([]any)[0].(string), "token:") {
		t.Errorf("%v", c)
	}
	if r := a.do("POST", "/routes", body, k.as("oscar"), "X-DVR-Actor: system"); r.Code != 400 {
		t.Errorf("for the system: %d", r.Code)
	}
	// Revoked, a token is refused at once, its repetitions too.
	id := strings.Split(k["oscar"], "_")[1]
	a.must("POST", "/v1/commits", `{"events":[{"kind":"token.removed","id":"`+id+`"}]}`, k.as("root"))
	for range 2 {
		if r := a.do("POST", "/routes", body, k.as("oscar"), "X-DVR-Actor: carol", "Idempotency-Key: once"); r.Code != 401 {
			t.Errorf("revoked: %d %s", r.Code, r.Body)
		}
	}
}

// TestScopeOverHTTP: whatever way a change takes, its events stay in scope.
func TestScopeOverHTTP(t *testing.T) {
	a, k := enforced(t)
	ned, root := k.as("ned"), k.as("root")
	a.must("POST", "/routes", `{"destination":"0.0.0.0/0","next_hop":"192.0.2.9"}`, root)
	a.must("POST", "/routes", `{"destination":"11.0.0.0/8","next_hop":"192.0.2.9"}`, root)
	at := a.revision()
	a.must("POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`, ned)
	before := a.revision()
	for _, c := range []struct{ method, target, body string }{
		{"POST", "/routes", `{"destination":"0.0.0.0/0","next_hop":"192.0.2.1"}`},
		{"POST", "/routes", `{"destination":"0.0.0.0/0","next_hop":"192.0.2.1"}` + " "},
		{"PUT", "/routes/0.0.0.0/0", `{"next_hop":"192.0.2.1"}`},
		{"DELETE", "/routes/11.0.0.0/8", ""},
		{"DELETE", "/routes?destination=11.0.0.0/8", ""},
		{"POST", "/routes?dry_run=true", `{"destination":"0.0.0.0/0","next_hop":"192.0.2.1"}`},
		{"POST", "/routes?not_before=1h", `{"destination":"0.0.0.0/0","next_hop":"192.0.2.1"}`},
		{"POST", "/routes?expires_in=1h", `{"destination":"0.0.0.0/0","next_hop":"192.0.2.1"}`},
		{"POST", "/routes?force=true&reason=x", `{"destination":"0.0.0.0/0","next_hop":"192.0.2.1"}`},
		{"POST", "/v1/commits", `{"events":[{"kind":"route.announced","destination":"10.2.0.0/16","next_hop":"192.0.2.1"},{"kind":"route.announced","destination":"11.2.0.0/16","next_hop":"192.0.2.1"}]}`},
		{"POST", "/v1/commits", `{"events":[{"kind":"role.set","actor":"ned","grants":[{"role":"admin"}]}]}`},
		{"POST", "/v1/commits", `{"events":[{"kind":"auth.disabled"}]}`},
		{"POST", "/v1/rollback", fmt.Sprintf(`{"to":%d}`, at-1)},
		{"PUT", "/v1/guards/g", `{"type":"max_routes","limit":1000}`},
		{"PUT", "/v1/freezes/f", `{"all":true}`},
		{"PUT", "/v1/links/r1/r2", `{}`},
		{"PUT", "/kv/k", `{"value":"v"}`},
	} {
		if r := a.do(c.method, c.target, c.body, ned); r.Code != 403 || !strings.Contains(r.Body, "ned") {
			t.Errorf("%s %s: %d %s", c.method, c.target, r.Code, r.Body)
		}
	}
	if a.revision() != before {
		t.Error("something was stored")
	}
	if r := a.importLines("/v1/routes/import", lines(`{"destination":"10.7.0.0/16","next_hop":"192.0.2.1"}`, `{"destination":"0.0.0.0/0","next_hop":"192.0.2.7"}`), ned); r.Code != 403 || a.revision() != before {
		t.Errorf("an import: %d %s", r.Code, r.Body)
	}
	a.must("PUT", "/routes/10.1.0.0/16?confirm_within=1h", `{"next_hop":"192.0.2.2"}`, ned)
	a.must("POST", fmt.Sprintf("/v1/commits/%d/confirm", a.revision()), "", ned)
	a.must("PUT", "/routes/10.1.0.0/16?confirm_within=1h", `{"next_hop":"192.0.2.3"}`, ned)
	a.must("POST", "/v1/rollback", fmt.Sprintf(`{"commits":[%d]}`, a.revision()), ned)
	a.must("POST", "/v1/commits?confirm_within=1h", `{"events":[{"kind":"route.announced","destination":"10.8.0.0/16","next_hop":"192.0.2.1"},{"kind":"key.put","key":"k","value":"v"}]}`, root)
	if r := a.do("POST", "/v1/rollback", fmt.Sprintf(`{"commits":[%d]}`, a.revision()), ned); r.Code != 403 {
		t.Errorf("what root did: %d %s", r.Code, r.Body)
	}
	a.must("DELETE", "/routes/10.1.0.0/16", "", ned)
}

// TestRollbackRestoresNoRight: going back brings no token and no role back.
func TestRollbackRestoresNoRight(t *testing.T) {
	a, k := enforced(t)
	root, at := k.as("root"), a.revision()
	id := strings.Split(k["vera"], "_")[1]
	a.must("POST", "/v1/commits", `{"events":[{"kind":"token.removed","id":"`+id+`"},{"kind":"role.removed","actor":"ned"},{"kind":"key.put","key":"k","value":"v"}]}`, root)
	a.must("POST", "/v1/rollback", fmt.Sprintf(`{"to":%d}`, at), root)
	if r := a.do("GET", "/kv/k", "", root); r.Code != 404 {
		t.Errorf("the rollback did nothing: %d", r.Code)
	}
	if a.do("GET", "/routes", "", k.as("vera")).Code != 401 || a.do("GET", "/routes", "", k.as("ned")).Code != 403 {
		t.Error("a right came back")
	}
}

func TestWhoAmI(t *testing.T) {
	off := newAPI(t)
	if m := off.must("GET", "/v1/whoami", "").json(t); m["authorization"] != false || m["actor"] != nil {
		t.Errorf("%v", m)
	}
	if m := off.must("GET", "/v1/auth", "").json(t); m["enabled"] != false {
		t.Errorf("%v", m)
	}
	a, k := enforced(t)
	if m := a.must("GET", "/v1/whoami", "").json(t); m["authorization"] != true || m["actor"] != nil {
		t.Errorf("%v", m)
	}
	m := a.must("GET", "/v1/whoami", "", k.as("ned")).json(t)
	if m["actor"] != "ned" || m["role"] != "operator" || fmt.Sprint(m["grants"]) != "[map[prefixes:[10.0.0.0/8] role:operator]]" {
		t.Errorf("%v", m)
	}
	r := a.must("GET", "/v1/auth", "", k.as("root"))
	if m := r.json(t); m["enabled"] != true || len(m["tokens"].([]any)) != 5 || len(m["roles"].([]any)) != 4 || strings.Contains(r.Body, "sha256") {
		t.Errorf("%s", r.Body)
	}
	// The last admin stays; switched off, nobody is asked.
	if r := a.do("POST", "/v1/commits", `{"events":[{"kind":"role.removed","actor":"root"}]}`, k.as("root")); r.Code != 409 {
		t.Errorf("%d %s", r.Code, r.Body)
	}
	a.must("POST", "/v1/commits", `{"events":[{"kind":"auth.disabled"}]}`, k.as("root"))
	a.must("PUT", "/kv/k", `{"value":"v"}`)
}

// TestJoinToken: it admits one node, that again, and nobody else.
func TestJoinToken(t *testing.T) {
	a, k := enforced(t)
	join, event := tokenEvent("root", `,"join":true`)
	a.must("POST", "/v1/commits", `{"events":[`+event+`]}`, k.as("root"))
	other, _, _ := auth.NewToken()
	forged := join[:strings.LastIndexByte(join, '_')] + other[strings.LastIndexByte(other, '_'):]
	node := func(id string) string { return `{"node_id":"` + id + `","raft":"127.0.0.1:8304"}` }
	for i, c := range []struct {
		id, header string
		code       int
	}{
		{"node-4", "X-DVR-Actor: root", 401},
		{"node-4", k.as("oscar"), 403},
		{"node-4", "Authorization: Bearer " + forged, 401},
		{"node-4", "Authorization: Bearer " + join, 200},
		{"node-4", "Authorization: Bearer " + join, 200},
		{"node-5", "Authorization: Bearer " + join, 403},
		{"node-5", k.as("root"), 200},
	} {
		if r := a.do("POST", "/v1/cluster/members", node(c.id), c.header); r.Code != c.code {
			t.Errorf("%d: %s: %d %s", i, c.id, r.Code, r.Body)
		}
	}
	r := a.must("GET", "/v1/auth", "", k.as("root"))
	if !strings.Contains(r.Body, `"join":true,"node":"node-4"`) {
		t.Errorf("%s", r.Body)
	}
	if r := a.do("DELETE", "/v1/cluster/members/node-4", "", "Authorization: Bearer "+join); r.Code != 401 {
		t.Errorf("a join token removes: %d", r.Code)
	}
	// It ends with its node, and no other token does.
	_, kept := tokenEvent("root", `,"join":true`)
	a.must("POST", "/v1/commits", `{"events":[`+kept+`]}`, k.as("root"))
	for range 2 { // the second time there is nothing to end
		a.must("DELETE", "/v1/cluster/members/node-4", "", k.as("root"))
	}
	if r := a.do("POST", "/v1/cluster/members", node("node-4"), "Authorization: Bearer "+join); r.Code != 401 {
		t.Errorf("the token of a removed node: %d %s", r.Code, r.Body)
	}
	r = a.must("GET", "/v1/auth", "", k.as("root"))
	if strings.Contains(r.Body, `"node":"node-4"`) || strings.Count(r.Body, `"join":true`) != 1 {
		t.Errorf("%s", r.Body)
	}
}

func TestLimits(t *testing.T) {
	a, k := enforced(t)
	a.server.rateLimit, a.server.rates = 0.001, gate.NewRates[string](0.001, 2, maxLimited)
	for i := range 4 {
		r := a.do("GET", "/routes", "", k.as("vera"))
		if want := map[bool]int{true: 200, false: 429}[i < 2]; r.Code != want || r.Code == 429 && r.Header.Get("Retry-After") == "" {
			t.Errorf("call %d: %d %s", i, r.Code, r.Body)
		}
	}
	a.must("GET", "/routes", "", k.as("root"))
	for i := range 4 { // what she may not do counts, too
		if r := a.do("POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`, k.as("nora")); r.Code != map[bool]int{true: 403, false: 429}[i < 2] {
			t.Errorf("refused call %d: %d %s", i, r.Code, r.Body)
		}
	}
}

// TestImportsArePaced: an import makes its commits at the rate at which its actor
// may call, and takes no longer where nothing is limited; one that is too large
// for its time ends with 429, and its key goes on from there.
func TestImportsArePaced(t *testing.T) {
	a, k := enforced(t)
	lines := func(from, n int) string {
		var b strings.Builder
		for i := range n * service.ChunkEvents {
			fmt.Fprintf(&b, `{"destination":"10.%d.%d.0/24","next_hop":"192.0.2.1","metric":%d}`+"\n", i>>8&255, i&255, from)
		}
		return b.String()
	}
	header := []string{"Content-Type: application/x-ndjson", k.as("oscar")}
	rate := func(perSecond float64) {
		a.server.rateLimit, a.server.rates = perSecond, gate.NewRates[string](perSecond, 2, maxLimited)
	}
	rate(10)
	began := time.Now()
	if r := a.do("POST", "/v1/routes/import", lines(1, 6), header...); r.Code != 200 {
		t.Fatal(r.Code, r.Body)
	}
	if took := time.Since(began); took < 350*time.Millisecond { // six, two of which at once
		t.Errorf("six commits in %v", took)
	}
	rate(0.001)
	body, again := lines(2, 4), append(header, "Idempotency-Key: k1")
	if r := a.do("POST", "/v1/routes/import?timeout=1s", body, again...); r.Code != 429 || !strings.Contains(r.Body, "RATE_LIMIT") || !strings.Contains(r.Body, `"accepted":2000`) {
		t.Errorf("%d %.400s", r.Code, r.Body)
	}
	rate(0)
	before := a.revision()
	if r := a.do("POST", "/v1/routes/import", body, again...); r.Code != 200 || a.revision() != before+2 {
		t.Errorf("%d %.400s: %d commits more", r.Code, r.Body, a.revision()-before)
	}
}

// TestPace: who waits is admitted in turn, at the rate, or told why not when its
// time has ended.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Server{rateLimit: 10, rates: gate.NewRates[string](10, 1, maxLimited)}
		began := time.Now()
		for i := range 5 {
			if err := s.paced(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took != time.Duration(i)*100*time.Millisecond {
				t.Errorf("%d: after %v", i, took)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := s.paced(ctx, "a"); !errors.Is(err, errTooFast) || !errors.Is(err, service.ErrOverloaded) {
			t.Error(err)
		}
	})
}

// TestApproval: what a guard names changes by two actors alone, whatever way it is tried.
func TestApproval(t *testing.T) {
	a, k := enforced(t)
	root, oscar, ned := k.as("root"), k.as("oscar"), k.as("ned")
	two, event := tokenEvent("ruth", "")
	a.must("POST", "/v1/commits", `{"events":[`+event+`,{"kind":"role.set","actor":"ruth","grants":[{"role":"admin"}]}]}`, root)
	a.must("PUT", "/v1/guards/eyes", `{"type":"needs_approval","prefixes":["10.0.0.0/8"]}`, root)
	before := a.revision()
	body := `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`
	for _, c := range []struct{ method, target, body string }{
		{"POST", "/routes", body},
		{"POST", "/routes?force=true&reason=now", body},
		{"POST", "/routes?not_before=1h", body},
		{"POST", "/routes?expires_in=1h", body},
		{"POST", "/routes?confirm_within=1h", body},
		{"POST", "/v1/commits", `{"events":[{"kind":"key.put","key":"k","value":"v"},{"kind":"route.announced","destination":"10.1.0.0/16","next_hop":"192.0.2.1"}]}`},
		{"DELETE", "/v1/guards/eyes", ""},
		{"PUT", "/v1/guards/eyes", `{"type":"max_routes","limit":1000}`},
		{"DELETE", "/v1/guards/eyes?force=true&reason=now", ""},
	} {
		if r := a.do(c.method, c.target, c.body, root); r.Code != 409 || !strings.Contains(r.Body, "guarded") || !strings.Contains(r.Body, "approve") {
			t.Errorf("%s %s: %d %s", c.method, c.target, r.Code, r.Body)
		}
	}
	a.must("POST", "/routes?dry_run=true&propose=true", `{"destination":"11.1.0.0/16","next_hop":"192.0.2.1"}`, root)
	if a.revision() != before {
		t.Fatal("something was stored")
	}
	a.must("POST", "/routes", `{"destination":"11.1.0.0/16","next_hop":"192.0.2.1"}`, oscar)
	if r := a.do("POST", "/routes?propose=true", `{"destination":"11.1.0.0/16","next_hop":"192.0.2.1"}`, ned); r.Code != 403 {
		t.Errorf("a proposal out of scope: %d", r.Code)
	}
	for _, q := range []string{"not_before=1h", "expires_in=1h", "confirm_within=1h", "force=true&reason=x"} {
		if r := a.do("POST", "/routes?propose=true&"+q, body, oscar); r.Code != 400 {
			t.Errorf("propose and %s: %d", q, r.Code)
		}
	}
	propose := func(method, target, body, who string) string {
		t.Helper()
		return a.must(method, target+"?propose=true", body, who).json(t)["timer"].(string)
	}
	approve := func(name, who string) answer {
		t.Helper()
		return a.do("POST", "/v1/timers/"+name+"/approve", "", who)
	}
	name := propose("POST", "/routes", body, oscar)
	if a.do("GET", "/routes/10.1.0.0/16", "", root).Code != 404 {
		t.Error("a proposal is done")
	}
	for who, code := range map[string]int{oscar: 403, k.as("vera"): 403, k.as("nora"): 403, "X-DVR-Actor: root": 401} {
		if r := approve(name, who); r.Code != code {
			t.Errorf("approved by %s: %d %s", who, r.Code, r.Body)
		}
	}
	if r := approve(name, ned); r.Code != 200 {
		t.Fatalf("%d %s", r.Code, r.Body)
	}
	c := a.must("GET", fmt.Sprintf("/v1/commits/%d", a.revision()), "", root).json(t)
	if c["actor"] != "ned" || c["for"] != "oscar" || !strings.HasPrefix(c["reason"].(string), "proposed by commit ") || c["n"] != 2.0 {
		t.Errorf("%v", c)
	}
	a.must("GET", "/routes/10.1.0.0/16", "", root)
	if r := approve(name, root); r.Code != 404 {
		t.Errorf("twice: %d", r.Code)
	}
	// An approver is held to its own scope; a proposal can be taken back; the guard goes by two.
	wide := propose("POST", "/v1/commits", `{"events":[{"kind":"route.announced","destination":"10.2.0.0/16","next_hop":"192.0.2.1"},{"kind":"route.announced","destination":"12.2.0.0/16","next_hop":"192.0.2.1"}]}`, oscar)
	if r := approve(wide, ned); r.Code != 403 {
		t.Errorf("out of the approver's scope: %d", r.Code)
	}
	a.must("DELETE", "/v1/timers/"+wide, "", oscar)
	if r := approve(wide, root); r.Code != 404 {
		t.Errorf("taken back: %d", r.Code)
	}
	lift := propose("DELETE", "/v1/guards/eyes", "", root)
	if r := approve(lift, oscar); r.Code != 403 {
		t.Errorf("an operator lifts a guard: %d", r.Code)
	}
	if r := approve(lift, "Authorization: Bearer "+two); r.Code != 200 {
		t.Errorf("%d %s", r.Code, r.Body)
	}
	a.must("DELETE", "/routes/10.1.0.0/16", "", oscar)
	// A timer that is no proposal is nobody's to approve.
	later := a.must("PUT", "/kv/x?not_before=1h", `{"value":"v"}`, oscar).json(t)["timer"].(string)
	if r := approve(later, root); r.Code != 409 {
		t.Errorf("a schedule: %d %s", r.Code, r.Body)
	}
}

// TestNobodyIsTwo: while a guard asks for two actors nobody makes, or becomes, the
// second one alone, whatever way it is tried; two admins can do all of it.
func TestNobodyIsTwo(t *testing.T) {
	a, k := enforced(t)
	root := k.as("root")
	commit := func(who string, events ...string) answer {
		t.Helper()
		return a.do("POST", "/v1/commits", `{"events":[`+strings.Join(events, ",")+`]}`, who)
	}
	refused := func(what string, r answer, code int, says string) {
		t.Helper()
		if r.Code != code || !strings.Contains(r.Body, says) {
			t.Errorf("%s: %d %s, want %d, %q", what, r.Code, r.Body, code, says)
		}
	}
	admin := func(actor string) string {
		return `{"kind":"role.set","actor":"` + actor + `","grants":[{"role":"admin"}]}`
	}
	tokenOf := func(actor string) string { _, event := tokenEvent(actor, ""); return event }
	eyes := `{"kind":"guard.set","name":"eyes","type":"needs_approval","prefixes":["10.0.0.0/8"]}`

	// One admin alone would lock everybody out.
	refused("a guard with one admin", commit(root, eyes), 409, "make a second one first")
	rutha, event := tokenEvent("ruth", "")
	if r := commit(root, event, admin("ruth"), eyes); r.Code != 201 {
		t.Fatal(r.Code, r.Body)
	}
	ruth := "Authorization: Bearer " + rutha
	second, event := tokenEvent("root", "") // her own: the same actor
	if r := commit(root, event); r.Code != 201 {
		t.Fatal(r.Code, r.Body)
	}
	propose := func(who string, events ...string) string {
		t.Helper()
		return a.must("POST", "/v1/commits?propose=true", `{"events":[`+strings.Join(events, ",")+`]}`, who).json(t)["timer"].(string)
	}
	approve := func(name, who string) answer {
		t.Helper()
		return a.do("POST", "/v1/timers/"+name+"/approve", "", who)
	}
	lift := propose(root, `{"kind":"guard.removed","name":"eyes"}`)
	before := a.revision()
	refused("by another token of hers", approve(lift, "Authorization: Bearer "+second), 403, "somebody else approves it")
	r := a.do("POST", "/v1/timers/"+lift+"/approve", "", root, "X-DVR-Actor: ruth")
	refused("in another's name", r, 403, "somebody else")
	refused("a second admin", commit(root, admin("eve")), 409, "--propose")
	refused("by force", a.do("POST", "/v1/commits?force=true&reason=now", `{"events":[`+admin("eve")+`]}`, root), 409, "--propose")
	refused("with its token", commit(root, tokenOf("eve"), admin("eve")), 409, "--propose")
	refused("a group", commit(root, admin("group:eves")), 409, "--propose")
	refused("an operator who may approve", commit(root, `{"kind":"role.set","actor":"eve","grants":[{"role":"operator"}]}`), 409, "--propose")
	refused("a wider scope", commit(root, `{"kind":"role.set","actor":"ned","grants":[{"role":"operator"}]}`), 409, "--propose")
	refused("another's token", commit(root, tokenOf("ruth")), 403, "who has a token of ruth is ruth")
	refused("an operator's token", commit(root, tokenOf("oscar")), 403, "oscar makes its own")
	refused("no authorization", commit(root, `{"kind":"auth.disabled"}`), 403, "remove it first")
	refused("the other admin goes", commit(root, `{"kind":"role.removed","actor":"ruth"}`), 409, "make a second one first")
	refused("she has less", commit(root, `{"kind":"role.set","actor":"ruth","grants":[{"role":"operator"}]}`), 409, "")
	refused("a narrower guard", commit(root, `{"kind":"guard.set","name":"eyes","type":"needs_approval","prefixes":["10.9.0.0/16"]}`), 409, "approve")
	refused("scheduled", a.do("POST", "/v1/commits?not_before=1h", `{"events":[`+admin("eve")+`]}`, root), 400, "at once and for good")
	if a.revision() != before {
		t.Fatal("something was stored")
	}

	// What makes nobody more powerful needs nobody else: above all to take away.
	for what, event := range map[string]string{
		"a token revoked": `{"kind":"token.removed","id":"` + strings.Split(k["oscar"], "_")[1] + `"}`, "a role taken": `{"kind":"role.removed","actor":"oscar"}`,
		"what he has": `{"kind":"role.set","actor":"ned","grants":[{"role":"operator","prefixes":["10.0.0.0/8"]}]}`, "a token for somebody without a role": tokenOf("eve"),
		"a join token": `{"kind":"token.set","id":"j1","actor":"ruth","join":true,"sha256":"` + strings.Repeat("ab", 32) + `"}`,
	} {
		if r := commit(root, event); r.Code != 201 {
			t.Errorf("%s: %d %s", what, r.Code, r.Body)
		}
	}
	// Two admins do it: one proposes, the other approves.
	eve := propose(root, admin("eve"))
	refused("her own proposal", approve(eve, root), 403, "somebody else")
	if r := approve(eve, ruth); r.Code != 200 {
		t.Fatal(r.Code, r.Body)
	}
	if c := a.must("GET", fmt.Sprintf("/v1/commits/%d", a.revision()), "", root).json(t); c["actor"] != "ruth" || c["for"] != "root" {
		t.Errorf("%v", c)
	}
	if r := commit(root, `{"kind":"role.removed","actor":"ruth"}`); r.Code != 201 { // three were there
		t.Errorf("%d %s", r.Code, r.Body)
	}
	refused("who is no admin any more", approve(lift, ruth), 403, "")
	if r := commit(root, `{"kind":"auth.disabled"}`); r.Code != 403 {
		t.Errorf("%d %s", r.Code, r.Body)
	}
}

// TestAuthInitUnderAGuard: authorization that begins with one admin under a guard
// that asks for two is refused; with two it is not.
func TestAuthInitUnderAGuard(t *testing.T) {
	a := newAPI(t)
	a.must("PUT", "/v1/guards/eyes", `{"type":"needs_approval","prefixes":["10.0.0.0/8"]}`, "X-DVR-Actor: root")
	init := func(admins ...string) answer {
		events := []string{`{"kind":"auth.enabled"}`}
		for _, x := range admins {
			_, event := tokenEvent(x, "")
			events = append(events, event, `{"kind":"role.set","actor":"`+x+`","grants":[{"role":"admin"}]}`)
		}
		return a.do("POST", "/v1/commits", `{"events":[`+strings.Join(events, ",")+`]}`, "X-DVR-Actor: root")
	}
	if r := init("root"); r.Code != 409 || !strings.Contains(r.Body, "guard eyes") {
		t.Errorf("%d %s", r.Code, r.Body)
	}
	if r := init("root", "ruth"); r.Code != 201 {
		t.Errorf("%d %s", r.Code, r.Body)
	}
}
