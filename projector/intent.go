package projector

import (
	"net/netip"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// Item is what a state holds of the item that an event is about.
type Item struct {
	Event    eventlog.Event // that would set it; nil: it is not there
	Revision eventlog.Revision
}

// Item finds what e is about, by its identity: the route of an announcement or
// withdrawal, the link of a link.set, … An event that is about no item
// (epoch.started, clock.stepped, …) finds none. Cost: O(log items).
func (s *State) Item(e eventlog.Event) Item {
	switch e := e.(type) {
	case *eventlog.RouteAnnounced:
		return s.route(&e.RouteID)
	case *eventlog.RouteWithdrawn:
		return s.route(&e.RouteID)
	}
	k := itemKeyFor(e, 0)
	if k == "" {
		return Item{}
	}
	it, ok := s.items.Get(k)
	if !ok {
		return Item{}
	}
	return Item{it.event, it.rev}
}

func (s *State) route(id *eventlog.RouteID) Item {
	p := placeOf(id.Destination)
	e := s.entry(p)
	if e == nil {
		return Item{}
	}
	i, ok := e.set.find(id)
	if !ok {
		return Item{}
	}
	r := e.set.bodies[i].at(p)
	return Item{&r, e.revision(i)}
}

// itemKeyFor is the key of the item that e sets or removes; "": none.
func itemKeyFor(e eventlog.Event, rev eventlog.Revision) pmap.String {
	if k := setterKey(e, rev); k != "" {
		return k
	}
	return removerKey(e)
}

// Removes reports whether e removes its item.
func Removes(e eventlog.Event) bool {
	_, route := e.(*eventlog.RouteWithdrawn)
	return route || removerKey(e) != ""
}

// Destinations lists the prefixes of the routes that events are about, in the
// order of the events, and says whether they touch anything else that forwards
// (routers, links, what is observed).
func Destinations(events []eventlog.Event) (prefixes []netip.Prefix, beyond bool) {
	for _, e := range events {
		switch e := e.(type) {
		case *eventlog.RouteAnnounced:
			prefixes = append(prefixes, e.Destination)
		case *eventlog.RouteWithdrawn:
			prefixes = append(prefixes, e.Destination)
		case *eventlog.RouterSet, *eventlog.RouterRemoved, *eventlog.LinkSet, *eventlog.LinkRemoved, *eventlog.LinkObserved:
			beyond = true
		}
	}
	return prefixes, beyond
}

// Removal is the event that takes back what e sets; nil: e sets nothing that can be removed.
func Removal(e eventlog.Event) eventlog.Event {
	if r, ok := e.(*eventlog.RouteAnnounced); ok {
		return &eventlog.RouteWithdrawn{RouteID: r.RouteID}
	}
	return remover(e)
}
