package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dvr/cmd/internal/client"
	"dvr/cmd/internal/testbed"
	"dvr/controller/stalltest"
)

// TestStressKill: kill -9 of the node, of the data plane, of both, and of an
// external etcd, alone or with the node, in the middle of an import and of
// single writes, again and again. Every acknowledged route must be there, none
// twice, revisions dense, digests equal, and lookups must not fail while the
// node or etcd is away. Each of these once; with DVR_STRESS=<duration> at least
// 20 rounds, and for that long.
func TestStressKill(t *testing.T) { onStores(t, testStressKill) }

func testStressKill(t *testing.T, on store) {
	if testing.Short() {
		t.Skip("kills processes for a while")
	}
	n, e := on.node(t)
	p := startPlane(t, n, "r1")
	s := &stress{t: t, n: n, p: p, e: e, acked: map[string]string{}, kills: []kill{{node: true}, {plane: true}, {node: true, plane: true}}}
	if on.external {
		s.kills = append(s.kills, kill{etcd: true}, kill{etcd: true, node: true})
	}
	rounds, until := len(s.kills), time.Time{}
	if d, long := stressTime(t); long {
		rounds, until = 20, time.Now().Add(d)
	}
	must(t, n, http.StatusCreated, http.MethodPost, "/routes?wait=installed&timeout=60s", `{"destination":"198.51.100.0/24","next_hop":"192.0.2.1"}`)
	stop := s.probe(netip.MustParseAddr("198.51.100.1"))
	for round := 0; round < rounds || time.Now().Before(until); round++ {
		s.round(round)
		if t.Failed() {
			break
		}
	}
	stop()
	if t.Failed() {
		return
	}
	h := readHistory(t, n.Etcd)
	for id, destination := range s.acked {
		if h.ids[id] != 1 {
			t.Errorf("%s (%s) is in the log %d times", id, destination, h.ids[id])
		}
		prefix := netip.MustParsePrefix(destination)
		if _, ok := h.state.Destination(prefix); !ok {
			t.Errorf("the acknowledged route %s is not there", destination)
		}
	}
	for id, times := range h.ids {
		if times != 1 {
			t.Errorf("%s was committed %d times", id, times)
		}
	}
	if want := 1 + len(s.acked) + int(s.imported.Load()); h.state.Stats().Destinations4 != want {
		t.Errorf("%d destinations, want %d", h.state.Stats().Destinations4, want)
	}
	agree(t, n, h, p)
	t.Logf("%d acknowledged single writes, %d imported routes, %d revisions, %d lookups", len(s.acked), s.imported.Load(), h.Head.Revision, s.lookups.Load())
}

// restartLimit is generous: 1 s is promised, on a machine that does nothing else.
// `make bench` holds the full table to it (dvr-bench full), and the data plane's own
// test a small one (dataplane/test/cmd/binary_test.cc).
const restartLimit = 5 * time.Second

// kill says which processes a round kills.
type kill struct{ node, plane, etcd bool }

type stress struct {
	t        *testing.T
	n        *testbed.Node
	p        *plane
	e        *testbed.Etcd // nil: embedded in the node
	kills    []kill        // in turn
	mu       sync.Mutex
	acked    map[string]string // "actor id" → destination
	imported atomic.Int64
	lookups  atomic.Int64
	planeOff atomic.Int64 // data plane being killed: a lookup that fails is none of the promise
}

// probe looks an address up without pause until stopped; it must always be found.
func (s *stress) probe(a netip.Addr) (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			off := s.planeOff.Load()
			call, end := context.WithTimeout(ctx, 5*time.Second)
			got, err := s.p.lookup(call, a)
			end()
			if ctx.Err() != nil {
				return
			}
			if off%2 == 1 || off != s.planeOff.Load() {
				time.Sleep(time.Millisecond) // it is away: nothing to wait on
				continue
			}
			if err != nil || got.via() != "192.0.2.1" {
				s.t.Errorf("a lookup failed: %v %v", got, err)
				return
			}
			s.lookups.Add(1)
		}
	}()
	return func() { cancel(); <-done }
}

// round writes while processes die, brings them back, and waits until all that
// was begun is acknowledged.
func (s *stress) round(round int) {
	const writers, importLength = 4, 20_000
	ctx := within(s.t, patience)
	enough, stopWriting := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() { s.write(ctx, enough, round, w) })
	}
	wg.Go(func() { s.load(ctx, round, importLength) })

	random := rand.New(rand.NewPCG(uint64(round), 7))
	time.Sleep(time.Duration(20+random.IntN(300)) * time.Millisecond) // the moment is what varies
	what := s.kills[round%len(s.kills)]
	if what.etcd {
		s.e.Kill()
	}
	if what.node {
		s.n.Kill()
	}
	if what.plane {
		s.planeOff.Add(1)
		s.p.Kill()
	}
	away := func() { time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond) }
	if what.node {
		away()
		if err := s.n.Start(); err != nil {
			s.t.Fatal(err)
		}
	}
	if what.plane {
		own := stalltest.Begin(s.t)
		if err := s.p.Start(); err != nil {
			s.t.Fatal(err)
		}
		s.serves(ctx, own)
		s.planeOff.Add(1)
	}
	if what.etcd { // after the node, which has to wait for it
		away()
		if round/len(s.kills)%3 == 2 {
			time.Sleep(3 * time.Second) // so long that the node notices
		}
		if err := s.e.Start(); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := s.n.Ready(ctx); err != nil {
		s.t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // writes on the restarted node too
	stopWriting()
	wg.Wait()
	s.p.inSync(s.t, s.n, must(s.t, s.n, http.StatusOK, http.MethodGet, "/v1/status", "").revision())
}

// serves waits until the restarted data plane answers from its saved FIB.
func (s *stress) serves(ctx context.Context, own func() time.Duration) {
	for {
		got, err := s.p.lookup(ctx, netip.MustParseAddr("198.51.100.1"))
		if err == nil && got.found {
			took := own()
			s.t.Logf("the data plane serves again after %v", took.Round(time.Millisecond))
			if took > restartLimit {
				s.t.Errorf("the data plane served %v after its restart, want %v", took, restartLimit)
			}
			return
		}
		if ctx.Err() != nil {
			s.t.Fatalf("the data plane does not serve after its restart: %v %v\n%s", got, err, s.p.Log())
		}
		time.Sleep(time.Millisecond) // polls another process
	}
}

// write adds routes of its own, each under its own key until it is acknowledged.
func (s *stress) write(ctx, enough context.Context, round, w int) {
	for i := 0; enough.Err() == nil && i < 250; i++ {
		destination := fmt.Sprintf("10.%d.%d.%d/32", w<<6|round&63, round>>6, i)
		key := fmt.Sprintf("single-%d-%d-%d", round, w, i)
		body := fmt.Sprintf(`{"destination":"%s","next_hop":"192.168.1.1","metric":%d}`, destination, round)
		if !s.insist(ctx, client.Call{Method: http.MethodPost, Path: "/routes?wait=logged", Body: []byte(body), IdempotencyKey: key}) {
			return
		}
		s.mu.Lock()
		s.acked["test "+key] = destination
		s.mu.Unlock()
	}
}

// load imports a table; cut off, it is resumed under the same key.
func (s *stress) load(ctx context.Context, round, length int) {
	var body bytes.Buffer
	for i := range length {
		fmt.Fprintf(&body, "{\"destination\":\"%d.%d.%d.0/24\",\"next_hop\":\"192.168.2.1\",\"metric\":%d}\n", 20+round%100, i/256, i%256, round)
	}
	call := client.Call{
		Method: http.MethodPost, Path: "/v1/routes/import?timeout=1m", Body: body.Bytes(), IdempotencyKey: fmt.Sprintf("import-%d", round),
		Header: http.Header{"Content-Type": {"application/x-ndjson"}},
	}
	if s.insist(ctx, call) && round < 100 {
		s.imported.Add(int64(length))
	}
}

// insist repeats a call until it is answered; the client repeats it under its
// key as long as a node listens.
func (s *stress) insist(ctx context.Context, call client.Call) bool {
	for {
		_, err := s.n.Client.Do(ctx, call, nil)
		var p *client.Problem
		switch {
		case err == nil:
			return true
		case ctx.Err() != nil, errors.As(err, &p):
			s.t.Errorf("%s %s under %s: %v", call.Method, call.Path, call.IdempotencyKey, err)
			return false
		}
		time.Sleep(5 * time.Millisecond) // the node is away
	}
}
