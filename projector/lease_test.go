package projector

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dvr/eventlog"
)

// world is a fold that runs its own timers, with all that it went through.
type world struct {
	t      *rapid.T
	fold   *Fold
	past   []*State // by revision
	log    []*eventlog.Commit
	lapsed int // lifetimes
	failed int // scheduled changes
}

func newWorld(t *rapid.T) *world {
	f := NewFold("log")
	return &world{t: t, fold: f, past: []*State{f.State()}}
}

// commit at a time, after what is due then.
func (w *world) commit(at int64, events ...eventlog.Event) eventlog.Revision {
	w.run(at)
	return w.apply(at, events...)
}

func (w *world) apply(at int64, events ...eventlog.Event) eventlog.Revision {
	c := commit(eventlog.Revision(len(w.past)), events...)
	c.Time = at
	mustApplyRapid(w.t, w.fold, c)
	if rapid.IntRange(0, 9).Draw(w.t, "reload") == 0 {
		w.fold = reloaded(w.t, w.fold.State())
	}
	w.past, w.log = append(w.past, w.fold.State()), append(w.log, c)
	return c.Revision
}

// run does what is due until at, in order.
func (w *world) run(at int64) {
	for {
		s := w.fold.State()
		agenda := slices.Clone(s.Agenda())
		slices.SortStableFunc(agenda, func(a, b Due) int { return cmp.Compare(a.At, b.At) })
		if len(agenda) == 0 || agenda[0].At > at {
			return
		}
		d := agenda[0]
		if c, ok := s.Confirmation(d.Revision); d.Timer == "" && ok {
			events, _ := s.Undo(&c)
			w.apply(d.At, append(events, &eventlog.ConfirmationUndone{Revision: d.Revision})...)
			continue
		}
		timer, _ := s.Timer(d.Timer)
		switch at := strings.HasPrefix(timer.Name, "at-"); {
		case at && len(s.Disturbed(&timer)) > 0:
			w.failed++
			w.apply(d.At, &eventlog.TimerFailed{Name: timer.Name, Cause: "disturbed"})
			continue
		case at:
			w.apply(d.At, append(Lapse(timer.Events, d.At), &eventlog.TimerFired{Name: timer.Name})...)
			continue
		}
		events, _ := s.Lapsed(&timer)
		w.lapsed++
		w.apply(d.At, append(events, &eventlog.TimerFired{Name: timer.Name})...)
	}
}

// rollback gives what takes a commit back at the newest state.
func (w *world) rollback(x eventlog.Revision) ([]eventlog.Event, []Lease, []Conflict) {
	r := NewReverter(w.past[x-1])
	for _, c := range w.log[x-1:] {
		if err := r.Apply(c, func(eventlog.Event) bool { return c.Revision == x }); err != nil {
			w.t.Fatal(err)
		}
	}
	events, leases, conflicts := r.Inverse()
	if _, pending := w.fold.State().Confirmation(x); pending {
		events = append(events, &eventlog.ConfirmationUndone{Revision: x})
	}
	return events, leases, conflicts
}

func lending(events []eventlog.Event, leases []Lease, name string) []eventlog.Event {
	for i, l := range leases {
		events = append(events, &eventlog.TimerSet{Name: fmt.Sprint("until-", name, i), At: l.Until, Undo: true, Events: l.Events})
	}
	return events
}

// TestRollbackLeavesLifetimes: a commit and its rollback leave everything as if
// neither had been, from then on and at the end of the lifetimes and confirmations
// that lay under the commit, whatever they set or removed, in whatever order they
// end, before the rollback and after it; also where the rollback is scheduled,
// taken back and taken back again, and where more lifetimes come. What cannot be
// so is a conflict.
func TestRollbackLeavesLifetimes(t *testing.T) {
	set, remove := heldItems()
	leased, lapsed, refused, scheduled, compared := 0, 0, map[Cause]int{}, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		with, without := newWorld(t), newWorld(t)
		defer func() { lapsed += with.lapsed }()
		now, names := int64(1000), 0
		some := func(label string) (events []eventlog.Event) {
			for i := range set {
				switch n := rapid.IntRange(0, 6).Draw(t, label); n {
				case 3:
					events = append(events, remove[i])
				case 0, 1, 2:
					events = append(events, set[i][n])
				}
			}
			return events
		}
		pass := func() { now += int64(10 * rapid.IntRange(0, 5).Draw(t, "pass")) }
		// How commits end: never, after a while, unless they are confirmed.
		pending := func(events []eventlog.Event) []eventlog.Event {
			names++
			at := now + int64(10*rapid.IntRange(1, 20).Draw(t, "end")+names%10)
			switch rapid.IntRange(0, 3).Draw(t, "how") {
			case 0:
			case 1:
				if i, _ := with.fold.State().Unsettled(events); i < 0 {
					if i, _ := without.fold.State().Unsettled(events); i < 0 {
						events = append(events, &eventlog.ConfirmationOpened{Deadline: at})
					}
				}
			default:
				events = append(events, &eventlog.TimerSet{Name: fmt.Sprint("until-", names), At: at, Undo: true})
			}
			return events
		}
		same := func(when string) {
			with.run(now)
			without.run(now)
			a, b := with.fold.State(), without.fold.State()
			compared++
			if diff := slices.DeleteFunc(a.Restore(b), func(e eventlog.Event) bool { return e.Kind() == eventlog.KindTimerCancelled }); len(diff) > 0 {
				t.Fatalf("%s, at %d: %q would have to be done", when, now, texts(diff))
			}
		}
		both := func(label string, events []eventlog.Event) {
			with.commit(now, events...)
			without.commit(now, events...)
			same(label)
		}
		both("at first", some("before"))
		for range rapid.IntRange(1, 3).Draw(t, "rounds") {
			for range rapid.IntRange(0, 2).Draw(t, "lifetimes") {
				with.run(now)
				without.run(now)
				both("a lifetime", pending(some("temporary")))
				pass()
			}
			same("before it")
			bad := with.commit(now, pending(some("bad"))...)
			pass()
			names++
			back := func(x eventlog.Revision) (eventlog.Revision, bool) {
				with.run(now)
				events, leases, conflicts := with.rollback(x)
				for _, c := range conflicts {
					refused[c.Cause]++
				}
				if len(conflicts) > 0 {
					return 0, false
				}
				names++
				leased += len(leases)
				return with.commit(now, lending(events, leases, fmt.Sprint("lease-", names, "-"))...), true
			}
			done, ok := eventlog.Revision(0), false
			switch rapid.IntRange(0, 3).Draw(t, "way") {
			case 0: // to the revision before
				at := now
				if with.run(at); len(with.past) > int(bad)+1 {
					return // others changed something
				}
				s := with.fold.State()
				leases, conflicts := s.Leases(with.past[bad-1])
				if len(conflicts) > 0 {
					return
				}
				events := s.Restore(with.past[bad-1])
				for _, c := range s.Pending() {
					if c >= bad {
						events = append(events, &eventlog.ConfirmationUndone{Revision: c})
					}
				}
				done, ok = with.commit(now, lending(events, leases, fmt.Sprint("to-", names, "-"))...), true
			case 1: // later
				with.run(now)
				events, leases, conflicts := with.rollback(bad)
				if len(conflicts) > 0 || len(events) == 0 && len(leases) == 0 {
					return
				}
				held := lending(events, leases, fmt.Sprint("later-", names, "-"))
				at := now + int64(10*rapid.IntRange(0, 8).Draw(t, "later"))
				with.commit(now, &eventlog.TimerSet{Name: fmt.Sprint("at-", names), At: at, Events: held, Unchanged: true})
				now = at
				if with.run(now); with.failed > 0 {
					return // who has scheduled it is told
				}
				scheduled++
				ok = true
			default:
				done, ok = back(bad)
			}
			if !ok {
				return
			}
			same("after the rollback")
			if done > 0 && rapid.Bool().Draw(t, "taken back twice") {
				pass()
				again, ok := back(done)
				if !ok {
					return
				}
				pass()
				if _, ok = back(again); !ok {
					return
				}
				same("after the rollback of the rollback of the rollback")
			}
			pass()
			same("later")
		}
		for range 40 {
			now += 7
			same("in the end")
		}
	})
	t.Logf("%d leases, %d ends, %d scheduled, %d comparisons, refused %v", leased, lapsed, scheduled, compared, refused)
	if leased == 0 || scheduled == 0 || refused[Unconfirmed] == 0 || refused[Overlaid] == 0 {
		t.Error("not all of it was tried")
	}
}

// TestLapse: of what a scheduled rollback gives back for a while, what is over when
// it is made is what comes afterwards, also where there was nothing else to do.
func TestLapse(t *testing.T) {
	put := func(k, v string) eventlog.Event { return &eventlog.KeyPut{Key: k, Value: v} }
	lease := func(at int64, events ...eventlog.Event) eventlog.Event {
		return &eventlog.TimerSet{Name: fmt.Sprint("until-", at), At: at, Undo: true, Events: events}
	}
	held := []eventlog.Event{put("a", "1"), put("b", "1"), lease(10, put("a", "2"), put("c", "2")), lease(20, &eventlog.KeyDeleted{Key: "b"}), &eventlog.TimerSet{Name: "until-x", At: 5, Undo: true}}
	for now, want := range map[int64][]eventlog.Event{
		9:  held,
		10: {put("a", "2"), put("b", "1"), held[3], held[4], put("c", "2")},
		20: {put("a", "2"), &eventlog.KeyDeleted{Key: "b"}, held[4], put("c", "2")},
	} {
		if got := Lapse(held, now); fmt.Sprint(texts(got)) != fmt.Sprint(texts(want)) {
			t.Errorf("at %d: %q, want %q", now, texts(got), texts(want))
		}
	}
}
