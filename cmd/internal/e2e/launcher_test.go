package e2e

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dvr/cmd/internal/testbed"
	"dvr/controller/porttest"
)

// freeRange is a port p such that p+offset is this process's for every offset.
func freeRange(t *testing.T, offsets ...int) int {
	t.Helper()
	p, err := porttest.Take(offsets...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// launched is a `dvr launch` and what it answers.
type launched struct {
	t         *testing.T
	cmd       *exec.Cmd
	arguments []string
	data      string
	api       int // base
	url       string
	http      *http.Client // nil: the default one
	out       bytes.Buffer
	done      chan error
}

type launchedNode struct {
	APIPort   int    `json:"api_port"`
	ID        string `json:"id"`
	IsLeader  bool   `json:"is_leader"`
	Status    string `json:"status"`
	State     string
	Role      string
	Joining   bool
	PID       int
	Adopted   bool
	LastError string `json:"last_error"`
	DataPlane struct {
		State  string
		Status string
		PID    int
		Listen string
	} `json:"data_plane"`
}

// newLaunch prepares a launcher on free ports; command is what runs `dvr launch`.
func newLaunch(t *testing.T, arguments ...string) *launched {
	t.Helper()
	var offsets []int
	for i := range 5 {
		offsets = append(offsets, 10*i, 10*i+100, 10*i+200, 300+i, 305+i)
	}
	api := freeRange(t, offsets...)
	raft := freeRange(t, 0, 1, 2, 3, 4, -5921, -5920, -5919, -5918, -5917)
	l := &launched{t: t, data: scratch(t), api: api}
	l.arguments = append([]string{"--listen", "127.0.0.1:0", "--data-dir", l.data, "--api-base", strconv.Itoa(api), "--raft-base", strconv.Itoa(raft)}, arguments...)
	t.Cleanup(func() {
		if l.done != nil {
			l.end(syscall.SIGTERM)
		}
		records, _ := filepath.Glob(filepath.Join(l.data, "nodes", "*", "*.process"))
		for _, path := range records { // what a failed test leaves
			var r struct {
				PID   int
				Start uint64
			}
			if raw, err := os.ReadFile(path); err == nil && json.Unmarshal(raw, &r) == nil && startOf(r.PID) == strconv.FormatUint(r.Start, 10) {
				_ = syscall.Kill(r.PID, syscall.SIGKILL)
			}
		}
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(l.data, "nodes", "*", "node.log"))
			for _, path := range logs {
				out, _ := exec.Command("tail", "-n", "15", path).Output()
				t.Logf("%s:\n%s", path, out)
			}
		}
	})
	return l
}

// startOf is a process's start time in clock ticks; "" where it does not run.
func startOf(pid int) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	if err != nil || len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}

// run starts the launcher by the command line before its arguments.
func (l *launched) run(env []string, line ...string) {
	l.t.Helper()
	line = append(line, l.arguments...)
	l.cmd = exec.Command(line[0], line[1:]...)
	l.cmd.Dir = "../../.."
	l.cmd.Env = append(os.Environ(), env...)
	l.cmd.Stderr = os.Stderr
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := l.cmd.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.url = ""
	lines := bufio.NewScanner(pipe)
	for l.url == "" && lines.Scan() {
		fmt.Fprintln(&l.out, lines.Text())
		if _, at, ok := strings.Cut(lines.Text(), "page and control API  "); ok {
			l.url = at
		}
	}
	l.done = make(chan error, 1)
	go func() {
		for lines.Scan() {
			fmt.Fprintln(&l.out, lines.Text())
		}
		l.done <- l.cmd.Wait()
	}()
	if l.url == "" {
		l.t.Fatalf("the launcher does not serve: %v\n%s", <-l.done, &l.out)
	}
}

func (l *launched) start() {
	l.t.Helper()
	binary, err := testbed.Binary("dvr")
	orSkip(l.t, err)
	l.run(nil, binary, "launch")
}

// end signals the launcher's group, as a terminal does, and waits for it.
func (l *launched) end(s syscall.Signal) {
	l.t.Helper()
	_ = syscall.Kill(-l.cmd.Process.Pid, s)
	select {
	case err := <-l.done:
		// An interrupted go run says 1 whatever its program says.
		if s != syscall.SIGKILL && err != nil && filepath.Base(l.cmd.Path) != "go" {
			l.t.Errorf("the launcher: %v\n%s", err, &l.out)
		}
	case <-time.After(patience):
		l.t.Errorf("the launcher goes on after %v", s)
		_ = l.cmd.Process.Kill()
	}
	l.done = nil
}

func (l *launched) call(method, path, body string) (int, string) {
	l.t.Helper()
	req, err := http.NewRequestWithContext(within(l.t, patience), method, l.url+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := cmp.Or(l.http, http.DefaultClient).Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(raw)
}

func (l *launched) want(code int, part, method, path, body string) {
	l.t.Helper()
	if got, answer := l.call(method, path, body); got != code || !strings.Contains(answer, part) {
		l.t.Fatalf("%s %s: %d %s, want %d with %s", method, path, got, answer, code, part)
	}
}

func (l *launched) nodes() map[string]launchedNode {
	_, body := l.call("GET", "/api/control/nodes", "")
	out := map[string]launchedNode{}
	_ = json.Unmarshal([]byte(body), &out) // empty where nobody answers
	return out
}

func (l *launched) eventually(what string, ok func(map[string]launchedNode) bool) map[string]launchedNode {
	l.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) { // polls other processes
		nodes := l.nodes()
		if ok(nodes) {
			return nodes
		}
		if time.Now().After(end) {
			l.t.Fatalf("not within %v: %s: %+v", patience, what, nodes)
		}
	}
}

// healthy waits until exactly these nodes are there, online, voting, and one leads.
func (l *launched) healthy(ids ...string) map[string]launchedNode {
	l.t.Helper()
	return l.eventually("healthy: "+strings.Join(ids, " "), func(nodes map[string]launchedNode) bool {
		leaders := 0
		for _, n := range nodes {
			if n.IsLeader {
				leaders++
			}
		}
		for _, id := range ids {
			if n := nodes[id]; n.Status != "online" || n.State != "running" || n.Role != "voter" || n.Joining || n.DataPlane.State != "running" {
				return false
			}
		}
		return leaders == 1 && len(nodes) == len(ids)
	})
}

func leaderAt(nodes map[string]launchedNode) string {
	for id, n := range nodes {
		if n.IsLeader {
			return id
		}
	}
	return ""
}

// serves waits until every node has the route.
func (l *launched) serves(destination string, ids ...string) {
	l.t.Helper()
	for _, id := range ids {
		for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // polls another process
			code, body := l.call("GET", "/api/node/"+id+"/routes", "")
			if code == 200 && strings.Contains(body, `"`+destination+`"`) {
				break
			}
			if time.Now().After(end) {
				l.t.Fatalf("%s does not serve %s: %d %s", id, destination, code, body)
			}
		}
	}
}

func route(destination string) string {
	return `{"destination":"` + destination + `","next_hop":"192.168.1.1","metric":100}`
}

// TestLauncher is the second seed's walk-through on real nodes with data
// planes, and what it promised: nodes that are stopped come back with what was
// acknowledged (A1), so does the cluster when all were (A2), the launcher's
// death harms nobody, and a decommissioned node's vote goes with it (A5).
func TestLauncher(t *testing.T) {
	three := []string{"node1", "node2", "node3"}
	_, err := testbed.Binary("dvr-dataplane")
	orSkip(t, err)
	l := newLaunch(t, "--data-planes")
	l.start()
	nodes := l.healthy(three...)
	for i, id := range three {
		if n := nodes[id]; n.APIPort != l.api+10*i {
			t.Errorf("%+v", n)
		}
	}
	l.eventually("the data planes are in sync", func(n map[string]launchedNode) bool {
		return !slices.ContainsFunc(three, func(id string) bool { return n[id].DataPlane.State != "running" || n[id].DataPlane.Status != "in sync" })
	})
	l.want(201, "", "POST", "/api/node/"+leaderAt(nodes)+"/routes", route("10.1.0.0/16"))
	l.serves("10.1.0.0/16", three...)

	// Another node joins, is stopped and started, and goes.
	l.want(200, `"id":"node5","api_port":`+strconv.Itoa(l.api+30), "POST", "/api/control/add", `{"node_id":"node5"}`)
	l.healthy("node1", "node2", "node3", "node5")
	l.serves("10.1.0.0/16", "node5")
	l.want(200, "stop signal sent", "POST", "/api/control/stop/node5", "")
	l.eventually("node5 stopped", func(n map[string]launchedNode) bool { return n["node5"].State == "stopped" })
	l.want(200, "start signal sent", "POST", "/api/control/start/node5", "")
	l.healthy("node1", "node2", "node3", "node5")
	l.want(200, "decommissioned", "POST", "/api/control/delete/node5", "")
	if _, err := os.Stat(filepath.Join(l.data, "nodes", "node5")); !os.IsNotExist(err) {
		t.Errorf("node5's data: %v", err)
	}
	nodes = l.healthy(three...)
	l.want(200, `"online":true`, "GET", "/api/node/node1/v1/cluster/members", "")

	// Where it would cost the quorum it is refused.
	follower := "node1"
	if leaderAt(nodes) == follower {
		follower = "node2"
	}
	l.want(200, "", "POST", "/api/control/stop/"+follower, "")
	nodes = l.eventually("a follower stopped", func(n map[string]launchedNode) bool { return n[follower].State == "stopped" && leaderAt(n) != "" })
	l.want(409, "quorum", "POST", "/api/control/delete/"+leaderAt(nodes), "")
	l.want(200, "", "POST", "/api/control/start/"+follower, "")
	l.healthy(three...)

	// Stop all, start all.
	for _, id := range three {
		l.want(200, "", "POST", "/api/control/stop/"+id, "")
	}
	l.eventually("all stopped", func(n map[string]launchedNode) bool {
		return n["node1"].State == "stopped" && n["node2"].State == "stopped" && n["node3"].State == "stopped" && n["node1"].DataPlane.State == "running"
	})
	for _, id := range three {
		l.want(200, "", "POST", "/api/control/start/"+id, "")
	}
	nodes = l.healthy(three...)
	l.serves("10.1.0.0/16", three...)
	l.want(201, "", "POST", "/api/node/"+leaderAt(nodes)+"/routes", route("10.2.0.0/16"))
	l.serves("10.2.0.0/16", three...)

	// The launcher dies; its successor finds everything as it was.
	before := l.healthy(three...)
	l.end(syscall.SIGKILL)
	for id, n := range before {
		if startOf(n.PID) == "" || startOf(n.DataPlane.PID) == "" {
			t.Fatalf("%s did not outlive the launcher", id)
		}
	}
	l.start()
	for id, n := range l.healthy(three...) {
		if n.PID != before[id].PID || n.DataPlane.PID != before[id].DataPlane.PID || !n.Adopted {
			t.Errorf("%s: %+v, before %+v", id, n, before[id])
		}
	}
	// A member whose data are gone is refused at once, and says so.
	l.want(200, "", "POST", "/api/control/stop/"+follower, "")
	l.eventually("stopped", func(n map[string]launchedNode) bool { return n[follower].State == "stopped" })
	if err := os.RemoveAll(filepath.Join(l.data, "nodes", follower, "data")); err != nil {
		t.Fatal(err)
	}
	l.want(200, "", "POST", "/api/control/start/"+follower, "")
	l.eventually("refused", func(n map[string]launchedNode) bool {
		return n[follower].Status == "offline" && strings.Contains(n[follower].LastError, "blank")
	})
	// A decommission of an offline node takes its vote with it; then it may join anew.
	l.want(200, "decommissioned", "POST", "/api/control/delete/"+follower, "")
	l.want(200, "", "POST", "/api/control/add", `{"node_id":"`+follower+`"}`)
	last := l.healthy(three...)
	l.serves("10.2.0.0/16", three...)

	l.end(syscall.SIGINT)
	for id, n := range last {
		if startOf(n.PID) != "" || startOf(n.DataPlane.PID) != "" {
			t.Errorf("%s outlived Ctrl-C", id)
		}
	}
	if !strings.Contains(l.out.String(), "Stopped. Data is kept in "+l.data) {
		t.Errorf("it said:\n%s", &l.out)
	}
}

// TestKVLauncher: `go run ./cmd/kv-launcher/main.go` runs nodes from the binary
// that it builds, never from go run's.
func TestKVLauncher(t *testing.T) {
	if testing.Short() {
		t.Skip("it links a binary")
	}
	l := newLaunch(t, "--nodes", "1")
	bin := t.TempDir()
	l.run([]string{"DVR_BIN=" + bin}, "go", "run", "./cmd/kv-launcher/main.go")
	nodes := l.eventually("online", func(n map[string]launchedNode) bool { return n["node1"].Status == "online" && n["node1"].IsLeader })
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", nodes["node1"].PID))
	if err != nil || exe != filepath.Join(bin, "dvr") {
		t.Errorf("the node runs from %s, %v", exe, err)
	}
	l.end(syscall.SIGINT)
	if startOf(nodes["node1"].PID) != "" || !strings.Contains(l.out.String(), "Stopped. Data is kept") {
		t.Errorf("the node goes on, or nothing said that it does not:\n%s", &l.out)
	}
}
