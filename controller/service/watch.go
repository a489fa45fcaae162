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

// WatchQuery is what a watch is about; zero filters do not limit.
type WatchQuery struct {
	// Commits, Routes, Topology and Keys come from the log; FIB is the
	// differences of Router's table.
	Commits, Routes, Topology, Keys, FIB bool
	Router                               eventlog.RouterID
	Within                               netip.Prefix
	Prefix                               string // of keys
}

func (q *WatchQuery) log() bool { return q.Commits || q.Routes || q.Topology || q.Keys }

// keysAlone: only a key's event says anything.
func (q *WatchQuery) keysAlone() bool { return q.Keys && !q.Commits && !q.Routes && !q.Topology }

// Admits reports that an event is one of those watched; kind names which.
func (q *WatchQuery) Admits(e eventlog.Event) (kind string, ok bool) {
	switch e := e.(type) {
	case *eventlog.RouteAnnounced:
		return "routes", q.Routes && q.route(&e.RouteID)
	case *eventlog.RouteWithdrawn:
		return "routes", q.Routes && q.route(&e.RouteID)
	case *eventlog.KeyPut:
		return "kv", q.Keys && len(e.Key) >= len(q.Prefix) && e.Key[:len(q.Prefix)] == q.Prefix
	case *eventlog.KeyDeleted:
		return "kv", q.Keys && len(e.Key) >= len(q.Prefix) && e.Key[:len(q.Prefix)] == q.Prefix
	case *eventlog.RouterSet:
		return "topology", q.Topology && q.at(e.Router)
	case *eventlog.RouterRemoved:
		return "topology", q.Topology && q.at(e.Router)
	case *eventlog.LinkSet:
		return "topology", q.Topology && (q.at(e.A) || q.at(e.B))
	case *eventlog.LinkRemoved:
		return "topology", q.Topology && (q.at(e.A) || q.at(e.B))
	case *eventlog.LinkObserved:
		return "topology", q.Topology && (q.at(e.A) || q.at(e.B))
	case *eventlog.NextHopObserved:
		return "topology", q.Topology && q.at(e.Router)
	}
	return "", false
}

// Concerns reports whether a commit is one of those watched as a whole: where a
// router or a range is named, one that has to do with it.
func (q *WatchQuery) Concerns(events []eventlog.Event) bool {
	if q.Router == "" && !q.Within.IsValid() {
		return true
	}
	about := WatchQuery{Routes: true, Topology: q.Router != "", Router: q.Router, Within: q.Within}
	return slices.ContainsFunc(events, func(e eventlog.Event) bool { _, ok := about.Admits(e); return ok })
}

func (q *WatchQuery) at(r eventlog.RouterID) bool { return q.Router == "" || q.Router == r }

// route: the router's own routes and every router's concern it.
func (q *WatchQuery) route(id *eventlog.RouteID) bool {
	return (q.at(id.Router) || id.Router == eventlog.AllRouters) &&
		(!q.Within.IsValid() || q.Within.Bits() <= id.Destination.Bits() && q.Within.Contains(id.Destination.Addr()))
}

// Watch delivers what happens as it happens. Not safe for concurrent use. It
// holds nothing that must be released.
type Watch struct {
	service *Service
	query   WatchQuery
	at      eventlog.Revision // the log is delivered up to here
	state   *projector.State  // the newest seen
	told    *projector.FIB    // nil: FIBs are not watched
}

// WatchStep is what one call of Next delivers.
type WatchStep struct {
	// Commits are those in (After, To] that may hold something; shared, so not to
	// be changed.
	Commits   []history.Commit
	After, To eventlog.Revision
	// FIB is how the table changed since the last one told, up to To; nil: not
	// at all, or there is more of the log before it.
	FIB *projector.FIBDifference
	// Level: nothing that is known lies behind To; FIBs are told up to it.
	Level bool
}

// Watch begins to watch after the position that r.MinRevision or r.Min names,
// now where it names none. Errors: ErrGone where the log no longer holds what
// came after it, ErrConflict for a position of another log or an epoch that has
// ended, ErrUnknownRouter.
func (s *Service) Watch(ctx context.Context, r Read, q WatchQuery) (*Watch, error) {
	v, at, err := s.beginning(ctx, r)
	if err != nil {
		return nil, err
	}
	if q.Router != "" {
		if err := s.checkRouter(v.State, q.Router); err != nil {
			return nil, v.absent(r, err)
		}
	}
	w := &Watch{service: s, query: q, at: at, state: v.State}
	if q.FIB {
		then := v.State
		if at < v.State.Position().Revision {
			ctx, cancel := (&Read{}).bounded(ctx)
			defer cancel()
			if then, err = s.archive.State(ctx, v.State, at); err != nil {
				return nil, err
			}
		}
		w.told = then.FIB(q.Router, nil)
	}
	return w, nil
}

// beginning is where a watch begins, and the newest state.
func (s *Service) beginning(ctx context.Context, r Read) (View, eventlog.Revision, error) {
	after := r.MinRevision
	if r.Min.LogID != "" {
		after = r.Min.Revision
	}
	// The wait for it is not this call's timeout, which is the watch's.
	v, err := s.View(ctx, Read{Consistency: r.Consistency, Min: eventlog.Position{LogID: r.Min.LogID, Epoch: r.Min.Epoch}}, true)
	if err != nil {
		return v, 0, err
	}
	newest := v.State.Position().Revision
	switch {
	case after == 0:
		return v, newest, nil
	case after > newest && v.Stale:
		return v, 0, behind(newest, after)
	case after > newest:
		return v, 0, invalid("after", "is a revision to come: the newest is %d", newest)
	case after < newest:
		low, err := s.history.Low(ctx)
		if err != nil {
			return v, 0, history.Missing(ctx, s.history, after, err)
		}
		if after+1 < low {
			return v, 0, lost(after, low)
		}
	}
	return v, after, nil
}

// Position is up to where everything was delivered: a watch after it misses nothing.
func (w *Watch) Position() eventlog.Position { return w.PositionOf(w.at) }

// PositionOf is that of a commit which was delivered.
func (w *Watch) PositionOf(r eventlog.Revision) eventlog.Position {
	return eventlog.Position{LogID: w.state.Position().LogID, Epoch: w.state.EpochOf(r), Revision: r}
}

// Behind reports whether Next gives something at once.
func (w *Watch) Behind() bool { return w.at < w.state.Position().Revision }

// Next waits for what is new. Where the log cannot be read it waits, too.
// Errors: ctx's; ErrGone when the watcher was so slow that the log was truncated
// before it.
func (w *Watch) Next(ctx context.Context) (WatchStep, error) {
	for {
		w.state = w.service.appender.State()
		newest := w.state.Position().Revision
		if newest <= w.at {
			if err := w.service.appender.Wait(ctx, w.at+1); err != nil {
				if ctx.Err() != nil {
					return WatchStep{}, ctx.Err()
				}
				return WatchStep{}, err
			}
			continue
		}
		step := WatchStep{After: w.at, To: newest}
		if w.query.log() && !(w.query.keysAlone() && w.state.KeysChanged() <= w.at) {
			feed := w.service.feed
			if w.query.keysAlone() {
				feed = w.service.keys
			}
			var err error
			step.Commits, step.To, err = feed.After(ctx, w.at, newest)
			switch {
			case ctx.Err() != nil:
				return WatchStep{}, ctx.Err()
			case errors.Is(err, ErrUnavailable):
				if !pause(ctx, unavailablePause) {
					return WatchStep{}, ctx.Err()
				}
				continue
			case err != nil:
				return WatchStep{}, err
			}
		}
		w.at = step.To
		if step.Level = step.To == newest; step.Level && w.told != nil {
			fib := w.service.fibs.of(w.state, w.query.Router, w.told)
			step.FIB = fib.Difference(w.told)
			w.told = fib
		}
		return step, nil
	}
}

// pause waits; false: ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// fibs are the newest tables that watchers asked for: those of one router share one.
type fibs struct {
	mu   sync.Mutex
	list []*projector.FIB // used last at the end
}

const maxFIBs = 64

// of compiles router's table at a state, from the newest that is known or else
// from the one given.
func (f *fibs) of(st *projector.State, router eventlog.RouterID, from *projector.FIB) *projector.FIB {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.list, func(t *projector.FIB) bool { return t.Router() == router })
	if i >= 0 {
		p, q := f.list[i].Position(), st.Position()
		if p == q {
			return f.list[i]
		}
		if p.LogID == q.LogID && p.Epoch == st.EpochOf(p.Revision) && p.Revision < q.Revision && p.Revision > from.Position().Revision {
			from = f.list[i]
		}
		f.list = slices.Delete(f.list, i, i+1)
	} else if len(f.list) == maxFIBs {
		f.list = slices.Delete(f.list, 0, 1)
	}
	fib := st.FIB(router, from)
	f.list = append(f.list, fib)
	return fib
}
