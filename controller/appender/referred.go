package appender

import (
	"fmt"
	"slices"
	"strings"

	"dvr/eventlog"
	"dvr/projector"
)

// referredTo refuses a commit after which something speaks of a router that it
// removes, but for those in named; after gives the state behind it, and is asked only then. Cost: O(events
// + links), and a pass over the table where a router without usable routes had
// some before.
func referredTo(c *eventlog.Commit, named []eventlog.RouterID, after func() (*projector.State, error)) error {
	var at []int // of the events that remove a router
	var routers []eventlog.RouterID
	for i, e := range c.Events {
		if removed, ok := e.(*eventlog.RouterRemoved); ok && !slices.Contains(named, removed.Router) {
			at, routers = append(at, i), append(routers, removed.Router)
		}
	}
	if len(at) == 0 {
		return nil
	}
	s, err := after()
	if err != nil {
		return err
	}
	refs := s.ReferencesTo(routers)
	var announcing []bool
	for i, router := range routers {
		r := &refs[i]
		if r.Routes && r.Destinations == 0 { // or so a trial says, which does not forget (projector.State.Overlay)
			if announcing == nil {
				announcing = s.Announcing(routers)
			}
			r.Routes = announcing[i]
		}
		if r.Any() {
			return &eventlog.FieldError{Field: fmt.Sprintf("events[%d].router", at[i]), Reason: string(router) + " is still referred to by " + Referring(s, router, r)}
		}
	}
	return nil
}

// Referring tells what of a state refers to a router: a few of each. Cost: where
// it has routes, a pass over the destinations up to a few of them.
func Referring(s *projector.State, router eventlog.RouterID, r *projector.References) string {
	const most = 5
	var parts []string
	list := func(one, many string, names []string) {
		switch n := len(names); {
		case n == 1:
			parts = append(parts, one+" "+names[0])
		case n > most:
			parts = append(parts, fmt.Sprintf("%s %s and %d more", many, strings.Join(names[:most], ", "), n-most))
		case n > 1:
			parts = append(parts, many+" "+strings.Join(names, ", "))
		}
	}
	links := make([]string, len(r.Links))
	for i, l := range r.Links {
		links[i] = LinkName(l)
	}
	list("link", "links", links)
	if r.Routes {
		what := "routes of its own"
		if r.Destinations > 0 {
			what = fmt.Sprintf("routes of its own to %d destinations", r.Destinations)
		}
		var some []string
		for _, id := range s.OwnRoutes(router, most) {
			if to := id.Destination.String(); !slices.Contains(some, to) {
				some = append(some, to)
			}
		}
		parts = append(parts, fmt.Sprintf("%s (GET /v1/routes?router=%s), such as %s", what, router, strings.Join(some, ", ")))
	}
	list("guard or freeze", "guards and freezes", r.Guards)
	return strings.Join(parts, ", ")
}

// LinkName is a link for a sentence.
func LinkName(l eventlog.LinkID) string {
	name := string(l.A) + "-" + string(l.B)
	if l.Name != "" {
		name += " (" + l.Name + ")"
	}
	return name
}
