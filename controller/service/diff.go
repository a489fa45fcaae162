package service

import (
	"context"
	"fmt"
	"slices"

	"dvr/controller/history"
	"dvr/eventlog"
	"dvr/projector"
)

// Moment names a state: a revision, or a time (Unix milliseconds), or the newest.
type Moment struct {
	Revision eventlog.Revision
	Time     int64
}

// Diff compares two states: what was changed, and what it does to the FIBs of
// routers: of one where it is named, else of all that are known in either state
// or subscribed, else of `*`. Errors: *history.GoneError, ErrUnknownRouter.
func (s *Service) Diff(ctx context.Context, r Read, from, to Moment, router eventlog.RouterID) (*history.Diff, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	r.At, r.AtTime = to.Revision, to.Time
	v, y, err := s.whereabouts(ctx, r)
	if err != nil {
		return nil, renamed(err, "at", "to")
	}
	if to == (Moment{}) {
		if v, err = s.newest(ctx, r, true); err != nil {
			return nil, err
		}
		y = v.State.Position().Revision
	}
	r.At, r.AtTime = from.Revision, from.Time
	w, x, err := s.whereabouts(ctx, r)
	if err != nil {
		return nil, renamed(err, "at", "from")
	}
	if w.State.Position().Revision > v.State.Position().Revision {
		v = w
	}
	return s.archive.Diff(ctx, v.State, x, y, func(x, y *projector.State) ([]eventlog.RouterID, error) {
		if router == "" {
			return s.routersOf(x, y), nil
		}
		if err := s.checkRouter(x, router); err != nil {
			if err := s.checkRouter(y, router); err != nil {
				return nil, err
			}
		}
		return []eventlog.RouterID{router}, nil
	})
}

// routersOf are those known in any of the states or subscribed, sorted; `*`
// where there is none.
func (s *Service) routersOf(states ...*projector.State) []eventlog.RouterID {
	list := s.planes.Subscribed()
	for _, st := range states {
		for r := range st.Routers() {
			list = append(list, r.Router)
		}
	}
	slices.Sort(list)
	list = slices.Compact(list)
	if len(list) == 0 {
		return []eventlog.RouterID{eventlog.AllRouters}
	}
	return list
}

// renamed gives a field error about one parameter the name of another.
func renamed(err error, from, to string) error {
	if f, ok := err.(*eventlog.FieldError); ok && f.Field == from {
		return &eventlog.FieldError{Field: to, Reason: f.Reason}
	}
	return fmt.Errorf("%s: %w", to, err)
}
