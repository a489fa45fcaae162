package node

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"dvr/controller/porttest"
	"dvr/controller/systemd"
)

// manager is the service manager's end: every line that it was told, in order.
type manager struct {
	t        *testing.T
	notifier *systemd.Notifier
	lines    chan string
}

func newManager(t *testing.T, environ ...string) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	name := filepath.Join(dir, "s")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	n, err := systemd.FromEnvironment(append(environ, "NOTIFY_SOCKET="+name), os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{t: t, notifier: n, lines: make(chan string, 1000)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for b := make([]byte, 4096); ; {
			size, err := l.Read(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			for line := range strings.SplitSeq(string(b[:size]), "\n") {
				select {
				case m.lines <- line:
				default: // of a test that is over
				}
			}
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return m
}

// until reads to the first line that begins so, and gives what came before it, too.
func (m *manager) until(prefix string) []string {
	m.t.Helper()
	var got []string
	late := time.After(time.Minute)
	for {
		select {
		case line := <-m.lines:
			got = append(got, line)
			if strings.HasPrefix(line, prefix) {
				return got
			}
		case <-late:
			m.t.Fatalf("the manager was not told %s but %q", prefix, got)
		}
	}
}

// probes is a node's HTTP whose state a test sets.
type probes struct {
	ready atomic.Bool
	hung  sync.RWMutex // locked: /livez does not answer
}

func (p *probes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/livez":
		p.hung.RLock()
		defer p.hung.RUnlock()
		_, _ = io.WriteString(w, `{"status":"alive"}`)
	case p.ready.Load():
		_, _ = io.WriteString(w, `{"status":"ready","checks":{"caught_up":"ok","quorum":"ok"}}`)
	default:
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"status":"not ready","checks":{"caught_up":"ok","quorum":"no quorum"}}`)
	}
}

func TestSupervision(t *testing.T) {
	m := newManager(t, "WATCHDOG_USEC=30000")
	p := &probes{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		(&supervision{manager: m.notifier, probes: p, log: zap.NewNop(), every: time.Millisecond}).run(ctx)
	}()
	before := m.until("STATUS=not ready: no quorum")
	before = append(before, m.until(systemd.Alive)...)
	if slices.Contains(before, systemd.Ready) {
		t.Errorf("it was ready before it was: %q", before)
	}
	p.ready.Store(true)
	m.until(systemd.Ready)
	m.until("STATUS=ready")
	p.ready.Store(false)
	m.until("STATUS=not ready")
	m.until(systemd.Alive)
	p.ready.Store(true)
	if got := m.until("STATUS=ready"); slices.Contains(got, systemd.Ready) {
		t.Errorf("it was ready twice: %q", got)
	}

	p.hung.Lock()
	p.ready.Store(false)
	alive := 0 // once at most, for an answer from before
	for i := range 20 {
		for _, line := range m.until("STATUS=") {
			if line == systemd.Alive {
				alive++
			}
		}
		p.ready.Store(i%2 == 0)
	}
	if alive > 1 {
		t.Errorf("a node that hangs was said to be alive %d times", alive)
	}
	p.hung.Unlock()
	m.until(systemd.Alive)
	cancel()
	<-ended
}

// TestSupervisedNode: a whole node tells that it is ready when it is, and that it stops.
func TestSupervisedNode(t *testing.T) {
	t.Parallel()
	m := newManager(t, "WATCHDOG_USEC=300000")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	var logs output
	api := porttest.Address(t)
	conf := load(t, append(slices.DeleteFunc(environment(t, t.TempDir()), func(v string) bool { return strings.HasPrefix(v, "API_ADDR=") }), "API_ADDR="+api)...)
	go func() { done <- Run(ctx, conf, Options{Version: "test", Logs: &logs, Manager: m.notifier}) }()
	m.until(systemd.Ready)
	answer, err := http.Get("http://" + api + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("READY was told, /readyz is %d", answer.StatusCode)
	}
	m.until(systemd.Alive)
	cancel()
	m.until(systemd.Stopping)
	if err := <-done; err != nil {
		t.Errorf("the node ended with %v\n%s", err, logs.String())
	}
}

// TestSupervisedWaiting: a node that waits for its cluster says for what, is alive, and is not ready.
func TestSupervisedWaiting(t *testing.T) {
	t.Parallel()
	m := newManager(t, "WATCHDOG_USEC=300000")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	var logs output
	raft := porttest.Address(t)
	environ := slices.DeleteFunc(environment(t, t.TempDir()), func(v string) bool { return strings.HasPrefix(v, "RAFT_ADDR=") })
	conf := load(t, append(environ, "RAFT_ADDR="+raft, "INITIAL_CLUSTER=node-1="+raft+",node-2="+porttest.Address(t))...)
	go func() { done <- Run(ctx, conf, Options{Version: "test", Logs: &logs, Manager: m.notifier}) }()
	got := m.until("STATUS=")
	for range 5 {
		got = append(got, m.until(systemd.Alive)...)
	}
	if slices.Contains(got, systemd.Ready) {
		t.Errorf("a node without its cluster was ready: %q", got)
	}
	cancel()
	got = append(got, m.until(systemd.Stopping)...)
	if !slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, "STATUS=the node is starting") }) {
		t.Errorf("it did not say what it waits for: %q", got)
	}
	if err := <-done; err != nil {
		t.Errorf("the node ended with %v\n%s", err, logs.String())
	}
}
