package demo

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"dvr/dataplane/tables"
	"dvr/eventlog"
	"dvr/projector"
)

// state is a fold that tests go on with.
type state struct {
	*testing.T
	fold *projector.Fold
	at   eventlog.Revision
	now  *projector.State
}

func newState(t *testing.T) *state {
	s := &state{T: t, fold: projector.NewFold("demo")}
	s.apply(&eventlog.EpochStarted{Epoch: 1, LogID: "demo", Cause: eventlog.CauseCreated})
	return s
}

func (s *state) apply(events ...eventlog.Event) {
	s.Helper()
	for _, e := range events {
		if err := e.Validate(); err != nil && e.Kind() != eventlog.KindEpochStarted {
			s.Fatalf("%+v: %v", e, err)
		}
	}
	s.at++
	c := &eventlog.Commit{Revision: s.at, Epoch: 1, ID: "x", Actor: "y", Time: int64(s.at), Events: events}
	if err := s.fold.Apply(c, eventlog.Hash{}); err != nil {
		s.Fatal(err)
	}
	s.now = s.fold.State()
}

// prefixes that a router forwards.
func (s *state) prefixes(r eventlog.RouterID) (n int) {
	for range s.now.Vector(r, netip.Prefix{}) {
		n++
	}
	return n
}

func TestNetworkSurvivesAnyLink(t *testing.T) {
	s := newState(t)
	s.apply(network()...)
	for _, r := range routers {
		if n := s.prefixes(r); n != len(routers) {
			t.Errorf("%s reaches %d networks", r, n)
		}
	}
	for _, l := range links {
		s.apply(&eventlog.LinkSet{LinkID: eventlog.LinkID{A: l.a, B: l.b}, CostAB: l.cost, CostBA: l.cost, Down: true})
		for _, r := range routers {
			if n := s.prefixes(r); n != len(routers) {
				t.Errorf("without %s-%s %s reaches %d networks", l.a, l.b, r, n)
			}
		}
		s.apply(&eventlog.LinkSet{LinkID: eventlog.LinkID{A: l.a, B: l.b}, CostAB: l.cost, CostBA: l.cost, InterfaceA: "to-b", InterfaceB: "to-a"})
	}
	if !slices.IsSorted(routers) || len(descriptions) != len(routers) {
		t.Error("routers and descriptions do not fit")
	}
}

// TestInternetIsEverywhere: each prefix is announced at one border, and known
// at every router by next hops that have addresses.
func TestInternetIsEverywhere(t *testing.T) {
	const most = 3000
	table, err := internet(most)
	if err != nil {
		t.Fatal(err)
	}
	if len(table) != most {
		t.Fatalf("%d routes", len(table))
	}
	s := newState(t)
	s.apply(network()...)
	var events []eventlog.Event
	six := 0
	for _, p := range table {
		events = append(events, p.announced())
		if p.Prefix.Addr().Is6() {
			six++
		}
	}
	for batch := range slices.Chunk(events, 1000) {
		s.apply(batch...)
	}
	if six < most/10 {
		t.Errorf("%d IPv6 routes of %d", six, most)
	}
	for _, r := range routers {
		if n := s.prefixes(r); n != most+len(routers) {
			t.Errorf("%s has %d", r, n)
		}
		for d := range s.now.Vector(r, netip.Prefix{}) {
			for _, h := range d.NextHops {
				if !h.Address.IsValid() || h.Address.Is4() != d.Prefix.Addr().Is4() {
					t.Fatalf("%s: %s by %+v", r, d.Prefix, h)
				}
			}
		}
	}
	whole, err := tables.Full()
	if err != nil {
		t.Fatal(err)
	}
	if all, err := internet(1 << 30); err != nil || len(all) != len(whole) {
		t.Errorf("all are %d of %d: %v", len(all), len(whole), err)
	}
}

// TestChurnKeepsTheTable: whatever moves, each prefix has one candidate, as the
// state has it too, and no change is large.
func TestChurnKeepsTheTable(t *testing.T) {
	table, err := internet(600)
	if err != nil {
		t.Fatal(err)
	}
	s := newState(t)
	s.apply(network()...)
	var events []eventlog.Event
	for _, p := range table {
		events = append(events, p.announced())
	}
	s.apply(events...)
	c, again := newChurn(table, 7), newChurn(table, 7)
	moved := map[netip.Prefix]bool{}
	for range 300 {
		before := s.now.Digest()
		m := c.next()
		if same := again.next(); same.actor != m.actor || same.to != m.to || !slices.Equal(same.indexes, m.indexes) {
			t.Fatal("the same seed gives another sequence")
		}
		again.moved(m)
		events := s.move(c, m)
		if len(events) < 2 || len(events) > 2*moveMost || !slices.Contains([]string{"bgp@ams", "bgp@fra", "bgp@lon"}, m.actor) {
			t.Fatalf("%s makes %d events", m.actor, len(events))
		}
		for _, e := range events {
			if w, ok := e.(*eventlog.RouteWithdrawn); ok {
				moved[w.Destination] = true
				if _, there := s.now.Route(w.RouteID); !there {
					t.Fatalf("%+v is withdrawn and not there", w.RouteID)
				}
			}
		}
		s.apply(events...)
		c.moved(m)
		if s.now.Digest() == before {
			t.Fatal("nothing has changed")
		}
		if n := s.now.Stats().Routes; int(n) != len(table)+len(routers) {
			t.Fatalf("%d routes", n)
		}
	}
	if len(moved) < 100 {
		t.Errorf("only %d prefixes ever move", len(moved))
	}
	if m := newChurn(nil, 1).next(); len(m.indexes) != 0 || s.move(newChurn(nil, 1), m) != nil {
		t.Error("nothing moves, and it does")
	}
}

// move is the events of a move, by what the state has.
func (s *state) move(c *churn, m move) []eventlog.Event {
	s.Helper()
	events, err := c.events(m, func(p netip.Prefix) (ids []eventlog.RouteID, err error) {
		d, _ := s.now.Destination(p)
		for _, r := range d.Candidates {
			ids = append(ids, r.RouteID)
		}
		return ids, nil
	})
	if err != nil {
		s.Fatal(err)
	}
	return events
}

// TestChurnGoesOnFromWhatIsThere: changes that are refused, whose answers are
// lost, that somebody rolls back, and those of an earlier demonstration with the
// same data leave one candidate for each prefix all the same.
func TestChurnGoesOnFromWhatIsThere(t *testing.T) {
	table, err := internet(600)
	if err != nil {
		t.Fatal(err)
	}
	s := newState(t)
	s.apply(network()...)
	for _, p := range table[1:] { // one has been taken away
		s.apply(p.announced())
	}
	want := uint64(len(table) - 1 + len(routers))
	for seed := range uint64(4) {
		c := newChurn(table, seed)
		for i := range 100 {
			m := c.next()
			events := s.move(c, m)
			if i%5 != 0 && len(events) > 0 {
				s.apply(events...)
			}
			if i%5 != 1 { // told of some that were not made, and not of some that were
				c.moved(m)
			}
			if n := uint64(s.now.Stats().Routes); n != want {
				t.Fatalf("run %d, change %d: %d routes of %d", seed, i, n, want)
			}
		}
	}
	// Two candidates, as earlier versions left them, become one when it is its turn.
	c := newChurn(table, 9)
	m := c.next()
	for provider := range 3 {
		s.apply(placed{c.sample[m.indexes[0]].Origin, provider}.announced())
	}
	s.apply(s.move(c, m)...)
	if n := uint64(s.now.Stats().Routes); n != want {
		t.Errorf("%d routes of %d", n, want)
	}
	refused := errors.New("no node")
	if events, err := c.events(m, func(netip.Prefix) ([]eventlog.RouteID, error) { return nil, refused }); !errors.Is(err, refused) || events != nil {
		t.Errorf("%v %v", events, err)
	}
}

func TestSettingsAreNotInherited(t *testing.T) {
	got := withoutSettings([]string{"PATH=/bin", "DVR_ROUTER=r9", "DVR_LISTEN=x", "HOME=/"})
	if !slices.Equal(got, []string{"PATH=/bin", "HOME=/"}) {
		t.Error(got)
	}
}
