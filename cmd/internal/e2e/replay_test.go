package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"dvr/controller/appender"
	"dvr/eventlog"
	"dvr/eventlog/etcdlog"
	"dvr/projector"
)

func openLog(t *testing.T, c *clientv3.Client) *etcdlog.Log {
	t.Helper()
	l, err := etcdlog.Open(within(t, patience), c, etcdlog.Options{Node: "n", Silence: 500 * time.Millisecond, Backlog: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func openAppender(t *testing.T, l *etcdlog.Log) *appender.Appender {
	t.Helper()
	a, err := appender.Open(within(t, patience), l, appender.Options{Node: "n"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// scribe writes random commits: routes that come and go, links, routers, keys,
// and now and then one so large that it is staged.
type scribe struct {
	a      *appender.Appender
	random *rand.Rand
	n      int
}

func (s *scribe) event() eventlog.Event {
	r := s.random
	router := func() eventlog.RouterID { return eventlog.RouterID(fmt.Sprintf("r%d", r.IntN(9))) }
	id := eventlog.RouteID{
		Router: eventlog.AllRouters, Origin: eventlog.DefaultOrigin,
		Destination: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(r.IntN(4)), byte(r.IntN(256)), 0}), 24),
		NextHop:     netip.AddrFrom4([4]byte{192, 168, 1, byte(1 + r.IntN(5))}),
	}
	if r.IntN(3) == 0 {
		id.Router = router()
	}
	switch r.IntN(12) {
	case 0:
		return &eventlog.RouterSet{Router: router(), Description: fmt.Sprint("router ", s.n)}
	case 1:
		l := &eventlog.LinkSet{LinkID: eventlog.LinkID{A: "r0", B: eventlog.RouterID(fmt.Sprintf("r%d", 1+r.IntN(8)))}, CostAB: 1 + r.Uint32N(50), CostBA: 1 + r.Uint32N(50), InterfaceA: "eth0", InterfaceB: "eth0"}
		l.Down = r.IntN(4) == 0
		return l
	case 2:
		return &eventlog.KeyPut{Key: fmt.Sprintf("k%d", r.IntN(50)), Value: fmt.Sprint(s.n)}
	case 3, 4:
		return &eventlog.RouteWithdrawn{RouteID: id}
	}
	return &eventlog.RouteAnnounced{RouteID: id, Metric: r.Uint32N(100), Preference: eventlog.DefaultPreference, Weight: uint16(1 + r.IntN(4)), Recursive: r.IntN(20) == 0}
}

// commit appends one commit of a few events about different things.
func (s *scribe) commit(ctx context.Context) error {
	s.n++
	size := 1 + s.random.IntN(4)
	if s.n%200 == 0 {
		size = 5000 // too large for a batch
	}
	var events []eventlog.Event
	if size == 5000 {
		for i := range size {
			events = append(events, &eventlog.KeyPut{Key: fmt.Sprintf("big/%d", i), Value: fmt.Sprint(s.n)})
		}
	}
	seen := map[string]bool{}
	for i := 0; len(events) < size && i < 3*size; i++ {
		e := s.event()
		if key := identity(e); !seen[key] {
			seen[key] = true
			events = append(events, e)
		}
	}
	_, err := s.a.Append(ctx, appender.Request{Actor: "scribe", ID: fmt.Sprintf("c-%d", s.n), Hash: eventlog.RequestHash{byte(s.n), byte(s.n >> 8)}, Events: events})
	var refused *eventlog.FieldError
	if errors.As(err, &refused) {
		return nil // the state does not allow it: nothing was appended
	}
	return err
}

// identity is what two events of one commit must not share.
func identity(e eventlog.Event) string {
	switch e := e.(type) {
	case *eventlog.RouteAnnounced:
		return fmt.Sprint(e.RouteID)
	case *eventlog.RouteWithdrawn:
		return fmt.Sprint(e.RouteID)
	case *eventlog.RouterSet:
		return "router " + string(e.Router)
	case *eventlog.LinkSet:
		return fmt.Sprint("link ", e.LinkID)
	case *eventlog.KeyPut:
		return "key " + e.Key
	}
	return fmt.Sprintf("%T", e)
}

func saved(t *testing.T, s *projector.State) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// same compares two states in position, digest and every byte that is saved.
func same(t *testing.T, what string, got, want *projector.State) {
	t.Helper()
	if got.Position() != want.Position() || got.Digest() != want.Digest() {
		t.Errorf("%s: at %v with digest %s, the writer at %v with %s", what, got.Position(), got.Digest(), want.Position(), want.Digest())
		return
	}
	if a, b := saved(t, got), saved(t, want); !bytes.Equal(a, b) {
		i := 0
		for i < min(len(a), len(b)) && a[i] == b[i] {
			i++
		}
		t.Errorf("%s: saved bytes differ at %d:\n got %.200q\nwant %.200q", what, i, a[max(0, i-80):], b[max(0, i-80):])
	}
}

// foldLog folds what Read gives after the fold's revision.
func foldLog(ctx context.Context, l *etcdlog.Log, fold *projector.Fold) error {
	return l.Read(ctx, fold.Current().Position().Revision, func(b *eventlog.Batch) error { return foldBatch(ctx, l, fold, b) })
}

func foldBatch(ctx context.Context, l *etcdlog.Log, fold *projector.Fold, b *eventlog.Batch) error {
	for i := range b.Commits {
		k := &b.Commits[i]
		if k.Revision <= fold.Current().Position().Revision {
			continue
		}
		if len(k.Events) == 1 {
			if staged, ok := k.Events[0].(*eventlog.CommitStaged); ok {
				var err error
				if k.Events, err = l.Staged(ctx, staged); err != nil {
					return err
				}
			}
		}
		if err := fold.Apply(k, b.Hash); err != nil {
			return err
		}
	}
	return nil
}

// TestReplay: a log with snapshots taken while it was written. State rebuilt
// from revision 1, from every snapshot plus tail, and by an empty node from a
// dump of the keys equals the writer's in digest and bytes.
func TestReplay(t *testing.T) { onStores(t, testReplay) }

func testReplay(t *testing.T, on store) {
	ctx := within(t, patience)
	source, client, _ := on.etcd(t)
	log := openLog(t, client)
	a := openAppender(t, log)
	s := &scribe{a: a, random: rand.New(rand.NewPCG(1, 2))}
	keeper := appender.NewKeeper(log, a, nil, appender.KeeperOptions{Thinned: 100})
	for i := range 1000 {
		if err := s.commit(ctx); err != nil {
			t.Fatal(err)
		}
		if i%150 == 149 {
			if err := keeper.Snapshot(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := a.State()

	fold := projector.NewFold(log.ID())
	if err := foldLog(ctx, log, fold); err != nil {
		t.Fatal(err)
	}
	same(t, "from revision 1", fold.State(), want)

	snapshots, err := log.Snapshots(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(snapshots) < 4 {
		t.Fatalf("%d snapshots: too few to show anything", len(snapshots))
	}
	for _, info := range snapshots {
		r, err := log.OpenSnapshot(ctx, info)
		if err != nil {
			t.Fatal(err)
		}
		fold, err := projector.Load(r)
		if err == nil {
			err = foldLog(ctx, log, fold)
		}
		if err = errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprintf("from the snapshot of revision %d", info.Revision), fold.State(), want)
	}

	// What `etcdctl get --prefix /dvr/` prints, put into an empty etcd: without
	// snapshots everything comes from the batches.
	for _, without := range []string{"nothing", "/dvr/snap/"} {
		_, target, _ := on.etcd(t)
		dump(t, source, target, without)
		same(t, "an empty node from a dump without "+without, openAppender(t, openLog(t, target)).State(), want)
	}
}

// dump copies all keys below /dvr/ but those below without, in another order.
func dump(t *testing.T, from string, to *clientv3.Client, without string) {
	t.Helper()
	ctx := within(t, patience)
	r, err := etcdClient(t, from).Get(ctx, "/dvr/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Kvs) < 10 {
		t.Fatalf("%d keys", len(r.Kvs))
	}
	rand.New(rand.NewPCG(3, 4)).Shuffle(len(r.Kvs), func(i, j int) { r.Kvs[i], r.Kvs[j] = r.Kvs[j], r.Kvs[i] })
	for _, kv := range r.Kvs {
		if bytes.HasPrefix(kv.Key, []byte(without)) {
			continue
		}
		if _, err := to.Put(ctx, string(kv.Key), string(kv.Value)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReplayFollowers: followers whose connection is cut at random points,
// that are slow, and whose history is compacted under them, see every commit
// once and end in the writer's state; so they do when an external etcd is killed.
func TestReplayFollowers(t *testing.T) { onStores(t, testReplayFollowers) }

func testReplayFollowers(t *testing.T, on store) {
	ctx := within(t, patience)
	source, client, process := on.etcd(t)
	log := openLog(t, client)
	a := openAppender(t, log)
	start, err := log.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	end := make(chan eventlog.Revision) // closed below with the last revision known
	var last eventlog.Revision
	var followers sync.WaitGroup
	states := make([]*projector.State, 3)
	wires := make([]*wire, 3)
	for i := range states {
		wires[i] = newWire(t, source)
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{wires[i].addr()}, DialTimeout: 10 * time.Second, Logger: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		l := openLog(t, c)
		fold := projector.NewFold(log.ID())
		if err := foldLog(ctx, l, fold); err != nil {
			t.Fatal(err)
		}
		if got := fold.Current().Position().Revision; got != start.Revision {
			t.Fatalf("begins at revision %d", got)
		}
		random := rand.New(rand.NewPCG(uint64(i), 9))
		followers.Go(func() {
			follow, stop := context.WithCancel(ctx)
			defer stop()
			done := errors.New("at the end")
			err := l.Follow(follow, start, func(b *eventlog.Batch, _ eventlog.Head) error {
				if b.First() != fold.Current().Position().Revision+1 {
					return fmt.Errorf("revision %d after %d", b.First(), fold.Current().Position().Revision)
				}
				if i == 1 && random.IntN(20) == 0 {
					time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond) // the slow one
				}
				if err := foldBatch(follow, l, fold, b); err != nil {
					return err
				}
				select {
				case <-end:
					if fold.Current().Position().Revision >= last {
						return done
					}
				default:
				}
				return nil
			})
			if !errors.Is(err, done) {
				t.Errorf("follower %d: %v", i, err)
				return
			}
			states[i] = fold.State()
		})
	}
	s := &scribe{a: a, random: rand.New(rand.NewPCG(5, 6))}
	for i := range 1200 {
		if err := s.commit(ctx); err != nil {
			t.Fatal(err)
		}
		if i == 600 && process != nil { // everybody loses it, the writer too
			process.Kill()
			if err := process.Start(); err != nil {
				t.Fatal(err)
			}
		}
		if s.random.IntN(60) == 0 {
			wires[s.random.IntN(2)].cut()
		}
		if i%100 == 50 { // everything but the newest state of each key is forgotten
			wires[2].cut()
			if _, err := log.Compact(ctx, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	last = a.State().Position().Revision
	close(end)
	if err := s.commit(ctx); err != nil { // one more, which tells the followers
		t.Fatal(err)
	}
	followers.Wait()
	if t.Failed() {
		return
	}
	cuts := 0
	for _, w := range wires {
		cuts += w.cuts
	}
	if cuts < 10 {
		t.Errorf("only %d cuts: too few to show anything", cuts)
	}
	for i, got := range states {
		fold := projector.Resume(got)
		if err := foldLog(ctx, log, fold); err != nil { // the one more, where it came after the end was seen
			t.Fatal(err)
		}
		same(t, fmt.Sprintf("follower %d", i), fold.State(), a.State())
	}
}

// wire carries TCP connections to an address and cuts them when told.
type wire struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	open     []net.Conn
	cuts     int
}

func newWire(t *testing.T, target string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, target: target}
	var carried sync.WaitGroup
	carried.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				near.Close()
				continue
			}
			w.mu.Lock()
			w.open = append(w.open, near, far)
			w.mu.Unlock()
			for _, ends := range [][2]net.Conn{{near, far}, {far, near}} {
				carried.Go(func() {
					_, _ = io.Copy(ends[0], ends[1])
					ends[0].Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.cut()
		carried.Wait()
	})
	return w
}

func (w *wire) addr() string { return w.listener.Addr().String() }

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range slices.Backward(w.open) {
		c.Close()
	}
	w.open = nil
	w.cuts++
}
