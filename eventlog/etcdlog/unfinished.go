package etcdlog

import (
	"context"
	"errors"
	"sync"

	"go.uber.org/zap"

	"dvr/eventlog"
)

// unfinished remembers the oldest revision from which on batches may lack that
// a follower saw go and did not put back before it ended. The zero value is
// empty. Safe for concurrent use.
type unfinished struct {
	mu   sync.Mutex
	from eventlog.Revision // 0: nothing
	mark int               // counts what was added
}

// add notes damage from a revision on; what it returns is for done.
func (u *unfinished) add(from eventlog.Revision) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.from == 0 || from < u.from {
		u.from = from
	}
	u.mark++
	return u.mark
}

func (u *unfinished) look() (from eventlog.Revision, mark int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.from, u.mark
}

// done forgets what was noted, unless more was since.
func (u *unfinished) done(mark int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.mark == mark {
		u.from = 0
	}
}

// finish puts back what an earlier follower left undone, by reading it. What
// history no longer has is left to the readers.
func (l *Log) finish(ctx context.Context, v view) error {
	from, mark := l.unfinished.look()
	if from == 0 {
		return nil
	}
	after := max(from, v.low) - 1
	if after < v.head.Revision {
		_, err := l.scan(ctx, eventlog.Head{Revision: after}, after == 0, v, nil, func(link) error { return nil })
		switch {
		case errors.Is(err, eventlog.ErrCorrupt), errors.Is(err, eventlog.ErrHole), errors.Is(err, eventlog.ErrTruncated):
			l.options.Logger.Warn("not all of the log could be put back", zap.Error(err))
		case err != nil:
			return err
		}
	}
	l.unfinished.done(mark)
	return nil
}
