package service

import (
	"context"
	"fmt"
	"net/netip"

	"dvr/eventlog"
	"dvr/projector"
)

// PutRoute sets one candidate: it adds the route or replaces the attributes of
// the one with the same identity. Preconditions are about the destination.
func (s *Service) PutRoute(ctx context.Context, m *Mutation, r *eventlog.RouteAnnounced) (Receipt, error) {
	if err := supported(r); err != nil {
		return Receipt{}, err
	}
	events := []eventlog.Event{r}
	var prefixes []netip.Prefix
	if m.Wait == WaitInstalled {
		prefixes = []netip.Prefix{r.Destination}
	}
	if !m.conditional() && !projector.HoldsItsNextHop(r) {
		rec, err := s.apply(ctx, m, events, nil, prefixes)
		if err != nil {
			err = alone(err)
		}
		return rec, err
	}
	if err := r.Validate(); err != nil {
		return Receipt{}, err
	}
	return s.apply(ctx, m, nil, &putDestination{m.demand(), eventOf[*eventlog.RouteAnnounced]{r}}, prefixes)
}

// ReplaceRoutes makes routes the only candidates of router for the
// destination; those equal to what is there are not touched. All must have
// that destination and router.
func (s *Service) ReplaceRoutes(ctx context.Context, m *Mutation, router eventlog.RouterID, destination netip.Prefix, routes []*eventlog.RouteAnnounced) (Receipt, error) {
	op := &replaceDestination{demand: m.demand(), Router: router, Destination: destination}
	seen := make(map[eventlog.RouteID]bool, len(routes))
	for i, r := range routes {
		at := fmt.Sprintf("candidates[%d]", i)
		if len(routes) > eventlog.MaxCommitEvents/2 {
			return Receipt{}, fmt.Errorf("%d candidates: %w: at most %d", len(routes), ErrTooLarge, eventlog.MaxCommitEvents/2)
		}
		if err := check(r); err != nil {
			return Receipt{}, prefixField(err, at+".")
		}
		if r.Router != router || r.Destination != destination {
			return Receipt{}, invalid(at, "is about another router or destination than the request")
		}
		if seen[r.RouteID] {
			return Receipt{}, invalid(at, "the same route twice")
		}
		seen[r.RouteID] = true
		op.Routes = append(op.Routes, eventOf[*eventlog.RouteAnnounced]{r})
	}
	return s.apply(ctx, m, nil, op, []netip.Prefix{destination})
}

func equalAttributes(a, b *eventlog.RouteAnnounced) bool {
	if a.Metric != b.Metric || a.Preference != b.Preference || a.Weight != b.Weight || a.Recursive != b.Recursive ||
		a.ViaDefault != b.ViaDefault || a.Expires != b.Expires || len(a.Tags) != len(b.Tags) {
		return false
	}
	for i := range a.Tags {
		if a.Tags[i] != b.Tags[i] {
			return false
		}
	}
	return true
}

// RouteFilter limits what is deleted or listed; zero members do not limit.
type RouteFilter struct {
	Router  eventlog.RouterID `json:"router,omitempty"`
	NextHop netip.Addr        `json:"next_hop,omitzero"`
}

func (f RouteFilter) admits(r *eventlog.RouteAnnounced) bool {
	return (f.Router == "" || r.Router == f.Router) && (!f.NextHop.IsValid() || r.NextHop == f.NextHop)
}

// DeleteRoutes withdraws the candidates of the destination that the filter
// admits. Errors: ErrNotFound when there is none, ErrUnknownRouter.
func (s *Service) DeleteRoutes(ctx context.Context, m *Mutation, destination netip.Prefix, f RouteFilter) (Receipt, error) {
	op := &deleteDestination{demand: m.demand(), Destination: destination, Filter: f, Subscribed: f.Router != "" && s.planes.Known(f.Router)}
	return s.apply(ctx, m, nil, op, []netip.Prefix{destination})
}

func tagOf(st *projector.State, r eventlog.Revision) Tag {
	return Tag{Epoch: st.Position().Epoch, Revision: r}
}

// Destination is a destination seen from one router.
type Destination struct {
	View
	Prefix   netip.Prefix
	Router   eventlog.RouterID
	Tag      Tag
	Judged   []projector.Judged
	Decision projector.Decision
	Decided  bool
}

// Route tells the candidates of a destination, which are chosen at router and why.
func (s *Service) Route(ctx context.Context, r Read, destination netip.Prefix, router eventlog.RouterID) (Destination, error) {
	v, err := s.View(ctx, r, true)
	if err != nil {
		return Destination{}, err
	}
	if err := s.checkRouter(v.State, router); err != nil {
		return Destination{View: v}, v.absent(r, err)
	}
	d, ok := v.State.Destination(destination)
	if !ok {
		return Destination{View: v}, v.absent(r, fmt.Errorf("route %s: %w", destination, ErrNotFound))
	}
	out := Destination{View: v, Prefix: destination, Router: router, Tag: tagOf(v.State, d.Revision)}
	out.Judged = v.State.Explain(router, destination)
	out.Decision, out.Decided = v.State.Best(router, destination)
	return out, nil
}

// Table gives the state from which the best routes of router are listed.
func (s *Service) Table(ctx context.Context, r Read, router eventlog.RouterID) (View, error) {
	v, err := s.View(ctx, r, true)
	if err == nil {
		if err = s.checkRouter(v.State, router); err != nil {
			err = v.absent(r, err)
		}
	}
	return v, err
}
