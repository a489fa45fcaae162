package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dvr/cmd/internal/client"
	"dvr/cmd/internal/testbed"
	"dvr/controller/stalltest"
)

// members prepares nodes that form a cluster with each other.
func members(t testing.TB, n int) []*testbed.Node {
	t.Helper()
	var nodes []*testbed.Node
	var list []string
	for i := range n {
		node := joiner(t, fmt.Sprintf("node-%d", i+1))
		nodes = append(nodes, node)
		list = append(list, fmt.Sprintf("node-%d=%s", i+1, node.Raft))
	}
	for _, node := range nodes {
		node.Environment = append(node.Environment, "INITIAL_CLUSTER="+strings.Join(list, ","))
	}
	return nodes
}

// joiner prepares a node; it runs when the test starts it.
func joiner(t testing.TB, id string, environment ...string) *testbed.Node {
	t.Helper()
	n, err := testbed.NewNode(scratch(t), append([]string{"NODE_ID=" + id}, environment...)...)
	orSkip(t, err)
	return n
}

func launch(t testing.TB, nodes ...*testbed.Node) {
	t.Helper()
	for _, n := range nodes {
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if n.Running() {
				_ = n.Signal(syscall.SIGCONT)
				n.Kill()
			}
			if t.Failed() {
				t.Logf("log of %v:\n%s", n.Environment, n.Log())
			}
		})
	}
}

func ready(t testing.TB, nodes ...*testbed.Node) {
	t.Helper()
	for _, n := range nodes {
		if err := n.Ready(within(t, patience)); err != nil {
			t.Fatal(err)
		}
	}
}

// state is raft_state of /health; empty while the node does not answer.
func state(n *testbed.Node) string {
	var body struct {
		State string `json:"raft_state"`
	}
	c := http.Client{Timeout: time.Second}
	resp, err := c.Get("http://" + n.API + "/health")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	if err := decodeJSON(resp.Body, &body); err != nil {
		return ""
	}
	return body.State
}

// leader waits until exactly one of the nodes leads, and gives the others too.
func leader(t testing.TB, nodes ...*testbed.Node) (*testbed.Node, []*testbed.Node) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		var lead *testbed.Node
		var rest []*testbed.Node
		for _, n := range nodes {
			if state(n) == "Leader" && lead == nil {
				lead = n
			} else {
				rest = append(rest, n)
			}
		}
		if lead != nil && len(rest) == len(nodes)-1 {
			return lead, rest
		}
		time.Sleep(5 * time.Millisecond) // polls other processes
	}
	t.Fatal("nobody leads")
	return nil, nil
}

// clusterID is what a node tells of its cluster, with the roles of those online.
func clusterID(t testing.TB, n *testbed.Node) (string, string) {
	t.Helper()
	a := must(t, n, http.StatusOK, http.MethodGet, "/v1/cluster/members", "")
	var roles []string
	list, _ := a.body["members"].([]any)
	for _, m := range list {
		o, _ := m.(map[string]any)
		if o["online"] == true {
			roles = append(roles, fmt.Sprintf("%v:%v", o["node_id"], o["role"]))
		}
	}
	id, _ := a.body["cluster_id"].(string)
	return id, strings.Join(roles, " ")
}

// wantRoles waits until a node shows these roles.
func wantRoles(t testing.TB, n *testbed.Node, want string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		_, got := clusterID(t, n)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the members are %s, want %s", got, want)
		}
		time.Sleep(20 * time.Millisecond) // polls another process
	}
}

// add adds a route and retries for as long as the client's rules say.
func add(t testing.TB, i int, nodes ...*testbed.Node) time.Duration {
	t.Helper()
	var endpoints []string
	for _, n := range nodes {
		endpoints = append(endpoints, n.API)
	}
	c, err := client.New(endpoints, "test")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err = c.Do(within(t, patience), client.Call{Method: http.MethodPost, Path: "/routes", Body: fmt.Appendf(nil, `{"destination":"10.%d.%d.0/24","next_hop":"192.168.1.1"}`, i/256, i%256)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// TestSeedBlocks: the seed's three export blocks plus one line, the same at
// each, make one cluster.
func TestSeedBlocks(t *testing.T) {
	const line = "INITIAL_CLUSTER=node-1=127.0.0.1:8301,node-2=127.0.0.1:8302,node-3=127.0.0.1:8303"
	var nodes []*testbed.Node
	dir := scratch(t)
	for i := 1; i <= 3; i++ {
		n, err := testbed.NewNode(dir)
		orSkip(t, err)
		n.Defaults()
		n.Environment = []string{
			fmt.Sprintf("NODE_ID=node-%d", i), fmt.Sprintf("RAFT_ADDR=127.0.0.1:830%d", i),
			fmt.Sprintf("API_ADDR=:909%d", i), fmt.Sprintf("DATA_DIR=./data/node%d", i), line,
		}
		n.API, n.FIB = fmt.Sprintf("127.0.0.1:909%d", i), fmt.Sprintf("127.0.0.1:919%d", i)
		n.Raft, n.Etcd = fmt.Sprintf("127.0.0.1:830%d", i), fmt.Sprintf("127.0.0.1:%d", 2379+i)
		n.Client, _ = client.New([]string{n.API}, "test")
		for _, a := range []string{n.API, n.FIB, n.Raft, n.Etcd} {
			l, err := net.Listen("tcp", a)
			if err != nil {
				t.Skipf("another program has the seed's port: %v", err)
			}
			l.Close()
		}
		nodes = append(nodes, n)
	}
	launch(t, nodes...)
	ready(t, nodes...)
	lead, rest := leader(t, nodes...)
	for _, n := range rest {
		if s := state(n); s != "Follower" {
			t.Errorf("beside the leader %s is %s", n.API, s)
		}
	}
	add(t, 1, rest[0])
	for _, n := range nodes {
		wantRoles(t, n, "node-1:voter node-2:voter node-3:voter")
		for call(t, n, http.MethodGet, "/routes/10.0.1.0/24", "").code != http.StatusOK {
			time.Sleep(5 * time.Millisecond) // it follows; polls another process
		}
	}
	if err := lead.Stop(15 * time.Second); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	add(t, 2, rest...)
}

// TestNoFalseLeader: a leader that loses its majority says so within two
// election timeouts, refuses writes at once, goes on reading, and takes writes
// again by itself when one member is back.
func TestNoFalseLeader(t *testing.T) {
	nodes := members(t, 3)
	launch(t, nodes...)
	ready(t, nodes...)
	lead, rest := leader(t, nodes...)
	add(t, 1, lead)
	for _, n := range rest {
		n.Kill()
	}
	began, own := time.Now(), stalltest.Begin(t)
	for state(lead) == "Leader" {
		if time.Since(began) > patience {
			t.Fatal("it leads without a majority")
		}
		time.Sleep(5 * time.Millisecond) // polls another process
	}
	const twoTimeouts = 2 * time.Second
	took := own()
	t.Logf("given up after %v", took)
	if took > twoTimeouts+300*time.Millisecond { // for the scheduler of a busy machine
		t.Errorf("leadership without a majority was claimed for %v", took)
	}
	must(t, lead, http.StatusServiceUnavailable, http.MethodGet, "/health", "")
	own = stalltest.Begin(t)
	refused := must(t, lead, http.StatusServiceUnavailable, http.MethodPost, "/routes", `{"destination":"10.2.0.0/16","next_hop":"192.168.1.1"}`)
	if d := own(); d > 500*time.Millisecond || refused.header.Get("Retry-After") == "" {
		t.Errorf("a write was refused after %v: %v", d, refused.header)
	}
	if named, _ := refused.body["last_leader"].(map[string]any); named["node_id"] == nil || named["api"] != lead.API {
		t.Errorf("who led last: %s", refused.text)
	}
	if a := must(t, lead, http.StatusOK, http.MethodGet, "/routes/10.0.1.0/24", ""); a.body["stale"] != true {
		t.Errorf("a read without a majority: %s", a.text)
	}
	if a := must(t, lead, http.StatusOK, http.MethodGet, "/kv", ""); a.header.Get("DVR-Stale") != "true" {
		t.Errorf("a list without a majority: %v", a.header)
	}
	// What is not here may be elsewhere: never 404.
	for _, path := range []string{"/kv/absent", "/routes/10.9.0.0%2F16", "/routes?consistency=linearizable"} {
		if a := must(t, lead, http.StatusServiceUnavailable, http.MethodGet, path, ""); a.header.Get("Retry-After") == "" {
			t.Errorf("%s: %v", path, a.header)
		}
	}
	for waits := true; waits; { // an election is waited for, and no longer than that
		if time.Since(began) > patience {
			t.Fatal("reads go on waiting for a quorum")
		}
		own = stalltest.Begin(t)
		must(t, lead, http.StatusOK, http.MethodGet, "/routes/10.0.1.0/24", "")
		waits = own() > 500*time.Millisecond
	}
	// The log of before is read on, from what the member has.
	for _, path := range []string{
		"/v1/commits?limit=2", "/v1/commits/2", "/v1/diff?from=1", "/v1/blame/10.0.1.0%2F24", "/v1/explain?address=10.0.1.1", "/routes/10.0.1.0%2F24?at=2",
	} {
		own = stalltest.Begin(t)
		if a := must(t, lead, http.StatusOK, http.MethodGet, path, ""); own() > time.Second || strings.HasPrefix(path, "/v1/commits") && a.header.Get("DVR-Stale") != "true" {
			t.Errorf("%s: %v after %v", path, a.header, own())
		}
	}
	if a := must(t, lead, http.StatusOK, http.MethodGet, "/v1/cluster/members", ""); a.body["stale"] != true {
		t.Errorf("the members without a majority: %s", a.text)
	}
	launch(t, rest[0])
	add(t, 2, lead)
}

// TestPausedLeader: while a leader is stopped another one takes over; resumed,
// it does not claim to lead beside it for longer than two election timeouts.
func TestPausedLeader(t *testing.T) {
	nodes := members(t, 3)
	launch(t, nodes...)
	ready(t, nodes...)
	old, rest := leader(t, nodes...)
	if err := old.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	leader(t, rest...)
	add(t, 1, rest...)
	if _, roles := clusterID(t, rest[0]); strings.Count(roles, ":voter") != 2 {
		t.Errorf("the paused node counts as online: %s", roles)
	}
	if err := old.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	began, last, own := time.Now(), time.Now(), stalltest.Begin(t)
	for time.Since(began) < 4*time.Second {
		if state(old) == "Leader" {
			last = time.Now()
		}
		time.Sleep(5 * time.Millisecond) // polls another process
	}
	passed := time.Since(began)
	if d := last.Sub(began) - (passed - own()); d > 2*time.Second {
		t.Errorf("two nodes claimed to lead for %v", d)
	}
	add(t, 2, old)
}

// TestLeaderKill: writes go on after one election; after an ordinary stop of
// the leader there is none.
func TestLeaderKill(t *testing.T) {
	nodes := members(t, 3)
	launch(t, nodes...)
	ready(t, nodes...)
	lead, rest := leader(t, nodes...)
	add(t, 1, rest...)
	lead.Kill()
	own := stalltest.Begin(t)
	for { // without the client's pauses
		if call(t, rest[0], http.MethodPost, "/routes", `{"destination":"10.7.0.0/16","next_hop":"192.168.1.1"}`).code == http.StatusCreated {
			break
		}
		time.Sleep(5 * time.Millisecond) // polls another process
	}
	took := own()
	t.Logf("writes after kill -9 of the leader were back in %v", took)
	if took > 3*time.Second {
		t.Errorf("writes were away for %v", took)
	}
	launch(t, lead)
	ready(t, lead)
	wantRoles(t, rest[0], "node-1:voter node-2:voter node-3:voter")
}

// TestFormationUnderKills: however often members are killed while they form a
// cluster, they end up in one, without anybody's help.
func TestFormationUnderKills(t *testing.T) {
	rounds := 4
	if testing.Short() {
		rounds = 1
	}
	for round := range rounds {
		nodes := members(t, 3)
		launch(t, nodes...)
		var wait sync.WaitGroup
		for _, n := range nodes {
			pauses := []time.Duration{time.Duration(rand.IntN(250)) * time.Millisecond, time.Duration(rand.IntN(400)) * time.Millisecond, time.Duration(rand.IntN(400)) * time.Millisecond}
			wait.Go(func() {
				for _, p := range pauses {
					time.Sleep(p) // when the fault comes
					n.Kill()
					if err := n.Start(); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wait.Wait()
		ready(t, nodes...)
		id, _ := clusterID(t, nodes[0])
		for _, n := range nodes {
			if other, _ := clusterID(t, n); other != id {
				t.Fatalf("round %d: clusters %s and %s", round, id, other)
			}
		}
		add(t, 1, nodes...)
		for _, n := range nodes {
			n.Kill()
		}
	}
}

// TestRemovedNodeExits with a code of its own, and again when it is started
// again; one whose data are lost with another.
func TestRemovedNodeExits(t *testing.T) {
	nodes := members(t, 3)
	launch(t, nodes...)
	ready(t, nodes...)
	if out, code := run(t, "--endpoint", nodes[0].API, "cluster", "remove", "node-3"); code != 0 || !strings.Contains(out, "member removed") {
		t.Fatalf("exit %d: %s", code, out)
	}
	for range 2 {
		if code, err := nodes[2].Wait(within(t, patience)); err != nil || code != 6 {
			t.Fatalf("exit %d, %v", code, err)
		}
		if !strings.Contains(nodes[2].Log(), "was removed from its cluster") {
			t.Errorf("it does not say why:\n%s", nodes[2].Log())
		}
		if err := nodes[2].Start(); err != nil {
			t.Fatal(err)
		}
	}
	if out, code := run(t, "--endpoint", nodes[0].API, "cluster", "members"); code != 0 || strings.Contains(out, "node-3") || !strings.Contains(out, "voter") {
		t.Errorf("exit %d: %s", code, out)
	}
	if out, code := run(t, "--endpoint", nodes[0].API, "cluster", "remove", "node-3"); code != 3 {
		t.Errorf("exit %d: %s", code, out)
	}
	fresh := joiner(t, "node-3", "JOIN="+nodes[0].API)
	launch(t, fresh)
	ready(t, fresh)
	wantRoles(t, nodes[0], "node-1:voter node-2:voter node-3:voter")
	if out, code := run(t, "--endpoint", fresh.API, "cluster", "transfer-leader", "node-2"); code != 0 {
		t.Errorf("exit %d: %s", code, out)
	}
	if out, code := run(t, "--endpoint", fresh.API, "cluster", "status"); code != 0 || !strings.Contains(out, "node-2") || !strings.Contains(out, "3, of which 3 answer; 2 are needed") {
		t.Errorf("exit %d: %s", code, out)
	}
	blank := joiner(t, "node-9", "CLUSTER_ID=00000000000000c1")
	if err := blank.Start(); err != nil {
		t.Fatal(err)
	}
	if code, err := blank.Wait(within(t, patience)); err != nil || code != 7 {
		t.Errorf("blank data with CLUSTER_ID: exit %d, %v\n%s", code, err, blank.Log())
	}
}

// TestRecoverAfterALostMajority: the command line's way out, with a data plane
// that notices the new epoch and reconciles without losing what it forwards.
func TestRecoverAfterALostMajority(t *testing.T) {
	nodes := members(t, 3)
	launch(t, nodes...)
	ready(t, nodes...)
	survivor := nodes[1]
	add(t, 1, survivor)
	p := startPlane(t, survivor, "r1")
	for _, n := range nodes {
		n.Kill()
	}
	data := filepath.Join(survivor.Dir, "data")
	if out, code := run(t, "cluster", "recover", "--data-dir", data); code != 2 || !strings.Contains(out, "--yes") {
		t.Errorf("without --yes: exit %d: %s", code, out)
	}
	out, code := run(t, "cluster", "recover", "--data-dir", data, "--yes", "--reason", "fire", "-o", "json")
	if code != 0 || !strings.Contains(out, `"epoch": 2`) {
		t.Fatalf("exit %d: %s", code, out)
	}
	launch(t, survivor)
	ready(t, survivor)
	revision := must(t, survivor, http.StatusCreated, http.MethodPost, "/routes?wait=installed&timeout=60s", `{"destination":"10.9.0.0/16","next_hop":"192.168.1.9"}`).revision()
	p.inSync(t, survivor, revision)
	agree(t, survivor, readHistory(t, survivor.Etcd), p)
}

func decodeJSON(r io.Reader, v any) error { return json.NewDecoder(r).Decode(v) }
