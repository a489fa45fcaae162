package service

import (
	"context"
	"fmt"

	"dvr/controller/appender"
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
		return nil, fmt.Errorf("link %s: %w", appender.LinkName(o.Link), ErrNotFound)
	}
	if was.Down == o.Down {
		return nil, nil
	}
	l := was.LinkSet
	l.Down = o.Down
	return []eventlog.Event{&l}, nil
}
