package appender

import (
	"context"
	"fmt"
	"sync"

	"dvr/eventlog"
)

// barrier shares linearizable reads of the head: callers that arrive while a
// read is on its way wait together for the one after it, since only a read
// that began after their call proves anything to them.
type barrier struct {
	mu      sync.Mutex
	running bool
	closed  bool
	waiting *headRead // the read that begins when the running one has ended
}

type headRead struct {
	done chan struct{}
	head eventlog.Head
	err  error
}

// Barrier waits until State holds every commit that was acknowledged, by any
// node, before the call. Cost: one quorum read shared by all callers that
// wait for it. Errors: eventlog.ErrUnavailable, ctx's.
func (a *Appender) Barrier(ctx context.Context) error {
	r := a.join()
	select {
	case <-r.done:
	case <-ctx.Done():
		return fmt.Errorf("barrier: %w", context.Cause(ctx))
	}
	if r.err != nil {
		return fmt.Errorf("barrier: %w", r.err)
	}
	if a.State().Position().Revision < r.head.Revision {
		a.hurry()
	}
	return a.Wait(ctx, r.head.Revision)
}

func (a *Appender) join() *headRead {
	b := &a.barrier
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		r := &headRead{done: make(chan struct{}), err: ErrClosed}
		close(r.done)
		return r
	}
	if b.waiting == nil {
		b.waiting = &headRead{done: make(chan struct{})}
	}
	r := b.waiting
	if !b.running {
		b.running = true
		a.owned.Add(1)
		go a.readHeads()
	}
	return r
}

// readHeads reads for those who wait until nobody does.
func (a *Appender) readHeads() {
	defer a.owned.Done()
	b := &a.barrier
	for {
		b.mu.Lock()
		r := b.waiting
		b.waiting = nil
		if r == nil {
			b.running = false
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		ctx, cancel := context.WithTimeout(a.ctx, a.options.ReadTimeout)
		r.head, r.err = a.log.Head(ctx)
		cancel()
		close(r.done)
	}
}
