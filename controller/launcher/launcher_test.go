package launcher

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dvr/controller/stalltest"
)

var three = []string{"node1", "node2", "node3"}

// TestSeedWalkThrough is the second seed's launcher chapter, call by call.
func TestSeedWalkThrough(t *testing.T) {
	r := newRig(t).start()
	r.healthy(three...)
	port := func(i int) string { return fmt.Sprint(r.o.APIBase + 10*i) }

	// curl http://localhost:8080/api/control/nodes
	var seed map[string]struct {
		APIPort  int    `json:"api_port"`
		ID       string `json:"id"`
		IsLeader bool   `json:"is_leader"`
		Status   string `json:"status"`
	}
	a := r.want("GET", "/api/control/nodes", "", 200)
	if err := json.Unmarshal([]byte(a.body), &seed); err != nil || a.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%v: %s %s", err, a.header, a.body)
	}
	for i, id := range three {
		if n := seed[id]; n.ID != id || n.Status != "online" || fmt.Sprint(n.APIPort) != port(i) {
			t.Errorf("%s: %+v", id, n)
		}
	}
	// The seed's members come first and under the seed's names.
	if !strings.HasPrefix(a.body, `{"node1":{"api_port":`+port(0)+`,"id":"node1","is_leader":`) {
		t.Error(a.body)
	}

	// curl -X POST … -d '{"node_id":"node5"}' http://localhost:8080/api/control/add
	r.want("POST", "/api/control/add", `{"node_id":"node5"}`, 200, "id=node5", "api_port="+port(3))
	r.healthy(append(three, "node5")...)
	r.noted(`^join node5 as learner$`, `^promote node5$`)

	// curl -X POST http://localhost:8080/api/control/stop/node5, start/node5
	r.want("POST", "/api/control/stop/node5", "", 200, "status=stop signal sent")
	r.eventually("node5 offline", func() bool { n := r.nodes()["node5"]; return n.Status == "offline" && n.State == "stopped" })
	r.healthy(three...)
	r.want("POST", "/api/control/start/node5", "", 200, "status=start signal sent")
	r.healthy(append(three, "node5")...)

	// curl -X POST http://localhost:8080/api/control/delete/node5
	r.want("POST", "/api/control/delete/node5", "", 200, "status=decommissioned")
	if _, ok := r.nodes()["node5"]; ok {
		t.Error("node5 is still there")
	}
	r.healthy(three...)

	// As it answers what is wrong.
	r.want("POST", "/api/control/add", `{"node_id":"node2"}`, 409, "error=node with ID node2 already exists")
	r.want("POST", "/api/control/add", `{}`, 400, "error=node_id is required", "field=node_id")
	r.want("POST", "/api/control/add", `{"node_id":`, 400, "error=invalid request")
	r.want("POST", "/api/control/start/node9", "", 404, "error=node not found")
	// And where it did not say.
	r.want("POST", "/api/control/stop/node9", "", 404, "error=node not found")
	r.want("POST", "/api/control/delete/node9", "", 404, "error=node not found")
	r.want("POST", "/api/control/restart/node9", "", 404, "error=node not found")
	r.want("GET", "/api/control/logs/node9", "", 404, "error=node not found")
	r.want("POST", "/api/control/delete/node5", "", 404)
}

// TestVictim: no id leads out of the data directory (the seeds' A3).
func TestVictim(t *testing.T) {
	r := newRig(t).start()
	r.healthy(three...)
	victim := filepath.Join(filepath.Dir(r.o.DataDir), "victim")
	kept := filepath.Join(victim, "precious")
	if err := os.Mkdir(victim, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kept, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(filepath.Join(r.o.DataDir, configurationName))
	for _, id := range []string{"../../victim", "..", ".", "/etc", "a/b", "Node1", "node1\n", strings.Repeat("a", 64)} {
		body, _ := json.Marshal(map[string]string{"node_id": id})
		r.want("POST", "/api/control/add", string(body), 400, "field=node_id")
	}
	for _, action := range []string{"delete", "stop", "start", "restart"} {
		r.want("POST", "/api/control/"+action+"/..%2F..%2Fvictim", "", 400)
		r.want("POST", "/api/control/"+action+"/%2e%2e", "", 400)
	}
	r.want("GET", "/api/control/logs/..%2F..%2Fvictim", "", 400)
	r.want("GET", "/api/node/..%2F..%2Fvictim/health", "", 400)
	if after, _ := os.ReadFile(filepath.Join(r.o.DataDir, configurationName)); !bytes.Equal(before, after) {
		t.Errorf("the configuration changed: %s", after)
	}
	// Even a directory that somebody replaced by a way out is not followed.
	r.want("POST", "/api/control/stop/node3", "", 200)
	r.eventually("node3 stopped", func() bool { return r.nodes()["node3"].State == "stopped" })
	dir := filepath.Join(r.o.DataDir, "nodes", "node3")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, dir); err != nil {
		t.Fatal(err)
	}
	r.want("POST", "/api/control/delete/node3", "", 200)
	if _, err := os.Lstat(dir); err == nil {
		t.Error("the link is still there")
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
	// A directory that is in the way is not taken over.
	if err := os.Mkdir(filepath.Join(r.o.DataDir, "nodes", "node8"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.want("POST", "/api/control/add", `{"node_id":"node8"}`, 409)
}

func TestBadRequests(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Nodes = 1 }).start()
	for _, test := range []struct {
		method, path, body string
		code               int
		headers            []string
	}{
		{"GET", "/api/control/nodes", "", 403, []string{"Host: evil.example"}},
		{"GET", "/", "", 403, []string{"Host: evil.example"}},
		{"GET", "/api/node/node1/health", "", 403, []string{"Host: evil.example"}},
		{"POST", "/api/control/stop/node1", "", 403, []string{"Origin: http://evil.example"}},
		{"POST", "/api/node/node1/x", "", 403, []string{"Sec-Fetch-Site: cross-site"}},
		{"GET", "/api/control/stop/node1", "", 405, nil},
		{"POST", "/api/control/nodes", "", 405, nil},
		{"DELETE", "/", "", 405, nil},
		{"GET", "/nothing", "", 404, nil},
		{"POST", "/routes", "{}", 404, nil},
		{"GET", "/api/node/node1", "", 404, nil},
		{"GET", "/api/node/node9/health", "", 404, nil},
		{"POST", "/api/control/add", `{"node_id":"x"}`, 415, []string{"Content-Type: text/plain"}},
		{"POST", "/api/control/add", `{"node_id":"` + strings.Repeat("x", maxBody) + `"}`, 413, nil},
		{"POST", "/api/control/add", `{"node_id":"x","node_id":"y"}`, 400, nil},
		{"POST", "/api/control/add", `{"node_id":"x","colour":"red"}`, 400, nil},
		{"POST", "/api/control/add", `{"node_id":"x","observer":1}`, 400, nil},
		{"POST", "/api/control/add", `{"node_id":7}`, 400, nil},
		{"POST", "/api/control/add", `[]`, 400, nil},
		{"POST", "/api/control/add", ``, 400, nil},
		{"GET", "/api/control/logs/node1?follow=perhaps", "", 400, nil},
		{"GET", "/api/control/logs/node1?lines=-1", "", 400, nil},
		{"GET", "/api/control/logs/node1?of=kernel", "", 400, nil},
		{"GET", "/api/control/logs/node1?colour=red", "", 400, nil},
	} {
		a := r.call(test.method, test.path, test.body, test.headers...)
		if a.code != test.code || a.header.Get("Content-Type") != "application/problem+json" || a.member("error") == "" || a.member("status") != float64(test.code) {
			t.Errorf("%s %s %.40s: %d %s", test.method, test.path, test.body, a.code, a.body)
		}
	}
	// Who takes this port for a node's is told where that is.
	api := r.nodes()["node1"].Addresses.API
	for _, c := range [][2]string{{"GET", "/v1/status"}, {"POST", "/routes"}} {
		if a := r.call(c[0], c[1], ""); a.member("detail") != "no such call here: this is the launcher's port, the nodes' API is at "+api {
			t.Errorf("%s: %s", c, a.body)
		}
	}
	if a := r.call("GET", "/api/control/nothing", ""); a.member("detail") != "no such call" {
		t.Errorf("%s", a.body)
	}
	for body, want := range map[string][2]string{
		`{"node_id":"x","colour":"red"}`: {"colour", "colour: is not a known member"},
		`{"node_id":"x","observer":1}`:   {"observer", "observer: has the wrong type"},
		`{"node_id":"x","node_id":"y"}`:  {"node_id", "node_id: is there twice"},
		`{"node_id":"x"`:                 {"", "invalid request: not well formed JSON near byte 14"},
		`[]`:                             {"", "invalid request: must be a JSON object"},
	} {
		a := r.call("POST", "/api/control/add", body)
		field, _ := a.member("field").(string)
		if field != want[0] || a.member("detail") != want[1] || a.member("error") != "invalid request" {
			t.Errorf("%s: %s", body, a.body)
		}
	}
	if n := r.nodes(); len(n) != 1 || n["node1"].State == "stopped" {
		t.Errorf("something was done: %+v", n)
	}
}

// TestCrash: what ends by itself is restarted, says why, and keeps its ports.
func TestCrash(t *testing.T) {
	r := newRig(t).start()
	before := r.healthy(three...)
	events := r.stream("/api/control/events")
	events.until("the snapshot", func(e sse) bool { return e.name == "nodes" && strings.Contains(e.data, `"node3"`) })
	r.call("POST", "/api/node/node2/crash", "")
	events.node("node2", "offline, saying why", func(n NodeStatus) bool {
		return n.Status == "offline" && n.LastError == "ended with status 7: fake: crashed as asked" && n.Restarts == 1
	})
	events.node("node2", "online", func(n NodeStatus) bool { return n.Status == "online" })
	after := r.healthy(three...)["node2"]
	if after.PID == before["node2"].PID || after.APIPort != before["node2"].APIPort {
		t.Errorf("%+v, before %+v", after, before["node2"])
	}
	if err := syscall.Kill(after.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	events.node("node2", "killed", func(n NodeStatus) bool { return n.LastError == "was ended by SIGKILL" })
	r.healthy(three...)

	// A crash loop is paced, shown, and ended by a start once its cause is gone.
	r.sign("crash-node3", true)
	r.want("POST", "/api/control/restart/node3", "", 200, "status=restart signal sent")
	events.node("node3", "in a crash loop", func(n NodeStatus) bool {
		return n.State == "waiting" && n.Restarts >= 2 && n.LastError == "ended with status 3: fake: told to crash"
	})
	r.sign("crash-node3", false)
	r.want("POST", "/api/control/start/node3", "", 200)
	r.healthy(three...)
	if log := r.call("GET", "/api/control/logs/node3?lines=1", ""); log.code != 200 || log.body != "fake: told to crash\n" {
		t.Errorf("log: %d %q", log.code, log.body)
	}
}

// TestStopAllStartAll: the cluster is back, with its members' data (the seeds'
// A1 and A2), and the event stream goes on while no node runs.
func TestStopAllStartAll(t *testing.T) {
	r := newRig(t).start()
	r.healthy(three...)
	r.eventually("the launcher has noted who is a member", func() bool {
		c := r.l.store.get()
		return !slices.ContainsFunc(three, func(id string) bool { return !c.Nodes[id].Joined })
	})
	events := r.stream("/api/control/events")
	for _, id := range three {
		r.want("POST", "/api/control/stop/"+id, "", 200)
	}
	down := map[string]bool{}
	events.until("all are stopped", func(e sse) bool {
		var n NodeStatus
		if e.name == "node" && json.Unmarshal([]byte(e.data), &n) == nil && n.State == "stopped" && n.Status == "offline" && !n.IsLeader {
			down[n.ID] = true
		}
		return len(down) == 3
	})
	// Events while all are down: a new stream has its snapshot, an old one the news.
	r.stream("/api/control/events").until("the snapshot", func(e sse) bool { return e.name == "nodes" && strings.Count(e.data, `"offline"`) == 3 })
	r.want("POST", "/api/control/add", `{"node_id":"node4"}`, 200) // at once, without a leader
	events.node("node4", "waits for the cluster", func(n NodeStatus) bool { return n.Status == "online" && n.Joining && !n.Quorum })
	if c := r.l.store.get(); c.ClusterID != "c1" {
		t.Fatalf("%+v", c)
	}
	r.want("POST", "/api/control/delete/node2", "", 503) // nobody could remove the member
	for _, id := range three {
		r.want("POST", "/api/control/start/"+id, "", 200)
	}
	r.healthy("node1", "node2", "node3", "node4")
	if n := strings.Count(r.journal(), "form "); n != 1 {
		t.Errorf("formed %d times:\n%s", n, r.journal())
	}
	r.noted(`^stop node1, data there: true`, `^start node1 cluster="c1" initial="" join=""`)
}

// TestSlowStop: a start of a node that is stopping waits for its end.
func TestSlowStop(t *testing.T) {
	r := newRig(t).start()
	pid := r.healthy(three...)["node2"].PID
	r.sign("slow-node2", true)
	r.want("POST", "/api/control/stop/node2", "", 200)
	r.noted(`^stop node2`)
	r.want("POST", "/api/control/start/node2", "", 200)
	if n := r.nodes()["node2"]; n.PID != pid || n.State != "stopping" {
		t.Errorf("%+v, want pid %d stopping", n, pid)
	}
	r.sign("slow-node2", false)
	if n := r.healthy(three...)["node2"]; n.PID == pid || n.Restarts != 0 {
		t.Errorf("%+v", n)
	}
}

// TestAdoption: kill -9 of the launcher leaves the nodes alone, and the next
// one takes them over as they are; stops it did not live to see it completes.
func TestAdoption(t *testing.T) {
	r := newRig(t, func(o *Options) { o.DataPlanes = true })
	p := r.spawn()
	before := r.healthy(three...)
	for _, want := range []string{"page and control API", "A new cluster forms", fmt.Sprintf("etcdctl --endpoints 127.0.0.1:%d", r.o.RaftBase+2+clientAfterRaft)} {
		if !strings.Contains(p.out.String(), want) {
			t.Errorf("%q is not in\n%s", want, p.out)
		}
	}
	r.want("POST", "/api/control/stop/node3", "", 200)
	r.eventually("node3 stopped", func() bool { return r.nodes()["node3"].State == "stopped" })
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait()
	for _, id := range []string{"node1", "node2"} {
		if !r.alive(before[id].PID) || !r.alive(before[id].DataPlane.PID) {
			t.Fatalf("%s did not outlive the launcher", id)
		}
	}
	// A launcher that dies before it has recorded a start leaves no record; a
	// record of a process that has gone may name a pid that is another's now.
	dir := filepath.Join(r.o.DataDir, "nodes")
	if err := os.Remove(filepath.Join(dir, "node2", "node.process")); err != nil {
		t.Fatal(err)
	}
	start, err := startTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	other, _ := json.Marshal(record{PID: os.Getpid(), Start: start, Boot: bootID()})
	if err := os.WriteFile(filepath.Join(dir, "node3", "node.process"), other, 0o600); err != nil {
		t.Fatal(err)
	}

	r.start()
	after := r.healthy("node1", "node2")
	for _, id := range []string{"node1", "node2"} {
		n := after[id]
		if n.PID != before[id].PID || !n.Adopted || n.DataPlane.PID != before[id].DataPlane.PID || n.Restarts != 0 {
			t.Errorf("%s: %+v, before %+v", id, n, before[id])
		}
	}
	if n := after["node3"]; n.State != "stopped" || n.PID != 0 { // remembered, and this test's own pid was not believed
		t.Errorf("%+v", n)
	}
	if strings.Count(r.journal(), "start node1") != 1 {
		t.Error(r.journal())
	}
	// An adopted node is watched, restarted and stopped like any other.
	if err := syscall.Kill(after["node1"].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.eventually("node1 restarted", func() bool { n := r.nodes()["node1"]; return n.PID != after["node1"].PID && n.Status == "online" })
	r.want("POST", "/api/control/stop/node2", "", 200)
	r.eventually("node2 stopped", func() bool { return r.nodes()["node2"].State == "stopped" && !r.alive(after["node2"].PID) })
	r.want("POST", "/api/control/start/node2", "", 200)
	r.want("POST", "/api/control/start/node3", "", 200)
	last := r.healthy(three...)
	r.quit()
	for id, n := range last {
		if r.alive(n.PID) || r.alive(n.DataPlane.PID) {
			t.Errorf("%s outlived an orderly stop", id)
		}
	}
	// The end of the launcher is no wish to keep nodes stopped.
	r.start()
	r.healthy(three...)
	if n := strings.Count(r.journal(), "form "); n != 1 {
		t.Errorf("formed %d times", n)
	}
}

// TestSignals: SIGTERM and SIGINT stop the nodes, then the launcher.
func TestSignals(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Nodes = 1 })
	for _, s := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		p := r.spawn()
		n := r.healthy("node1")["node1"]
		if err := p.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		if err := p.cmd.Wait(); err != nil || r.alive(n.PID) {
			t.Errorf("%v: %v, node alive: %v", s, err, r.alive(n.PID))
		}
	}
}

// TestDecommissionOrder: member first, then process, then data; from the
// leader's own seat and for a node that is offline too.
func TestDecommissionOrder(t *testing.T) {
	r := newRig(t, func(o *Options) { o.DataPlanes = true }).start()
	r.healthy(three...)
	for _, id := range []string{"node4", "node5"} {
		r.want("POST", "/api/control/add", `{"node_id":"`+id+`"}`, 200)
	}
	r.healthy("node1", "node2", "node3", "node4", "node5")
	gone := func(id string) {
		t.Helper()
		if _, err := os.Stat(filepath.Join(r.o.DataDir, "nodes", id)); !os.IsNotExist(err) {
			t.Errorf("%s's data: %v", id, err)
		}
		if c := r.l.store.get(); slices.Contains(c.ids(), id) || slices.Contains(c.Founders, id) {
			t.Errorf("%s is in %+v", id, c)
		}
	}
	events := r.stream("/api/control/events")

	// Slow to stop, so that the order shows.
	r.sign("slow-node4", true)
	answer := make(chan reply, 1)
	go func() { answer <- r.call("POST", "/api/control/delete/node4", "") }()
	r.noted(`^remove node4 by`, `^stop node4, data there: true`)
	r.eventually("node4 leaving", func() bool { return r.nodes()["node4"].State == "leaving" })
	for _, call := range []string{"delete/node4", "start/node4", "stop/node4", "restart/node4"} {
		r.want("POST", "/api/control/"+call, "", 409)
	}
	r.want("POST", "/api/control/add", `{"node_id":"node4"}`, 409)
	r.sign("slow-node4", false)
	if a := <-answer; a.code != 200 || a.member("status") != "decommissioned" {
		t.Errorf("%d %s", a.code, a.body)
	}
	gone("node4")
	r.noted(`^plane node4 stops`)
	events.until("node4 removed", func(e sse) bool { return e.name == "removed" && e.data == `{"id":"node4"}` })

	// Offline.
	r.want("POST", "/api/control/stop/node5", "", 200)
	r.eventually("node5 stopped", func() bool { return r.nodes()["node5"].State == "stopped" })
	r.want("POST", "/api/control/delete/node5", "", 200)
	r.noted(`^remove node5 by`)
	gone("node5")

	// A founder that leads.
	leader := ""
	for id, n := range r.healthy(three...) {
		if n.IsLeader {
			leader = id
		}
	}
	r.want("POST", "/api/control/delete/"+leader, "", 200)
	if !regexp.MustCompile(`(?m)^remove `+leader+` by `).MatchString(r.journal()) || strings.Contains(r.journal(), "remove "+leader+" by "+leader) {
		t.Error(r.journal())
	}
	gone(leader)
	// Back under the same name it is a new member, which joins and founds nothing.
	r.want("POST", "/api/control/add", `{"node_id":"`+leader+`"}`, 200, fmt.Sprintf("api_port=%d", r.o.APIBase+10*(int(leader[4]-'1'))))
	r.healthy(three...)
	r.noted(`^remove `+leader, `^start `+leader+` cluster="" initial="" join="127`, `^join `+leader)
	if n := strings.Count(r.journal(), "form "); n != 1 {
		t.Errorf("formed %d times", n)
	}
}

// TestQuorum: a decommission that would lose the quorum is refused and changes
// nothing; nor does one that nobody can carry out.
func TestQuorum(t *testing.T) {
	r := newRig(t).start()
	r.healthy(three...)
	r.want("POST", "/api/control/stop/node3", "", 200)
	r.eventually("node3 stopped", func() bool { return r.nodes()["node3"].State == "stopped" })
	before := r.nodes()["node2"].PID
	a := r.want("POST", "/api/control/delete/node2", "", 409, "type=/problems/quorum")
	if strings.Contains(a.body, "lose quorum") || !strings.Contains(a.body, "fake says Conflict") {
		t.Errorf("the node's own words are missing: %s", a.body)
	}
	if n := r.healthy("node1", "node2")["node2"]; n.PID != before {
		t.Errorf("%+v", n)
	}
	r.want("POST", "/api/control/stop/node2", "", 200)
	r.eventually("no quorum", func() bool { n := r.nodes()["node1"]; return n.Status == "online" && !n.Quorum && !n.IsLeader })
	a = r.want("POST", "/api/control/delete/node3", "", 503)
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if _, err := os.Stat(filepath.Join(r.o.DataDir, "nodes", "node3", "data", "member")); err != nil {
		t.Error(err)
	}
	r.want("POST", "/api/control/start/node3", "", 200)
	r.healthy("node1", "node3")
	r.want("POST", "/api/control/delete/node2", "", 200)
	r.healthy("node1", "node3")
}

// TestDecommissionGoesOn: a launcher that died between removal and deletion
// completes it at its next start.
func TestDecommissionGoesOn(t *testing.T) {
	r := newRig(t)
	p := r.spawn()
	r.healthy(three...)
	r.sign("slow-node2", true)
	go func() { // ends when the launcher dies
		if resp, err := http.Post(r.base+"/api/control/delete/node2", "", nil); err == nil {
			resp.Body.Close()
		}
	}()
	r.noted(`^remove node2`, `^stop node2`)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait()
	r.sign("slow-node2", false)
	r.start()
	r.eventually("node2 gone", func() bool { return len(r.nodes()) == 2 })
	if _, err := os.Stat(filepath.Join(r.o.DataDir, "nodes", "node2")); !os.IsNotExist(err) {
		t.Error(err)
	}
	r.healthy("node1", "node3")
}

// TestLostData: a member without its data is not started afresh.
func TestLostData(t *testing.T) {
	r := newRig(t).start()
	r.healthy(three...)
	r.want("POST", "/api/control/stop/node2", "", 200)
	r.eventually("node2 stopped", func() bool { return r.nodes()["node2"].State == "stopped" })
	if err := os.RemoveAll(filepath.Join(r.o.DataDir, "nodes", "node2", "data")); err != nil {
		t.Fatal(err)
	}
	r.want("POST", "/api/control/start/node2", "", 200)
	r.eventually("node2 refused", func() bool { return strings.Contains(r.nodes()["node2"].LastError, "DATA_DIR is blank") })
	r.healthy("node1", "node3")
	// The way out.
	r.want("POST", "/api/control/delete/node2", "", 200)
	r.want("POST", "/api/control/add", `{"node_id":"node2"}`, 200)
	r.healthy(three...)
}

// TestRemovedBehindOurBack: a member that was removed by another hand is not
// restarted for ever.
func TestRemovedBehindOurBack(t *testing.T) {
	r := newRig(t).start()
	r.healthy(three...)
	if a := r.call("DELETE", "/api/node/node1/v1/cluster/members/node3", ""); a.code != 200 {
		t.Fatalf("%d %s", a.code, a.body)
	}
	r.eventually("node3 out", func() bool {
		n := r.nodes()["node3"]
		return n.State == "waiting" && strings.Contains(n.LastError, "no longer a member")
	})
	starts := strings.Count(r.journal(), "start node3")
	r.want("POST", "/api/control/start/node3", "", 200)
	r.eventually("refused again", func() bool { n := r.nodes()["node3"]; return n.Restarts >= 3 && n.State == "waiting" })
	if n := strings.Count(r.journal(), "start node3"); n != starts {
		t.Errorf("started %d more times", n-starts)
	}
	r.want("POST", "/api/control/delete/node3", "", 200)
	r.healthy("node1", "node2")
}

// TestPortTaken: another program on a node's port is named, and the node keeps
// the port.
func TestPortTaken(t *testing.T) {
	r := newRig(t).start()
	n := r.healthy(three...)["node2"]
	r.want("POST", "/api/control/stop/node2", "", 200)
	r.eventually("node2 stopped", func() bool { return r.nodes()["node2"].State == "stopped" })
	squatter := &http.Server{Handler: http.NotFoundHandler()}
	defer squatter.Close()
	r.eventually("taken", func() bool {
		taken, err := net.Listen("tcp", n.Addresses.Raft)
		if err == nil {
			go squatter.Serve(taken)
		}
		return err == nil
	})
	r.want("POST", "/api/control/start/node2", "", 200)
	r.eventually("node2 says so", func() bool {
		n := r.nodes()["node2"]
		return n.State == "waiting" && strings.HasPrefix(n.LastError, "Raft port") && strings.HasSuffix(n.LastError, "in use by another program")
	})
	_ = squatter.Close()
	if again := r.healthy(three...)["node2"]; again.Addresses != n.Addresses {
		t.Errorf("%+v, before %+v", again.Addresses, n.Addresses)
	}
}

// TestImpostor: who answers at a node's address must be that node.
func TestImpostor(t *testing.T) {
	r := newRig(t).start()
	r.healthy(three...)
	r.sign("impostor-node1", true)
	r.eventually("found out", func() bool {
		n := r.nodes()["node1"]
		return n.Status == "offline" && n.LastError == `node "somebody" answers at its address` && !n.IsLeader
	})
	r.sign("impostor-node1", false)
	r.healthy(three...)
	// One that listens and serves nothing yet says why.
	r.sign("starting-node1", true)
	r.eventually("starting", func() bool {
		n := r.nodes()["node1"]
		return n.Status == "offline" && n.State == "starting" && n.LastError == "waiting for the test"
	})
	r.sign("starting-node1", false)
	r.healthy(three...)
}

// TestDataPlanesLeft: a launcher without data planes ends those that an earlier
// one left behind; nobody else would.
func TestDataPlanesLeft(t *testing.T) {
	r := newRig(t, func(o *Options) { o.DataPlanes = true; o.Nodes = 1 })
	p := r.spawn()
	plane := r.healthy("node1")["node1"].DataPlane.PID
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait()
	r.o.DataPlanes = false
	r.start()
	r.eventually("the data plane ends", func() bool { return !r.alive(plane) })
	if n := r.healthy("node1")["node1"]; n.DataPlane != nil || !n.Adopted {
		t.Errorf("%+v", n)
	}
}

// TestNewDataPlanesWaitForTheirNode: a data plane without state would take the log
// of whoever answers at its controllers' ports; one with state knows its log.
func TestNewDataPlanesWaitForTheirNode(t *testing.T) {
	r := newRig(t, func(o *Options) { o.DataPlanes = true; o.Nodes = 1 })
	if err := os.MkdirAll(r.shared(""), 0o700); err != nil {
		t.Fatal(err)
	}
	r.sign("starting-node1", true)
	r.start()
	waits := func() bool {
		n := r.nodes()["node1"]
		return n.Status == "offline" && n.LastError == "waiting for the test"
	}
	r.eventually("the node waits", waits)
	if r.nodes()["node1"].DataPlane.PID != 0 {
		t.Error("a new data plane runs before its node")
	}
	r.sign("starting-node1", false)
	r.healthy("node1")
	r.eventually("its data plane runs and has state", func() bool {
		return r.nodes()["node1"].DataPlane.PID != 0 && strings.Contains(r.journal(), "plane node1 controllers=")
	})
	r.quit()

	r.sign("starting-node1", true)
	r.start()
	r.eventually("one with state runs before its node", func() bool { return r.nodes()["node1"].DataPlane.PID != 0 })
	r.eventually("the node waits again", waits)
	r.sign("starting-node1", false)
}

// TestDataPlanesAreHeard: one that runs and refuses the nodes' log is shown as it
// says, and so is that it no longer does.
func TestDataPlanesAreHeard(t *testing.T) {
	var says atomic.Pointer[string]
	say := func(s string) { says.Store(&s) }
	say("stale: 127.0.0.1:9100: the controller belongs to log A, the routes held here to log B: restart with --adopt to accept the other log")
	asked := make(chan string, 1)
	r := newRig(t, func(o *Options) {
		o.DataPlanes, o.Nodes = true, 1
		o.AskPlane = func(_ context.Context, address string) (string, error) {
			select {
			case asked <- address:
			default:
			}
			return *says.Load(), nil
		}
	}).start()
	plane := func() PlaneStatus { return *r.healthy("node1")["node1"].DataPlane }
	r.eventually("the refusal is shown", func() bool {
		p := plane()
		return p.State == "running" && p.Status == "stale" && strings.Contains(p.LastError, "belongs to log A")
	})
	if address := <-asked; address != plane().Listen {
		t.Errorf("%s was asked, it listens on %s", address, plane().Listen)
	}
	say("in sync")
	r.eventually("its end is shown", func() bool { p := plane(); return p.Status == "in sync" && p.LastError == "" })
}

// TestNodesStopWhileCallsEnd: a call that hangs delays the launcher's end, not its nodes'.
func TestNodesStopWhileCallsEnd(t *testing.T) {
	r := newRig(t).start()
	nodes := r.healthy(three...)
	hanging, err := net.Dial("tcp", r.l.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	// The answer to Expect tells that the call has begun and waits for its body.
	fmt.Fprintf(hanging, "POST /api/control/add HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n", r.l.listener.Addr())
	if line, err := bufio.NewReader(hanging).ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q %v", line, err)
	}
	own := stalltest.Begin(t)
	r.cancel()
	for _, id := range three {
		r.eventually(id+" ends", func() bool { return !r.alive(nodes[id].PID) })
	}
	if d := own(); d >= drainHTTP {
		t.Errorf("the nodes ended after %v", d)
	}
	r.quit()
}

// TestObservers: beyond seven voters nodes observe, and an observer can be asked for.
func TestObservers(t *testing.T) {
	r := newRig(t).start()
	r.healthy(three...)
	r.want("POST", "/api/control/add", `{"node_id":"watcher","observer":true}`, 200, "observer=true")
	all := append(slices.Clone(three), "watcher")
	for _, id := range []string{"node4", "node5", "node6", "node7", "node8"} {
		r.want("POST", "/api/control/add", `{"node_id":"`+id+`"}`, 200, fmt.Sprintf("observer=%v", id == "node8"))
		all = append(all, id)
	}
	nodes := r.healthy(all...)
	for id, n := range nodes {
		if observes := id == "watcher" || id == "node8"; observes != (n.Role == "observer") {
			t.Errorf("%s is %s", id, n.Role)
		}
	}
}

func TestLogsFollow(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Nodes = 1 }).start()
	r.healthy("node1")
	path := filepath.Join(r.o.DataDir, "nodes", "node1", nodeLog)
	say := func(s string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(s); err != nil {
			t.Fatal(err)
		}
	}
	say("one\ntwo\n")
	if a := r.want("GET", "/api/control/logs/node1?lines=1", "", 200); a.body != "two\n" {
		t.Errorf("%q", a.body)
	}
	resp, err := http.Get(r.base + "/api/control/logs/node1?lines=2&follow=true")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	read := func(want string) {
		t.Helper()
		b := make([]byte, len(want))
		for n := 0; n < len(want); {
			k, err := resp.Body.Read(b[n:])
			if n += k; err != nil {
				t.Fatalf("%q, %v", b[:n], err)
			}
		}
		if string(b) != want {
			t.Errorf("%q, want %q", b, want)
		}
	}
	timer := time.AfterFunc(patience, func() { resp.Body.Close() })
	defer timer.Stop()
	read("one\ntwo\n")
	say("three\n")
	read("three\n")
	if err := rotateFile(path, 1); err != nil {
		t.Fatal(err)
	}
	say("four\n")
	read("four\n")
	if a := r.want("GET", "/api/control/logs/node1?of=dataplane", "", 200); a.body != "" {
		t.Errorf("%q", a.body)
	}
	r.quit() // ends the stream, and does not wait for its reader
	if k, err := resp.Body.Read(make([]byte, 1)); k > 0 || err == nil {
		t.Errorf("%d %v", k, err)
	}
}

// TestProxy: paths reach the node byte for byte; the node sees no origin.
func TestProxy(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Nodes = 1 }).start()
	r.healthy("node1")
	if a := r.want("GET", "/api/node/node1/health", "", 200); a.member("node_id") != "node1" {
		t.Error(a.body)
	}
	for _, path := range []string{"/", "/kv/a%2Fb", "/kv/a//b", "/kv/%25", "/kv/..%2Fx", "/kv/ä", "/routes/10.1.0.0%2F16?x=1;y&z=%zz", "/a?b=c&b=d"} {
		a := r.call("PATCH", "/api/node/node1"+path, "", "Origin: "+r.base, "Sec-Fetch-Site: same-origin")
		want := strings.ReplaceAll(path, "ä", "%C3%A4")
		if a.code != http.StatusTeapot || a.member("uri") != want || a.member("origin") != nil || a.member("site") != nil {
			t.Errorf("%s: %d %s", path, a.code, a.body)
		}
	}
	r.want("POST", "/api/control/stop/node1", "", 200)
	r.eventually("stopped", func() bool { return r.nodes()["node1"].State == "stopped" })
	r.want("GET", "/api/node/node1/health", "", 502)
}

// TestPage holds of the dashboard, and of the plain page where it is not built.
func TestPage(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Nodes = 1 }).start()
	page := r.want("GET", "/", "", 200)
	if !strings.Contains(page.header.Get("Content-Security-Policy"), "default-src 'none'") || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") {
		t.Error(page.header)
	}
	links := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page.body, -1)
	if len(links) < 2 {
		t.Errorf("%v", links)
	}
	for _, m := range links {
		if a := r.want("GET", m[1], "", 200); a.body == "" || m[1] == "/launcher.js" && strings.Contains(a.body, "innerHTML") {
			t.Errorf("%s: %.100s", m[1], a.body)
		}
	}
	if strings.Contains(page.body, "<style") || regexp.MustCompile(`<script[^>]*>[^<]`).MatchString(page.body) {
		t.Error("inline code, which the policy forbids")
	}
	if a := r.call("HEAD", "/", ""); a.code != 200 || a.body != "" {
		t.Errorf("%d %q", a.code, a.body)
	}
}

// TestStreamsAreBounded: there is an end to what clients can hold open.
func TestStreamsAreBounded(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Nodes = 1 }).start()
	for range cap(r.l.streams) {
		r.l.streams <- struct{}{}
	}
	r.want("GET", "/api/control/events", "", 503)
	r.want("GET", "/api/control/logs/node1", "", 503)
	<-r.l.streams
	r.want("GET", "/api/control/logs/node1", "", 200)
	r.want("GET", "/api/control/logs/node1", "", 200) // it was given back
	for range cap(r.l.streams) - 1 {
		<-r.l.streams
	}
}
