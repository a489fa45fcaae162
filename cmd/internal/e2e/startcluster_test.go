package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dvr/cmd/internal/testbed"
	"dvr/controller/stalltest"
)

// clusterScript is deploy/start-cluster.sh on free ports.
type clusterScript struct {
	t         *testing.T
	data      string
	api, raft int
}

func newClusterScript(t *testing.T) *clusterScript {
	t.Helper()
	for _, binary := range []string{"dvr", "dvr-dataplane"} {
		_, err := testbed.Binary(binary)
		orSkip(t, err)
	}
	s := &clusterScript{t: t, data: scratch(t), api: freeRange(t, 1, 2, 3, 101, 102, 103, 201, 202, 203), raft: freeRange(t, 1, 2, 3, -5920, -5919, -5918)}
	t.Cleanup(func() { s.run("stop") })
	return s
}

// run gives the exit code and what was printed.
func (s *clusterScript) run(arguments ...string) (int, string) {
	s.t.Helper()
	cmd := exec.Command("../../../deploy/start-cluster.sh", arguments...)
	// The seed has its readers export these in the same shell.
	cmd.Env = append(os.Environ(), "DVR_CLUSTER_DATA="+s.data, fmt.Sprint("DVR_CLUSTER_API=", s.api), fmt.Sprint("DVR_CLUSTER_RAFT=", s.raft),
		"NODE_ID=node-1", "RAFT_ADDR=127.0.0.1:8301", "API_ADDR=:9091", "DATA_DIR=./data/node1", "DVR_LISTEN=127.0.0.1:1", "JOIN=127.0.0.1:1")
	out, _ := cmd.CombinedOutput()
	return cmd.ProcessState.ExitCode(), string(out)
}

func (s *clusterScript) want(code int, part string, arguments ...string) string {
	s.t.Helper()
	got, out := s.run(arguments...)
	if got != code || !strings.Contains(out, part) {
		s.t.Fatalf("%v: exit %d, want %d with %q:\n%s", arguments, got, code, part, out)
	}
	return out
}

func (s *clusterScript) get(n int, path string) string {
	s.t.Helper()
	resp, err := http.Get(fmt.Sprintf("http://localhost:%d%s", s.api+n, path))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		s.t.Fatalf("%s of node %d: %d %s %v", path, n, resp.StatusCode, body, err)
	}
	return string(body)
}

// everywhere waits until all nodes serve the route.
func (s *clusterScript) everywhere(destination string) {
	s.t.Helper()
	for n := 1; n <= 3; n++ {
		for end := time.Now().Add(patience); !strings.Contains(s.get(n, "/routes"), `"`+destination+`":`); time.Sleep(10 * time.Millisecond) { // polls another process
			if time.Now().After(end) {
				s.t.Fatalf("node %d does not serve %s", n, destination)
			}
		}
	}
}

// pids of the recorded processes, by file.
func (s *clusterScript) pids() map[string]int {
	out := map[string]int{}
	files, _ := filepath.Glob(filepath.Join(s.data, "node?", "*.process"))
	for _, path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			s.t.Fatal(err)
		}
		var pid int
		if _, err := fmt.Sscan(string(raw), &pid); err != nil {
			s.t.Fatalf("%s: %q", path, raw)
		}
		out[path] = pid
	}
	return out
}

// TestStartCluster is the first seed's walk-through of three nodes.
func TestStartCluster(t *testing.T) {
	s := newClusterScript(t)
	s.want(0, "A new cluster runs")
	pids := s.pids()
	if len(pids) != 6 {
		t.Fatalf("%v", pids)
	}
	leaders := 0
	for n := 1; n <= 3; n++ {
		health := s.get(n, "/health")
		if !strings.Contains(health, fmt.Sprintf(`"node_id":"node-%d"`, n)) {
			t.Error(health)
		}
		leaders += strings.Count(health, `"raft_state":"Leader"`)
	}
	if leaders != 1 {
		t.Errorf("%d nodes lead", leaders)
	}
	resp, err := http.Post(fmt.Sprintf("http://localhost:%d/routes", s.api+1), "application/json",
		strings.NewReader(`{"destination": "192.168.0.0/24", "next_hop": "10.0.0.1", "metric": 50}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 201 {
		t.Errorf("POST /routes: %d", resp.StatusCode)
	}
	s.everywhere("192.168.0.0/24")

	// A second start leaves alone what runs, and brings back what does not.
	s.want(0, "runs already")
	lost := filepath.Join(s.data, "node2", "node.process")
	if err := syscall.Kill(pids[lost], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the killed node is gone", func() bool { return startOf(pids[lost]) == "" })
	s.want(0, "runs again", "start")
	for path, pid := range s.pids() {
		if (pid == pids[path]) == (path == lost) {
			t.Errorf("%s: %d, before %d", path, pid, pids[path])
		}
	}

	// stop ends its own processes and nobody else's: a record whose pid has been
	// given to another process since is no order to kill that one.
	bystander := exec.Command("sleep", "600")
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bystander.Process.Kill(); _ = bystander.Wait() }()
	forged := filepath.Join(s.data, "node3", "dataplane.process")
	raw, err := os.ReadFile(forged)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	var rest string
	if _, err := fmt.Sscanf(string(raw), "%d %s", &pid, &rest); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }() // it has no record any more
	if err := os.WriteFile(forged, []byte(strings.Replace(string(raw), fmt.Sprint(pid), fmt.Sprint(bystander.Process.Pid), 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	pids = s.pids()
	s.want(0, "Stopped. Data is kept", "stop")
	for path, pid := range pids {
		if alive := startOf(pid) != ""; alive != (path == forged) {
			t.Errorf("%s: process %d alive: %v", path, pid, alive)
		}
	}
	s.want(0, "Nothing of it runs", "stop")
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil { // the real data plane
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); startOf(pid) != "" && time.Now().Before(end); time.Sleep(10 * time.Millisecond) { // polls another process
	}

	// The data is kept.
	s.want(0, "runs again")
	s.everywhere("192.168.0.0/24")
}

// TestStartClusterRefuses: what cannot start is said in the node's own words,
// and nothing is left running.
func TestStartClusterRefuses(t *testing.T) {
	s := newClusterScript(t)
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", s.api+2))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s.want(1, "is in use by another program")
	for path, pid := range s.pids() {
		if startOf(pid) != "" {
			t.Errorf("%s: process %d goes on", path, pid)
		}
	}
	s.want(2, "start-cluster.sh stop", "restart")
	s.want(2, "start-cluster.sh stop", "start", "now")
	s.want(0, "start-cluster.sh stop", "--help")
}

// TestStartClusterBesideAStranger: a start that fails since another node has a
// port leaves no data plane bound to that node's log; where one is bound so all
// the same, the next start says it, at once and in the data plane's words.
func TestStartClusterBesideAStranger(t *testing.T) {
	s := newClusterScript(t)
	dvr, err := testbed.Binary("dvr")
	orSkip(t, err)
	plane, err := testbed.Binary("dvr-dataplane")
	orSkip(t, err)
	stranger := exec.Command(dvr, "node")
	stranger.Env = append(os.Environ(), "NODE_ID=stranger", fmt.Sprint("API_ADDR=127.0.0.1:", s.api+2), fmt.Sprint("RAFT_ADDR=127.0.0.1:", freeRange(t, 0, -5921)), "DATA_DIR="+scratch(t))
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = stranger.Wait() }()
	defer func() { _ = stranger.Process.Kill(); <-ended }()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // polls another process
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", s.api+2))
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == 200 {
				break
			}
		}
		if time.Now().After(end) {
			t.Fatal("the stranger does not serve")
		}
	}
	s.want(1, "is in use by another program")
	if left, _ := filepath.Glob(filepath.Join(s.data, "node?", "dataplane")); len(left) != 0 {
		t.Errorf("state of data planes was left: %v", left)
	}

	// One that has taken the stranger's log, as an earlier version's could.
	state := filepath.Join(s.data, "node1", "dataplane")
	bound := exec.Command(plane, "--router", "node-1", "--controller", fmt.Sprint("127.0.0.1:", s.api+102), "--state-dir", state, "--listen", fmt.Sprint("127.0.0.1:", s.api+201))
	if err := bound.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // polls another process
		out, _ := exec.Command(dvr, "--endpoint", fmt.Sprint("127.0.0.1:", s.api+2), "dataplane", "list").Output()
		if strings.Contains(string(out), "\nnode-1 ") && !strings.Contains(string(out), "disconnected") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the data plane is not connected:\n%s", out)
		}
	}
	for _, p := range []*os.Process{bound.Process, stranger.Process} {
		_ = p.Signal(syscall.SIGTERM)
	}
	_ = bound.Wait()
	<-ended
	own := stalltest.Begin(t)
	out := s.want(1, "The data plane of node-1 refuses this cluster")
	if d := own(); d > 40*time.Second || !strings.Contains(out, "the controller belongs to log ") {
		t.Errorf("after %v:\n%s", d, out)
	}
	if _, err := os.Stat(state); err != nil {
		t.Errorf("state that this start did not make: %v", err)
	}
	if err := os.RemoveAll(state); err != nil {
		t.Fatal(err)
	}
	s.want(0, "The cluster runs again")
}
