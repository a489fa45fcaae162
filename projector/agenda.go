package projector

import (
	"cmp"
	"slices"
	"sync"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// Due is something that is to happen at a point of log time: a timer, or the
// end of a confirmation's window.
type Due struct {
	At       int64             // Unix milliseconds
	Timer    string            // name; "": a confirmation
	Revision eventlog.Revision // of the commit that waits for its confirmation
}

// agendaCell is the list of what is due, derived when first asked for. States
// between which no timer and no confirmation changed share one.
type agendaCell struct {
	once  sync.Once
	items pmap.View[pmap.String, *item] // let go when built
	list  []Due
	open  []eventlog.Revision // confirmations
}

// Agenda is what is to happen, the earliest first; of what is due at the same
// time confirmations come first, the newest commit before the older ones. It is
// shared and must not be changed. Cost: O(1) while no timer or confirmation
// changes, else O(n log n) of them.
func (s *State) Agenda() []Due { return s.agenda.get().list }

func (c *agendaCell) get() *agendaCell {
	c.once.Do(func() {
		for _, it := range itemsOf(c.items, pmap.String(rune(itemTimer))) {
			t := it.event.(*eventlog.TimerSet)
			c.list = append(c.list, Due{At: t.At, Timer: t.Name})
		}
		for _, it := range itemsOf(c.items, pmap.String(rune(itemConfirmation))) {
			c.list = append(c.list, Due{At: it.event.(*eventlog.ConfirmationOpened).Deadline, Revision: it.rev})
			c.open = append(c.open, it.rev)
		}
		slices.SortFunc(c.list, func(a, b Due) int {
			return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(b.Revision, a.Revision), cmp.Compare(a.Timer, b.Timer))
		})
		c.items = pmap.View[pmap.String, *item]{}
	})
	return c
}

// Pending is the revisions of the commits that wait for their confirmation, in
// order. It is shared and must not be changed. Cost: as Agenda's.
func (s *State) Pending() []eventlog.Revision { return s.agenda.get().open }

// Timer finds a timer that has not ended.
func (s *State) Timer(name string) (Timer, bool) {
	it, ok := s.items.Get(itemKeyOf(itemTimer, name))
	if !ok {
		return Timer{}, false
	}
	return timerOf(it), true
}

// Confirmation finds the pending confirmation of a commit.
func (s *State) Confirmation(r eventlog.Revision) (Confirmation, bool) {
	it, ok := s.items.Get(confirmationKey(r))
	if !ok {
		return Confirmation{}, false
	}
	return confirmationOf(it), true
}

func timerOf(it *item) Timer {
	return Timer{*it.event.(*eventlog.TimerSet), it.rev, it.inverse}
}

func confirmationOf(it *item) Confirmation {
	return Confirmation{it.rev, it.event.(*eventlog.ConfirmationOpened).Deadline, it.inverse, it.gone}
}

// Undo is what undoes the commit that waits for its confirmation: the inverse of
// what nobody changed since, and how much is left alone. Cost: a lookup an event.
func (s *State) Undo(c *Confirmation) (events []eventlog.Event, left int) {
	return s.undoing(c.Revision, c.Inverse, false)
}

// Lapsed is what is to be done at the end of a lifetime: the inverse of what its
// commit changed and nobody changed since, and how much is left alone. Timers of
// older logs hold removals, which concern what their commit changed last.
func (s *State) Lapsed(t *Timer) (events []eventlog.Event, left int) {
	if t.Undo {
		return s.undoing(t.Revision, t.Inverse, len(t.Events) > 0)
	}
	for _, e := range t.Events {
		if now := s.Item(e); now.Event != nil && now.Revision == t.Revision {
			events = append(events, e)
		} else {
			left++
		}
	}
	return events, left
}

// Unsettled finds the first event of a commit that asks for confirmation which
// is about an item that a pending commit changed and nobody since, and that
// commit; −1: none.
func (s *State) Unsettled(events []eventlog.Event) (index int, by eventlog.Revision) {
	pending := s.Pending()
	if len(pending) == 0 {
		return -1, 0
	}
	for i, e := range events {
		h, _ := s.held.Get(holdKey(e))
		if h == nil {
			continue
		}
		for _, r := range pending {
			if x := h.kept(r); x != nil && !x.watch {
				return i, r
			}
		}
	}
	return -1, 0
}
