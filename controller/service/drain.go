package service

import (
	"context"
	"fmt"

	"dvr/eventlog"
	"dvr/projector"
)

// SetDrain takes a router out of transit, or with DrainNone back into it, and
// leaves the rest of its attributes as they are; one that is so already stays, and
// nothing is stored. A router that is known but not declared becomes so by being
// drained. Cost: a commit. Errors: ErrNotFound, those of a mutation.
func (s *Service) SetDrain(ctx context.Context, m *Mutation, id eventlog.RouterID, d eventlog.Drain) (Receipt, error) {
	if err := check(&eventlog.RouterSet{Router: id, Drained: d}); err != nil {
		return Receipt{}, err
	}
	return s.apply(ctx, m, nil, &setDrain{m.demand(), id, d}, nil)
}

// setDrain changes how a router is drained.
type setDrain struct {
	demand
	Router  eventlog.RouterID `json:"router"`
	Drained eventlog.Drain    `json:"drained,omitempty"`
}

func (o *setDrain) Kind() string { return "router.drain" }

func (o *setDrain) Decide(st *projector.State) ([]eventlog.Event, error) {
	was, ok := st.Router(o.Router)
	if err := o.hold(ok && was.Declared, tagOf(st, was.Revision)); err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("router %s: %w", o.Router, ErrNotFound)
	}
	if was.Drained == o.Drained {
		return nil, nil
	}
	r := was.RouterSet
	r.Drained = o.Drained
	return []eventlog.Event{&r}, nil
}
