package observe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dvr/controller/fibpb"
	"dvr/eventlog"
	"dvr/projector"
)

// bench is a log in memory with nodes that observe.
type bench struct {
	t     *testing.T
	mu    sync.Mutex
	fold  *projector.Fold
	state *projector.State
	ids   map[string]bool
	at    eventlog.Revision
	log   []string // what was appended: "router state link"
	fail  error
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, fold: projector.NewFold("0f0e0d0c-0b0a-4908-8706-050403020100"), ids: map[string]bool{}}
	b.commit(&eventlog.EpochStarted{Epoch: 1, LogID: "0f0e0d0c-0b0a-4908-8706-050403020100", Cause: "created"})
	b.commit(
		&eventlog.LinkSet{
			LinkID: eventlog.LinkID{A: "r1", B: "r2"}, CostAB: 1, CostBA: 1, InterfaceA: "w0",
			AddressA: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
			AddressB: []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")},
		},
		&eventlog.LinkSet{
			LinkID: eventlog.LinkID{A: "r1", B: "r3"}, CostAB: 1, CostBA: 1,
			AddressB: []netip.Addr{netip.MustParseAddr("10.0.1.2")},
		},
	)
	return b
}

func (b *bench) commit(events ...eventlog.Event) {
	b.at++
	c := &eventlog.Commit{Revision: b.at, Epoch: 1, ID: fmt.Sprint(b.at), Actor: "test", Time: int64(b.at), Events: events}
	if err := b.fold.Apply(c, eventlog.Hash{byte(b.at)}); err != nil {
		b.t.Fatal(err)
	}
	b.state = b.fold.State()
}

func (b *bench) State() *projector.State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

// Append commits what was not committed under its id.
func (b *bench) Append(_ context.Context, s Sighting) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return b.fail
	}
	if b.ids[s.ID] {
		return nil
	}
	b.ids[s.ID] = true
	b.commit(s.Event)
	b.log = append(b.log, fmt.Sprintf("%s %s %s-%s", s.Event.Router, s.Event.State, s.Event.A, s.Event.B))
	return nil
}

func (b *bench) node() *Observer {
	return New(Options{State: b.State, Append: b.Append})
}

// appended is what was appended since the last call.
func (b *bench) appended() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := strings.Join(b.log, ", ")
	b.log = nil
	return out
}

func (b *bench) want(what string) {
	b.t.Helper()
	synctest.Wait()
	if got := b.appended(); got != what {
		b.t.Errorf("appended %q, want %q", got, what)
	}
}

func at() uint64 { return uint64(time.Now().UnixMilli()) }

func iface(name string, up bool) *fibpb.Observation {
	return &fibpb.Observation{TimeMs: at(), What: &fibpb.Observation_Link_{Link: &fibpb.Observation_Link{Interface: name, Up: up}}}
}

func nextHop(address, on string, up bool) *fibpb.Observation {
	return &fibpb.Observation{TimeMs: at(), What: &fibpb.Observation_NextHop{NextHop: &fibpb.Observation_ObservedNextHop{
		Address: netip.MustParseAddr(address).AsSlice(), Interface: on, Up: up,
	}}}
}

func whole() *fibpb.Observation {
	return &fibpb.Observation{TimeMs: at(), What: &fibpb.Observation_Whole_{Whole: &fibpb.Observation_Whole{}}}
}

// run has a node observe r1, whose interfaces are up, while f goes on.
func (b *bench) run(f func(o *Observer)) {
	ctx, cancel := context.WithCancel(b.t.Context())
	o := b.node()
	var done sync.WaitGroup
	done.Go(func() { o.Run(ctx) })
	o.Stream("r1", true)
	for _, m := range []*fibpb.Observation{iface("w0", true), iface("w1", true), whole()} {
		o.Observe("r1", m)
	}
	f(o)
	cancel()
	done.Wait()
}

func TestAFailureIsAppendedAtOnceAndTheReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.run(func(o *Observer) {
			b.want("") // what is as everybody thinks is not appended
			began := time.Now()
			o.Observe("r1", iface("w0", false))
			b.want("r1 down r1-r2")
			if time.Since(began) != 0 {
				t.Error("it took its time")
			}
			o.Observe("r1", iface("w0", false))
			o.Observe("r1", iface("w1", false)) // named by no link
			time.Sleep(time.Hour)
			b.want("")
			o.Observe("r1", iface("w0", true))
			b.want("r1 up r1-r2")
			// A next hop: of a link with its interface, and of one that has none.
			o.Observe("r1", nextHop("fd00::2", "w0", false))
			b.want("r1 down r1-r2")
			o.Observe("r1", nextHop("10.0.1.2", "w9", false))
			b.want("r1 down r1-r3")
			time.Sleep(time.Hour)
			o.Observe("r1", nextHop("fd00::2", "w0", true))
			o.Observe("r1", nextHop("10.0.1.2", "w9", true))
			synctest.Wait()
			got := strings.Split(b.appended(), ", ")
			slices.Sort(got)
			if !slices.Equal(got, []string{"r1 up r1-r2", "r1 up r1-r3"}) {
				t.Errorf("%q", got)
			}
			// Another's next hop, and one on another interface.
			o.Observe("r1", nextHop("10.0.0.9", "w0", false))
			o.Observe("r1", nextHop("10.0.0.2", "w1", false))
			o.Observe("r2", iface("w0", false))
			b.want("")
		})
	})
}

func TestWhatFlapsIsHeldDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.run(func(o *Observer) {
			for range 100 {
				o.Observe("r1", iface("w0", false))
				synctest.Wait()
				time.Sleep(50 * time.Millisecond)
				o.Observe("r1", iface("w0", true))
				synctest.Wait()
				time.Sleep(50 * time.Millisecond)
			}
			b.want("r1 down r1-r2, r1 up r1-r2, r1 down r1-r2, r1 up r1-r2, r1 down r1-r2")
			began := time.Now()
			for b.State().Position().Revision == 7 && time.Since(began) < time.Hour {
				time.Sleep(10 * time.Millisecond)
			}
			synctest.Wait()
			if took := time.Since(began); took < 55*time.Second || took > mostHeld+time.Second {
				t.Errorf("held for %v after the last failure, want a minute", took)
			}
			b.want("r1 up r1-r2")
			// A single failure much later is told at once again, and so is its end.
			time.Sleep(time.Hour)
			o.Observe("r1", iface("w0", false))
			b.want("r1 down r1-r2")
			o.Observe("r1", iface("w0", true))
			b.want("r1 up r1-r2")
		})
	})
}

func TestTwoNodesAppendItOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		down := iface("w0", false)
		b.run(func(first *Observer) {
			b.run(func(second *Observer) {
				b.fail = errors.New("no quorum")
				first.Observe("r1", down)
				second.Observe("r1", down)
				synctest.Wait()
				b.mu.Lock()
				b.fail = nil
				b.mu.Unlock()
				time.Sleep(20 * time.Second)
				b.want("r1 down r1-r2")
				// The data plane goes to the second; what the first thinks does not matter any more.
				second.Observe("r1", iface("w0", true))
				time.Sleep(time.Minute)
				b.want("r1 up r1-r2")
			})
		})
	})
}

func TestANewStreamTellsAllAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.run(func(o *Observer) {
			o.Observe("r1", nextHop("10.0.1.2", "w1", false))
			b.want("r1 down r1-r3")
			o.Stream("r1", false)
			o.Observe("r1", iface("w0", false)) // late
			time.Sleep(time.Hour)
			b.want("")
			// It is not told again as down; but only at the end of the list that means that it is up.
			o.Stream("r1", true)
			o.Observe("r1", iface("w0", true))
			time.Sleep(time.Hour)
			b.want("")
			o.Observe("r1", whole())
			b.want("r1 up r1-r3")
		})
		// A data plane that observes nothing says nothing.
		o := b.node()
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() { o.Run(ctx) })
		b.mu.Lock()
		b.commit(&eventlog.LinkObserved{LinkID: eventlog.LinkID{A: "r1", B: "r3"}, Router: "r1", State: eventlog.ObservedDown})
		b.mu.Unlock()
		o.Stream("r1", true)
		o.Observe("r1", whole())
		time.Sleep(time.Minute)
		b.want("")
		cancel()
		done.Wait()
	})
}

func TestALinkThatIsSetLaterIsLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.run(func(o *Observer) {
			o.Observe("r1", iface("w1", false))
			time.Sleep(time.Minute)
			b.want("")
			b.mu.Lock()
			b.commit(&eventlog.LinkSet{LinkID: eventlog.LinkID{A: "r0", B: "r1"}, CostAB: 1, CostBA: 1, InterfaceB: "w1"})
			b.mu.Unlock()
			time.Sleep(2 * sweepEvery)
			b.want("r1 down r0-r1")
			// Removed and set again it is another one.
			b.mu.Lock()
			b.commit(&eventlog.LinkRemoved{LinkID: eventlog.LinkID{A: "r0", B: "r1"}})
			b.mu.Unlock()
			time.Sleep(2 * sweepEvery)
			b.want("")
		})
	})
}

func TestMemoryIsBounded(t *testing.T) {
	v := newView()
	for i := range 3 * maxSeen {
		v.take(iface(fmt.Sprint("w", i), true))
		v.take(nextHop(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String(), "w", false))
	}
	if len(v.interfaces) != maxSeen || v.count != maxSeen || len(v.hops) != maxSeen {
		t.Errorf("%d interfaces, %d next hops", len(v.interfaces), len(v.hops))
	}
	if v.take(&fibpb.Observation{}) || v.take(&fibpb.Observation{What: &fibpb.Observation_NextHop{NextHop: &fibpb.Observation_ObservedNextHop{Address: []byte{1}}}}) {
		t.Error("what is malformed was taken")
	}
}

func TestDampener(t *testing.T) {
	begin := time.Unix(1, 0)
	for _, c := range []struct {
		name     string
		failures []time.Duration
		held     time.Duration // after the last
	}{
		{"one", []time.Duration{0}, 0},
		{"two at once", []time.Duration{0, 0}, 0},
		{"three at once", []time.Duration{0, 0, 0}, 23774 * time.Millisecond},
		{"three, a minute between", []time.Duration{0, time.Minute, 2 * time.Minute}, 0},
		{"a hundred", slices.Repeat([]time.Duration{0}, 100), time.Minute},
	} {
		d, now := dampener{}, begin
		for _, at := range c.failures {
			now = begin.Add(at)
			d.failed(now)
		}
		if got := d.held(now).Round(time.Millisecond); got != c.held {
			t.Errorf("%s: held for %v, want %v", c.name, got, c.held)
		}
		if d.held(now.Add(c.held+time.Millisecond)) != 0 || d.suppressed {
			t.Errorf("%s: held for ever", c.name)
		}
		if !d.spent(now.Add(time.Hour)) {
			t.Errorf("%s: remembered for ever", c.name)
		}
	}
}
