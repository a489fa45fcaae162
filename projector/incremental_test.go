package projector

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
	"dvr/projector/internal/reference"
	"dvr/projector/internal/spf"
)

// follower keeps the table of one router from state to state, as a session of
// a data plane does; how often it looks is its own affair.
type follower struct {
	router eventlog.RouterID
	fib    *FIB
}

// After every event, whoever follows and however far behind it was, tables
// equal the reference, which knows neither trees nor classes' indexes. The
// events come in one batch each to one fold and in any batches to another,
// which may begin anew from a snapshot or a state at any point.
func TestIncrementalEqualsTheReferenceAfterEveryEvent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := reference.World{}.Events(40).Draw(t, "events")
		model := reference.New()
		one, other := NewFold("log"), NewFold("log")
		var list []*follower
		for _, r := range routersAsked {
			list = append(list, &follower{router: r}, &follower{router: r})
		}
		for i, e := range events {
			model.Apply(e)
			c := &eventlog.Commit{Revision: eventlog.Revision(i + 1), Time: 1_800_000_000_000, ID: fmt.Sprint(i), Actor: "test", Events: []eventlog.Event{e}}
			mustApplyRapid(t, one, c)
			mustApplyRapid(t, other, c)
			s := one.State()
			checkTopology(t, s)
			from := s
			switch rapid.IntRange(0, 7).Draw(t, "other") {
			case 0:
				again, err := Load(bytes.NewReader(saved(t, other.State())))
				if err != nil {
					t.Fatal(err)
				}
				other, from = again, again.State()
			case 1:
				from = other.State()
				other = Resume(from)
			case 2:
				from = other.State()
			case 3:
				other.Current().Best("r1", netip.MustParsePrefix("10.0.0.0/8")) // trees of the moment
			}
			if s.Digest() != other.Current().Digest() {
				t.Fatalf("event %d: state digests differ", i)
			}
			which := rapid.IntRange(0, len(list)-1).Draw(t, "who")
			f := list[which]
			want := model.Vectors(f.router)[f.router]
			for _, s := range []*State{s, from} {
				f.fib = s.FIB(f.router, f.fib)
				if got := f.fib.Digest().String(); got != want.FIB().Digest() {
					t.Fatalf("event %d, %s: FIB digest %s, want %s", i, f.router, got, want.FIB().Digest())
				}
				n := 0
				for d := range s.Vector(f.router, netip.Prefix{}) {
					n++
					compareDecision(t, f.router, d, want[d.Prefix])
				}
				if n != len(want) {
					t.Fatalf("event %d, %s: %d prefixes in the vector, want %d", i, f.router, n, len(want))
				}
			}
		}
	})
}

// adjacency of a topology without its numbers.
func adjacency(t *topology) (out []string) {
	for r, arcs := range t.graph.Arcs {
		if t.graph.Transit[r] != spf.Open {
			out = append(out, fmt.Sprint(t.ids[r], " ", t.graph.Transit[r]))
		}
		for i, a := range arcs {
			out = append(out, fmt.Sprint(t.ids[r], t.ids[a.To], a.Cost, a.Back, t.ends[r][i]))
		}
	}
	slices.Sort(out)
	return out
}

func checkTopology(t *rapid.T, s *State) {
	got, fresh := s.topology.get(), newTopology(s.items)
	if a, b := adjacency(got), adjacency(fresh); !slices.Equal(a, b) {
		t.Fatalf("the topology is\n%q\nfrom nothing\n%q", a, b)
	}
	hops := map[uint32]bool{}
	for r, arcs := range got.graph.Arcs {
		idle := len(arcs) == 0 && got.graph.Transit[r] == spf.Open
		if i := got.find(got.ids[r]); i != r {
			t.Fatalf("%s is number %d and found as %d", got.ids[r], r, i)
		}
		if idle {
			continue
		}
		for _, a := range arcs {
			if hops[a.Hop] {
				t.Fatalf("two ends of links are number %d", a.Hop)
			}
			hops[a.Hop] = true
		}
	}
	// Both ends of a link know each other's number.
	for h := range hops {
		if !hops[h^1] {
			t.Fatalf("number %d has no other end", h)
		}
	}
	idle := 0
	for r := range got.ids {
		if len(got.graph.Arcs[r]) == 0 && got.graph.Transit[r] == spf.Open {
			idle++
		}
	}
	if idle != got.idle {
		t.Fatalf("%d routers are idle, counted as %d", idle, got.idle)
	}
}

// linkEvent declares r<i>–r<j>.
func linkEvent(i, j int, cost uint32) *eventlog.LinkSet {
	a, b := eventlog.RouterID(fmt.Sprintf("r%04d", i)), eventlog.RouterID(fmt.Sprintf("r%04d", j))
	if a > b {
		a, b = b, a
	}
	return &eventlog.LinkSet{LinkID: eventlog.LinkID{A: a, B: b}, CostAB: cost, CostBA: cost, InterfaceA: "to-b", InterfaceB: "to-a"}
}

func applyEvents(t testing.TB, f *Fold, events ...eventlog.Event) *State {
	t.Helper()
	c := &eventlog.Commit{Revision: f.pos.Revision + 1, Time: 1_800_000_000_000, ID: fmt.Sprint(f.pos.Revision), Actor: "test", Events: events}
	if err := f.Apply(c, eventlog.Hash{}); err != nil {
		t.Fatal(err)
	}
	return f.State()
}

// ringOf is n routers in a ring, each with a prefix of its own.
func ringOf(t testing.TB, f *Fold, n int) *State {
	var events []eventlog.Event
	for i := range n {
		events = append(events, linkEvent(i, (i+1)%n, 1), &eventlog.RouteAnnounced{
			RouteID: eventlog.RouteID{
				Router: eventlog.RouterID(fmt.Sprintf("r%04d", i)), Origin: "static", Interface: "lan",
				Destination: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24),
			}, Preference: 1, Weight: 1,
		})
	}
	return applyEvents(t, f, events...)
}

// Keys, routes and descriptions do not make a new topology; a change of cost
// keeps the numbers of links; a cell that nobody asked is skipped.
func TestTopologiesFollowOneAnother(t *testing.T) {
	f := NewFold("log")
	s := ringOf(t, f, 10)
	first := s.topology.get()
	if s2 := applyEvents(t, f, &eventlog.KeyPut{Key: "k", Value: "v"}); s2.topology != s.topology {
		t.Error("a key made a topology")
	}
	described := applyEvents(t, f, &eventlog.RouterSet{Router: "r0001", Description: "Zürich"}).topology.get()
	if described.at != first.at {
		t.Error("a description is a step")
	}
	applyEvents(t, f, linkEvent(0, 1, 5)) // nobody asks
	last := applyEvents(t, f, linkEvent(3, 4, 6)).topology.get()
	heads, ok := last.since(first.at)
	if !ok || len(last.steps) != 1 {
		t.Fatalf("steps %v", last.steps)
	}
	var names []string
	for _, h := range heads {
		names = append(names, string(last.ids[h]))
	}
	if slices.Sort(names); !slices.Equal(names, []string{"r0000", "r0001", "r0003", "r0004"}) {
		t.Errorf("what changed comes in at %v", names)
	}
	if last.line != first.line {
		t.Error("another line")
	}
	a, b := first.find("r0000"), last.find("r0000")
	if a != b || first.graph.Arcs[a][0].Hop != last.graph.Arcs[b][0].Hop {
		t.Error("numbers changed")
	}
	if &first.graph.Arcs[first.find("r0007")][0] != &last.graph.Arcs[last.find("r0007")][0] {
		t.Error("the arcs of a router that nothing happened to were copied")
	}
}

// A state of another fold has its own numbers; nothing is taken over from there.
func TestTablesOfAnotherLineAreNotMixedUp(t *testing.T) {
	f := NewFold("log")
	ringOf(t, f, 6)
	s := applyEvents(t, f, &eventlog.RouteAnnounced{
		RouteID:    eventlog.RouteID{Router: "r0100", Origin: "static", Interface: "lan", Destination: netip.MustParsePrefix("10.100.0.0/24")},
		Preference: 1, Weight: 1,
	})
	base := s.FIB("r0000", nil)
	left, right := Resume(s), Resume(s)
	a := applyEvents(t, left, linkEvent(0, 100, 1), linkEvent(100, 3, 1))
	fromA := a.FIB("r0000", base)
	b := applyEvents(t, right, linkEvent(0, 200, 7), linkEvent(200, 2, 7)) // the same number as r0100 has there
	b.FIB("r0000", base)
	if got, want := b.FIB("r0000", fromA).Digest(), applyEventsFresh(t, b).FIB("r0000", nil).Digest(); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	one, two := a.topology.get(), b.topology.get()
	if _, ok := two.since(one.at); ok {
		t.Error("the one follows from the other")
	}
	if one.ids[one.find("r0100")] != "r0100" || two.ids[two.find("r0200")] != "r0200" || one.line != two.line {
		t.Errorf("%v, %v", one.ids, two.ids)
	}
}

// applyEventsFresh is the same state without any memory of results.
func applyEventsFresh(t testing.TB, s *State) *State {
	again, err := Load(bytes.NewReader(savedState(t, s)))
	if err != nil {
		t.Fatal(err)
	}
	return again.State()
}

func savedState(t testing.TB, s *State) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Routers that come and go do not pile up, nor do the steps and touched items.
func TestWhatIsRememberedOfTopologiesIsBounded(t *testing.T) {
	f := NewFold("log")
	s := ringOf(t, f, 4)
	lines := map[*line]bool{}
	for i := range 6000 {
		l := linkEvent(0, 1000+i, 1)
		s = applyEvents(t, f, l)
		topo := s.topology.get()
		lines[topo.line] = true
		if len(topo.ids) > 3000 || len(topo.steps) > maxSteps {
			t.Fatalf("%d numbers, %d steps", len(topo.ids), len(topo.steps))
		}
		s = applyEvents(t, f, &eventlog.LinkRemoved{LinkID: l.LinkID})
	}
	if len(lines) < 2 {
		t.Error("no line ended")
	}
	for i := range 3 * maxTouched {
		applyEvents(t, f, linkEvent(0, 1, uint32(1+i%7)))
		if len(f.touched) > maxTouched {
			t.Fatal("touched items pile up")
		}
		if p := f.topology.plan.Load(); p != nil && len(p.touched) > maxTouched {
			t.Fatal("touched items pile up in the cell")
		}
	}
	s = applyEvents(t, f, linkEvent(0, 1, 9))
	if got, want := s.FIB("r0002", nil).Digest(), applyEventsFresh(t, s).FIB("r0002", nil).Digest(); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

// The kept trees are bounded, the least recently used go first.
func TestTreesThatAreKeptAreBounded(t *testing.T) {
	f := NewFold("log")
	s := ringOf(t, f, 3000) // 36 KB a tree
	topo := s.topology.get()
	most := treeBytes/topo.tree(0, rooted{}).tree.Bytes() + 1
	for i := range min(most+200, 3000) {
		topo.tree(i, rooted{})
		topo.tree(0, rooted{})
	}
	if n := len(topo.line.trees); n > most || topo.line.bytes > treeBytes {
		t.Fatalf("%d trees, %d bytes", n, topo.line.bytes)
	}
	if topo.line.trees[0] == nil || topo.line.trees[1] != nil {
		t.Error("not the least recently used went")
	}
	var sum int
	for _, k := range topo.line.trees {
		sum += k.tree.Bytes()
	}
	if sum != topo.line.bytes {
		t.Errorf("%d bytes are counted, %d are there", topo.line.bytes, sum)
	}
}

// A link event decides only the classes of the routers whose paths changed.
func TestALinkEventTouchesTheClassesBehindIt(t *testing.T) {
	f := NewFold("log")
	s := ringOf(t, f, 40)
	before := s.FIB("r0000", nil)
	s = applyEvents(t, f, linkEvent(10, 11, 3)) // r0011 … r0020 are behind it
	after := s.FIB("r0000", before)
	changed := 0
	pmap.Diff(before.groups, after.groups, func(a, b **group) bool { return *a == *b }, func(pmap.ID, **group, **group) bool {
		changed++
		return true
	})
	if d := after.Delta(before); d.Set.len() != 0 || len(d.Withdrawn) != 0 || changed == 0 || changed > 11 {
		t.Errorf("%d groups changed, delta %+v", changed, d)
	}
}
