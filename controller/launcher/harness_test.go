package launcher

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"dvr/controller/httpapi/openapi/openapitest"
	"dvr/controller/porttest"
)

// patience bounds what a test waits for on a machine that does much else.
const patience = 2 * time.Minute

// freeBases are an API and a Raft base whose first n slots are this process's.
func freeBases(t *testing.T, n int) (api, raft int) {
	t.Helper()
	var apis, rafts []int
	for i := range n {
		p := (&Configuration{APIStep: 10}).slot(i)
		apis = append(apis, p.API, p.FIB, p.DataPlane)
		rafts = append(rafts, p.Raft, p.Client)
	}
	var err [2]error
	api, err[0] = porttest.Take(apis...)
	raft, err[1] = porttest.Take(rafts...)
	if err := errors.Join(err[:]...); err != nil {
		t.Fatal(err)
	}
	return api, raft
}

// rig is a data directory, and the launcher that runs on it.
type rig struct {
	*testing.T
	o      Options
	base   string // of the control API
	l      *Launcher
	cancel context.CancelFunc
	done   chan error
}

func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	plane := filepath.Join(dir, "dvr-dataplane")
	if err := os.Symlink(self, plane); err != nil {
		t.Fatal(err)
	}
	api, raft := freeBases(t, 6)
	r := &rig{T: t, o: Options{
		DataDir: filepath.Join(dir, "launcher"), Listen: "127.0.0.1:0", Nodes: 3, APIBase: api, APIStep: 10, RaftBase: raft,
		Binary: self, PlaneBinary: plane,
	}}
	for _, c := range change {
		c(&r.o)
	}
	t.Cleanup(func() {
		if r.done != nil {
			r.quit()
		}
		r.reap()
	})
	return r
}

// start runs a launcher in this process.
func (r *rig) start() *rig {
	r.Helper()
	o := r.o
	o.Environ, o.Logger = os.Environ(), zaptest.NewLogger(r.T)
	l, err := open(o)
	if err != nil {
		r.Fatal(err)
	}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	r.l, r.base, r.done = l, "http://"+l.listener.Addr().String(), make(chan error, 1)
	go func() { r.done <- l.serve(ctx) }()
	return r
}

// quit is SIGTERM.
func (r *rig) quit() {
	r.Helper()
	r.cancel()
	select {
	case err := <-r.done:
		if err != nil {
			r.Error(err)
		}
	case <-time.After(patience):
		r.Fatal("the launcher does not end")
	}
	r.done = nil
}

// reap kills what a failed test left behind.
func (r *rig) reap() {
	records, _ := filepath.Glob(filepath.Join(r.o.DataDir, "nodes", "*", "*.process"))
	for _, path := range records {
		var rec record
		if raw, err := os.ReadFile(path); err == nil && json.Unmarshal(raw, &rec) == nil {
			if start, err := startTime(rec.PID); err == nil && start == rec.Start && rec.Boot == bootID() {
				_ = syscall.Kill(rec.PID, syscall.SIGKILL)
			}
		}
	}
}

// eventually polls other processes, whose progress nothing here could wait on.
func (r *rig) eventually(what string, ok func() bool) {
	r.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			nodes, _ := json.MarshalIndent(r.nodes(), "", " ")
			r.Fatalf("not within %v: %s\n%s\n%s", patience, what, nodes, r.journal())
		}
	}
}

type reply struct {
	code   int
	body   string
	header http.Header
}

func (a reply) member(name string) any {
	var m map[string]any
	_ = json.Unmarshal([]byte(a.body), &m)
	return m[name]
}

func (r *rig) call(method, path, body string, headers ...string) reply {
	r.Helper()
	req, err := http.NewRequest(method, r.base+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
		} else {
			req.Header.Set(name, value)
		}
	}
	client := http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return reply{body: err.Error()}
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil {
		r.described(req, body, resp, raw)
	}
	return reply{resp.StatusCode, string(raw), resp.Header}
}

var contract = sync.OnceValues(openapitest.Load)

// described holds an exchange of any test to the API's description.
func (r *rig) described(req *http.Request, body string, resp *http.Response, raw []byte) {
	r.Helper()
	c, err := contract()
	if err != nil {
		r.Fatal(err)
	}
	if !strings.HasPrefix(req.URL.Path, "/api/") {
		return // pages
	}
	if err := c.Check(openapitest.Exchange{Method: req.Method, URL: req.URL, Header: req.Header, Body: []byte(body), Code: resp.StatusCode, Answer: resp.Header, Got: raw}); err != nil {
		r.Error(err)
	}
}

// want is a call that must be answered so; the body is compared member by member.
func (r *rig) want(method, path, body string, code int, members ...string) reply {
	r.Helper()
	a := r.call(method, path, body)
	if a.code != code {
		r.Fatalf("%s %s: %d %s, want %d", method, path, a.code, a.body, code)
	}
	for _, m := range members {
		name, value, _ := strings.Cut(m, "=")
		if got := fmt.Sprint(a.member(name)); got != value {
			r.Errorf("%s %s: %s is %q, want %q: %s", method, path, name, got, value, a.body)
		}
	}
	return a
}

func (r *rig) nodes() map[string]NodeStatus {
	a := r.call("GET", "/api/control/nodes", "")
	out := map[string]NodeStatus{}
	_ = json.Unmarshal([]byte(a.body), &out) // nothing, where nobody answers
	return out
}

// healthy waits until these nodes, and no others, are online members and one leads.
func (r *rig) healthy(ids ...string) map[string]NodeStatus {
	r.Helper()
	var nodes map[string]NodeStatus
	r.eventually("online with a leader: "+strings.Join(ids, " "), func() bool {
		nodes = r.nodes()
		leaders, good := 0, 0
		for _, n := range nodes {
			if n.IsLeader {
				leaders++
			}
			if n.Status == "online" {
				good++
			}
		}
		for _, id := range ids {
			if n := nodes[id]; n.Status != "online" || n.Joining || n.State != "running" || n.Role == "" || n.DataPlane != nil && !r.forwards(id, n) {
				return false
			}
		}
		return leaders == 1 && good == len(ids) && r.joined(ids)
	})
	return nodes
}

// joined: the launcher has written down that these are members, by which it
// knows later what they were.
func (r *rig) joined(ids []string) bool {
	c, err := readConfiguration(r.o.DataDir)
	if err != nil || c == nil {
		return false
	}
	for _, id := range ids {
		if n, ok := c.Nodes[id]; !ok || !n.Joined {
			return false
		}
	}
	return true
}

// forwards tells whether the node's data plane runs and has state.
func (r *rig) forwards(id string, n NodeStatus) bool {
	_, err := os.Stat(filepath.Join(r.o.DataDir, "nodes", id, planeState))
	return err == nil && n.DataPlane.PID != 0
}

func (r *rig) shared(name string) string { return filepath.Join(r.o.DataDir, "fake", name) }

// sign puts or takes away a file that fakes look at.
func (r *rig) sign(name string, there bool) {
	r.Helper()
	err := os.Remove(r.shared(name))
	if there {
		err = os.WriteFile(r.shared(name), nil, 0o600)
	}
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) journal() string {
	raw, _ := os.ReadFile(r.shared("journal"))
	return string(raw)
}

// noted waits for lines of the journal, in this order.
func (r *rig) noted(patterns ...string) {
	r.Helper()
	re := regexp.MustCompile(`(?sm)` + strings.Join(patterns, `.*`))
	r.eventually("journal: "+re.String(), func() bool { return re.MatchString(r.journal()) })
}

func (r *rig) alive(pid int) bool { _, err := startTime(pid); return err == nil }

// stream reads the event stream until the test ends.
type stream struct {
	*rig
	events chan sse
	cancel context.CancelFunc
}

type sse struct{ name, data string }

func (r *rig) stream(path string) *stream {
	r.Helper()
	ctx, cancel := context.WithCancel(r.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+path, nil)
	if err != nil {
		r.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		r.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	s := &stream{r, make(chan sse, 10000), cancel}
	go func() {
		defer resp.Body.Close()
		defer close(s.events)
		var e sse
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			line := lines.Text()
			if v, ok := strings.CutPrefix(line, "event: "); ok {
				e.name = v
			} else if v, ok := strings.CutPrefix(line, "data: "); ok {
				e.data = v
			} else if line == "" && e.name != "" {
				s.events <- e
				e = sse{}
			}
		}
	}()
	r.Cleanup(cancel)
	return s
}

// until reads events up to one that is as wanted.
func (s *stream) until(what string, ok func(sse) bool) {
	s.Helper()
	limit := time.After(patience)
	var seen []string
	for {
		select {
		case e, open := <-s.events:
			if !open {
				s.Fatalf("the stream ended before: %s\n%s", what, strings.Join(seen, "\n"))
			}
			seen = append(seen, e.name+" "+e.data)
			if ok(e) {
				return
			}
		case <-limit:
			s.Fatalf("no event: %s\n%s", what, strings.Join(seen, "\n"))
		}
	}
}

// node waits for an event of the node.
func (s *stream) node(id, what string, ok func(NodeStatus) bool) {
	s.Helper()
	s.until(id+" "+what, func(e sse) bool {
		var n NodeStatus
		return e.name == "node" && json.Unmarshal([]byte(e.data), &n) == nil && n.ID == id && ok(n)
	})
}

// launcherProcess is a launcher of its own process.
type launcherProcess struct {
	cmd *exec.Cmd
	out *bytes.Buffer
}

// spawn runs the launcher as a process, and points the rig at it.
func (r *rig) spawn() *launcherProcess {
	r.Helper()
	raw, err := json.Marshal(r.o)
	if err != nil {
		r.Fatal(err)
	}
	p := &launcherProcess{cmd: exec.Command(r.o.Binary, "launch", string(raw)), out: &bytes.Buffer{}}
	p.cmd.Stderr = os.Stderr
	pipe, err := p.cmd.StdoutPipe()
	if err != nil {
		r.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = p.cmd.Process.Kill() })
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		fmt.Fprintln(p.out, lines.Text())
		if _, at, ok := strings.Cut(lines.Text(), "page and control API  "); ok {
			r.base = at
		}
		if strings.HasSuffix(lines.Text(), "/routes") && !strings.Contains(lines.Text(), "-X") {
			return p
		}
	}
	r.Fatalf("the launcher said only:\n%s", p.out)
	return nil
}
