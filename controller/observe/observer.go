package observe

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"dvr/controller/fibpb"
	"dvr/eventlog"
	"dvr/projector"
)

// Sighting is a link.observed event that is to be appended.
type Sighting struct {
	// ID makes the append idempotent: two nodes that were told the same by a data
	// plane give it the same one.
	ID    string
	Event *eventlog.LinkObserved

	declared eventlog.Revision // of the link
}

// Options of an Observer; all but Now and OnError are needed.
type Options struct {
	// State is the newest folded state; it never blocks.
	State func() *projector.State
	// Append returns when State holds the event, or why it can not now.
	Append  func(context.Context, Sighting) error
	Now     func() time.Time // nil: time.Now
	OnError func(error)      // an append failed and is tried again; nil: nobody is told
}

// How often what was appended is compared with the topology, which may have
// gained a link, and how long a failed append waits.
const (
	sweepEvery = time.Second
	firstPause = 250 * time.Millisecond
	lastPause  = 10 * time.Second
	appendFor  = 10 * time.Second
)

// Observer decides and appends. All methods are safe for concurrent use; Run is
// called once.
type Observer struct {
	options Options
	wake    chan struct{}

	mu    sync.Mutex
	views map[eventlog.RouterID]*view
	dirty map[eventlog.RouterID]bool

	// Of Run's goroutine.
	links map[key]*watched
}

// key is a link as one of its ends sees it.
type key struct {
	link   eventlog.LinkID
	router eventlog.RouterID
}

// watched is what is remembered of a key.
type watched struct {
	dampener
	last eventlog.ObservedState // as observed
	// What was settled: this state, of this declaration of the link. The log may say
	// otherwise afterwards; then another node knows better.
	settled  eventlog.ObservedState
	revision eventlog.Revision
}

// New makes an Observer; it does nothing before Run.
func New(o Options) *Observer {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
	return &Observer{
		options: o, wake: make(chan struct{}, 1),
		views: map[eventlog.RouterID]*view{}, dirty: map[eventlog.RouterID]bool{}, links: map[key]*watched{},
	}
}

// Stream says that a stream of r's data plane began, or that it has none any
// more; what was told before holds no longer.
func (o *Observer) Stream(r eventlog.RouterID, began bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.dirty, r)
	if began {
		o.views[r] = newView()
	} else {
		delete(o.views, r)
	}
}

// Observe takes what r's data plane tells. It never blocks.
func (o *Observer) Observe(r eventlog.RouterID, m *fibpb.Observation) {
	o.mu.Lock()
	v := o.views[r]
	news := v != nil && v.take(m)
	if news {
		o.dirty[r] = true
	}
	o.mu.Unlock()
	if !news {
		return
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Run appends what is observed until ctx ends.
func (o *Observer) Run(ctx context.Context) {
	pause := firstPause
	swept := eventlog.Revision(0)
	for {
		at := o.options.State().Position().Revision
		wait, err := o.round(ctx, at != swept)
		swept = at
		if err != nil && ctx.Err() == nil {
			o.options.OnError(err)
			wait, pause = pause, min(2*pause, lastPause)
			swept = 0 // all again, after the pause
		} else {
			pause = firstPause
		}
		if wait <= 0 || wait > sweepEvery {
			wait = sweepEvery
		}
		timer := time.NewTimer(wait)
		select {
		case <-o.wake:
			if err != nil { // a retry waits
				select {
				case <-timer.C:
				case <-ctx.Done():
				}
			}
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// round looks at the routers that told something, and with all at every one, and
// appends what is to be. wait > 0: something is held until then.
func (o *Observer) round(ctx context.Context, all bool) (wait time.Duration, err error) {
	for _, s := range o.decide(all, &wait) {
		within, cancel := context.WithTimeout(ctx, appendFor)
		failed := o.options.Append(within, s)
		cancel()
		if failed == nil {
			w := o.links[key{s.Event.LinkID, s.Event.Router}]
			w.settled, w.revision = s.Event.State, s.declared
		} else {
			err = fmt.Errorf("link.observed of %s, %s %s: %w", s.Event.Router, s.Event.A, s.Event.B, failed)
		}
	}
	return wait, err
}

// decide compares what is observed with the log.
func (o *Observer) decide(all bool, wait *time.Duration) (list []Sighting) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.options.Now()
	held := false
	for _, w := range o.links {
		held = held || w.suppressed
	}
	if !all && !held && len(o.dirty) == 0 {
		return nil
	}
	known := map[key]bool{}
	for l := range o.options.State().Links() {
		for _, r := range []eventlog.RouterID{l.A, l.B} {
			v := o.views[r]
			if v == nil {
				continue
			}
			k := key{l.LinkID, r}
			known[k] = true
			if w := o.links[k]; !all && !o.dirty[r] && (w == nil || !w.suppressed) {
				continue
			}
			if s, left := o.judge(k, &l, v, now); s != nil {
				list = append(list, *s)
			} else if left > 0 && (*wait == 0 || left < *wait) {
				*wait = left
			}
		}
	}
	clear(o.dirty)
	for k, w := range o.links {
		if !known[k] && w.spent(now) {
			delete(o.links, k)
		}
	}
	return list
}

// judge decides about one link at one end; left > 0: it is held down for so long.
func (o *Observer) judge(k key, l *projector.Link, v *view, now time.Time) (s *Sighting, left time.Duration) {
	state, at := v.of(&l.LinkSet, k.router)
	if state == eventlog.ObservedUnknown {
		return nil, 0
	}
	w := o.links[k]
	if w == nil {
		if state == eventlog.ObservedUp && l.Observed[k.router] != eventlog.ObservedDown {
			return nil, 0 // as everybody thinks
		}
		w = &watched{}
		o.links[k] = w
	}
	if w.last != state {
		if state == eventlog.ObservedDown {
			w.failed(now)
		}
		w.last, w.settled = state, ""
	}
	if state == eventlog.ObservedUp {
		if left = w.held(now); left > 0 {
			return nil, left
		}
	}
	logged := l.Observed[k.router]
	if logged == state || state == eventlog.ObservedUp && logged != eventlog.ObservedDown {
		w.settled, w.revision = state, l.Revision
		return nil, 0
	}
	if w.settled == state && w.revision == l.Revision {
		return nil, 0
	}
	e := &eventlog.LinkObserved{LinkID: k.link, Router: k.router, State: state}
	return &Sighting{ID: idOf(e, at), Event: e, declared: l.Revision}, 0
}

// idOf is the same at every node that was told the same.
func idOf(e *eventlog.LinkObserved, at uint64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s\x00%s\x00%d", e.Router, e.A, e.B, e.Name, e.State, at))
	return fmt.Sprintf("link.observed/%x", sum[:16])
}
