package projector

import (
	"iter"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// What the appender holds requests against: guard rails, freezes, roles,
// timers and commits that wait for their confirmation.

// Guard is a guard rail in force.
type Guard struct {
	eventlog.GuardSet
	Revision eventlog.Revision
}

// Freeze is a declared freeze.
type Freeze struct {
	eventlog.FreezeSet
	Revision eventlog.Revision
}

// Role is the roles of an actor.
type Role struct {
	eventlog.RoleSet
	Revision eventlog.Revision
}

// Timer is a timer that has not ended.
type Timer struct {
	eventlog.TimerSet
	Revision eventlog.Revision
	Inverse  []eventlog.Event // with Undo: what undoes its commit, as of then
}

// Confirmation is a commit that undoes itself at Deadline unless confirmed.
type Confirmation struct {
	Revision eventlog.Revision // of the commit
	Deadline int64             // Unix ms
	Inverse  []eventlog.Event  // what undoes it, as of the commit
	Gone     int               // so many of Inverse, the first, restore what the commit removed
}

// NextHopState is what a router saw last of a next hop. It is kept and
// reported; forwarding takes links into account, not next hops.
type NextHopState struct {
	eventlog.NextHopObserved
	Revision eventlog.Revision
}

func collect[T any](s *State, kind rune, f func(*item) T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, it := range itemsOf(s.items, pmap.String(kind)) {
			if !yield(f(it)) {
				return
			}
		}
	}
}

// Guards iterates by name.
func (s *State) Guards() iter.Seq[Guard] {
	return collect(s, itemGuard, func(it *item) Guard { return Guard{*it.event.(*eventlog.GuardSet), it.rev} })
}

// Freezes iterates by name.
func (s *State) Freezes() iter.Seq[Freeze] {
	return collect(s, itemFreeze, func(it *item) Freeze { return Freeze{*it.event.(*eventlog.FreezeSet), it.rev} })
}

// Roles iterates by actor.
func (s *State) Roles() iter.Seq[Role] {
	return collect(s, itemRole, func(it *item) Role { return Role{*it.event.(*eventlog.RoleSet), it.rev} })
}

// Timers iterates by name.
func (s *State) Timers() iter.Seq[Timer] {
	return collect(s, itemTimer, func(it *item) Timer { return timerOf(it) })
}

// NextHopStates iterates by router, VRF and next hop.
func (s *State) NextHopStates() iter.Seq[NextHopState] {
	return collect(s, itemNextHopSeen, func(it *item) NextHopState {
		return NextHopState{*it.event.(*eventlog.NextHopObserved), it.rev}
	})
}

// Confirmations iterates by revision.
func (s *State) Confirmations() iter.Seq[Confirmation] {
	return collect(s, itemConfirmation, func(it *item) Confirmation {
		return confirmationOf(it)
	})
}
