package node

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"dvr/controller/etcdserver"
	"dvr/controller/fibpb"
	"dvr/controller/porttest"
	"dvr/controller/settings"
	"dvr/controller/stalltest"
)

// TestMain runs more tests at once than there are processors: they mostly wait
// for elections, leases and timeouts of etcd.
func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		_ = flag.Set("test.parallel", "5")
	}
	os.Exit(m.Run())
}

func load(t *testing.T, environ ...string) *settings.Settings {
	t.Helper()
	s, err := settings.Load(nil, environ)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// environment is that of a node on free ports.
func environment(t *testing.T, dir string) []string {
	return []string{
		"NODE_ID=node-1", "DATA_DIR=" + dir, "API_ADDR=:0", "FIB_ADDR=:0", "LOG_FORMAT=json",
		"RAFT_ADDR=" + porttest.Address(t), "CLIENT_ADDR=" + porttest.Address(t), "MEMORY_LIMIT=1GiB",
	}
}

// output is a writer that may be read while it is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func start(t *testing.T, environ []string) (*Node, *output, *output) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, logs output
	n, err := Start(ctx, load(t, environ...), Options{Version: "test", Out: &out, Logs: &logs})
	if err != nil {
		t.Fatalf("%v\n%s", err, logs.String())
	}
	t.Cleanup(func() { _ = n.Close() })
	return n, &out, &logs
}

// call is one of the seed's curl lines.
func call(t *testing.T, n *Node, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+n.APIAddr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func stop(t *testing.T, n *Node) {
	t.Helper()
	took := stalltest.Begin(t)
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if d := took(); d > 6*time.Second {
		t.Errorf("stopping took %s", d)
	}
}

// TestRestartKeepsRoutes: the seed's curl lines on a node, which forgets
// nothing when it is started again.
func TestRestartKeepsRoutes(t *testing.T) {
	t.Parallel()
	env := environment(t, t.TempDir())
	n, out, logs := start(t, env)
	if !strings.Contains(out.String(), "API http://"+n.APIAddr()) || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("the human line: %q", out.String())
	}
	for line := range strings.Lines(logs.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil || m["node"] != "node-1" {
			t.Errorf("log line %q: %v", line, err)
		}
	}
	if code, body := call(t, n, "GET", "/health", ""); code != 200 || body != `{"status":"healthy","raft_state":"Leader","node_id":"node-1","revision":1}`+"\n" {
		t.Errorf("health: %d %s", code, body)
	}
	code, body := call(t, n, "POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.168.1.1","metric":100}`)
	if code != 201 || body != `{"destination":"10.1.0.0/16","status":"route added","revision":2}`+"\n" {
		t.Fatalf("POST: %d %s", code, body)
	}
	if code, body := call(t, n, "GET", "/cluster/status", ""); code != 200 || !strings.Contains(body, `"state":"Leader"`) || !strings.Contains(body, `"num_peers":"0"`) {
		t.Errorf("cluster status: %d %s", code, body)
	}
	if code, body := call(t, n, "GET", "/readyz", ""); code != 200 {
		t.Errorf("readyz: %d %s", code, body)
	}
	_, before := call(t, n, "GET", "/routes", "")
	_, status := call(t, n, "GET", "/v1/status", "")
	stop(t, n)

	n, _, _ = start(t, env)
	if _, after := call(t, n, "GET", "/routes", ""); after != before || !strings.Contains(after, "10.1.0.0/16") {
		t.Errorf("after a restart %s, before %s", after, before)
	}
	digest := func(s string) any {
		var m map[string]any
		_ = json.Unmarshal([]byte(s), &m)
		return fmt.Sprint(m["digest"], m["position"], m["hash"])
	}
	if _, again := call(t, n, "GET", "/v1/status", ""); digest(again) != digest(status) {
		t.Errorf("status after a restart %s\nbefore %s", again, status)
	}
	if code, body := call(t, n, "DELETE", "/routes/10.1.0.0%2F16", ""); code != 200 {
		t.Errorf("DELETE: %d %s", code, body)
	}
	stop(t, n)
}

func TestOneNodeADirectory(t *testing.T) {
	dir := t.TempDir()
	n, _, _ := start(t, environment(t, dir))
	_, err := Start(context.Background(), load(t, environment(t, dir)...), Options{Logs: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "DATA_DIR") || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("a second node in the directory: %v", err)
	}
	if code, _ := call(t, n, "GET", "/health", ""); code != 200 {
		t.Errorf("the first node: %d", code)
	}
}

// TestPortsInUse: each is named by its setting, and nothing is left behind.
func TestPortsInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, name := range []string{"API_ADDR", "FIB_ADDR", "RAFT_ADDR", "CLIENT_ADDR"} {
		env := environment(t, t.TempDir())
		for i, v := range env {
			if strings.HasPrefix(v, name+"=") {
				env[i] = name + "=" + taken.Addr().String()
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		var logs output
		n, err := Start(ctx, load(t, env...), Options{Logs: &logs})
		cancel()
		if err == nil {
			_ = n.Close()
			t.Errorf("%s in use: started", name)
			continue
		}
		if !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%s in use: %v", name, err)
		}
		if strings.Contains(logs.String(), `"stopped"`) {
			t.Errorf("%s in use: what never ran has stopped:\n%s", name, logs.String())
		}
	}
}

// TestExternalEtcd: the same log on an etcd that is not the node's; another
// node on it goes on where the first one stopped.
func TestExternalEtcd(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client := porttest.Address(t)
	e, err := etcdserver.Start(ctx, etcdserver.Config{Name: "elsewhere", DataDir: t.TempDir(), PeerListen: porttest.Address(t), ClientListen: client, Writable: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	external := func(id string) []string {
		return append(environment(t, t.TempDir())[1:], "NODE_ID="+id, "ETCD_ENDPOINTS="+client)
	}
	n, out, _ := start(t, external("a"))
	if !strings.Contains(out.String(), "external etcd") {
		t.Errorf("the human line: %q", out.String())
	}
	if code, body := call(t, n, "POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.168.1.1","metric":100}`); code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	if code, body := call(t, n, "GET", "/health", ""); code != 200 || !strings.Contains(body, `"status":"healthy","raft_state":"External"`) {
		t.Errorf("%d %s", code, body)
	}
	stop(t, n)
	n, _, _ = start(t, external("b"))
	if _, body := call(t, n, "GET", "/routes", ""); !strings.Contains(body, "10.1.0.0/16") {
		t.Errorf("the other node: %s", body)
	}
	stop(t, n)
}

// TestRunEndsWithItsContext and leaves no goroutine of ours.
func TestRunEndsWithItsContext(t *testing.T) {
	// etcd and gRPC keep a few of their own for ever.
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(),
		goleak.IgnoreAnyFunction("go.etcd.io/etcd/pkg/v3/schedule.(*fifo).run"),
		goleak.IgnoreAnyFunction("google.golang.org/grpc/internal/grpcsync.(*CallbackSerializer).run"))
	ctx, cancel := context.WithCancel(context.Background())
	var out output
	done := make(chan error, 1)
	s := load(t, environment(t, t.TempDir())...)
	started := make(chan struct{})
	go func() { done <- Run(ctx, s, Options{Out: signalling{&out, started}, Logs: io.Discard}) }()
	select {
	case <-started:
	case err := <-done:
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

type signalling struct {
	io.Writer
	c chan struct{}
}

func (s signalling) Write(p []byte) (int, error) {
	close(s.c)
	return s.Writer.Write(p)
}

// TestNoQuorum: a write without etcd is refused at once, reading goes on.
func TestNoQuorum(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client := porttest.Address(t)
	e, err := etcdserver.Start(ctx, etcdserver.Config{Name: "elsewhere", DataDir: t.TempDir(), PeerListen: porttest.Address(t), ClientListen: client, Writable: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	n, _, _ := start(t, append(environment(t, t.TempDir())[1:], "NODE_ID=a", "ETCD_ENDPOINTS="+client))
	const route = `{"destination":"10.1.0.0/16","next_hop":"192.168.1.1","metric":100}`
	if code, body := call(t, n, "POST", "/routes", route); code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	e.Close()
	for { // the poll notices
		if code, _ := call(t, n, "GET", "/health", ""); code == 503 {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("the loss of etcd is not noticed")
		}
		time.Sleep(50 * time.Millisecond)
	}
	took := stalltest.Begin(t)
	if code, body := call(t, n, "POST", "/routes", route); code != 503 || !strings.Contains(body, "quorum") {
		t.Errorf("a write without a quorum: %d %s", code, body)
	}
	if d := took(); d > time.Second {
		t.Errorf("refused after %s", d)
	}
	if code, body := call(t, n, "GET", "/routes", ""); code != 200 || !strings.Contains(body, "10.1.0.0/16") {
		t.Errorf("a read without a quorum: %d %s", code, body)
	}
}

// silentPlane attaches a data plane that acks nothing.
func silentPlane(t *testing.T, n *Node) {
	t.Helper()
	conn, err := grpc.NewClient(n.FIBAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	stream, err := fibpb.NewFibClient(conn).Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hello := &fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Hello{Hello: &fibpb.Hello{
		Protocol: 1, Router: "r1", Instance: "i", DigestVersions: []uint32{1}, Credit: 4, Sinks: []string{"memory"},
	}}}
	if err := stream.Send(hello); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			if _, err := stream.Recv(); err != nil {
				return
			}
		}
	}()
}

// TestStopWithCallsInProgress: a call that waits for a data plane and a body
// that never ends do not make an ordinary stop a failure.
func TestStopWithCallsInProgress(t *testing.T) {
	t.Parallel()
	n, _, logs := start(t, environment(t, t.TempDir()))
	silentPlane(t, n)
	type answer struct {
		code int
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		resp, err := http.Post("http://"+n.APIAddr()+"/routes?wait=installed&require=r1&timeout=30s", "application/json",
			strings.NewReader(`{"destination":"10.1.0.0/16","next_hop":"192.168.1.1","metric":100}`))
		if err != nil {
			answers <- answer{0, err}
			return
		}
		_ = resp.Body.Close()
		answers <- answer{resp.StatusCode, nil}
	}()
	for n.appender.State().Position().Revision < 2 {
		<-n.appender.Changed()
	}
	slow, err := net.Dial("tcp", n.APIAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprintf(slow, "POST /routes HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", n.APIAddr())
	if _, err := slow.Read(make([]byte, 25)); err != nil { // 100 Continue: the handler reads
		t.Fatal(err)
	}
	stop(t, n)
	if a := <-answers; a.err != nil || a.code != 202 && a.code != 201 {
		t.Errorf("the call that waited: %d, %v", a.code, a.err)
	}
	if !strings.Contains(logs.String(), "were cut") {
		t.Errorf("the cut call is not logged:\n%s", logs.String())
	}
	for line := range strings.Lines(logs.String()) {
		if strings.Contains(line, `"level":"error"`) {
			t.Errorf("an ordinary stop logs %s", line)
		}
	}
}
