package eventlog

import (
	"fmt"
	"net/netip"
)

// identity is what an event is about, comparable: two events of a commit must
// not have equal ones. field is the member to blame.
type identity struct {
	class byte
	route RouteID
	link  LinkID
	a, b  string
	addr  netip.Addr
	rev   Revision
}

func identityOf(e Event) (id identity, field string) {
	switch e := e.(type) {
	case *RouteAnnounced:
		return identity{class: 'r', route: e.RouteID}, "destination"
	case *RouteWithdrawn:
		return identity{class: 'r', route: e.RouteID}, "destination"
	case *RouterSet:
		return identity{class: 'R', a: string(e.Router)}, "router"
	case *RouterRemoved:
		return identity{class: 'R', a: string(e.Router)}, "router"
	case *LinkSet:
		return identity{class: 'l', link: e.LinkID}, "a"
	case *LinkRemoved:
		return identity{class: 'l', link: e.LinkID}, "a"
	case *LinkObserved:
		return identity{class: 'o', link: e.LinkID, a: string(e.Router)}, "a"
	case *NextHopObserved:
		return identity{class: 'n', a: e.VRF, b: string(e.Router), addr: e.NextHop, link: LinkID{Name: e.Interface}}, "next_hop"
	case *KeyPut:
		return identity{class: 'k', a: e.Key}, "key"
	case *KeyDeleted:
		return identity{class: 'k', a: e.Key}, "key"
	case *GuardSet:
		return identity{class: 'g', a: e.Name}, "name"
	case *GuardRemoved:
		return identity{class: 'g', a: e.Name}, "name"
	case *FreezeSet:
		return identity{class: 'f', a: e.Name}, "name"
	case *FreezeRemoved:
		return identity{class: 'f', a: e.Name}, "name"
	case *RoleSet:
		return identity{class: 'p', a: e.Actor}, "actor"
	case *RoleRemoved:
		return identity{class: 'p', a: e.Actor}, "actor"
	case *TokenSet:
		return identity{class: 'a', a: e.ID}, "id"
	case *TokenRemoved:
		return identity{class: 'a', a: e.ID}, "id"
	case *AuthEnabled, *AuthDisabled:
		return identity{class: 'A'}, "kind"
	case *TimerSet:
		return identity{class: 't', a: e.Name}, "name"
	case *TimerFired:
		return identity{class: 't', a: e.Name}, "name"
	case *TimerCancelled:
		return identity{class: 't', a: e.Name}, "name"
	case *TimerFailed:
		return identity{class: 't', a: e.Name}, "name"
	case *ConfirmationConfirmed:
		return identity{class: 'c', rev: e.Revision}, "revision"
	case *ConfirmationUndone:
		return identity{class: 'c', rev: e.Revision}, "revision"
	}
	return identity{class: 'x', a: string(e.Kind())}, "kind" // once in a commit
}

// validateEvents checks each event, that allowed admits it, and that no
// identity comes twice. Cost: linear, without allocation where routes are
// sorted by destination and nothing else is in the list.
func validateEvents(events []Event, allowed func(Event) bool, reason string) error {
	sorted := true
	var last netip.Prefix
	for i, e := range events {
		if e == nil {
			return &FieldError{Field: fmt.Sprintf("events[%d]", i), Reason: "is missing"}
		}
		var err error
		if allowed != nil && !allowed(e) {
			err = &FieldError{Field: "kind", Reason: reason}
		} else {
			err = e.Validate()
		}
		if err != nil {
			var r rules
			r.nested(fmt.Sprintf("events[%d]", i), err)
			return r.done()
		}
		switch e := e.(type) {
		case *RouteAnnounced:
			sorted = sorted && (i == 0 || last.Compare(e.Destination) < 0)
			last = e.Destination
		default:
			sorted = sorted && len(events) == 1
		}
	}
	if sorted {
		return nil
	}
	return distinct(events)
}

// Distinct is the rule of a commit that no item is changed twice, for events of
// any number. Errors: FieldError. Cost: linear, a map unless all are routes
// announced in the order of their destinations.
func Distinct(events []Event) error {
	var last netip.Prefix
	for i, e := range events {
		if e == nil {
			return &FieldError{Field: fmt.Sprintf("events[%d]", i), Reason: "is missing"}
		}
		r, ok := e.(*RouteAnnounced)
		if !ok || i > 0 && last.Compare(r.Destination) >= 0 {
			return distinct(events)
		}
		last = r.Destination
	}
	return nil
}

func distinct(events []Event) error {
	seen := make(map[identity]int, len(events))
	for i, e := range events {
		if e == nil {
			return &FieldError{Field: fmt.Sprintf("events[%d]", i), Reason: "is missing"}
		}
		id, field := identityOf(e)
		if first, ok := seen[id]; ok {
			return &FieldError{
				Field:  fmt.Sprintf("events[%d].%s", i, field),
				Reason: fmt.Sprintf("is the same item as in events[%d]; a commit may change an item once", first),
			}
		}
		seen[id] = i
	}
	return nil
}
