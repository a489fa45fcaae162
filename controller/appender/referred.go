package appender

import (
	"fmt"
	"slices"
	"strings"

	"dvr/eventlog"
	"dvr/projector"
)

// referredTo refuses a commit after which something speaks of a router that it
// removes; after gives the state behind it, and is asked only then.
func referredTo(c *eventlog.Commit, after func() (*projector.State, error)) error {
	for i, e := range c.Events {
		removed, ok := e.(*eventlog.RouterRemoved)
		if !ok {
			continue
		}
		s, err := after()
		if err != nil {
			return err
		}
		refs := s.References(removed.Router)
		// A trial does not forget whom routes named (projector.State.Overlay).
		refs.Routes = refs.Destinations > 0 || refs.Routes && !withdraws(c, removed.Router)
		if refs.Any() {
			return &eventlog.FieldError{Field: fmt.Sprintf("events[%d].router", i), Reason: "is still referred to by " + Referring(removed.Router, &refs)}
		}
	}
	return nil
}

func withdraws(c *eventlog.Commit, router eventlog.RouterID) bool {
	return slices.ContainsFunc(c.Events, func(e eventlog.Event) bool {
		w, ok := e.(*eventlog.RouteWithdrawn)
		return ok && w.Router == router
	})
}

// Referring tells what refers to a router: a few of each.
func Referring(router eventlog.RouterID, r *projector.References) string {
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
		parts = append(parts, fmt.Sprintf("%s (GET /v1/routes?router=%s)", what, router))
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
