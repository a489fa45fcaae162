package fibstream

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"dvr/eventlog"
)

// InstalledResult says where a commit has arrived. The lists are sorted and
// share no router, but for a required one that is not connected: it is in
// Disconnected and Pending.
type InstalledResult struct {
	Installed    []eventlog.RouterID // acked, and no failure touches the commit's prefixes
	Disconnected []eventlog.RouterID // known, and not connected now
	Pending      []eventlog.RouterID // not acked yet
	Failed       []eventlog.RouterID // acked, but a failure touches the prefixes
}

// WaitInstalled is WaitInstalledRange for one commit.
func (s *Server) WaitInstalled(ctx context.Context, rev eventlog.Revision, prefixes []netip.Prefix, require []eventlog.RouterID) (InstalledResult, error) {
	return s.WaitInstalledRange(ctx, rev, rev, prefixes, require)
}

// WaitInstalledRange waits until every connected data plane that the commits
// from first to last (of the present epoch) concern has acked them, and each of
// require, concerned or not. prefixes are those of the commits; none: they may
// concern all, as a link does. A data plane is concerned when its FIB changed
// with a commit or with others that were merged with it and touch the prefixes,
// and when a change before that touches them was not acked at the call.
//
// When ctx ends first the result says what is pending, with ctx's error. Cost:
// a look at one data plane at each ack, and some at every one.
func (s *Server) WaitInstalledRange(ctx context.Context, first, last eventlog.Revision, prefixes []netip.Prefix, require []eventlog.RouterID) (InstalledResult, error) {
	return s.waitInstalled(ctx, wait{first: first, last: last, prefixes: prefixes, require: require})
}

// WaitInstalledHere is WaitInstalledRange for one controller of several: those
// of require that are not connected here are not waited for, nor told.
func (s *Server) WaitInstalledHere(ctx context.Context, first, last eventlog.Revision, prefixes []netip.Prefix, require []eventlog.RouterID) (InstalledResult, error) {
	return s.waitInstalled(ctx, wait{first: first, last: last, prefixes: prefixes, require: require, here: true})
}

func (s *Server) waitInstalled(ctx context.Context, w wait) (InstalledResult, error) {
	w.epoch, w.was = s.states.State().Position().Epoch, map[eventlog.RouterID]bool{}
	r := s.registry
	var result InstalledResult
	look := func() <-chan struct{} {
		r.mu.Lock()
		defer r.mu.Unlock()
		result = r.installed(&w)
		return r.changed
	}
	changed := look()
	for len(result.Pending) > 0 {
		select {
		case <-changed:
			if changed = r.stillPending(&w, result.Pending[len(result.Pending)/2]); changed == nil {
				changed = look()
			}
			continue
		case <-s.closing:
			look()
			return result, ErrClosed
		case <-ctx.Done():
			look()
			if len(result.Pending) == 0 {
				return result, nil
			}
			return result, fmt.Errorf("wait until revision %d is installed: %w", w.last, context.Cause(ctx))
		}
	}
	return result, nil
}

// stillPending is what tells of the next change, where one router that was found pending
// is so still: then all need not be judged anew, which would make n acks of n data
// planes cost n looks at each. nil: it is not.
func (r *registry) stillPending(w *wait, id eventlog.RouterID) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.planes[id]
	if p == nil || p.session == nil {
		return nil
	}
	if s := p.stands(w.epoch, w.first, w.last, w.prefixes); s.known && (!s.concerned || s.acked) {
		return nil // but for a required one; the look at all says that
	}
	return r.changed
}

// wait is what a call of WaitInstalledRange waits for.
type wait struct {
	epoch       uint64
	first, last eventlog.Revision
	prefixes    []netip.Prefix
	require     []eventlog.RouterID
	here        bool                       // only what is connected to this controller counts
	was         map[eventlog.RouterID]bool // found concerned at an earlier look
}

// installed judges every data plane. The caller holds mu.
func (r *registry) installed(w *wait) InstalledResult {
	var result InstalledResult
	now := r.options.Now()
	for id, p := range r.planes {
		required := slices.Contains(w.require, id)
		if p.session == nil {
			if now.Sub(p.seen) <= r.options.Remember {
				result.Disconnected = append(result.Disconnected, id)
				if required && !w.here {
					result.Pending = append(result.Pending, id)
				}
			}
			continue
		}
		s := p.stands(w.epoch, w.first, w.last, w.prefixes)
		w.was[id] = w.was[id] || s.concerned
		switch {
		case !s.known, s.concerned && !s.acked, required && !reaches(p.installed, w.epoch, w.last):
			result.Pending = append(result.Pending, id)
		case !w.was[id] && !required:
		case p.failing(w.prefixes):
			result.Failed = append(result.Failed, id)
		default:
			result.Installed = append(result.Installed, id)
		}
	}
	for _, id := range w.require {
		if w.here {
			break
		}
		if p := r.planes[id]; p == nil || p.session == nil && now.Sub(p.seen) > r.options.Remember {
			result.Disconnected = append(result.Disconnected, id)
			result.Pending = append(result.Pending, id)
		}
	}
	for _, list := range []*[]eventlog.RouterID{&result.Installed, &result.Disconnected, &result.Pending, &result.Failed} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return result
}
