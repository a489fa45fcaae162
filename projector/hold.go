package projector

import (
	"cmp"
	"slices"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// A commit may be undone later: where it is not confirmed, at the end of its
// lifetime. Until then the fold keeps, with what will end it, the events that
// undo it, and here for each item that it changed a hold: whether somebody changed
// the item since, and what is under it. So what is undone is exact whatever
// happened meanwhile: what was changed since is left alone, also where it was
// taken away or set and taken away, and of commits that lie over each other each
// gives back what its own change met, in whatever order they end.
//
// Invariants: the holds of an item are in the order of their commits, the newest
// first; there is one for each pending commit that changed the item (or watches
// it), and none else.

// hold is a pending commit's part in an item. Immutable once it is in the map.
type hold struct {
	owner   eventlog.Revision // the commit
	back    eventlog.Event    // what gives the item back as the commit met it; nil: the commit only lends it
	lent    eventlog.Event    // what gives back what it lends (TimerSet.Undo with events); nil: it does not
	until   string            // the timer that ends its lifetime; "": none
	touched eventlog.Revision // of the first commit that changed the item since, but for holds above; 0: none
	holders int               // confirmations and timers of the commit that are pending
	watch   bool              // the commit did not change the item; it asks whether others do
	below   *hold             // an older commit's
}

// holdKey is the identity of the item that e is about; "": of none that is given back.
func holdKey(e eventlog.Event) pmap.String {
	switch e := e.(type) {
	case *eventlog.RouteAnnounced:
		return pmap.String(eventlog.AppendEvent(nil, &eventlog.RouteWithdrawn{RouteID: e.RouteID}))
	case *eventlog.RouteWithdrawn:
		return pmap.String(eventlog.AppendEvent(nil, e))
	}
	k := itemKeyFor(e, 0)
	if k == "" || k[0] == itemConfirmation || k[0] == itemEpoch || k[0] == itemLevel {
		return ""
	}
	return k
}

// of is the hold of a commit; nil: it has none.
func (h *hold) of(owner eventlog.Revision) *hold {
	for h != nil && h.owner != owner {
		h = h.below
	}
	return h
}

// kept is the hold of a commit if the item still is as that commit left it, or
// with a watch as it met it; else nil.
func (h *hold) kept(owner eventlog.Revision) *hold {
	for ; h != nil; h = h.below {
		switch {
		case h.owner == owner && h.touched == 0:
			return h
		case h.owner == owner || !h.watch:
			return nil
		}
	}
	return nil
}

// list is h and what is below it; stack is its inverse.
func (h *hold) list() []hold {
	var out []hold
	for ; h != nil; h = h.below {
		out = append(out, *h)
	}
	return out
}

func stack(list []hold) (top *hold) {
	for i := len(list) - 1; i >= 0; i-- {
		h := list[i]
		h.below = top
		top = &h
	}
	return top
}

// touch notes that a commit changes an item: for those who watch it, and for the
// newest commit that changed it and is still pending.
func touch(list []hold, by eventlog.Revision) {
	for i := range list {
		if list[i].touched == 0 && list[i].owner != by {
			list[i].touched = by
		}
		if !list[i].watch {
			break
		}
	}
}

// change notes that commit r changes what e is about. Cost: nothing while no
// commit is pending, else a look at the item's holds.
func (f *Fold) change(e eventlog.Event, r eventlog.Revision) {
	if f.held.Len() == 0 {
		return
	}
	k := holdKey(e)
	if h, ok := f.held.Get(k); ok && k != "" {
		list := h.list()
		touch(list, r)
		f.held.Set(k, stack(list))
	}
}

// hold adds to what a commit holds of the item that e is about.
func (f *Fold) hold(e eventlog.Event, h hold) {
	k := holdKey(e)
	if k == "" || h.holders == 0 {
		return
	}
	top, _ := f.held.Get(k)
	list := top.list()
	if !h.watch { // those who watch see a change, and those who change are covered
		for i := 0; i < len(list) && list[i].watch; i++ {
			touch(list[i:i+1], h.owner)
		}
	}
	if len(list) > 0 && list[0].owner == h.owner {
		list[0].join(&h)
	} else {
		list = slices.Insert(list, 0, h)
	}
	f.held.Set(k, stack(list))
}

// join takes over what another holder of the same commit holds.
func (h *hold) join(other *hold) {
	h.holders += other.holders
	if other.watch {
		return
	}
	if h.watch {
		h.watch, h.back = false, nil
	}
	h.back = cmp.Or(h.back, other.back)
	h.lent = cmp.Or(h.lent, other.lent)
	h.until = cmp.Or(h.until, other.until)
}

// ending is of what holds: a timer's, or else a confirmation's.
type ending struct {
	owner eventlog.Revision // the commit that it was set with
	by    eventlog.Revision // the one that ends it
	gives bool              // that one undoes with it what it held; else that stays for good
	timer bool
	lease bool // it holds what the commit lends
}

// settle lets go what a timer or a confirmation holds, which commit r ends.
func (f *Fold) settle(k pmap.String, gives bool, r eventlog.Revision) {
	if f.held.Len() == 0 || k[0] != itemTimer && k[0] != itemConfirmation {
		return
	}
	it, ok := f.items.Get(k)
	if !ok {
		return
	}
	about := it.inverse
	x := ending{owner: it.rev, by: r, gives: gives, timer: k[0] == itemTimer, lease: it.lends()}
	if t, ok := it.event.(*eventlog.TimerSet); ok && t.Unchanged {
		about = t.Events
	}
	f.letGo(about, &x)
	// What was given back at the end of its lifetime needs no confirmation any more.
	open := confirmationKey(it.rev)
	c, ok := f.items.Get(open)
	if !ok || !gives || !x.timer {
		return
	}
	kept := &item{event: c.event, rev: c.rev}
	if !x.lease {
		f.letGo(c.inverse, &ending{owner: it.rev, by: r, gives: true})
	} else {
		for i, e := range c.inverse {
			if h, _ := f.held.Get(holdKey(e)); h.of(it.rev) != nil {
				kept.inverse = append(kept.inverse, e)
				if i < c.gone {
					kept.gone++
				}
			}
		}
	}
	f.items.Set(open, kept)
}

// letGo takes a holder out of a commit's holds of what events are about.
func (f *Fold) letGo(events []eventlog.Event, x *ending) {
	for _, e := range events {
		k := holdKey(e)
		h, _ := f.held.Get(k)
		if h.of(x.owner) == nil {
			continue
		}
		if h = stack(release(h.list(), x)); h != nil {
			f.held.Set(k, h)
		} else {
			f.held.Delete(k)
		}
	}
}

// release takes one holder of a commit's hold out of an item's list; what was
// given back has no other.
func release(list []hold, end *ending) []hold {
	at := slices.IndexFunc(list, func(h hold) bool { return h.owner == end.owner })
	x := &list[at]
	if x.holders--; x.holders > 0 && !end.gives {
		switch {
		case end.lease:
			x.lent, x.until = nil, ""
		case end.timer:
			x.until = ""
		}
		return list
	}
	if !x.watch {
		above, below := -1, -1
		for i := range list {
			switch {
			case list[i].watch || i == at:
			case i < at:
				above = i
			case below < 0:
				below = i
			}
		}
		// Whether the value that is below x is what is, or will be, given back.
		restored := end.gives && (above < 0 && x.touched == end.by || above >= 0 && x.touched == 0)
		if above >= 0 && restored && list[above].back != nil {
			list[above].back = x.gives(end.lease)
		}
		if below >= 0 && !restored && list[below].touched == 0 {
			list[below].touched = max(x.touched, x.owner)
		}
	}
	return slices.Delete(list, at, at+1)
}

// gives is what gives the item back at the end of what the commit lends, or of the commit.
func (h *hold) gives(lease bool) eventlog.Event {
	if lease {
		return h.lent
	}
	return h.back
}

// pends is what of a commit's events may undo it.
type pends struct {
	confirmations, lifetimes int
	until                    string // the timer of a lifetime
}

func pendsOn(events []eventlog.Event) (p pends) {
	for _, e := range events {
		switch e := e.(type) {
		case *eventlog.ConfirmationOpened:
			p.confirmations++
		case *eventlog.TimerSet:
			if e.Undo && len(e.Events) == 0 {
				p.lifetimes++
				p.until = e.Name
			}
		}
	}
	return p
}

// applyHeld folds a commit that may be undone, and keeps with its confirmation
// and its lifetime what undoes it; or one that lends, or whose timers watch what
// others change.
func (f *Fold) applyHeld(c *eventlog.Commit) {
	p := pendsOn(c.Events)
	var gone, inverse, lasting []eventlog.Event // lasting: those of inverse that are no lifetime's own end
	for _, e := range c.Events {
		t, _ := e.(*eventlog.TimerSet)
		own := t != nil && t.Undo
		h := hold{owner: c.Revision, holders: p.confirmations}
		if !own {
			h.holders += p.lifetimes
			h.until = p.until
		}
		if h.holders > 0 {
			h.back = f.undo(e)
		}
		switch {
		case h.back == nil:
			f.change(e, c.Revision)
		case Removes(e):
			gone = append(gone, h.back)
		default:
			inverse = append(inverse, h.back)
			if !own {
				lasting = append(lasting, h.back)
			}
		}
		if h.back != nil {
			f.hold(h.back, h)
		}
		f.apply(e, c)
		switch {
		case t == nil:
		case t.Undo:
			f.lend(t, c.Revision)
		case t.Unchanged:
			for _, e := range t.Events {
				f.hold(e, hold{owner: c.Revision, back: e, holders: 1, watch: true})
			}
		}
	}
	slices.Reverse(gone)
	slices.Reverse(inverse)
	slices.Reverse(lasting)
	keep := func(k pmap.String, inverse []eventlog.Event) {
		if it, ok := f.items.Get(k); ok && it.rev == c.Revision {
			f.items.Set(k, &item{event: it.event, rev: it.rev, inverse: slices.Concat(gone, inverse), gone: len(gone)})
		}
	}
	for _, e := range c.Events {
		switch e := e.(type) {
		case *eventlog.ConfirmationOpened:
			keep(confirmationKey(c.Revision), inverse)
		case *eventlog.TimerSet:
			if e.Undo && len(e.Events) == 0 {
				keep(itemKeyOf(itemTimer, e.Name), lasting)
			}
		}
	}
}

// lend holds what commit r, which carries t, leaves only until then. None of it is
// a timer, a role or a token.
func (f *Fold) lend(t *eventlog.TimerSet, r eventlog.Revision) {
	k := itemKeyOf(itemTimer, t.Name)
	if it, ok := f.items.Get(k); ok && len(t.Events) > 0 {
		f.items.Set(k, &item{event: it.event, rev: it.rev, inverse: t.Events})
	}
	for _, e := range t.Events {
		f.hold(e, hold{owner: r, lent: e, until: t.Name, holders: 1})
	}
}

// undoing is what undoes a pending commit at s, of its inverse, and how much is
// left alone because it was changed since; with lease, what ends what it lends.
// Cost: a lookup an event.
func (s *State) undoing(owner eventlog.Revision, inverse []eventlog.Event, lease bool) (events []eventlog.Event, left int) {
	for _, e := range inverse {
		h, _ := s.held.Get(holdKey(e))
		if h = h.kept(owner); h != nil && h.gives(lease) != nil {
			events = append(events, h.gives(lease))
		} else {
			left++
		}
	}
	return events, left
}

// Disturbed is those of the events of a timer with Unchanged that would change
// something which a commit was about since it was set. Cost: a lookup an event.
func (s *State) Disturbed(t *Timer) (events []eventlog.Event) {
	if !t.Unchanged {
		return nil
	}
	for _, e := range t.Events {
		if c, ok := e.(*eventlog.ConfirmationUndone); ok {
			if _, pending := s.Confirmation(c.Revision); !pending {
				events = append(events, e)
			}
			continue
		}
		k := holdKey(e)
		if h, _ := s.held.Get(k); k == "" || h.kept(t.Revision) != nil {
			continue
		}
		if now := s.Item(e).Event; Removes(e) == (now != nil) || now != nil && !sameItem(now, e) {
			events = append(events, e)
		}
	}
	return events
}
