package launcher

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dvr/controller/gate"
)

// TestWhoMayControl: while the cluster asks who somebody is, the launcher does,
// too; every call of its table is one of those that ask.
func TestWhoMayControl(t *testing.T) {
	for _, c := range (&Launcher{}).calls() {
		if c.needs == anyone || c.method != http.MethodGet && c.needs != admin {
			t.Errorf("%s %s is for everybody", c.method, c.path)
		}
	}
	r := newRig(t).start()
	r.healthy("node1", "node2", "node3")
	if a := r.call("GET", "/api/control/nodes", ""); a.code != 200 {
		t.Errorf("before: %d %s", a.code, a.body)
	}
	r.sign("auth", true)
	for _, c := range []struct{ method, path, body, header string }{
		{"GET", "/api/control/nodes", "", ""}, {"GET", "/api/control/events", "", ""}, {"GET", "/api/control/logs/node1", "", ""},
		{"POST", "/api/control/add", `{"node_id":"node9"}`, ""}, {"POST", "/api/control/stop/node1", "", ""}, {"POST", "/api/control/start/node1", "", ""},
		{"POST", "/api/control/restart/node1", "", ""}, {"POST", "/api/control/delete/node1", "", ""},
	} {
		for token, want := range map[string]int{"": 401, "Bearer forged": 401, "Basic root": 401, "Bearer vera": 403, "Bearer ned": 403} {
			if c.method == "GET" && want == 403 && c.path != "/api/control/logs/node1" {
				continue
			}
			var headers []string
			if token != "" {
				headers = append(headers, "Authorization: "+token)
			}
			if a := r.call(c.method, c.path, c.body, headers...); a.code != want || !strings.Contains(a.body, "error") {
				t.Errorf("%s %s as %q: %d %s", c.method, c.path, token, a.code, a.body)
			}
		}
	}
	if a := r.call("GET", "/api/control/nodes", "", "Authorization: Bearer vera"); a.code != 200 || strings.Contains(a.body, "node9") {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a := r.call("GET", "/", ""); a.code != 200 {
		t.Errorf("the page: %d", a.code)
	}
	// The launcher's own certificate is not lent to who shows nothing.
	for path, want := range map[string]int{"/v1/cluster/members": 401, "/v1/whoami": 200} {
		if a := r.call("GET", "/api/node/node1"+path, ""); a.code != want {
			t.Errorf("%s without a credential: %d %s", path, a.code, a.body)
		}
	}
	if a := r.call("GET", "/api/node/node1/v1/cluster/members", "", "Authorization: Bearer vera"); a.code != 200 {
		t.Errorf("passed on: %d %s", a.code, a.body)
	}
	// A node that is added joins with a token that the caller's right has made.
	if a := r.call("POST", "/api/control/add", `{"node_id":"node4"}`, "Authorization: Bearer root"); a.code != 200 {
		t.Fatalf("%d %s", a.code, a.body)
	}
	r.sign("auth", false)
	r.healthy("node1", "node2", "node3", "node4")
	r.sign("auth", true)
	if !strings.Contains(r.journal(), "commit with Bearer root") {
		t.Error("no join token was set")
	}
	if a := r.call("POST", "/api/control/delete/node4", "", "Authorization: Bearer root"); a.code != 200 {
		t.Errorf("%d %s", a.code, a.body)
	}
}

// TestWhoMayControlWithoutNodes: while none says who somebody is, whom one has
// known may read and start nodes, also of a launcher that was started anew; nobody
// else may.
func TestWhoMayControlWithoutNodes(t *testing.T) {
	r := newRig(t).start()
	r.healthy("node1", "node2", "node3")
	r.sign("auth", true)
	as := func(token, method, path string) int {
		return r.call(method, path, "", "Authorization: Bearer "+token).code
	}
	for token, want := range map[string]int{"root": 200, "vera": 200, "forged": 401} {
		if got := as(token, "GET", "/api/control/nodes"); got != want {
			t.Errorf("%s reads: %d", token, got)
		}
	}
	for _, id := range []string{"node1", "node2", "node3"} {
		if got := as("root", "POST", "/api/control/stop/"+id); id != "node3" && got != 200 || got >= 400 && got != 503 {
			t.Errorf("stop %s: %d", id, got)
		}
	}
	silent := func() {
		t.Helper()
		r.eventually("no node answers", func() bool { return as("forged", "GET", "/api/control/nodes") == 503 })
		for _, c := range []struct {
			token, method, path string
			want                int
		}{
			{"root", "GET", "/api/control/nodes", 200}, {"vera", "GET", "/api/control/nodes", 200},
			{"vera", "POST", "/api/control/start/node1", 403}, {"vera", "GET", "/api/control/logs/node1", 403}, {"root", "GET", "/api/control/logs/node1", 200},
			{"root", "POST", "/api/control/delete/node1", 503}, {"root", "POST", "/api/control/stop/node1", 503},
			{"forged", "POST", "/api/control/start/node1", 503}, {"forged", "GET", "/api/control/logs/node1", 503}, {"forged", "GET", "/api/control/events", 503},
		} {
			if got := as(c.token, c.method, c.path); got != c.want {
				t.Errorf("%s: %s %s: %d, want %d", c.token, c.method, c.path, got, c.want)
			}
		}
		if a := r.call("POST", "/api/control/start/node1", ""); a.code != 503 || !strings.Contains(a.body, "no node answers") {
			t.Errorf("nobody: %d %s", a.code, a.body)
		}
	}
	silent()
	r.quit()
	raw, err := os.ReadFile(filepath.Join(r.o.DataDir, configurationName))
	if err != nil || strings.Contains(string(raw), "Bearer") || !strings.Contains(string(raw), `"authorization": true`) {
		t.Errorf("%v: %s", err, raw)
	}
	r.start()
	silent()
	if got := as("root", "POST", "/api/control/start/node1"); got != 200 {
		t.Errorf("root starts a node: %d", got)
	}
}

// TestKnownCallers: so many, the last; nobody for longer than a day.
func TestKnownCallers(t *testing.T) {
	l := &Launcher{store: &store{dir: t.TempDir(), now: &Configuration{
		Format: configurationFormat, APIBase: 1, APIStep: 1, RaftBase: 1, Nodes: map[string]Node{"a": {Ports: Ports{API: 1, FIB: 2, Raft: 3, Client: 4, DataPlane: 5}}},
	}}}
	now := time.Now()
	for i := range maxKnown + 3 {
		if err := l.meet(strconv.Itoa(i), person{Actor: "a", Role: "viewer"}, now.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	known := l.store.get().Known
	for header, want := range map[string]bool{"0": false, "2": false, "3": true, strconv.Itoa(maxKnown + 2): true} {
		if _, ok := known[credentialHash(header)]; ok != want {
			t.Errorf("caller %s: %v", header, ok)
		}
	}
	if err := l.forget("3"); err != nil || len(l.store.get().Known) != maxKnown-1 {
		t.Errorf("%v, %d", err, len(l.store.get().Known))
	}
	if err := l.meet("late", person{Actor: "b"}, now.Add(2*acquainted)); err != nil || len(l.store.get().Known) != 1 {
		t.Errorf("%v, %d", err, len(l.store.get().Known))
	}
}

// TestJoinTokenOfANode: it is in the environment of a node that joins, until it has.
func TestJoinTokenOfANode(t *testing.T) {
	c := &Configuration{Founders: []string{"a"}, Nodes: map[string]Node{"a": {}, "b": {JoinToken: "dvr_x_y"}, "d": {}}}
	for id, want := range map[string]bool{"a": false, "b": true, "d": false} {
		if got := strings.Contains(strings.Join(c.nodeEnvironment(id, "/d"), " "), "JOIN_TOKEN=dvr_x_y"); got != want {
			t.Errorf("%s: %v", id, got)
		}
	}
	if got := inherited([]string{"JOIN_TOKEN=x", "DVR_JOIN_TOKEN=x", "DVR_TOKEN=x", "PATH=p"}); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// TestStreamsEndWithTheirRight: who may no longer follow a log or the nodes does
// not, within seconds; others go on.
func TestStreamsEndWithTheirRight(t *testing.T) {
	r := newRig(t).start()
	r.healthy("node1", "node2", "node3")
	r.sign("auth", true)
	begin := func(path, token string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	ended := func(resp *http.Response) chan struct{} {
		c := make(chan struct{})
		go func() {
			defer close(c)
			_, _ = io.Copy(io.Discard, resp.Body)
		}()
		return c
	}
	log, events, stays := ended(begin("/api/control/logs/node1?follow=true", "root")), ended(begin("/api/control/events", "root")), ended(begin("/api/control/events", "vera"))
	r.sign("revoked-root", true)
	for what, c := range map[string]chan struct{}{"log": log, "events": events} {
		select {
		case <-c:
		case <-time.After(patience):
			t.Errorf("%s: it goes on", what)
		}
	}
	select {
	case <-stays:
		t.Error("another's stream ended, too")
	default:
	}
}

// TestLauncherTurnsStrangersAway: a source of too many refusals is not listened
// to, and no node is asked for it; whom a node knew lately is, and so are others.
func TestLauncherTurnsStrangersAway(t *testing.T) {
	r := newRig(t).start()
	r.healthy("node1", "node2", "node3")
	r.sign("auth", true)
	r.l.strangers = gate.NewSources(0.001, nil) // one refusal
	h := r.l.handler()
	call := func(source, path, token string) int {
		w := httptest.NewRecorder()
		req := httptest.NewRequest(http.MethodGet, path, nil)
		req.Host, req.RemoteAddr = r.l.listener.Addr().String(), source
		req.Header.Set("Authorization", "Bearer "+token)
		h.ServeHTTP(w, req)
		if w.Code == 429 && w.Header().Get("Retry-After") == "" {
			t.Errorf("%v", w.Header())
		}
		return w.Code
	}
	const flood = "192.0.2.66:1"
	if code := call(flood, "/api/control/nodes", "vera"); code != 200 {
		t.Fatalf("%d", code)
	}
	codes := map[int]int{}
	for i := range 20 {
		codes[call(flood, []string{"/api/control/nodes", "/api/node/node1/v1/whoami"}[i%2], "guess")]++
	}
	if codes[401] != 1 || codes[429] != 19 {
		t.Errorf("%v", codes)
	}
	for _, c := range []struct {
		source, token string
		want          int
	}{{flood, "vera", 200}, {flood, "guess", 429}, {"192.0.2.67:1", "guess", 401}, {"127.0.0.1:1", "guess", 401}} {
		if code := call(c.source, "/api/control/nodes", c.token); code != c.want {
			t.Errorf("%s as %s: %d, want %d", c.source, c.token, code, c.want)
		}
	}
}
