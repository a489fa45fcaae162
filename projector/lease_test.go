package projector

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"dvr/eventlog"
)

// TestRollbackLeavesLifetimes: a commit and its rollback leave everything as if
// neither had been, also at the end of the lifetimes that lay under the commit,
// whatever they set or removed and in whatever order they end; and who changes
// something after the rollback keeps it.
func TestRollbackLeavesLifetimes(t *testing.T) {
	set, remove := heldItems()
	leased := 0
	rapid.Check(t, func(t *rapid.T) {
		some := func(label string) (events []eventlog.Event) {
			for i := range set {
				switch n := rapid.IntRange(0, 4).Draw(t, label); n {
				case 3:
					events = append(events, remove[i])
				case 0, 1, 2:
					events = append(events, set[i][n])
				}
			}
			return events
		}
		with, without := NewFold("log"), NewFold("log")
		r := eventlog.Revision(0)
		both := func(events ...eventlog.Event) {
			r++
			mustApplyRapid(t, with, commit(r, events...))
			mustApplyRapid(t, without, commit(r, events...))
		}
		both(some("before")...)
		for i := range rapid.IntRange(1, 3).Draw(t, "lifetimes") {
			at := int64(1000 + 10*rapid.IntRange(0, 9).Draw(t, "end") + i)
			both(append(some("temporary"), &eventlog.TimerSet{Name: fmt.Sprint("until-", i), At: at, Undo: true})...)
		}
		past := with.State()
		rev := NewReverter(past)
		bad := some("bad")
		r++
		mustApplyRapid(t, with, commit(r, bad...))
		mustApplyRapid(t, without, commit(r))
		if err := rev.Apply(commit(r, bad...), func(eventlog.Event) bool { return true }); err != nil {
			t.Fatal(err)
		}
		var back []eventlog.Event
		var leases []Lease
		if rapid.Bool().Draw(t, "to a revision") {
			back = with.State().Restore(past)
			leases = with.State().Leases(past)
		} else {
			back, _ = rev.Inverse()
			leases = rev.Leases(with.State())
		}
		for i, l := range leases {
			leased++
			back = append(back, &eventlog.TimerSet{Name: fmt.Sprint("until-lease-", i), At: l.Until, Unchanged: true, Events: l.Events})
		}
		r++
		mustApplyRapid(t, with, commit(r, back...))
		mustApplyRapid(t, without, commit(r))
		same := func(when string) {
			a, b := with.State(), without.State()
			diff := slices.DeleteFunc(a.Restore(b), func(e eventlog.Event) bool { return e.Kind() == eventlog.KindTimerCancelled })
			if len(diff) > 0 {
				t.Fatalf("%s: %q would have to be done", when, texts(diff))
			}
		}
		same("after the rollback")
		if rapid.Bool().Draw(t, "others") {
			both(some("others")...)
		}
		for _, f := range []*Fold{with, without} {
			at := r
			for {
				s := f.State()
				agenda := slices.Clone(s.Agenda())
				if len(agenda) == 0 {
					break
				}
				slices.SortStableFunc(agenda, func(a, b Due) int { return cmp.Compare(a.At, b.At) })
				timer, _ := s.Timer(agenda[0].Timer)
				events, _ := s.Lapsed(&timer)
				at++
				mustApplyRapid(t, f, commit(at, append(events, &eventlog.TimerFired{Name: timer.Name})...))
			}
		}
		same("in the end")
	})
	if leased == 0 {
		t.Error("no rollback gave anything back for a while")
	}
}
