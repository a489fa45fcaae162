package service

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"dvr/controller/history"
	"dvr/eventlog"
	"dvr/projector"
)

// Explained is the way of a packet, and whose doing it is.
type Explained struct {
	View
	*history.Explanation
	// Reasons are whose doing it is.
	Reasons history.Reasons
	// Installed is what the data planes on the way have, by router; nil for a past state.
	Installed map[eventlog.RouterID]Installed
}

// Installed is what a data plane answers for the address.
type Installed struct {
	Lookup
	// Agrees: it forwards as the state says. Where Err is set it has not said.
	Agrees bool
	Err    error
}

// Bounds of what an explanation looks for.
const (
	askPatience  = time.Second
	askedAtOnce  = 64
	maxAskedHops = 256
)

// Explain follows an address from a router to its exits, says whose commits make
// it so, and what the data planes on the way have installed. Cost: a lookup a
// hop, that of history.Archive.Reasons, and a question to each data plane concerned. Errors: ErrUnknownRouter, *history.GoneError.
func (s *Service) Explain(ctx context.Context, r Read, router eventlog.RouterID, a netip.Addr) (Explained, error) {
	v, err := s.View(ctx, r, true)
	if err != nil {
		return Explained{}, err
	}
	if err := s.checkRouter(v.State, router); err != nil {
		return Explained{View: v}, v.absent(r, err)
	}
	a = a.Unmap().WithZone("")
	out := Explained{View: v, Explanation: history.Explain(v.State, router, a)}
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	if out.Reasons, err = s.archive.Reasons(ctx, s.appender.State(), v.State, out.Explanation); err != nil {
		return out, err
	}
	if r.At == 0 && r.AtTime == 0 {
		out.Installed = s.askPlanes(ctx, out.Explanation)
	}
	return out, nil
}

// askPlanes asks the data planes of the routers on the way, all at once.
func (s *Service) askPlanes(ctx context.Context, e *history.Explanation) map[eventlog.RouterID]Installed {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	out := map[eventlog.RouterID]Installed{}
	var mu sync.Mutex
	var all sync.WaitGroup
	room := make(chan struct{}, askedAtOnce)
	for i := range e.Hops[:min(len(e.Hops), maxAskedHops)] {
		h := &e.Hops[i]
		if h.Router == eventlog.AllRouters || !s.planes.Known(h.Router) {
			continue
		}
		all.Add(1)
		go func() {
			defer all.Done()
			room <- struct{}{}
			defer func() { <-room }()
			l, err := s.planes.Lookup(ctx, h.Router, e.Address)
			got := Installed{Lookup: l, Err: err}
			switch {
			case errors.Is(err, ErrNotFound):
				got.Err, got.Agrees = nil, !h.Decided
			case err == nil:
				got.Agrees = h.Decided && l.Prefix == h.Decision.Prefix && sameHops(l.NextHops, h.Decision.NextHops)
			}
			mu.Lock()
			out[h.Router] = got
			mu.Unlock()
		}()
	}
	all.Wait()
	return out
}

// sameHops compares next hops as a data plane knows them: it is not told over
// which router one leads.
func sameHops(a, b []projector.NextHop) bool {
	plain := func(list []projector.NextHop) []projector.NextHop {
		out := slices.Clone(list)
		for i := range out {
			out[i].Via = ""
		}
		slices.SortFunc(out, func(a, b projector.NextHop) int {
			if c := a.Address.Compare(b.Address); c != 0 {
				return c
			}
			return int(a.Weight) - int(b.Weight)
		})
		return out
	}
	return slices.Equal(plain(a), plain(b))
}
