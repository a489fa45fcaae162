package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"dvr/controller/etcdserver"
	"dvr/controller/porttest"
	"dvr/controller/settings"
	"dvr/controller/stalltest"
	"dvr/eventlog"
)

// starting is a node that runs in the background from its first moment on.
type starting struct {
	t    *testing.T
	api  string
	logs output
	out  output
	stop context.CancelFunc
	done chan error
	once sync.Once
}

// begin runs a node and returns when it answers.
func begin(t *testing.T, environ []string) *starting {
	t.Helper()
	s := &starting{t: t, api: porttest.Address(t), done: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	environ = slices.DeleteFunc(slices.Clone(environ), func(v string) bool { return strings.HasPrefix(v, "API_ADDR=") })
	conf := load(t, append(environ, "API_ADDR="+s.api)...)
	go func() { s.done <- Run(ctx, conf, Options{Version: "test", Out: &s.out, Logs: &s.logs}) }()
	t.Cleanup(s.end)
	s.until("/livez", http.StatusOK)
	return s
}

// end is SIGTERM: the node stops without an error, whatever it waits for.
func (s *starting) end() {
	s.once.Do(func() {
		s.stop()
		took := stalltest.Begin(s.t)
		if err := <-s.done; err != nil {
			s.t.Errorf("the node ended with: %v\n%s", err, s.logs.String())
		}
		if d := took(); d > 6*time.Second {
			s.t.Errorf("stopping took %s", d)
		}
	})
}

func (s *starting) get(path string) (int, map[string]any, http.Header) {
	resp, err := http.Get("http://" + s.api + path)
	if err != nil {
		return 0, nil, nil
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	var m map[string]any
	if resp.Header.Get("Content-Type") != "" && json.Unmarshal(b, &m) != nil {
		s.t.Errorf("%s: %q", path, b)
	}
	return resp.StatusCode, m, resp.Header
}

// until polls the node, a process of its own in all but name.
func (s *starting) until(path string, code int) map[string]any {
	s.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got, m, _ := s.get(path); got == code {
			return m
		}
		select {
		case err := <-s.done:
			s.done <- nil
			s.t.Fatalf("the node ended: %v\n%s", err, s.logs.String())
		default:
		}
	}
	code, m, _ := s.get(path)
	s.t.Fatalf("%s stays at %d %v\n%s", path, code, m, s.logs.String())
	return nil
}

// refused waits until the API says why it is closed, and checks that it is and
// does so everywhere.
func (s *starting) refused(kind string, reasons ...string) {
	s.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		_, m, _ := s.get("/readyz")
		detail, _ := m["detail"].(string)
		if !slices.ContainsFunc(reasons, func(r string) bool { return !strings.Contains(detail, r) }) {
			break
		}
	}
	for _, path := range []string{"/readyz", "/v1/status", "/routes", "/cluster/status"} {
		code, m, h := s.get(path)
		if code != 503 || h.Get("Retry-After") == "" || m["type"] != "/problems/"+kind || m["node_id"] != "a" {
			s.t.Errorf("%s: %d %v", path, code, m)
		}
		for _, r := range reasons {
			if detail, _ := m["detail"].(string); !strings.Contains(detail, r) {
				s.t.Errorf("%s: %v does not say %q", path, m, r)
			}
		}
	}
	if code, m, _ := s.get("/health"); code != 503 || m["status"] != kind {
		s.t.Errorf("/health: %d %v", code, m)
	}
	if code, m, _ := s.get("/version"); code != 200 || m["version"] != "test" {
		s.t.Errorf("/version: %d %v", code, m)
	}
	if code, _, _ := s.get("/livez"); code != 200 {
		s.t.Errorf("/livez: %d", code)
	}
	if s.out.String() != "" {
		s.t.Errorf("it says that it serves: %s", s.out.String())
	}
}

// elsewhere runs an etcd that is not the node's.
func elsewhere(t *testing.T, config etcdserver.Config) (*etcdserver.Server, *clientv3.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	config.Name, config.Writable = "elsewhere", true
	e, err := etcdserver.Start(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	if err := e.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	return e, e.Client()
}

func onEtcd(t *testing.T, address string) []string {
	return append(environment(t, t.TempDir())[1:], "NODE_ID=a", "ETCD_ENDPOINTS="+address)
}

// TestAnswersBeforeEtcd: a node whose etcd is away answers from the start, says
// what it waits for, and serves once it is there.
func TestAnswersBeforeEtcd(t *testing.T) {
	t.Parallel()
	config := etcdserver.Config{DataDir: t.TempDir(), PeerListen: porttest.Address(t), ClientListen: porttest.Address(t)}
	s := begin(t, onEtcd(t, config.ClientListen))
	s.refused("starting", "starting", "opening the log", config.ClientListen)
	elsewhere(t, config)
	s.until("/readyz", http.StatusOK)
	if code, m, _ := s.get("/v1/status"); code != 200 || m["revision"] != 1.0 {
		t.Errorf("status: %d %v", code, m)
	}
	if s.out.String() == "" {
		t.Error("it does not say that it serves")
	}
}

// TestStopsWhileStarting: SIGTERM ends a start cleanly, with an etcd that is
// away and with one that has no quorum.
func TestStopsWhileStarting(t *testing.T) {
	s := begin(t, onEtcd(t, porttest.Address(t)))
	s.end()
	if strings.Contains(s.logs.String(), `"level":"error"`) {
		t.Errorf("an ordinary stop logs %s", s.logs.String())
	}
}

// TestDamagedLogIsWaitedFor: a node whose log has a hole that no history
// heals stays up and says which revision lacks and what to do; it serves nothing,
// and serves as soon as the batch was put back.
func TestDamagedLogIsWaitedFor(t *testing.T) {
	t.Parallel()
	config := etcdserver.Config{DataDir: t.TempDir(), PeerListen: porttest.Address(t), ClientListen: porttest.Address(t)}
	_, etcd := elsewhere(t, config)
	n, _, _ := start(t, onEtcd(t, config.ClientListen))
	for i := range 6 {
		if code, body := call(t, n, "POST", "/routes", fmt.Sprintf(`{"destination":"10.%d.0.0/16","next_hop":"192.168.1.1"}`, i)); code != 201 {
			t.Fatalf("%d %s", code, body)
		}
	}
	_, before := call(t, n, "GET", "/routes", "")
	stop(t, n)

	key := fmt.Sprintf("/dvr/log/b/%020d", 4)
	for _, damage := range []struct{ name, value, says string }{
		{"missing", "", "a committed batch is missing"},
		{"corrupt", "garbage", "corrupt"},
	} {
		t.Run(damage.name, func(t *testing.T) {
			good := damageKey(t, etcd, key, damage.value)
			s := begin(t, onEtcd(t, config.ClientListen))
			s.untilFault()
			s.refused("damaged", "revision 4", damage.says, "dvr log verify", "dvr log repair")
			if logs := s.logs.String(); !strings.Contains(logs, "revision 4") || !strings.Contains(logs, "dvr log verify") {
				t.Errorf("the log does not say it:\n%s", logs)
			}
			if _, err := etcd.Put(t.Context(), key, good); err != nil {
				t.Fatal(err)
			}
			s.until("/readyz", http.StatusOK)
			resp, err := http.Get("http://" + s.api + "/routes")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if b, _ := io.ReadAll(resp.Body); string(b) != before {
				t.Errorf("routes %s\nbefore %s", b, before)
			}
		})
	}
	t.Run("stopped while damaged", func(t *testing.T) {
		good := damageKey(t, etcd, key, "")
		s := begin(t, onEtcd(t, config.ClientListen))
		s.untilFault()
		s.end()
		if _, err := etcd.Put(t.Context(), key, good); err != nil {
			t.Fatal(err)
		}
	})
}

func (s *starting) untilFault() {
	s.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, m, _ := s.get("/v1/status"); m["fault"] != nil {
			return
		}
	}
	s.t.Fatalf("the damage is not noticed\n%s", s.logs.String())
}

// damageKey changes ("": deletes) a key so that no history has it, and gives its value.
func damageKey(t *testing.T, etcd *clientv3.Client, key, value string) string {
	t.Helper()
	r, err := etcd.Get(t.Context(), key)
	if err != nil || len(r.Kvs) != 1 {
		t.Fatal(err)
	}
	if value == "" {
		_, err = etcd.Delete(t.Context(), key)
	} else {
		_, err = etcd.Put(t.Context(), key, value)
	}
	if err != nil {
		t.Fatal(err)
	}
	now, err := etcd.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := etcd.Compact(t.Context(), now.Header.GetRevision()); err != nil {
		t.Fatal(err)
	}
	return string(r.Kvs[0].Value)
}

// TestPersist: what may pass is tried again after pauses that double up to 30 s
// until it works or the start is ended; so is a log for a newer program.
func TestPersist(t *testing.T) {
	s := newStartup(&Node{settings: &settings.Settings{}, log: zap.NewNop()})
	var pauses []time.Duration
	s.pause = func(_ context.Context, d time.Duration) {
		pauses = append(pauses, d)
		if w := s.waiting(); w.Fault == "" != (len(pauses) == 1) || w.Reason == "" || w.Retry > d || len(pauses) > 1 && !strings.Contains(w.Reason, "missing") {
			t.Errorf("attempt %d: %+v", len(pauses), w)
		}
	}
	n := 0
	err := s.persist(t.Context(), awaitsFold, func() error {
		switch n++; n {
		case 1:
			return eventlog.ErrUnavailable
		case 9:
			return nil
		}
		return eventlog.ErrHole
	})
	want := []time.Duration{1, 2, 4, 8, 16, 30, 30, 30}
	for i := range want {
		want[i] *= time.Second
	}
	if err != nil || !slices.Equal(pauses, want) {
		t.Errorf("%v after %v", err, pauses)
	}
	s.folded(12, 34)
	if w := s.waiting(); w.Fault != "" || !strings.HasSuffix(w.Reason, "folding the log, revision 12 of 34") || w.Revision != 12 || w.Head != 34 {
		t.Errorf("after it worked: %+v", w)
	}
	n = 0
	s.pause = func(context.Context, time.Duration) {}
	err = s.persist(t.Context(), awaitsFold, func() error {
		switch n++; n {
		case 1:
			return fmt.Errorf("open: %w", &eventlog.LevelError{Level: eventlog.MaxLevel + 1})
		case 2:
			if w := s.waiting(); !w.Outdated || w.Fault != fmt.Sprintf("this node supports level %d, the log is at level %d: upgrade it", eventlog.MaxLevel, eventlog.MaxLevel+1) {
				t.Errorf("a newer level: %+v", w)
			}
			if l := (&levels{n: &Node{startup: s}}); !errors.Is(l.below(), eventlog.ErrLevel) {
				t.Errorf("the node does not know that it is below the level: %v", l.below())
			}
			return fmt.Errorf("open: %w: format 9", eventlog.ErrLevel)
		case 3:
			if w := s.waiting(); !w.Outdated || !strings.Contains(w.Fault, "format 9: upgrade it") {
				t.Errorf("a newer format: %+v", w)
			}
		}
		return nil
	})
	if w := s.waiting(); err != nil || n != 3 || w.Outdated {
		t.Errorf("a newer log: %v, %+v", err, w)
	}
	cause := errors.New("etcd ended")
	ctx, cancel := context.WithCancelCause(t.Context())
	s.pause = func(context.Context, time.Duration) { cancel(cause) }
	if err := s.persist(ctx, awaitsFold, func() error { return eventlog.ErrHole }); !errors.Is(err, cause) || !errors.Is(err, eventlog.ErrHole) {
		t.Errorf("ended: %v", err)
	}
	if err := s.persist(ctx, awaitsFold, func() error { return eventlog.ErrUnavailable }); !errors.Is(err, cause) {
		t.Errorf("ended in a step: %v", err)
	}
}

// TestWaitsForQuorum: one of two members cannot do anything, says so, and
// closes all the same.
// TestTellsWhatIsAwaited: before the first attempt has an outcome, and again.
func TestTellsWhatIsAwaited(t *testing.T) {
	core, lines := observer.New(zap.InfoLevel)
	s := newStartup(&Node{settings: &settings.Settings{EtcdEndpoints: []string{"http://127.0.0.1:1"}}, log: zap.New(core)}) // nothing listens there
	s.repeat = time.Millisecond
	err := s.persist(t.Context(), awaitsLog, func() error {
		for lines.Len() < 3 {
			if t.Context().Err() != nil {
				return nil
			}
			runtime.Gosched()
		}
		return nil
	})
	all := lines.All()
	if err != nil || len(all) < 3 {
		t.Fatalf("%v, %d lines", err, len(all))
	}
	for i, l := range all {
		fields := l.ContextMap()
		if fields["awaits"] != awaitsLog || fmt.Sprint(fields["etcd_endpoints"]) != "[http://127.0.0.1:1]" || (l.Message == "starting") != (i == 0) {
			t.Errorf("line %d: %s %v", i, l.Message, fields)
		}
		if cause := fmt.Sprint(fields["error"]); i > 0 && (l.Level != zap.WarnLevel || !strings.Contains(cause, "127.0.0.1:1: connect: connection refused")) {
			t.Errorf("line %d, %s, does not say why: %v", i, l.Level, fields)
		}
	}
	if w := s.waiting(); !strings.Contains(w.Reason, "connection refused") {
		t.Errorf("what callers are told: %q", w.Reason)
	}
	there := porttest.Address(t)
	l, err := net.Listen("tcp", there)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := unreached(t.Context(), []string{"127.0.0.1:1", there}); err != nil {
		t.Errorf("one of two is there: %v", err)
	}
}

func TestWaitsForQuorum(t *testing.T) {
	peer := porttest.Address(t)
	s := newStartup(&Node{settings: load(t, environment(t, t.TempDir())...), log: zap.NewNop()})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	e, err := etcdserver.Start(ctx, etcdserver.Config{
		Name: "one", DataDir: t.TempDir(), PeerListen: peer, ClientListen: porttest.Address(t),
		Members: map[string]string{"one": peer, "two": porttest.Address(t)},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.etcd.Store(e)
	s.enter(awaitsQuorum)
	if w := s.waiting(); !strings.Contains(w.Reason, "quorum") || w.Fault != "" {
		t.Errorf("%+v", w)
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		e.Close()
	}()
	select {
	case <-closed:
	case <-ctx.Done():
		t.Error("a member without a quorum does not close")
	}
}
