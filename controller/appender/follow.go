package appender

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dvr/eventlog"
)

const (
	minRetry = 50 * time.Millisecond
	maxRetry = 5 * time.Second
)

// follower is one run of log.Follow. Its batches are taken up only while no
// batch of this node is in flight, so the Fold then stands at the acknowledged head.
type follower struct {
	batches chan followed
	end     chan error // one, when Follow has returned
	cancel  context.CancelFunc
}

type followed struct {
	batch *eventlog.Batch
	head  eventlog.Head
	reply chan<- error
}

// ended is nil for no follower, so that a select ignores it.
func (f *follower) ended() <-chan error {
	if f == nil {
		return nil
	}
	return f.end
}

// follow starts to follow the log from the acknowledged head.
func (l *loop) follow() {
	if l.follower != nil || l.ctx.Err() != nil || errors.Is(l.Fault(), eventlog.ErrLevel) {
		return
	}
	ctx, cancel := context.WithCancel(l.ctx)
	f := &follower{batches: make(chan followed), end: make(chan error, 1), cancel: cancel}
	l.follower = f
	after := l.head
	l.owned.Add(1)
	go func() {
		defer l.owned.Done()
		reply := make(chan error, 1)
		f.end <- l.log.Follow(ctx, after, func(b *eventlog.Batch, h eventlog.Head) error {
			select {
			case f.batches <- followed{b, h, reply}:
			case <-ctx.Done():
				return ctx.Err()
			}
			return <-reply // the loop answers what it has received
		})
	}()
}

func (l *loop) unfollow() {
	if l.follower != nil {
		l.follower.cancel()
		l.follower = nil
	}
}

// takeIn folds a batch that Follow delivered. Nothing of this node is in flight.
func (l *loop) takeIn(b *eventlog.Batch, h eventlog.Head) error {
	if b.Last() <= l.head.Revision {
		if b.Last() == l.head.Revision && b.Hash != l.head.Hash {
			return fmt.Errorf("follow: revision %d: %w", b.Last(), errForked)
		}
		return nil // its own, or known from a read
	}
	began := time.Now()
	if err := l.foldBatch(l.ctx, l.fold, b); err != nil {
		// What was folded in part stays and is right; without its guard nothing
		// can be appended there before the log was read again.
		if at := l.fold.Current().Head(); at.Revision > l.head.Revision {
			l.stand(at)
		}
		return fmt.Errorf("follow: %w", err)
	}
	l.counts.followed.Add(1)
	if told := l.options.OnFollowed; told != nil {
		told(b.Epoch, b.First(), b.Last(), began, time.Now())
	}
	l.retry = 0
	l.setFault(nil)
	l.stand(h)
	return nil
}

// stand publishes the Fold as it is, acknowledged by h.
func (l *loop) stand(h eventlog.Head) {
	s := l.fold.State()
	l.head, l.headAt = h, s.Time()
	l.publish(s, h)
}

// followEnded decides how to go on after Follow has returned.
func (l *loop) followEnded(err error) {
	l.unfollow()
	if l.ctx.Err() != nil {
		return
	}
	l.retry = min(max(2*l.retry, minRetry), maxRetry)
	switch {
	case err == nil || errors.Is(err, context.Canceled) || errors.Is(err, eventlog.ErrUnavailable):
		return
	case errors.Is(err, eventlog.ErrLevel):
		l.setFault(err)
		return
	}
	// A hole, a fork, corruption or a tail that was truncated away: only a new
	// beginning from a snapshot can tell, and it is refused where it cannot be whole.
	if l.flying != nil {
		return // its outcome leads here again
	}
	if err := l.resync(); err != nil {
		l.setFault(err)
	} else {
		l.setFault(nil)
	}
}
