package appender

import (
	"context"
	"fmt"
	"sync/atomic"

	"dvr/eventlog"
	"dvr/projector"
)

// publication is a published State and the channel that is closed when a
// newer one replaces it: any number of subscribers wait on it, none is missed,
// and a slow one costs nothing.
type publication struct {
	state *projector.State
	head  eventlog.Head // with the log's guard
	next  chan struct{}
}

type publisher struct{ current atomic.Pointer[publication] }

func (p *publisher) publish(s *projector.State, head eventlog.Head) {
	old := p.current.Swap(&publication{state: s, head: head, next: make(chan struct{})})
	if old != nil {
		close(old.next)
	}
}

// State is the newest acknowledged state. It never blocks and costs one
// atomic load.
func (p *publisher) State() *projector.State { return p.current.Load().state }

// Changed is closed when a State newer than the present one is published.
// Take the channel first, then the State: so no change is missed.
func (p *publisher) Changed() <-chan struct{} { return p.current.Load().next }

// Watch is State and Changed of the same publication.
func (p *publisher) Watch() (*projector.State, <-chan struct{}) {
	c := p.current.Load()
	return c.state, c.next
}

// Wait returns when the published State has reached rev, or with ctx's error.
func (p *publisher) Wait(ctx context.Context, rev eventlog.Revision) error {
	for {
		s, next := p.Watch()
		if s.Position().Revision >= rev {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return fmt.Errorf("wait for revision %d: %w", rev, context.Cause(ctx))
		}
	}
}
