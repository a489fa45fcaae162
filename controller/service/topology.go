package service

import (
	"context"
	"fmt"
	"iter"
	"net/netip"

	"dvr/eventlog"
	"dvr/projector"
)

// SetRouter declares a router or replaces its attributes. Whether it was
// declared before is not told: a repetition under the same key could not tell
// it again.
func (s *Service) SetRouter(ctx context.Context, m *Mutation, r *eventlog.RouterSet) (Receipt, error) {
	if err := check(r); err != nil {
		return Receipt{}, err
	}
	return s.apply(ctx, m, nil, &putRouter{m.demand(), eventOf[*eventlog.RouterSet]{r}}, nil)
}

// RemoveRouter removes a router's declaration. Errors: ErrNotFound.
func (s *Service) RemoveRouter(ctx context.Context, m *Mutation, id eventlog.RouterID) (Receipt, error) {
	if err := check(&eventlog.RouterRemoved{Router: id}); err != nil {
		return Receipt{}, err
	}
	return s.apply(ctx, m, nil, &removeRouter{m.demand(), id}, nil)
}

// SetLink declares a link or replaces its attributes; A < B.
func (s *Service) SetLink(ctx context.Context, m *Mutation, l *eventlog.LinkSet) (Receipt, error) {
	if err := check(l); err != nil {
		return Receipt{}, err
	}
	return s.apply(ctx, m, nil, &putLink{m.demand(), eventOf[*eventlog.LinkSet]{l}}, nil)
}

// RemoveLink removes a link. Errors: ErrNotFound.
func (s *Service) RemoveLink(ctx context.Context, m *Mutation, id eventlog.LinkID) (Receipt, error) {
	if err := check(&eventlog.LinkRemoved{LinkID: id}); err != nil {
		return Receipt{}, err
	}
	return s.apply(ctx, m, nil, &removeLink{m.demand(), id}, nil)
}

// Router is one router as a view shows it.
type Router struct {
	View
	projector.Router
	Tag       Tag
	DataPlane bool // a data plane subscribes as it
}

// Router finds a router that is known in any way.
func (s *Service) Router(ctx context.Context, r Read, id eventlog.RouterID) (Router, error) {
	v, err := s.View(ctx, r, false)
	if err != nil {
		return Router{}, err
	}
	out := Router{View: v, DataPlane: s.planes.Known(id)}
	var ok bool
	if out.Router, ok = v.State.Router(id); !ok {
		if !out.DataPlane {
			return out, v.absent(r, fmt.Errorf("router %s: %w", id, ErrNotFound))
		}
		out.Router.Router = id
	}
	out.Tag = tagOf(v.State, out.Revision)
	return out, nil
}

// Routers lists those of the view and, after them, those only subscribed.
func (s *Service) Routers(v View) iter.Seq[Router] {
	return func(yield func(Router) bool) {
		subscribed := s.planes.Subscribed()
		planes := make(map[eventlog.RouterID]bool, len(subscribed))
		for _, id := range subscribed {
			planes[id] = true
		}
		for r := range v.State.Routers() {
			if !yield(Router{View: v, Router: r, Tag: tagOf(v.State, r.Revision), DataPlane: planes[r.Router]}) {
				return
			}
			delete(planes, r.Router)
		}
		for _, id := range subscribed {
			if planes[id] {
				r := Router{View: v, DataPlane: true}
				r.Router.Router = id
				if !yield(r) {
					return
				}
			}
		}
	}
}

// Link is one link as a view shows it.
type Link struct {
	View
	projector.Link
	Tag Tag
}

// Link finds a link. Errors: ErrNotFound.
func (s *Service) Link(ctx context.Context, r Read, id eventlog.LinkID) (Link, error) {
	v, err := s.View(ctx, r, false)
	if err != nil {
		return Link{}, err
	}
	l, ok := v.State.Link(id)
	if !ok {
		return Link{View: v}, v.absent(r, fmt.Errorf("link %s-%s: %w", id.A, id.B, ErrNotFound))
	}
	return Link{v, l, tagOf(v.State, l.Revision)}, nil
}

// Lookup is the answer to "where does this address go".
type Lookup struct {
	Stale    bool
	Position eventlog.Position
	Prefix   netip.Prefix
	Class    projector.ClassID
	NextHops []projector.NextHop
	Source   string // controller or dataplane
}

// Lookup finds the longest match of an address at a router, by the
// controller's own state or by asking the router's data plane.
// Errors: ErrNotFound where nothing matches, ErrUnknownRouter, ErrNoDataPlane.
func (s *Service) Lookup(ctx context.Context, r Read, router eventlog.RouterID, a netip.Addr, dataplane bool) (Lookup, error) {
	if dataplane {
		if r.At > 0 || r.AtTime > 0 {
			return Lookup{}, invalid("at", "has no meaning for a data plane, which knows what it has installed now")
		}
		for name, given := range map[string]bool{"min_revision": r.MinRevision > 0 || r.Min.LogID != "", "consistency": r.Consistency != ByDefault} {
			if given {
				return Lookup{}, invalid(name, "has no meaning for a data plane, which answers with the revision that it has installed; a change waits for it with wait=installed")
			}
		}
		if err := s.checkRouter(s.appender.State(), router); err != nil {
			return Lookup{}, err
		}
		timeout := r.Timeout
		if timeout <= 0 {
			timeout = DefaultTimeout
		}
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		l, err := s.planes.Lookup(ctx, router, a)
		l.Source = "dataplane"
		return l, err
	}
	v, err := s.View(ctx, r, false)
	if err != nil {
		return Lookup{}, err
	}
	if err := s.checkRouter(v.State, router); err != nil {
		return Lookup{}, v.absent(r, err)
	}
	d, ok := v.State.Lookup(router, a)
	l := Lookup{Stale: v.Stale, Position: v.State.Position(), Source: "controller"}
	if !ok {
		if owner, of := ownerOf(v.State, router, a); owner != "" {
			return l, v.absent(r, fmt.Errorf("a route to %s at router %s: %w; router %s has %s of its own, ask about router %s", a, router, ErrNotFound, owner, of, owner))
		}
		return l, v.absent(r, fmt.Errorf("a route to %s at router %s: %w", a, router, ErrNotFound))
	}
	l.Prefix, l.Class, l.NextHops = d.Prefix, d.Class, d.NextHops
	return l, nil
}

// ownerOf is a router whose own route matches the address best, for who asked
// about no router in particular.
func ownerOf(st *projector.State, asked eventlog.RouterID, a netip.Addr) (owner eventlog.RouterID, of netip.Prefix) {
	if asked != eventlog.AllRouters {
		return "", of
	}
	a = a.Unmap().WithZone("")
	for _, d := range st.Covering(netip.PrefixFrom(a, a.BitLen())) {
		for i := range d.Candidates {
			if r := d.Candidates[i].Router; r != eventlog.AllRouters && d.Prefix.Bits() >= of.Bits() {
				owner, of = r, d.Prefix
			}
		}
	}
	return owner, of
}
