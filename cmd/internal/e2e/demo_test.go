package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dvr/cmd/internal/testbed"
	"dvr/controller/porttest"
)

// TestDemo brings the demonstration up with few routes, sees it change, and
// ends it: nothing runs on, nothing is left.
func TestDemo(t *testing.T) {
	dvr, err := testbed.Binary("dvr")
	orSkip(t, err)
	_, err = testbed.Binary("dvr-dataplane")
	orSkip(t, err)
	api := freeRange(t, 0, 10, 20, 100, 110, 120, 200, 210, 220)
	raft := freeRange(t, 0, 1, 2, -5921, -5920, -5919)
	page, err := porttest.Take(0)
	if err != nil {
		t.Fatal(err)
	}
	temp := scratch(t)
	cmd := exec.Command(dvr, "demo", "--routes", "3000", "--pace", "20ms", "--listen", "127.0.0.1:"+strconv.Itoa(page), "--api-base", strconv.Itoa(api), "--raft-base", strconv.Itoa(raft))
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		select {
		case <-ended:
		default:
			_ = cmd.Process.Signal(syscall.SIGTERM) // it stops its own
			_ = cmd.Wait()
		}
	})
	var said strings.Builder
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "docs/tutorial.md") {
		fmt.Fprintln(&said, lines.Text())
	}
	timer.Stop()
	base := "http://127.0.0.1:" + strconv.Itoa(page)
	for _, want := range []string{"nodes          3, one leads", "9 routers, 14 links", "3000 of the Internet", "in sync at ams, fra, lon", "Dashboard      " + base} {
		if !strings.Contains(said.String(), want) {
			t.Fatalf("it does not say %q:\n%s", want, &said)
		}
	}
	get := func(url string, out any) {
		t.Helper()
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(out); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v", url, resp.StatusCode, err)
		}
	}
	var nodes map[string]struct{ PID int }
	get(base+"/api/control/nodes", &nodes)
	if len(nodes) != 3 {
		t.Errorf("%v", nodes)
	}
	var status struct {
		Revision uint64
		State    struct{ Routes int }
	}
	node := "http://127.0.0.1:" + strconv.Itoa(api+10)
	get(node+"/v1/status", &status)
	if status.State.Routes != 3000+9 {
		t.Errorf("%d routes", status.State.Routes)
	}
	later := status
	get(fmt.Sprintf("%s/v1/status?min_revision=%d&timeout=60s", node, status.Revision+20), &later)
	if later.State.Routes != status.State.Routes {
		t.Errorf("%d routes after changes of their providers", later.State.Routes)
	}
	var commits struct{ Commits []struct{ Actor string } }
	get(fmt.Sprintf("%s/v1/commits?after=%d&limit=1", node, later.Revision-1), &commits)
	if len(commits.Commits) != 1 || !strings.HasPrefix(commits.Commits[0].Actor, "bgp@") {
		t.Errorf("%+v", commits)
	}
	typeTutorial(t, filepath.Dir(dvr), base, []int{api, api + 10, api + 20})
	get(base+"/api/control/nodes", &nodes) // the leader was killed, and started again
	if found, _ := filepath.Glob(filepath.Join(temp, "dvr-demo-*", "launcher", "nodes", "*")); len(found) != 3 {
		t.Errorf("data in %v", found)
	}
	for range 2 { // impatience changes nothing
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond) // two of them, not one: equal signals that wait are one
	}
	err = cmd.Wait()
	close(ended)
	if err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	if left, _ := os.ReadDir(temp); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	for id, n := range nodes {
		if startOf(n.PID) != "" {
			t.Errorf("%s runs on", id)
		}
	}
	for i := range 3 {
		if _, err := http.Get("http://127.0.0.1:" + strconv.Itoa(api+10*i+200)); err == nil {
			t.Errorf("data plane %d runs on", i)
		}
	}
}

// TestDemoHangsUp: the terminal's end stops all that a demonstration has started,
// and a second one with its data goes on with as many routes.
func TestDemoHangsUp(t *testing.T) {
	dvr, err := testbed.Binary("dvr")
	orSkip(t, err)
	api := freeRange(t, 0, 10, 20, 100, 110, 120, 200, 210, 220)
	raft := freeRange(t, 0, 1, 2, -5921, -5920, -5919)
	page, err := porttest.Take(0)
	if err != nil {
		t.Fatal(err)
	}
	hangups := make(chan os.Signal, 1) // what is caught here is not ignored there, even where the tests run under nohup
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	data := filepath.Join(scratch(t), "data")
	for run := range 2 {
		cmd := exec.Command(dvr, "demo", "--data-dir", data, "--routes", "100", "--pace", "5ms", "--listen", "127.0.0.1:"+strconv.Itoa(page), "--api-base", strconv.Itoa(api), "--raft-base", strconv.Itoa(raft))
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(patience, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
		lines := bufio.NewScanner(out)
		for lines.Scan() && !strings.Contains(lines.Text(), "docs/tutorial.md") {
		}
		ask := func(url string, into any) {
			resp, err := http.Get(url)
			if err != nil {
				t.Errorf("run %d: %v", run, err)
				return
			}
			defer resp.Body.Close()
			if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
				t.Errorf("run %d: %s: %v", run, url, err)
			}
		}
		var nodes map[string]struct{ PID int }
		ask("http://127.0.0.1:"+strconv.Itoa(page)+"/api/control/nodes", &nodes)
		var status struct {
			Revision uint64
			State    struct{ Routes int }
		}
		node := "http://127.0.0.1:" + strconv.Itoa(api)
		ask(node+"/v1/status", &status)
		ask(fmt.Sprintf("%s/v1/status?min_revision=%d&timeout=60s", node, status.Revision+30), &status)
		if len(nodes) != 3 || status.State.Routes != 100+9 {
			t.Errorf("run %d: %d nodes, %d routes", run, len(nodes), status.State.Routes)
		}
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Error(err)
		}
		err = cmd.Wait()
		timer.Stop()
		if err != nil {
			t.Errorf("run %d, hung up: %v", run, err)
		}
		for id, n := range nodes {
			if startOf(n.PID) != "" {
				t.Errorf("run %d: %s runs on", run, id)
				_ = syscall.Kill(n.PID, syscall.SIGTERM)
			}
		}
	}
}

// settled waits until the launcher sees every node online, and one lead.
func settled(t *testing.T, page string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(page + "/api/control/nodes")
		if err != nil {
			t.Fatal(err)
		}
		var nodes map[string]launchedNode
		err = json.NewDecoder(resp.Body).Decode(&nodes)
		resp.Body.Close()
		online, leaders := 0, 0
		for _, n := range nodes {
			if n.Status == "online" {
				online++
			}
			if n.IsLeader {
				leaders++
			}
		}
		if err == nil && online == len(nodes) && leaders == 1 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not settled: %v %+v", err, nodes)
		}
	}
}

// typeTutorial runs every command of docs/tutorial.md, in order, as it is there
// but for ports, revisions and patience.
func typeTutorial(t *testing.T, bin, page string, apis []int) {
	t.Helper()
	text, err := os.ReadFile("../../../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	var endpoints []string
	for _, port := range apis {
		endpoints = append(endpoints, "127.0.0.1:"+strconv.Itoa(port))
	}
	cut, slip := 0, 0 // revisions of the link's cut and of the route that is rolled back
	typed := 0
	for line := range strings.Lines(string(text)) {
		command, ok := strings.CutPrefix(line, "    $ ")
		if !ok || strings.Contains(command, "dvr watch") { // which has no end
			continue
		}
		typed++
		command = strings.NewReplacer("http://localhost:8080", page, "$ dvr", "dvr", "dvr ", "dvr --timeout "+patience.String()+" ",
			"1089", strconv.Itoa(cut-1), "1090", strconv.Itoa(cut), "1107", strconv.Itoa(slip)).Replace(command)
		if strings.Contains(command, "curl") && !strings.Contains(command, "/start/") { // who reads is slower than who types: nodes are back by then
			settled(t, page)
		}
		sh := exec.Command("bash", "-o", "pipefail", "-c", command)
		sh.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "DVR_ENDPOINTS="+strings.Join(endpoints, ","), "DVR_ACTOR=alice")
		out, err := sh.CombinedOutput()
		if err != nil && !strings.Contains(command, "| head") { // head may close before all is written
			t.Errorf("%s%v\n%s", command, err, out)
		}
		if _, rest, ok := strings.Cut(string(out), "mad par: link down at revision "); ok {
			cut, _ = strconv.Atoi(strings.Fields(rest)[0])
		}
		if _, rest, ok := strings.Cut(string(out), "8.8.8.0/24: route added at revision "); ok {
			slip, _ = strconv.Atoi(strings.Fields(rest)[0])
		}
		if strings.Contains(command, "rollback --actor alice") && !strings.Contains(string(out), "8.8.8.0/24") && !strings.Contains(string(out), "rolled back at revision") {
			t.Errorf("%s%s", command, out)
		}
		if strings.Contains(command, "explain") && strings.Contains(command, "203.0.113.7") && !strings.Contains(string(out), "192.168.9.9") {
			t.Errorf("%s%s", command, out)
		}
	}
	if typed < 20 || cut == 0 || slip == 0 {
		t.Errorf("%d commands, the link was cut at revision %d, the slip made at %d", typed, cut, slip)
	}
}
