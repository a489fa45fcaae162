package history

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"

	"dvr/eventlog"
	"dvr/eventlog/memlog"
	"dvr/projector"
)

const logID = "6f1c2f0e-7a34-4b1c-9d52-0c8a5e0f4a11"

// world is a log in memory with what was put into it.
type world struct {
	t       testing.TB
	log     *memlog.Log
	head    eventlog.Head
	fold    *projector.Fold
	states  []*projector.State // by revision, each frozen by the one fold
	commits []eventlog.Commit  // by revision
	time    int64
	rand    *rand.Rand
}

const epochStart = 1_800_000_000_000

func newWorld(t testing.TB, seed uint64) *world {
	t.Helper()
	w := &world{t: t, time: epochStart, rand: rand.New(rand.NewPCG(seed, 1))}
	w.log = memlog.New(logID, memlog.WithClock(func() int64 { return w.time }))
	var err error
	if w.head, err = w.log.Head(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.fold = projector.NewFold(logID)
	w.states = []*projector.State{w.fold.State()}
	w.commits = []eventlog.Commit{{}}
	w.read(0)
	return w
}

// read folds what was stored after a revision.
func (w *world) read(after eventlog.Revision) {
	w.t.Helper()
	if err := w.log.Read(context.Background(), after, func(b *eventlog.Batch) error {
		for i := range b.Commits {
			c := b.Commits[i]
			h, err := eventlog.HashAt(b.Raw, c.Revision)
			if err != nil {
				return err
			}
			if err := w.fold.Apply(&c, h); err != nil {
				return err
			}
			w.states = append(w.states, w.fold.State())
			w.commits = append(w.commits, c)
		}
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) now() *projector.State { return w.states[len(w.states)-1] }

func (w *world) revision() eventlog.Revision { return w.head.Revision }

// batch appends commits as one batch; each is a list of events.
func (w *world) batch(commits ...[]eventlog.Event) {
	w.t.Helper()
	list := make([]eventlog.Commit, len(commits))
	for i, events := range commits {
		r := w.head.Revision + 1 + eventlog.Revision(i)
		list[i] = eventlog.Commit{Actor: fmt.Sprint("actor-", r%3), Reason: fmt.Sprint("because ", r), Events: events}
	}
	w.store(list...)
}

// store appends commits, which have an actor, a reason and events, as one batch.
func (w *world) store(commits ...eventlog.Commit) {
	w.t.Helper()
	b := eventlog.NewBatchBuilder(w.head, "node-1")
	for i := range commits {
		c := commits[i]
		c.Revision, c.Epoch, c.Time = w.head.Revision+1+eventlog.Revision(i), w.head.Epoch, w.time
		c.ID = fmt.Sprint("c", c.Revision)
		if err := b.Add(&c); err != nil {
			w.t.Fatal(err)
		}
		if w.rand.IntN(3) > 0 {
			w.time += int64(w.rand.IntN(2000))
		}
	}
	raw, next := b.Finish()
	after := w.head.Revision
	var err error
	if w.head, err = w.log.Append(context.Background(), w.head, next, bytes.Clone(raw), nil); err != nil {
		w.t.Fatal(err)
	}
	w.read(after)
}

// commit appends one commit.
func (w *world) commit(events ...eventlog.Event) eventlog.Revision {
	w.t.Helper()
	w.batch(events)
	return w.revision()
}

// snapshot stores that of a revision.
func (w *world) snapshot(r eventlog.Revision) {
	w.t.Helper()
	s := w.states[r]
	h := s.Head()
	info := eventlog.SnapshotInfo{
		Format: 1, LogID: logID, Revision: r, Epoch: h.Epoch, EpochNonce: fmt.Sprintf("%x", h.Nonce[:]), Hash: fmt.Sprintf("%x", h.Hash[:]),
		Level: h.Level, Digest: s.Digest().String(), Time: s.Time(),
	}
	if _, err := w.log.WriteSnapshot(context.Background(), info, func(out io.Writer) error { return s.Save(out) }); err != nil {
		w.t.Fatal(err)
	}
}

// some commits of random events.
func (w *world) some(n int) {
	w.t.Helper()
	for n > 0 {
		var list [][]eventlog.Event
		for range min(n, 1+w.rand.IntN(5)) {
			var events []eventlog.Event
			seen := map[string]bool{}
			for range w.rand.IntN(4) {
				e := w.event()
				if id := identity(e); !seen[id] {
					seen[id] = true
					events = append(events, e)
				}
			}
			list = append(list, events)
			n--
		}
		w.batch(list...)
	}
}

func identity(e eventlog.Event) string {
	switch e := e.(type) {
	case *eventlog.RouteAnnounced:
		return fmt.Sprint(e.RouteID)
	case *eventlog.RouteWithdrawn:
		return fmt.Sprint(e.RouteID)
	case *eventlog.LinkSet:
		return fmt.Sprint(e.LinkID)
	case *eventlog.LinkRemoved:
		return fmt.Sprint(e.LinkID)
	case *eventlog.RouterSet:
		return string(e.Router)
	case *eventlog.KeyPut:
		return "k" + e.Key
	case *eventlog.KeyDeleted:
		return "k" + e.Key
	}
	return "?"
}

var routers = []eventlog.RouterID{"r1", "r2", "r3", "r4"}

func (w *world) router() eventlog.RouterID { return routers[w.rand.IntN(len(routers))] }

func (w *world) routeID() eventlog.RouteID {
	id := eventlog.RouteID{Router: eventlog.AllRouters, Origin: eventlog.DefaultOrigin}
	if w.rand.IntN(2) == 0 {
		id.Router = w.router()
	}
	if w.rand.IntN(4) == 0 {
		id.Destination = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(w.rand.IntN(3))}), 48)
		id.NextHop = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0xff, 15: byte(1 + w.rand.IntN(3))})
		return id
	}
	id.Destination = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(w.rand.IntN(3)), 0, 0}), []int{8, 16, 24}[w.rand.IntN(3)]).Masked()
	id.NextHop = netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + w.rand.IntN(4))})
	return id
}

func (w *world) event() eventlog.Event {
	switch k := w.rand.IntN(20); {
	case k < 10:
		return &eventlog.RouteAnnounced{RouteID: w.routeID(), Metric: uint32(w.rand.IntN(4)), Preference: 1, Weight: 1, Recursive: w.rand.IntN(8) == 0}
	case k < 14:
		return &eventlog.RouteWithdrawn{RouteID: w.routeID()}
	case k < 17:
		a := w.rand.IntN(len(routers) - 1)
		id := eventlog.LinkID{A: routers[a], B: routers[a+1+w.rand.IntN(len(routers)-a-1)]}
		if w.rand.IntN(5) == 0 {
			return &eventlog.LinkRemoved{LinkID: id}
		}
		return link(id.A, id.B, uint32(1+w.rand.IntN(5)), w.rand.IntN(5) == 0)
	case k < 18:
		return &eventlog.RouterSet{Router: w.router(), Description: fmt.Sprint(w.rand.IntN(3))}
	case k < 19:
		return &eventlog.KeyDeleted{Key: fmt.Sprint(w.rand.IntN(3))}
	}
	return &eventlog.KeyPut{Key: fmt.Sprint(w.rand.IntN(3)), Value: fmt.Sprint(w.rand.IntN(9))}
}

func link(a, b eventlog.RouterID, cost uint32, down bool) *eventlog.LinkSet {
	address := func(last byte) []netip.Addr {
		return []netip.Addr{netip.AddrFrom4([4]byte{172, 16, a[1] - '0', 16*last + b[1] - '0'})}
	}
	return &eventlog.LinkSet{LinkID: eventlog.LinkID{A: a, B: b}, CostAB: cost, CostBA: cost, AddressA: address(1), AddressB: address(2), Down: down}
}

func route(router eventlog.RouterID, destination, nextHop string, metric uint32) *eventlog.RouteAnnounced {
	return &eventlog.RouteAnnounced{
		RouteID: eventlog.RouteID{Router: router, Origin: eventlog.DefaultOrigin, Destination: netip.MustParsePrefix(destination), NextHop: netip.MustParseAddr(nextHop)},
		Metric:  metric, Preference: 1, Weight: 1,
	}
}

func saved(t testing.TB, s *projector.State) string {
	t.Helper()
	var b bytes.Buffer
	if err := s.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
