package projector

import (
	"errors"
	"slices"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// Conflict is an item that chosen commits changed, and another one after them.
type Conflict struct {
	Event    eventlog.Event    // the last of those others that is about the item
	Revision eventlog.Revision // its commit
	Actor    string
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
	before   eventlog.Event // what it met; nil: nothing
	named    bool           // it is a router that was spoken of and not declared
	conflict *Conflict      // another one after it
	lent     lent           // whose lifetimes had made it what it met
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
	for _, e := range c.Events {
		id, ok := idOf(e)
		if !ok {
			continue
		}
		known := r.items[id]
		switch {
		case known != nil && !chosen(e):
			known.conflict = &Conflict{Event: e, Revision: c.Revision, Actor: c.Actor}
		case known == nil && chosen(e):
			if len(r.order) == MaxReverted {
				return ErrTooMany
			}
			known = &reverted{about: e, before: r.fold.Current().Item(e).Event}
			if set, ok := e.(*eventlog.RouterSet); ok && known.before == nil {
				refs := r.fold.State().References(set.Router)
				known.named = len(refs.Links) > 0 || refs.Destinations > 0 || len(refs.Guards) > 0
			}
			h, _ := r.fold.held.Get(holdKey(e))
			known.lent, _ = lentOf(e, h)
			r.items[id] = known
			r.order = append(r.order, known)
		}
	}
	return r.fold.Apply(c, eventlog.Hash{})
}

// Inverse is what takes the chosen events back at the state that the fold has
// reached, the latest first; what is as before already needs nothing. Where
// there are conflicts, those are left out of it.
func (r *Reverter) Inverse() (events []eventlog.Event, conflicts []Conflict) {
	now := r.fold.Current()
	for _, x := range slices.Backward(r.order) {
		is := now.Item(x.about).Event
		switch {
		case sameItem(is, x.before):
		case x.conflict != nil:
			conflicts = append(conflicts, *x.conflict)
		case lifetime(x.before): // it has been cancelled, and cannot be set again
		case x.before != nil:
			events = append(events, x.before)
		default:
			events = append(events, Removal(is))
		}
	}
	return events, conflicts
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
