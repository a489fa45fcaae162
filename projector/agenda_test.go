package projector

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"dvr/eventlog"
	"dvr/projector/internal/reference"
)

// reloaded is s after a snapshot.
func reloaded(t *rapid.T, s *State) *Fold {
	f, err := Load(bytes.NewReader(stateBytes(t, s)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestUndoRestoresWhatTheCommitChangedLast: each item that the commit changed
// is, after the undoing, as before the commit if nobody changed it since, else as
// those left it, also after a snapshot.
func TestUndoRestoresWhatTheCommitChangedLast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		model := reference.New()
		draw := func(n int, what string) []eventlog.Event {
			var out []eventlog.Event
			seen := map[string]bool{}
			for range rapid.IntRange(0, n).Draw(t, what) {
				e := reference.World{}.Event(model).Draw(t, what)
				if id := identityText(e); !seen[id] {
					seen[id] = true
					model.Apply(e)
					out = append(out, e)
				}
			}
			return out
		}
		f := NewFold("log")
		mustApplyRapid(t, f, commit(1, draw(20, "before")...))
		before := f.State()
		changes := draw(8, "unconfirmed")
		mustApplyRapid(t, f, commit(2, append(slices.Clone(changes), &eventlog.ConfirmationOpened{Deadline: 1_900_000_000_000})...))
		left := f.State()
		if rapid.Bool().Draw(t, "snapshot") {
			f = reloaded(t, left)
		}
		later := draw(6, "later")
		mustApplyRapid(t, f, commit(3, later...))
		now := f.State()
		if rapid.Bool().Draw(t, "later snapshot") {
			f = reloaded(t, now)
			now = f.State()
		}
		if p := now.Pending(); !slices.Equal(p, []eventlog.Revision{2}) {
			t.Fatalf("pending: %v", p)
		}
		c, ok := now.Confirmation(2)
		if !ok {
			t.Fatal("no confirmation")
		}
		undo, _ := now.Undo(&c)
		mustApplyRapid(t, f, commit(4, append(undo, &eventlog.ConfirmationUndone{Revision: 2})...))
		after := f.State()
		if len(after.Pending()) > 0 {
			t.Fatal("still pending")
		}
		for _, e := range changes {
			switch e.(type) {
			case *eventlog.LinkObserved:
				continue
			}
			was, made, is, got := before.Item(e), left.Item(e), now.Item(e), after.Item(e)
			want := is
			// What the commit removed and others removed once more they want absent.
			again := is.Event == nil && slices.ContainsFunc(later, func(l eventlog.Event) bool { return identityText(l) == identityText(e) })
			if is.Revision == made.Revision && (is.Event == nil) == (made.Event == nil) && !again {
				want = was
			}
			if text(want.Event) != text(got.Event) {
				t.Fatalf("%T: is %s, want %s; before %s, the commit made it %s, then it was %s", e, text(got.Event), text(want.Event), text(was.Event), text(made.Event), text(is.Event))
			}
		}
	})
}

func text(e eventlog.Event) string {
	if e == nil {
		return "absent"
	}
	return string(eventlog.AppendEvent(nil, e))
}

func identityText(e eventlog.Event) string {
	switch e := e.(type) {
	case *eventlog.RouteAnnounced:
		return fmt.Sprint(e.RouteID)
	case *eventlog.RouteWithdrawn:
		return fmt.Sprint(e.RouteID)
	}
	return string(itemKeyFor(e, 0))
}

func TestAgendaIsInTheOrderOfTime(t *testing.T) {
	f := NewFold("log")
	timer := func(name string, at int64) eventlog.Event {
		return &eventlog.TimerSet{Name: name, At: at, Events: []eventlog.Event{&eventlog.KeyDeleted{Key: "k"}}}
	}
	mustApply(t, f, commit(1, timer("b", 50), timer("a", 50), timer("c", 10)))
	mustApply(t, f, commit(2, &eventlog.KeyPut{Key: "x", Value: "1"}, &eventlog.ConfirmationOpened{Deadline: 50}))
	mustApply(t, f, commit(3, &eventlog.KeyPut{Key: "y", Value: "1"}, &eventlog.ConfirmationOpened{Deadline: 50}))
	want := []Due{{At: 10, Timer: "c"}, {At: 50, Revision: 3}, {At: 50, Revision: 2}, {At: 50, Timer: "a"}, {At: 50, Timer: "b"}}
	s := f.State()
	if got := s.Agenda(); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	if got := f.Current().Agenda(); !slices.Equal(got, want) {
		t.Errorf("current: %+v", got)
	}
	mustApply(t, f, commit(4, &eventlog.TimerFired{Name: "c"}, &eventlog.ConfirmationConfirmed{Revision: 3}))
	if got := f.State().Agenda(); !slices.Equal(got, []Due{want[2], want[3], want[4]}) {
		t.Errorf("%+v", got)
	}
	if got := s.Agenda(); !slices.Equal(got, want) {
		t.Errorf("the older state has changed: %+v", got)
	}
	mustApply(t, f, commit(5, &eventlog.ClockStepped{From: 100, To: 60}))
	if got := f.State().Agenda(); got[0].At != 10 {
		t.Errorf("after a step of −40: %+v", got)
	}
}

func TestUnsettledFindsWhatAnotherPendingCommitChanged(t *testing.T) {
	f := NewFold("log")
	a, b, c := announcing("10.0.0.0/8", "192.0.2.1"), announcing("11.0.0.0/8", "192.0.2.1"), announcing("12.0.0.0/8", "192.0.2.1")
	mustApply(t, f, commit(1, a, b, c))
	mustApply(t, f, commit(2, a, &eventlog.RouteWithdrawn{RouteID: b.RouteID}, &eventlog.ConfirmationOpened{Deadline: 5}))
	s := f.State()
	for _, x := range []struct {
		event eventlog.Event
		index int
	}{{a, 0}, {b, 0}, {c, -1}, {&eventlog.KeyPut{Key: "k"}, -1}} {
		if i, by := s.Unsettled([]eventlog.Event{x.event}); i != x.index || i == 0 && by != 2 {
			t.Errorf("%s: %d by %d", text(x.event), i, by)
		}
	}
	mustApply(t, f, commit(3, &eventlog.ConfirmationConfirmed{Revision: 2}))
	if i, _ := f.State().Unsettled([]eventlog.Event{a}); i >= 0 {
		t.Error("confirmed, and still in the way")
	}
}

func TestLapsedIsWhatTheTimersCommitChangedLast(t *testing.T) {
	f := NewFold("log")
	a, b := announcing("10.0.0.0/8", "192.0.2.1"), announcing("11.0.0.0/8", "192.0.2.1")
	gone := func(r *eventlog.RouteAnnounced) eventlog.Event { return &eventlog.RouteWithdrawn{RouteID: r.RouteID} }
	mustApply(t, f, commit(1, a, b, &eventlog.TimerSet{Name: "t", At: 5, Events: []eventlog.Event{gone(a), gone(b)}}))
	mustApply(t, f, commit(2, b))
	timer, ok := f.State().Timer("t")
	if !ok {
		t.Fatal("no timer")
	}
	if got, left := f.State().Lapsed(&timer); left != 1 || len(got) != 1 || text(got[0]) != text(gone(a)) {
		t.Errorf("%v", got)
	}
}
