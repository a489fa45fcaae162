package projector

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dvr/eventlog"
	"dvr/projector/internal/reference"
)

func commit(r eventlog.Revision, events ...eventlog.Event) *eventlog.Commit {
	return &eventlog.Commit{Revision: r, Time: 1_800_000_000_000 + int64(r), Actor: "alice", ID: "c" + string(rune('0'+r)), Events: events}
}

var epochOne = &eventlog.EpochStarted{Epoch: 1, LogID: "log", Nonce: eventlog.Nonce{7}, Cause: "created"}

func TestApplyRefusesAndStaysUnchanged(t *testing.T) {
	for _, c := range []struct {
		name   string
		commit *eventlog.Commit
		want   error
	}{
		{"a revision again", commit(1), eventlog.ErrHole},
		{"a gap", commit(3), eventlog.ErrHole},
		{"a newer level", commit(2, &eventlog.KeyPut{Key: "k"}, &eventlog.LevelRaised{Level: eventlog.MaxLevel + 1}), eventlog.ErrLevel},
		{"a stage", commit(2, &eventlog.KeyPut{Key: "k"}, &eventlog.CommitStaged{ID: "s"}), eventlog.ErrHole},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := NewFold("log")
			mustApply(t, f, commit(1, epochOne))
			before := saved(t, f.State())
			if err := f.Apply(c.commit, eventlog.Hash{9}); !errors.Is(err, c.want) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			if diff := cmp.Diff(string(before), string(saved(t, f.State()))); diff != "" {
				t.Fatal(diff)
			}
			mustApply(t, f, commit(2))
		})
	}
}

func TestHeadAndEpochs(t *testing.T) {
	f := NewFold("log")
	if p := f.State().Position(); p != (eventlog.Position{LogID: "log"}) {
		t.Fatalf("empty: %v", p)
	}
	mustApply(t, f, commit(1, epochOne), commit(2), commit(3, &eventlog.EpochStarted{
		Epoch: 2, LogID: "log2", Nonce: eventlog.Nonce{8}, Cause: "restored", From: &eventlog.EpochOrigin{Epoch: 1, Revision: 2},
	}), commit(4, &eventlog.LevelRaised{Level: 1}))
	s := f.State()
	want := eventlog.Head{Revision: 4, Epoch: 2, Nonce: eventlog.Nonce{8}, Hash: eventlog.Hash{4}, Level: 1}
	if s.Head() != want {
		t.Errorf("head %+v, want %+v", s.Head(), want)
	}
	if p := s.Position(); p != (eventlog.Position{LogID: "log2", Epoch: 2, Revision: 4}) {
		t.Errorf("position %v", p)
	}
	for r, epoch := range []uint64{0, 1, 1, 2, 2} {
		if got := s.EpochOf(eventlog.Revision(r)); got != epoch {
			t.Errorf("epoch of %d is %d, want %d", r, got, epoch)
		}
	}
}

func announcing(text string, hop string, more ...func(*eventlog.RouteAnnounced)) *eventlog.RouteAnnounced {
	r := &eventlog.RouteAnnounced{Preference: 1, Weight: 1}
	r.Router, r.Origin, r.Destination = "*", "static", netip.MustParsePrefix(text)
	if hop != "" {
		r.NextHop = netip.MustParseAddr(hop)
	}
	for _, m := range more {
		m(r)
	}
	return r
}

func TestRevisionsOfDestinations(t *testing.T) {
	p := netip.MustParsePrefix("10.0.0.0/8")
	a, b := announcing("10.0.0.0/8", "192.0.2.1"), announcing("10.0.0.0/8", "192.0.2.2")
	f := NewFold("log")
	check := func(newest eventlog.Revision, each ...eventlog.Revision) {
		t.Helper()
		d, ok := f.Current().Destination(p)
		var got []eventlog.Revision
		for _, c := range d.Candidates {
			got = append(got, c.Revision)
		}
		if ok != (len(each) > 0) || d.Revision != newest || !slices.Equal(got, each) {
			t.Fatalf("%v: %d %v, want %d %v", ok, d.Revision, got, newest, each)
		}
	}
	check(0)
	mustApply(t, f, commit(1, a))
	check(1, 1)
	mustApply(t, f, commit(2, b))
	check(2, 1, 2)
	mustApply(t, f, commit(3, a))
	check(3, 3, 2)
	mustApply(t, f, commit(4, &eventlog.RouteWithdrawn{RouteID: a.RouteID}))
	check(4, 2) // the withdrawal is a change of the destination, not of b
	mustApply(t, f, commit(5, &eventlog.RouteWithdrawn{RouteID: a.RouteID}))
	check(4, 2) // absent: no change
	mustApply(t, f, commit(6, b))
	check(6, 6)
	mustApply(t, f, commit(7, &eventlog.RouteWithdrawn{RouteID: b.RouteID}))
	check(0)
	if d := f.State().Digest(); d != (Digest{}) {
		t.Errorf("everything is gone, the digest is %s", d)
	}
}

// Named VRFs are intent that is kept and not forwarded.
func TestOtherVRFsAreKeptApart(t *testing.T) {
	plain := announcing("10.0.0.0/8", "192.0.2.1")
	red := announcing("10.0.0.0/8", "192.0.2.9", func(r *eventlog.RouteAnnounced) { r.VRF = "red" })
	f := NewFold("log")
	mustApply(t, f, commit(1, plain))
	before := f.State()
	mustApply(t, f, commit(2, red))
	s := f.State()
	if a, b := before.FIB("r", nil).Digest(), s.FIB("r", nil).Digest(); a != b {
		t.Errorf("the FIB went from %s to %s", a, b)
	}
	if before.Digest() == s.Digest() {
		t.Error("the state digest does not cover the VRF's route")
	}
	if d, _ := s.Destination(plain.Destination); len(d.Candidates) != 2 {
		t.Errorf("candidates %v", d.Candidates)
	}
	mustApply(t, f, commit(3, &eventlog.RouteWithdrawn{RouteID: plain.RouteID}))
	if _, ok := f.State().Best("r", plain.Destination); ok {
		t.Error("the VRF's route forwards")
	}
}

func TestUnconfirmedCommitKnowsItsInverse(t *testing.T) {
	old := announcing("10.0.0.0/8", "192.0.2.1")
	changed := announcing("10.0.0.0/8", "192.0.2.1", func(r *eventlog.RouteAnnounced) { r.Metric = 9 })
	added := announcing("10.1.0.0/16", "192.0.2.1")
	gone := announcing("10.2.0.0/16", "192.0.2.1")
	link := &eventlog.LinkSet{LinkID: eventlog.LinkID{A: "a", B: "b"}, CostAB: 1, CostBA: 1, InterfaceA: "to-b", InterfaceB: "to-a"}
	f := NewFold("log")
	mustApply(t, f, commit(1, old, gone, &eventlog.KeyPut{Key: "k", Value: "1"}, &eventlog.KeyPut{Key: "l", Value: "1"}))
	before := f.State()
	mustApply(t, f, commit(2, changed, added, &eventlog.RouteWithdrawn{RouteID: gone.RouteID}, link,
		&eventlog.KeyPut{Key: "k", Value: "2"}, &eventlog.KeyDeleted{Key: "l"}, &eventlog.KeyDeleted{Key: "absent"},
		&eventlog.RouterSet{Router: "a"}, &eventlog.ConfirmationOpened{Deadline: 1_800_000_600_000}))
	s := f.State()
	var open []Confirmation
	for c := range s.Confirmations() {
		open = append(open, c)
	}
	if len(open) != 1 || open[0].Revision != 2 || open[0].Deadline != 1_800_000_600_000 {
		t.Fatalf("%+v", open)
	}
	want := []eventlog.Event{
		&eventlog.KeyPut{Key: "l", Value: "1"}, gone, // what was removed
		&eventlog.RouterRemoved{Router: "a"}, &eventlog.KeyPut{Key: "k", Value: "1"},
		&eventlog.LinkRemoved{LinkID: link.LinkID}, &eventlog.RouteWithdrawn{RouteID: added.RouteID}, old,
	}
	if open[0].Gone != 2 {
		t.Errorf("%d restore what was removed", open[0].Gone)
	}
	if diff := cmp.Diff(want, open[0].Inverse, compareAddrs); diff != "" {
		t.Fatal(diff)
	}
	mustApply(t, f, commit(3, append(slices.Clone(want), &eventlog.ConfirmationUndone{Revision: 2})...))
	for c := range f.State().Confirmations() {
		t.Fatalf("still open: %+v", c)
	}
	if a, b := before.FIB("a", nil).Digest(), f.State().FIB("a", nil).Digest(); a != b {
		t.Errorf("undone, but the FIB is %s, was %s", b, a)
	}
	if a, b := before.Stats(), f.State().Stats(); a != b {
		t.Errorf("undone, but %+v, was %+v", b, a)
	}
}

// What a timer did may be undone, its end may not: set again it would fire again.
func TestUndoingATimersCommitDoesNotSetItAgain(t *testing.T) {
	set := func(name string) eventlog.Event { return &eventlog.TimerSet{Name: name, At: 5} }
	f := NewFold("log")
	mustApply(t, f, commit(1, set("fired"), set("failed"), set("cancelled")))
	mustApply(t, f, commit(2, &eventlog.TimerFired{Name: "fired"}, &eventlog.TimerFailed{Name: "failed", Cause: "x"},
		&eventlog.TimerCancelled{Name: "cancelled"}, &eventlog.KeyPut{Key: "k", Value: "1"}, &eventlog.ConfirmationOpened{Deadline: 9}))
	for c := range f.State().Confirmations() {
		want := []eventlog.Event{set("cancelled"), &eventlog.KeyDeleted{Key: "k"}}
		if diff := cmp.Diff(want, c.Inverse, compareAddrs); diff != "" {
			t.Error(diff)
		}
	}
}

func TestPolicyItems(t *testing.T) {
	f := NewFold("log")
	mustApply(t, f, commit(1,
		&eventlog.GuardSet{Name: "g", Type: "max_routes", Limit: 5}, &eventlog.FreezeSet{Name: "f"},
		&eventlog.RoleSet{Actor: "bob", Grants: []eventlog.Grant{{Role: "admin"}}}, &eventlog.TimerSet{Name: "t", At: 5},
		&eventlog.TimerSet{Name: "u", At: 6}, &eventlog.TimerSet{Name: "v", At: 7},
		&eventlog.NextHopObserved{Router: "r1", NextHop: netip.MustParseAddr("192.0.2.1"), State: eventlog.ObservedDown},
		&eventlog.NextHopObserved{Router: "r11", NextHop: netip.MustParseAddr("192.0.2.1"), State: eventlog.ObservedUp},
	))
	s := f.State()
	count := func(s *State) (n [6]int) {
		for range s.Guards() {
			n[0]++
		}
		for range s.Freezes() {
			n[1]++
		}
		for range s.Roles() {
			n[2]++
		}
		for range s.Timers() {
			n[3]++
		}
		for range s.NextHopStates() {
			n[4]++
		}
		for range s.Confirmations() {
			n[5]++
		}
		return n
	}
	if got := count(s); got != [6]int{1, 1, 1, 3, 2, 0} {
		t.Errorf("%v", got)
	}
	mustApply(t, f, commit(2, &eventlog.GuardRemoved{Name: "g"}, &eventlog.FreezeRemoved{Name: "f"}, &eventlog.RoleRemoved{Actor: "bob"},
		&eventlog.TimerFired{Name: "t"}, &eventlog.TimerCancelled{Name: "u"}, &eventlog.TimerFailed{Name: "v", Cause: "c"},
		&eventlog.RouterRemoved{Router: "r1"}, &eventlog.ConfirmationConfirmed{Revision: 77}))
	if got := count(f.State()); got != [6]int{0, 0, 0, 0, 1, 0} {
		t.Errorf("%v", got)
	}
	if got := count(s); got != [6]int{1, 1, 1, 3, 2, 0} {
		t.Errorf("the older state has %v now", got)
	}
}

// What nobody uses any more is let go of, whatever came and went.
func TestInternTablesFollowUse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := reference.World{}.Events(60).Draw(t, "events")
		f, model := NewFold("log"), reference.New()
		commits := commitsOf(t, events, 6)
		for _, c := range commits {
			mustApplyRapid(t, f, c)
			model.Apply(c.Events...)
			if rapid.Bool().Draw(t, "resume") {
				f = Resume(f.State())
			}
		}
		f.flush()
		bodies, classes := map[string]bool{}, map[reference.ClassID]bool{}
		for id, r := range model.Routes {
			bodies[string(eventlog.AppendRouteBody(nil, &r))] = true
			if c, ok := model.ClassOf(id.Destination); ok {
				classes[c] = true
			}
		}
		if len(f.intern.byBody) != len(bodies) || len(f.intern.byClass) != len(classes) || f.classes.Len() != len(classes) {
			t.Fatalf("%d bodies, %d classes (%d in the map), want %d, %d", len(f.intern.byBody), len(f.intern.byClass), f.classes.Len(), len(bodies), len(classes))
		}
		var gone []eventlog.Event
		for id := range model.Routes {
			gone = append(gone, &eventlog.RouteWithdrawn{RouteID: id})
		}
		for id := range model.Links {
			gone = append(gone, &eventlog.LinkRemoved{LinkID: id})
		}
		mustApplyRapid(t, f, &eventlog.Commit{Revision: f.pos.Revision + 1, Events: gone})
		f.flush()
		in := &f.intern
		if n := len(in.byBody) + len(in.bySet) + len(in.byClass) + f.classes.Len() + f.v4.Len() + f.v6.Len() + f.named.Len() + f.routes; n != 0 {
			t.Fatalf("%d things are left: %+v", n, f.State().Stats())
		}
		if len(in.free.bodies) != len(in.bodies) || len(in.free.sets) != len(in.sets) || len(in.free.classes) != len(in.classes) {
			t.Fatal("slots are lost")
		}
	})
}

func TestIteration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []netip.Prefix
		f := NewFold("log")
		var events []eventlog.Event
		for range rapid.IntRange(0, 30).Draw(t, "n") {
			p := reference.Prefixes().Draw(t, "prefix")
			if !slices.Contains(list, p) {
				list = append(list, p)
				events = append(events, announcing(p.String(), "192.0.2.1"))
			}
		}
		slices.SortFunc(list, order)
		mustApplyRapid(t, f, &eventlog.Commit{Revision: 1, Events: events})
		s := f.State()
		optional := func(label string) netip.Prefix {
			if rapid.Bool().Draw(t, label) {
				return reference.Prefixes().Draw(t, label)
			}
			return netip.Prefix{}
		}
		within, after := optional("within"), optional("after")
		var want, got []netip.Prefix
		for _, p := range list {
			behind := !after.IsValid() || order(after, p) < 0
			if behind && (!within.IsValid() || within.Overlaps(p) && within.Bits() <= p.Bits()) {
				want = append(want, p)
			}
		}
		for d := range s.Destinations(within, after) {
			got = append(got, d.Prefix)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("within %v after %v: %v, want %v", within, after, got, want)
		}
		q := reference.Prefixes().Draw(t, "covering")
		want, got = nil, nil
		for _, p := range list {
			if p.Overlaps(q) && p.Bits() <= q.Bits() {
				want = append(want, p)
			}
		}
		slices.SortFunc(want, func(a, b netip.Prefix) int { return b.Bits() - a.Bits() })
		for _, d := range s.Covering(q) {
			got = append(got, d.Prefix)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("covering %v: %v, want %v", q, got, want)
		}
	})
}

func order(a, b netip.Prefix) int {
	if a.Addr().Is4() != b.Addr().Is4() {
		if a.Addr().Is4() {
			return -1
		}
		return 1
	}
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

func TestKeysAreOrderedAndPaged(t *testing.T) {
	f := NewFold("log")
	var events []eventlog.Event
	for _, k := range []string{"b/2", "a", "b/1", "b", "c", "b/10"} {
		events = append(events, &eventlog.KeyPut{Key: k, Value: "v" + k})
	}
	mustApply(t, f, commit(1, events...))
	for _, c := range []struct {
		prefix, after string
		want          []string
	}{
		{"", "", []string{"a", "b", "b/1", "b/10", "b/2", "c"}},
		{"b/", "", []string{"b/1", "b/10", "b/2"}},
		{"b/", "b/1", []string{"b/10", "b/2"}},
		{"b/", "a", []string{"b/1", "b/10", "b/2"}},
		{"b", "b", []string{"b/1", "b/10", "b/2"}},
		{"", "b/2", []string{"c"}},
		{"d", "", nil},
	} {
		var got []string
		for k := range f.State().Keys(c.prefix, c.after) {
			got = append(got, k.Key)
			if k.Value != "v"+k.Key || k.Revision != 1 {
				t.Errorf("%+v", k)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("keys of %q after %q: %v, want %v", c.prefix, c.after, got, c.want)
		}
	}
	if _, ok := f.Current().Key("b/1"); !ok {
		t.Error("b/1 is missing")
	}
	if _, ok := f.Current().Key("b/"); ok {
		t.Error("b/ is there")
	}
}

func TestLinksWithWhatIsSeen(t *testing.T) {
	f := NewFold("log")
	main, second := eventlog.LinkID{A: "a", B: "b"}, eventlog.LinkID{A: "a", B: "b", Name: "second"}
	mustApply(t, f, commit(1, &eventlog.LinkSet{LinkID: main, CostAB: 1, CostBA: 1, InterfaceA: "to-b", InterfaceB: "to-a"}, &eventlog.LinkSet{LinkID: second, CostAB: 1, CostBA: 1, InterfaceA: "to-b", InterfaceB: "to-a"}),
		commit(2, &eventlog.LinkObserved{LinkID: main, Router: "a", State: eventlog.ObservedDown}, &eventlog.LinkObserved{LinkID: second, Router: "b", State: eventlog.ObservedUp}))
	l, ok := f.State().Link(main)
	if want := map[eventlog.RouterID]eventlog.ObservedState{"a": "down"}; !ok || !cmp.Equal(l.Observed, want) || l.Revision != 1 {
		t.Errorf("%v %+v", ok, l)
	}
	mustApply(t, f, commit(3, &eventlog.LinkRemoved{LinkID: main}), commit(4, &eventlog.LinkSet{LinkID: main, CostAB: 1, CostBA: 1, InterfaceA: "to-b", InterfaceB: "to-a"}))
	if l, _ := f.State().Link(main); len(l.Observed) != 0 {
		t.Errorf("removing the link kept %v", l.Observed)
	}
	if l, _ := f.State().Link(second); len(l.Observed) != 1 {
		t.Errorf("the parallel link lost %v", l.Observed)
	}
	mustApply(t, f, commit(5, &eventlog.RouterRemoved{Router: "b"}))
	if l, _ := f.State().Link(second); len(l.Observed) != 0 {
		t.Errorf("removing the router kept %v", l.Observed)
	}
	var n int
	for range f.State().Links() {
		n++
	}
	if n != 2 || f.State().Stats().Links != 2 {
		t.Errorf("%d links", n)
	}
}
