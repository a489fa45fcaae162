package launcher

import (
	"net/http"
	"strings"
	"testing"
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
