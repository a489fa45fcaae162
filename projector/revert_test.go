package projector

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"dvr/eventlog"
)

// distinctOf is the first event about each item.
func distinctOf(events []eventlog.Event) []eventlog.Event {
	seen := map[string]bool{}
	var out []eventlog.Event
	for _, e := range events {
		if id := identityText(e); !seen[id] {
			seen[id] = true
			out = append(out, e)
		}
	}
	return out
}

// intentOf is what a rollback restores, as text, without revisions.
func intentOf(s *State) []string {
	var out []string
	for _, e := range s.Restore(NewFold("log").State()) {
		out = append(out, text(s.Item(e).Event))
	}
	slices.Sort(out)
	return out
}

// TestRollbackIsTheIdentity: what takes a commit back, right after it or after
// others that touch other items, leaves what they alone give.
func TestRollbackIsTheIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base, commits := drawBase(t)
		if len(commits) == 0 {
			return
		}
		x := commits[0]
		x.Events = distinctOf(x.Events)
		r, plain := NewReverter(base), base.Overlay()
		if err := r.Apply(x, func(eventlog.Event) bool { return true }); err != nil {
			t.Fatal(err)
		}
		without := *x
		without.Events = nil
		mustApplyRapid(t, plain, &without)
		for _, c := range commits[1:] {
			c.Events = slices.DeleteFunc(distinctOf(c.Events), func(e eventlog.Event) bool {
				_, observed := e.(*eventlog.LinkObserved)
				return observed || slices.ContainsFunc(x.Events, func(o eventlog.Event) bool { return identityText(o) == identityText(e) })
			})
			if err := r.Apply(c, func(eventlog.Event) bool { return false }); err != nil {
				t.Fatal(err)
			}
			mustApplyRapid(t, plain, c)
		}
		inverse, _, conflicts := r.Inverse()
		if len(conflicts) > 0 {
			t.Fatalf("conflicts: %+v", conflicts)
		}
		n := commit(r.Position().Revision+1, inverse...)
		mustApplyRapid(t, r.fold, n)
		if got, want := intentOf(r.fold.State()), intentOf(plain.State()); !slices.Equal(got, want) {
			t.Fatalf("after the rollback of %v:\n%q, want\n%q", x.Events, got, want)
		}
	})
}

// TestRollbackOfEveryKindIsTheIdentity: updates, removals and additions of
// routes, links, routers, keys, guards and freezes, right after them and after
// commits about other items; what is rolled back can be rolled back.
func TestRollbackOfEveryKindIsTheIdentity(t *testing.T) {
	set, remove := heldItems()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(items []int, what string) []eventlog.Event {
			var out []eventlog.Event
			for _, j := range items {
				if w := rapid.IntRange(-1, len(set[j])-1).Draw(t, what); w >= 0 {
					out = append(out, set[j][w])
				} else {
					out = append(out, remove[j])
				}
			}
			return out
		}
		order := rapid.Permutation([]int{0, 1, 2, 3, 4, 5, 6}).Draw(t, "order")
		mine, others := order[:4], order[4:]
		f := NewFold("log")
		mustApplyRapid(t, f, commit(1, draw(order, "before")...))
		base := f.State()
		x, later := commit(2, draw(mine, "x")...), commit(3, draw(others, "later")...)
		r, plain := NewReverter(base), base.Overlay()
		mustApplyRapid(t, plain, commit(2), later)
		for _, c := range []*eventlog.Commit{x, later} {
			if err := r.Apply(c, func(eventlog.Event) bool { return c == x }); err != nil {
				t.Fatal(err)
			}
		}
		inverse, _, conflicts := r.Inverse()
		if len(conflicts) > 0 {
			t.Fatalf("conflicts: %+v", conflicts)
		}
		done := r.fold.State()
		back := NewReverter(done)
		undo := commit(4, inverse...)
		if err := back.Apply(undo, func(eventlog.Event) bool { return true }); err != nil {
			t.Fatal(err)
		}
		if got, want := intentOf(back.fold.State()), intentOf(plain.State()); !slices.Equal(got, want) {
			t.Fatalf("after the rollback of %q:\n%q, want\n%q", texts(x.Events), got, want)
		}
		again, _, conflicts := back.Inverse()
		if len(conflicts) > 0 {
			t.Fatalf("conflicts: %+v", conflicts)
		}
		mustApplyRapid(t, back.fold, commit(5, again...))
		if got, want := intentOf(back.fold.State()), intentOf(done); !slices.Equal(got, want) {
			t.Fatalf("after the rollback of the rollback of %q:\n%q, want\n%q", texts(x.Events), got, want)
		}
	})
}

// TestRestoreGivesThePast: whatever happened since, also from a snapshot, which
// shares nothing.
func TestRestoreGivesThePast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		past, commits := drawBase(t)
		f := past.Overlay()
		if rapid.Bool().Draw(t, "unshared") {
			f = reloaded(t, past)
		}
		mustApplyRapid(t, f, commits...)
		events := f.State().Restore(past)
		if seen := distinctOf(events); len(seen) != len(events) {
			t.Fatal("an item comes twice")
		}
		mustApplyRapid(t, f, commit(f.State().Position().Revision+1, events...))
		if got, want := intentOf(f.State()), intentOf(past); !slices.Equal(got, want) {
			t.Fatalf("%q, want %q", got, want)
		}
		if again := f.State().Restore(past); len(again) > 0 {
			t.Fatalf("restored, and %v is left", again)
		}
	})
}

func TestReverterNamesConflicts(t *testing.T) {
	a, b := announcing("10.0.0.0/8", "192.0.2.1"), announcing("11.0.0.0/8", "192.0.2.1")
	changed := announcing("10.0.0.0/8", "192.0.2.1", func(r *eventlog.RouteAnnounced) { r.Metric = 9 })
	chosen := func(eventlog.Event) bool { return true }
	other := func(eventlog.Event) bool { return false }
	apply := func(r *Reverter, c *eventlog.Commit, f func(eventlog.Event) bool) {
		t.Helper()
		c.Actor = "bob"
		if err := r.Apply(c, f); err != nil {
			t.Fatal(err)
		}
	}
	f := NewFold("log")
	mustApply(t, f, commit(1, a))
	r := NewReverter(f.State())
	apply(r, commit(2, changed, b), chosen)
	apply(r, commit(3, announcing("10.0.0.0/8", "192.0.2.1", func(r *eventlog.RouteAnnounced) { r.Metric = 5 })), other)
	events, _, conflicts := r.Inverse()
	if len(conflicts) != 1 || conflicts[0].Revision != 3 || conflicts[0].Actor != "bob" || len(events) != 1 || text(events[0]) != text(&eventlog.RouteWithdrawn{RouteID: b.RouteID}) {
		t.Errorf("%+v, %v", conflicts, events)
	}
	apply(r, commit(4, a), other) // as it was before the chosen commit: nothing is to be done
	if events, _, conflicts = r.Inverse(); len(conflicts) != 0 || len(events) != 1 {
		t.Errorf("%+v, %v", conflicts, events)
	}
}

// TestTakenBackConflictIsNone: what others changed and took back themselves keeps
// nothing from being taken back; what they set to the same does.
func TestTakenBackConflictIsNone(t *testing.T) {
	a := func(metric uint32) eventlog.Event {
		return announcing("10.0.0.0/8", "192.0.2.1", func(r *eventlog.RouteAnnounced) { r.Metric = metric })
	}
	reverting := func(c *eventlog.Commit, what ...eventlog.Revision) *eventlog.Commit {
		c.Reverts = what
		return c
	}
	for name, c := range map[string]struct {
		later     []*eventlog.Commit
		conflicts int
	}{
		"nobody":              {nil, 0},
		"changed":             {[]*eventlog.Commit{commit(3, a(7))}, 1},
		"and taken back":      {[]*eventlog.Commit{commit(3, a(7)), reverting(commit(4, a(2)), 3)}, 0},
		"and set to the same": {[]*eventlog.Commit{commit(3, a(7)), commit(4, a(2))}, 1},
		"half of it":          {[]*eventlog.Commit{commit(3, a(7)), commit(4, a(8)), reverting(commit(5, a(2)), 4)}, 1},
		"both":                {[]*eventlog.Commit{commit(3, a(7)), commit(4, a(8)), reverting(commit(5, a(2)), 3, 4)}, 0},
		"and changed again":   {[]*eventlog.Commit{commit(3, a(7)), reverting(commit(4, a(2)), 3), commit(5, a(9))}, 1},
	} {
		f := NewFold("log")
		mustApply(t, f, commit(1, a(1)))
		r := NewReverter(f.State())
		for i, k := range append([]*eventlog.Commit{commit(2, a(2))}, c.later...) {
			if err := r.Apply(k, func(eventlog.Event) bool { return i == 0 }); err != nil {
				t.Fatal(err)
			}
		}
		events, _, conflicts := r.Inverse()
		if len(conflicts) != c.conflicts || c.conflicts == 0 && (len(events) != 1 || text(events[0]) != text(a(1))) {
			t.Errorf("%s: conflicts %v, events %q", name, conflicts, texts(events))
		}
	}
}
