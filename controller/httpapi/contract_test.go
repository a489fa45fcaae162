package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"dvr/eventlog"
)

// TestSeedShapes holds the seed's interface byte for byte: what its README
// shows comes first in each object, and fields are only added after it.
func TestSeedShapes(t *testing.T) {
	a := newAPI(t)
	steps := []struct {
		method, target, body string
		code                 int
		want                 string
	}{
		{"GET", "/health", "", 200, `{"status":"healthy","raft_state":"Leader","node_id":"node-1","revision":1}`},
		{"GET", "/routes", "", 200, `{"routes":{},"revision":1}`},
		{"POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.168.1.1","metric":100}`, 201,
			`{"destination":"10.1.0.0/16","status":"route added","revision":2}`},
		{"GET", "/routes", "", 200,
			`{"routes":{"10.1.0.0/16":{"destination":"10.1.0.0/16","next_hop":"192.168.1.1","metric":100,"preference":1,"revision":2}},"revision":2}`},
		{"POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.168.1.2","metric":100}`, 201,
			`{"destination":"10.1.0.0/16","status":"route added","revision":3}`},
		{"GET", "/routes", "", 200,
			`{"routes":{"10.1.0.0/16":{"destination":"10.1.0.0/16","next_hop":"192.168.1.1","metric":100,"preference":1,` +
				`"next_hops":[{"next_hop":"192.168.1.1","weight":1},{"next_hop":"192.168.1.2","weight":1}],"revision":3}},"revision":3}`},
		{"DELETE", "/routes/10.1.0.0/16", "", 200, `{"destination":"10.1.0.0/16","status":"route deleted","revision":4}`},
		{"GET", "/routes", "", 200, `{"routes":{},"revision":4}`},
		{"GET", "/kv", "", 200, `{}`},
		{"PUT", "/kv/raft", `{"value":"is a distributed systems algorithm"}`, 200, `{"status":"success","key":"raft","revision":5}`},
		{"GET", "/kv/raft", "", 200, `{"key":"raft","value":"is a distributed systems algorithm","modified":5,"revision":5}`},
		{"PUT", "/kv/k2", `{"value":"v2"}`, 200, `{"status":"success","key":"k2","revision":6}`},
		{"GET", "/kv", "", 200, `{"k2":"v2","raft":"is a distributed systems algorithm"}`},
		{"DELETE", "/kv/raft", "", 200, `{"status":"success","key":"raft","existed":true,"revision":7}`},
		{"DELETE", "/kv/raft", "", 200, `{"status":"success","key":"raft","existed":false,"revision":7}`},
		{"GET", "/kv", "", 200, `{"k2":"v2"}`},
	}
	for _, s := range steps {
		r := a.do(s.method, s.target, s.body)
		if r.Code != s.code || r.Body != s.want+"\n" {
			t.Fatalf("%s %s %s\n got %d %s\nwant %d %s", s.method, s.target, s.body, r.Code, r.Body, s.code, s.want)
		}
		if got := r.Header.Get("Content-Type"); got != "application/json" {
			t.Errorf("%s %s: Content-Type %q", s.method, s.target, got)
		}
	}
}

func TestHealthWithoutLeadership(t *testing.T) {
	a := newAPI(t)
	st := a.node.Status()
	st.RaftState = "Follower"
	a.node.status.Store(&st)
	if r := a.do("GET", "/health", ""); r.Code != 200 || !strings.HasPrefix(r.Body, `{"status":"follower","raft_state":"Follower","node_id":"node-1"`) {
		t.Errorf("follower: %d %s", r.Code, r.Body)
	}
	lost := st
	lost.RaftState, lost.Quorum = "Candidate", false
	a.node.status.Store(&lost)
	for _, path := range []string{"/health", "/readyz"} {
		if r := a.do("GET", path, ""); r.Code != 503 || r.Header.Get("Retry-After") == "" {
			t.Errorf("%s without quorum: %d %s", path, r.Code, r.Body)
		}
	}
	if r := a.do("GET", "/livez", ""); r.Code != 200 {
		t.Errorf("livez without quorum: %d", r.Code)
	}
}

// TestReadyMeansAtTheHead: the log's head is asked for, whatever the node
// believes of its quorum.
func TestReadyMeansAtTheHead(t *testing.T) {
	a := newAPI(t)
	if r := a.do("GET", "/readyz", ""); r.Code != 200 {
		t.Errorf("%d %s", r.Code, r.Body)
	}
	a.log.Faults().Down(eventlog.ErrUnavailable)
	r := a.do("GET", "/readyz", "")
	if checks := r.json(t)["checks"].(map[string]any); r.Code != 503 || checks["caught_up"] == "ok" || checks["quorum"] != "ok" {
		t.Errorf("%d %s", r.Code, r.Body)
	}
}

func TestClusterStatusIsAFlatMapOfStrings(t *testing.T) {
	a := newAPI(t)
	m := a.must("GET", "/cluster/status", "").json(t)
	for k, v := range m {
		if _, ok := v.(string); !ok {
			t.Errorf("%s is %T", k, v)
		}
	}
	for _, k := range []string{"state", "term", "commit_index", "applied_index", "last_log_index", "last_log_term", "num_peers", "fsm_pending", "last_contact", "protocol_version"} {
		if _, ok := m[k]; !ok {
			t.Errorf("lacks %s", k)
		}
	}
	if m["state"] != "Leader" || m["num_peers"] != "0" {
		t.Errorf("%v", m)
	}
}

// every is each registered call with a request that it answers with success.
var every = []struct{ method, target, body string }{
	{"GET", "/health", ""}, {"GET", "/livez", ""}, {"GET", "/readyz", ""}, {"GET", "/version", ""}, {"GET", "/metrics", ""},
	{"GET", "/cluster/status", ""}, {"GET", "/v1/status", ""}, {"GET", "/v1/whoami", ""}, {"GET", "/v1/auth", ""}, {"GET", "/v1/audit", ""},
	{"GET", "/routes", ""}, {"POST", "/routes", `{"destination":"10.2.0.0/16","next_hop":"192.0.2.1"}`},
	{"GET", "/routes/10.2.0.0/16", ""}, {"PUT", "/routes/10.2.0.0/16", `{"next_hop":"192.0.2.3"}`},
	{"GET", "/v1/routes", ""}, {"GET", "/v1/lookup?address=10.2.0.1", ""},
	{"GET", "/v1/diff?from=1", ""}, {"GET", "/v1/explain?address=10.2.0.1", ""}, {"GET", "/v1/blame/10.2.0.0/16", ""}, {"GET", "/v1/watch?timeout=10ms", ""},
	{"POST", "/v1/routes/import", `{"destination":"10.3.0.0/16","next_hop":"192.0.2.1"}`},
	{"POST", "/v1/commits", `{"events":[{"kind":"router.set","router":"r1"}]}`},
	{"GET", "/v1/commits", ""}, {"GET", "/v1/commits/1", ""}, {"GET", "/v1/backup", ""}, {"GET", "/v1/archive", ""},
	{"PUT", "/v1/guards/g", `{"type":"max_routes","limit":1000}`}, {"GET", "/v1/guards", ""}, {"DELETE", "/v1/guards/g", ""},
	{"PUT", "/v1/freezes/f", `{"routers":["nobody"]}`}, {"GET", "/v1/freezes", ""}, {"DELETE", "/v1/freezes/f", ""},
	{"PUT", "/kv/soon?confirm_within=1h", `{"value":"v"}`}, {"GET", "/v1/confirmations", ""}, {"POST", "/v1/commits/{last}/confirm", ""},
	{"POST", "/v1/rollback", `{"actor":"nobody","since":2}`},
	{"PUT", "/kv/later?not_before=1h", `{"value":"v"}`}, {"GET", "/v1/timers", ""}, {"DELETE", "/v1/timers/{timer}", ""},
	{"PUT", "/kv/proposed?propose=true", `{"value":"v"}`}, {"POST", "/v1/timers/{timer}/approve", ""},
	{"PUT", "/v1/routers/r2", `{}`}, {"GET", "/v1/routers", ""}, {"GET", "/v1/routers/r2", ""}, {"GET", "/v1/routers/r2/vector", ""},
	{"GET", "/v1/routers/r2/rib", ""}, {"GET", "/v1/routers/r2/fib", ""},
	{"POST", "/v1/routers/r2/drain", ""}, {"POST", "/v1/routers/r2/undrain", ""},
	{"PUT", "/v1/links/r1/r2", `{}`}, {"GET", "/v1/links", ""}, {"GET", "/v1/links/r1/r2", ""},
	{"POST", "/v1/links/r1/r2/down", ""}, {"PUT", "/v1/links/r1/r2/down", ""}, {"POST", "/v1/links/r1/r2/up", ""}, {"PUT", "/v1/links/r1/r2/up", ""},
	{"GET", "/v1/topology", ""}, {"POST", "/v1/topology/import", `{"kind":"router.set","router":"r1"}`},
	{"GET", "/v1/dataplanes", ""}, {"POST", "/v1/dataplanes/edge/audit", ""},
	{"GET", "/v1/cluster/members", ""}, {"POST", "/v1/cluster/members", `{"node_id":"node-4","raft":"127.0.0.1:8304"}`},
	{"POST", "/v1/cluster/members/node-4/promote", ""}, {"POST", "/v1/cluster/leader", `{"node_id":"node-2"}`},
	{"DELETE", "/v1/cluster/members/node-4", ""},
	{"PUT", "/kv/k", `{"value":"v"}`}, {"GET", "/kv", ""}, {"GET", "/kv/k", ""}, {"GET", "/v1/kv/history/k", ""},
	{"GET", "/v1/kv/watch?timeout=50ms", ""}, {"DELETE", "/kv/k", ""},
	{"DELETE", "/v1/links/r1/r2", ""}, {"DELETE", "/v1/routers/r2", ""},
	{"DELETE", "/routes/10.2.0.0/16", ""}, {"DELETE", "/routes?destination=10.3.0.0/16", ""},
}

// TestEveryCall: each call answers, with a position, refuses what no call
// knows, and every registered route is in the table above.
func TestEveryCall(t *testing.T) {
	a := newAPI(t)
	a.connect("edge")
	called := map[string]bool{}
	last, timer, confirmed := "", "", ""
	for _, c := range every {
		c.target = strings.NewReplacer("{last}", last, "{timer}", timer).Replace(c.target)
		var headers []string
		if strings.HasSuffix(c.target, "/import") {
			headers = []string{"Content-Type: application/x-ndjson"}
		}
		if strings.HasSuffix(c.target, "/approve") {
			headers = []string{"X-DVR-Actor: second"}
		}
		sep := "?"
		if strings.Contains(c.target, "?") {
			sep = "&"
		}
		before := a.revision()
		r := a.do(c.method, c.target+sep+"nonsense=1", c.body, headers...)
		if r.Code != 400 || r.json(t)["field"] != "nonsense" || a.revision() != before {
			t.Errorf("%s %s with an unknown parameter: %d %s", c.method, c.target, r.Code, r.Body)
		}
		if c.method == "GET" {
			r := a.do("HEAD", c.target, "")
			if r.Code != 200 || r.Body != "" && !strings.HasPrefix(c.target, "/metrics") {
				t.Errorf("HEAD %s: %d %q", c.target, r.Code, r.Body)
			}
		}
		r = a.must(c.method, c.target, c.body, headers...)
		if !strings.HasPrefix(r.Header.Get("DVR-Position"), testLog+"/1/") {
			t.Errorf("%s %s: DVR-Position %q", c.method, c.target, r.Header.Get("DVR-Position"))
		}
		if strings.HasSuffix(c.target, "/confirm") {
			confirmed = last
		}
		if c.method == "PUT" {
			m := r.json(t)
			last = fmt.Sprint(m["revision"])
			if name, ok := m["timer"].(string); ok {
				timer = name
			}
		}
		path, _, _ := strings.Cut(c.target, "?")
		if timer != "" {
			path = strings.Replace(path, "/"+timer, "/:name", 1)
		}
		called[c.method+" "+path] = true
	}
	shape := strings.NewReplacer("/guards/g", "/guards/:name", "/freezes/f", "/freezes/:name", "/kv/soon", "/kv/*", "/kv/later", "/kv/*", "/kv/proposed", "/kv/*", "commits/"+confirmed+"/confirm", "commits/:revision/confirm", "/10.2.0.0/16", "/*", "/r1/r2", "/:a/:b", "/r2", "/:id", "commits/1", "commits/:revision", "/node-4", "/:id", "/edge/", "/:router/", "/kv/k", "/kv/*", "history/k", "history/*")
	have := map[string]bool{}
	for k := range called {
		have[shape.Replace(k)] = true
	}
	for _, r := range a.server.echo.Routes() {
		if r.Method != http.MethodHead && !strings.HasPrefix(r.Method, "echo_") && !have[r.Method+" "+r.Path] {
			t.Errorf("%s %s is not in the table", r.Method, r.Path)
		}
	}
}

func TestWrongMethodAndPath(t *testing.T) {
	a := newAPI(t)
	r := a.do("PATCH", "/routes", "")
	if r.Code != 405 || !strings.Contains(r.Header.Get("Allow"), "POST") || !strings.Contains(r.Header.Get("Allow"), "GET") {
		t.Errorf("PATCH /routes: %d Allow %q", r.Code, r.Header.Get("Allow"))
	}
	for _, r := range []answer{r, a.do("GET", "/nothing", ""), a.do("GET", "/v1/routes/what", "")} {
		if r.Header.Get("Content-Type") != "application/problem+json" || r.json(t)["error"] == "" || r.Header.Get("DVR-Position") == "" {
			t.Errorf("%d %v %s", r.Code, r.Header, r.Body)
		}
	}
	if r := a.do("GET", "/nothing", ""); r.Code != 404 {
		t.Errorf("GET /nothing: %d", r.Code)
	}
}
