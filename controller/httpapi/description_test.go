package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dvr/controller/cluster"
	"dvr/controller/httpapi/openapi"
)

var placeholders = regexp.MustCompile(`:\w+|\*|\{\w+\}`)

// TestEveryCallIsDescribed: the calls that the code registers and those that
// the description has are the same.
func TestEveryCallIsDescribed(t *testing.T) {
	c, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	for _, r := range newAPI(t).server.echo.Routes() {
		if r.Method != http.MethodHead {
			served[r.Method+" "+placeholders.ReplaceAllString(r.Path, "{}")] = true
		}
	}
	pages := openapi.NewSite(openapi.Node)
	for _, o := range c.Operations() {
		call := o.Method + " " + placeholders.ReplaceAllString(o.Path, "{}")
		if o.Launcher {
			continue
		}
		r := httptest.NewRequest(o.Method, "http://127.0.0.1/", nil)
		r.URL.Path = o.Path
		if !served[call] && !pages.Serve(httptest.NewRecorder(), r) {
			t.Errorf("%s is described and not served", call)
		}
		delete(served, call)
	}
	for call := range served {
		t.Errorf("%s is served and not described", call)
	}
}

// TestQueryParametersAreDescribed: each call takes the parameters that are
// described, and no other. It says itself what it takes.
func TestQueryParametersAreDescribed(t *testing.T) {
	a := newAPI(t)
	c, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range c.Operations() {
		if o.Launcher || slices.Contains([]string{"getDescription", "getDescriptionJSON", "getReference"}, o.ID) {
			continue
		}
		target, _, _ := strings.Cut(o.Target(), "?")
		r := a.do(o.Method, target+"?no-such=1", o.Body, "Content-Type: "+o.BodyType)
		detail, _ := r.json(t)["detail"].(string)
		_, takes, ok := strings.Cut(detail, "is not a parameter of this call, which takes ")
		if !ok || r.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", o.ID, r.Code, r.Body)
			continue
		}
		want := []string{}
		for _, p := range o.Parameters {
			if p.In == "query" {
				want = append(want, p.Name)
			}
		}
		got := strings.Split(takes, ", ")
		if takes == "none" {
			got = []string{}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Errorf("%s takes %v; described are %v", o.ID, got, want)
		}
	}
}

// TestExamplesAreServed sends each call as its examples are, in an order in
// which all of them can be served, and holds the answers to the description.
func TestExamplesAreServed(t *testing.T) {
	a := newAPI(t)
	a.server.heartbeat = time.Millisecond
	a.nodes.view = cluster.View{ClusterID: "00000000000000c1", Members: []cluster.Node{{NodeID: "node-1", Role: cluster.RoleVoter, Leader: true, Online: true}}}
	c, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for _, o := range c.Operations() {
		if !o.Launcher {
			left[o.ID] = true
		}
	}
	call := func(id, query string, headers ...string) answer {
		t.Helper()
		delete(left, id)
		for _, o := range c.Operations() {
			if o.ID != id {
				continue
			}
			target := o.Target()
			if query != "" {
				target += map[bool]string{true: "&", false: "?"}[strings.Contains(target, "?")] + query
			}
			if o.BodyType != "" && o.Body != "" {
				headers = append(headers, "Content-Type: "+o.BodyType)
			}
			r := a.do(o.Method, target, o.Body, headers...)
			if r.Code >= 300 && r.Code != http.StatusNotModified {
				t.Errorf("%s: %s %s: %d %s", id, o.Method, target, r.Code, r.Body)
			}
			return r
		}
		t.Fatalf("%s is not described", id)
		return answer{}
	}
	for _, id := range []string{"addRoute", "putRouter", "putKey", "putGuard", "putFreeze", "putLink", "importRoutes", "importTopology"} {
		call(id, "dry_run=true")
		call(id, "reason=why", "X-DVR-Actor: alice")
	}
	call("commit", "dry_run=true")
	call("commit", "")
	call("addRoute", "wait=installed&timeout=10ms&require=r1")
	a.add("10.2.0.0/16", "192.168.1.9", 1)
	kept := a.must("PUT", "/kv/kept?confirm_within=1h", `{"value":"v"}`)
	call("listConfirmations", "")
	call("replaceRoute", "")
	// Its own revision is what confirms; the example's is another commit.
	delete(left, "confirmCommit")
	a.must("POST", "/v1/commits/"+string(kept.number(t, "revision"))+"/confirm", "")
	scheduled := a.must("PUT", "/kv/later?not_before=8h", `{"value":"v"}`).json(t)["timer"].(string)
	call("listTimers", "")
	delete(left, "cancelTimer")
	a.must("DELETE", "/v1/timers/"+scheduled, "")
	delete(left, "approveProposal")
	proposed := a.must("PUT", "/kv/proposed?propose=true", `{"value":"v"}`).json(t)["timer"].(string)
	a.must("POST", "/v1/timers/"+proposed+"/approve?dry_run=true", "", "X-DVR-Actor: second")
	a.must("POST", "/v1/timers/"+proposed+"/approve", "", "X-DVR-Actor: second")
	a.connect("r1")

	for _, id := range []string{"getTable", "listRoutes", "listRouters", "listLinks", "listGuards", "listFreezes", "getVector", "getRIB", "getFIB", "lookup", "explain", "blame", "exportTopology"} {
		call(id, "")
		call(id, "consistency=linearizable&min_revision=1&timeout=10s")
	}
	for _, id := range []string{"getRoute", "getRouter", "getLink", "getKey"} {
		r := call(id, "")
		call(id, "", "If-None-Match: "+r.Header.Get("ETag"))
	}
	call("listRoutes", "limit=1&total=true")
	call("listRoutes", "", "Accept: application/x-ndjson")
	call("backup", "consistency=linearizable&min_revision=1&timeout=10s")
	call("archive", "after=1&to=2&consistency=linearizable&min_revision=1&timeout=10s")
	call("getVector", "limit=1")
	call("lookup", "source=dataplane&router=r1")
	call("diff", "router=r1")
	call("diff", "", "Accept: application/x-ndjson")
	call("listCommits", "limit=3")
	call("getCommit", "")
	call("listKeys", "limit=1")
	call("keyHistory", "limit=1")
	call("watch", "kinds=commits,routes,topology,kv,fib,dataplanes,nodes&router=r1&after=1&timeout=100ms")
	call("watchKeys", "after=1&timeout=100ms")
	for _, id := range []string{"listDataPlanes", "auditDataPlane", "listMembers", "addMember", "promoteMember", "removeMember", "moveLeader", "clusterStatus", "getStatus", "whoAmI", "getAccess", "listRefusals", "health", "live", "ready", "getVersion", "metrics"} {
		call(id, "")
	}
	for _, id := range []string{"drainRouter", "undrainRouter", "takeLinkDown", "bringLinkUp", "setLinkDown", "setLinkUp", "deleteLink", "deleteGuard", "deleteFreeze", "deleteKey", "deleteRouteByQuery", "deleteRoute", "rollback", "deleteRouter"} {
		call(id, "dry_run=true")
		call(id, "")
	}
	for _, path := range []string{"/openapi.yaml", "/openapi.json", "/docs"} {
		w := httptest.NewRecorder()
		u := &url.URL{Path: path}
		openapi.NewSite(openapi.Node).Serve(w, &http.Request{Method: "GET", URL: u, Header: http.Header{}})
		a.described(httptest.NewRequest("GET", path, nil), nil, w)
		delete(left, c.Find("GET", path).ID)
	}
	for id := range left {
		t.Errorf("%s was not called", id)
	}
}

// number is a member of the body as it is written.
func (r answer) number(t *testing.T, name string) json.Number {
	t.Helper()
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader([]byte(r.Body)))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m[name].(json.Number)
}

// TestStartingNodeIsAsDescribed: what the front says before the API is open.
func TestStartingNodeIsAsDescribed(t *testing.T) {
	a := newAPI(t)
	for _, w := range []Waiting{
		{Reason: "starting"},
		{Reason: "the log is damaged", Fault: "batch 7 is missing", Revision: 6, Head: 9},
		{Reason: "newer", Outdated: true},
	} {
		f := NewFront(FrontConfig{Node: a.node, Waiting: func() Waiting { return w }})
		for _, path := range []string{"/health", "/livez", "/readyz", "/version", "/routes", "/v1/status"} {
			r := httptest.NewRequestWithContext(context.Background(), "GET", path, nil)
			r.Host = "127.0.0.1:9090"
			got := httptest.NewRecorder()
			f.ServeHTTP(got, r)
			a.described(r, nil, got)
		}
	}
}
