package service

import (
	"context"
	"fmt"
	"strings"

	"dvr/eventlog"
	"dvr/projector"
)

// SetLinkState takes a link down or up administratively and leaves the rest of
// it as it is; one that is so already stays, and nothing is stored. Errors:
// ErrNotFound.
func (s *Service) SetLinkState(ctx context.Context, m *Mutation, id eventlog.LinkID, down bool) (Receipt, error) {
	if err := check(&eventlog.LinkRemoved{LinkID: id}); err != nil {
		return Receipt{}, err
	}
	return s.apply(ctx, m, nil, &setLinkState{m.demand(), id, down}, nil)
}

// setLinkState changes the administrative state of a link.
type setLinkState struct {
	demand
	Link eventlog.LinkID `json:"link"`
	Down bool            `json:"down,omitempty"`
}

func (o *setLinkState) Kind() string { return "link.state" }

func (o *setLinkState) Decide(st *projector.State) ([]eventlog.Event, error) {
	was, ok := st.Link(o.Link)
	if err := o.hold(ok, tagOf(st, was.Revision)); err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("link %s: %w", linkName(o.Link), ErrNotFound)
	}
	if was.Down == o.Down {
		return nil, nil
	}
	l := was.LinkSet
	l.Down = o.Down
	return []eventlog.Event{&l}, nil
}

func linkName(l eventlog.LinkID) string {
	name := string(l.A) + "-" + string(l.B)
	if l.Name != "" {
		name += " (" + l.Name + ")"
	}
	return name
}

// referenceNames tells what refers to a router: a few of each.
func referenceNames(router eventlog.RouterID, r *projector.References) string {
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
		links[i] = linkName(l)
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
