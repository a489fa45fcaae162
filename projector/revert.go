package projector

import (
	"errors"
	"slices"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// Conflict is an item that cannot be taken back to what it was.
type Conflict struct {
	Cause Cause
	// Event is, of an item that was changed since, the last of those others that is
	// about it; else what would be restored.
	Event    eventlog.Event
	Revision eventlog.Revision // its commit, or the one that had made the item so
	Actor    string            // who made that one; empty: not looked up
}

// maxOthers is how many commits about an item a later one is found to take back.
const maxOthers = 1024

// Cause is why an item cannot be taken back.
type Cause uint8

const (
	// Changed: a commit that is not taken back changed it since.
	Changed Cause = iota
	// Unconfirmed: it would be again what a commit had made of it that still waits
	// for its confirmation, and would no longer be undone with that one.
	Unconfirmed
	// Overlaid: lifetimes that lie over each other would change it more than once.
	Overlaid
)

// String is the cause as the API has it.
func (c Cause) String() string {
	return [...]string{"changed", "unconfirmed", "overlaid"}[c]
}

// MaxReverted bounds the items that a Reverter keeps.
const MaxReverted = 1 << 20

// ErrTooMany: more items than a Reverter keeps.
var ErrTooMany = errors.New("too many items are to be taken back")

// Reverter finds what takes chosen events back, while the log is folded from
// before the first of them. Not safe for concurrent use.
type Reverter struct {
	fold  *Fold
	items map[itemID]*reverted
	order []*reverted
}

// itemID is the identity of an item.
type itemID struct {
	key   pmap.String
	route eventlog.RouteID
}

type reverted struct {
	about    eventlog.Event // the first chosen one
	lent                    // what it met, and what would have become of that since
	named    bool           // it is a router that was spoken of and not declared
	ended    bool           // only its lifetime is taken back to what it was
	left     eventlog.Event // what the chosen ones made of it; nil: nothing
	conflict *Conflict      // another one after it, the last
	others   []eventlog.Revision
}

// NewReverter begins at s, which must be frozen.
func NewReverter(s *State) *Reverter {
	return &Reverter{fold: s.Overlay(), items: map[itemID]*reverted{}}
}

// idOf is the identity of what e is about; false: it is taken back by nobody
// (observations, timers' ends, confirmations, epochs, levels).
func idOf(e eventlog.Event) (itemID, bool) {
	switch e := e.(type) {
	case *eventlog.RouteAnnounced:
		return itemID{route: e.RouteID}, true
	case *eventlog.RouteWithdrawn:
		return itemID{route: e.RouteID}, true
	case *eventlog.TimerFired, *eventlog.TimerFailed:
		return itemID{}, false
	}
	k := itemKeyFor(e, 1)
	if k == "" || !restored(k[0]) && k[0] != itemTimer {
		return itemID{}, false
	}
	return itemID{key: k}, true
}

// restored: items of the kind are intent that a rollback restores. Roles and
// tokens are not: what was taken from somebody does not come back.
func restored(kind byte) bool {
	switch kind {
	case itemRouter, itemLink, itemKey, itemGuard, itemFreeze:
		return true
	}
	return false
}

// Apply folds the next commit, whose stage is expanded; chosen says which of its
// events are to be taken back. Errors: Fold.Apply's, ErrTooMany.
func (r *Reverter) Apply(c *eventlog.Commit, chosen func(eventlog.Event) bool) error {
	own := r.own(c)
	for _, e := range c.Events {
		mine := chosen(e)
		if err := r.settle(e, mine); err != nil {
			return err
		}
		id, ok := idOf(e)
		if !ok {
			continue
		}
		known := r.items[id]
		switch {
		case known != nil && mine:
			known.ended, known.left = false, made(e)
		case known != nil && !own:
			known.changed(e, c)
		case known == nil && mine:
			known, err := r.add(id, e)
			if err != nil {
				return err
			}
			known.left = made(e)
			if set, ok := e.(*eventlog.RouterSet); ok && known.value == nil {
				refs := r.fold.State().References(set.Router)
				known.named = len(refs.Links) > 0 || refs.Destinations > 0 || len(refs.Guards) > 0
			}
		}
	}
	return r.fold.Apply(c, eventlog.Hash{})
}

// made is what e makes of its item; nil: it is not there.
func made(e eventlog.Event) eventlog.Event {
	if Removes(e) {
		return nil
	}
	return e
}

// changed notes that commit c, which is not chosen, is about the item: a conflict,
// unless it takes back all such ones, so that the item is as the chosen ones left it.
func (x *reverted) changed(e eventlog.Event, c *eventlog.Commit) {
	back := x.conflict != nil && len(x.others) < maxOthers && sameItem(made(e), x.left)
	for _, r := range x.others {
		back = back && slices.Contains(c.Reverts, r)
	}
	if back {
		x.conflict, x.others = nil, nil
		return
	}
	x.conflict = &Conflict{Event: e, Revision: c.Revision, Actor: c.Actor}
	if len(x.others) < maxOthers {
		x.others = append(x.others, c.Revision)
	}
}

// add begins to look at an item that the next commit changes.
func (r *Reverter) add(id itemID, e eventlog.Event) (*reverted, error) {
	if len(r.order) == MaxReverted {
		return nil, ErrTooMany
	}
	now := r.fold.Current()
	x := &reverted{about: e, lent: lent{value: now.Item(e).Event}}
	if len(id.key) == 0 || id.key[0] != itemTimer {
		x.layers = now.layers(e)
	}
	r.items[id] = x
	r.order = append(r.order, x)
	return x, nil
}

// own reports whether c ends a lifetime that was set by what is taken back: what
// it does is no other's change.
func (r *Reverter) own(c *eventlog.Commit) bool {
	return slices.ContainsFunc(c.Events, func(e eventlog.Event) bool {
		fired, ok := e.(*eventlog.TimerFired)
		if !ok {
			return false
		}
		x := r.items[itemID{key: itemKeyOf(itemTimer, fired.Name)}]
		return x != nil && x.conflict == nil && lifetime(x.about)
	})
}

// settle follows what becomes of pending commits that had made items what chosen
// ones met. Whoever takes the end of one back by name has it stay.
func (r *Reverter) settle(e eventlog.Event, chosen bool) error {
	var owner eventlog.Revision
	var inverse []eventlog.Event
	gives, timer, cancelled := false, true, false
	pending := func(name string) {
		if t, ok := r.fold.Current().Timer(name); ok && t.Undo {
			owner, inverse = t.Revision, t.Inverse
		}
	}
	open := func(revision eventlog.Revision) {
		if c, ok := r.fold.Current().Confirmation(revision); ok {
			owner, inverse, timer = revision, c.Inverse, false
		}
	}
	switch e := e.(type) {
	case *eventlog.TimerFired:
		gives = !chosen
		pending(e.Name)
	case *eventlog.TimerCancelled:
		cancelled = chosen
		pending(e.Name)
	case *eventlog.TimerFailed:
		pending(e.Name)
	case *eventlog.TimerSet:
		pending(e.Name)
	case *eventlog.ConfirmationConfirmed:
		open(e.Revision)
	case *eventlog.ConfirmationUndone:
		gives = !chosen
		open(e.Revision)
	}
	for _, e := range inverse {
		id, ok := idOf(e)
		if !ok {
			continue
		}
		x := r.items[id]
		if x == nil && cancelled {
			var err error
			if x, err = r.add(id, e); err != nil {
				return err
			}
			x.ended = true
		}
		if x == nil || cancelled {
			continue // what was cancelled goes on
		}
		if i := x.of(owner); i >= 0 {
			x.settled(i, gives, timer)
		}
	}
	return nil
}

// Inverse is what takes the chosen events back at the state that the fold has
// reached, the latest first, and what of it is only for a while; what is as before
// already needs nothing. Where there are conflicts, those are left out of it.
// Cost: a lookup an item.
func (r *Reverter) Inverse() (events []eventlog.Event, lent []Lease, conflicts []Conflict) {
	now := r.fold.Current()
	ends := leases{}
	for _, x := range slices.Backward(r.order) {
		x.lapse(now.time)
		is := now.Item(x.about).Event
		switch {
		case x.conflict != nil && (x.ended || sameItem(is, x.value)):
			continue
		case x.conflict != nil:
			conflicts = append(conflicts, *x.conflict)
			continue
		}
		owner := eventlog.Revision(0)
		if len(x.layers) > 0 {
			owner = x.layers[0].owner
		}
		if cause := ends.add(&x.lent); cause != 0 {
			conflicts = append(conflicts, Conflict{Cause: cause, Event: aboutOf(x.value, x.about), Revision: owner})
			continue
		}
		switch {
		case sameItem(is, x.value):
		case lifetime(x.value): // it was cancelled: what it was to end is ended by a lease
		case x.value != nil:
			events = append(events, x.value)
		default:
			events = append(events, Removal(is))
		}
	}
	return events, ends.list(), conflicts
}

// Named is the routers that the chosen events declared and something spoke of
// before: that their removal leaves them so takes nothing from what speaks of them.
func (r *Reverter) Named() []eventlog.RouterID {
	var out []eventlog.RouterID
	for _, x := range r.order {
		if set, ok := x.about.(*eventlog.RouterSet); ok && x.named {
			out = append(out, set.Router)
		}
	}
	return out
}

// Position is how far the log is folded.
func (r *Reverter) Position() eventlog.Position { return r.fold.pos }

func sameItem(a, b eventlog.Event) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	var one, two [512]byte
	return string(eventlog.AppendEvent(one[:0], a)) == string(eventlog.AppendEvent(two[:0], b))
}

// Restore is what brings s back to what past was: routes, routers, links, keys,
// guards, freezes and roles; timers that were set since are cancelled. Cost: what
// the two do not share, at most a pass over both.
func (s *State) Restore(past *State) []eventlog.Event {
	var out []eventlog.Event
	route := func(p place, now, then *entry) bool {
		var is, was []*body
		if now != nil {
			is = now.set.bodies
		}
		if then != nil {
			was = then.set.bodies
		}
		for len(is) > 0 || len(was) > 0 {
			order := 0
			switch {
			case len(is) == 0:
				order = 1
			case len(was) == 0:
				order = -1
			default:
				order = compareRoutes(&is[0].route.RouteID, &was[0].route.RouteID)
			}
			switch {
			case order < 0:
				r := is[0].at(p)
				out = append(out, &eventlog.RouteWithdrawn{RouteID: r.RouteID})
			case order > 0 || is[0].id != was[0].id:
				r := was[0].at(p)
				out = append(out, &r)
			}
			if order <= 0 {
				is = is[1:]
			}
			if order >= 0 {
				was = was[1:]
			}
		}
		return true
	}
	pmap.Diff(s.v4, past.v4, sameSet, func(k pmap.V4, a, b *entry) bool { return route(place4(k), a, b) })
	pmap.Diff(s.v6, past.v6, sameSet, func(k pmap.V6, a, b *entry) bool { return route(place6(k), a, b) })
	pmap.Diff(s.items, past.items, func(a, b **item) bool { return *a == *b }, func(k pmap.String, a, b **item) bool {
		switch {
		case k[0] == itemTimer && b == nil:
			out = append(out, remover((*a).event))
		case !restored(k[0]):
		case b == nil:
			out = append(out, remover((*a).event))
		case a == nil || !sameItem((*a).event, (*b).event):
			out = append(out, (*b).event)
		}
		return true
	})
	return out
}
