package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

// archive rebuilds past states from the newest snapshot before them and the log
// behind it. One rebuilding at a time bounds what it takes of memory and
// processors; what it gave last is kept for a while, so that neighbouring
// questions cost the commits between them.
type archive struct {
	history History
	turn    chan struct{} // capacity 1: held by who rebuilds

	mu      sync.Mutex
	rebuilt []*projector.State // last used last
	drop    *time.Timer        // forgets them
}

const (
	maxRebuilt  = 2
	rebuiltLife = time.Minute
)

// viewAt is View, or the state at r.At where that is asked for. A past state
// is what it is, so where this node has it no quorum is asked.
func (s *Service) viewAt(ctx context.Context, r Read, fresh bool) (View, error) {
	if r.At == 0 {
		return s.View(ctx, r, fresh)
	}
	v := View{State: s.appender.State()}
	if r.At > v.State.Position().Revision || r.Min.LogID != "" || r.MinRevision > 0 {
		var err error
		if v, err = s.View(ctx, r, true); err != nil {
			return v, err
		}
	}
	newest := v.State.Position().Revision
	if r.At > newest {
		if v.Stale {
			return v, fmt.Errorf("%w: at revision %d, asked for %d", ErrBehind, newest, r.At)
		}
		return v, invalid("at", "is a revision to come: the newest is %d", newest)
	}
	if r.At == newest {
		return v, nil
	}
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	st, err := s.archive.state(ctx, v.State, r.At)
	return View{State: st}, err
}

// state gives the state at a revision before that of now. Errors: ErrGone where
// neither log nor snapshots reach back; ErrBehind where ctx ended: what was
// rebuilt until then is kept, so that asking again goes on from there.
func (a *archive) state(ctx context.Context, now *projector.State, at eventlog.Revision) (*projector.State, error) {
	if st := a.nearest(now, at); st != nil && st.Position().Revision == at {
		return st, nil
	}
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: other past states are being rebuilt", ErrOverloaded)
	}
	fold, err := a.base(ctx, now, at)
	if err != nil {
		return nil, a.failed(ctx, at, err)
	}
	err = a.advance(ctx, fold, at)
	st := fold.State()
	a.keep(st)
	switch reached := st.Position().Revision; {
	case err == nil && reached == at:
		return st, nil
	case err == nil:
		return nil, fmt.Errorf("rebuild revision %d: %w", at, eventlog.ErrHole)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: the state at revision %d is rebuilt up to %d; ask again, or with a longer timeout", ErrBehind, at, reached)
	}
	return nil, a.failed(ctx, at, err)
}

// failed maps what a rebuilding failed with.
func (a *archive) failed(ctx context.Context, at eventlog.Revision, err error) error {
	switch {
	case errors.Is(err, ErrGone):
		return err
	case errors.Is(err, eventlog.ErrTruncated), errors.Is(err, eventlog.ErrNotFound):
		// Snapshot or log went meanwhile.
		return fmt.Errorf("revision %d: %w: %w", at, ErrGone, err)
	case errors.Is(err, eventlog.ErrUnavailable), ctx.Err() != nil:
		return fmt.Errorf("rebuild revision %d: %w: %w", at, ErrUnavailable, err)
	}
	return fmt.Errorf("rebuild revision %d: %w", at, err)
}

// base is the nearest that is known at or before the revision: a state that
// was rebuilt before, a snapshot, or the beginning of the log.
func (a *archive) base(ctx context.Context, now *projector.State, at eventlog.Revision) (*projector.Fold, error) {
	known := a.nearest(now, at)
	list, err := a.history.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(x, y eventlog.SnapshotInfo) int { return int(int64(y.Revision) - int64(x.Revision)) })
	oldest := eventlog.Revision(0)
	for _, info := range list {
		if info.Epoch != now.EpochOf(info.Revision) {
			continue // of a history that was left
		}
		oldest = info.Revision
		if info.Revision > at || known != nil && info.Revision <= known.Position().Revision {
			continue
		}
		r, err := a.history.OpenSnapshot(ctx, info)
		if err != nil {
			return nil, err
		}
		fold, err := projector.Load(r)
		return fold, errors.Join(err, r.Close())
	}
	if known != nil {
		return projector.Resume(known), nil
	}
	low, err := a.history.Low(ctx)
	if err != nil {
		return nil, err
	}
	if low > 1 {
		return nil, fmt.Errorf("revision %d: %w: the oldest that can be rebuilt is %d", at, ErrGone, max(oldest, low-1))
	}
	return projector.NewFold(now.Position().LogID), nil
}

// advance folds the log up to the revision.
func (a *archive) advance(ctx context.Context, fold *projector.Fold, at eventlog.Revision) error {
	from := fold.Current().Position().Revision
	if from == at {
		return nil
	}
	err := a.history.Read(ctx, from, func(b *eventlog.Batch) error {
		for i := range b.Commits {
			c := &b.Commits[i]
			if c.Revision <= from {
				continue
			}
			if c.Revision > at {
				return errRangeRead
			}
			var err error
			if c.Events, err = expanded(ctx, a.history, c); err != nil {
				return err
			}
			var h eventlog.Hash // known behind a whole batch only
			if i == len(b.Commits)-1 {
				h = b.Hash
			}
			if err := fold.Apply(c, h); err != nil {
				return err
			}
		}
		if b.Last() >= at {
			return errRangeRead
		}
		return ctx.Err()
	})
	if errors.Is(err, errRangeRead) {
		return nil
	}
	return err
}

// nearest is the newest rebuilt state at or before the revision that belongs
// to the history of now.
func (a *archive) nearest(now *projector.State, at eventlog.Revision) *projector.State {
	a.mu.Lock()
	defer a.mu.Unlock()
	best := -1
	for i, st := range a.rebuilt {
		p := st.Position()
		if p.Revision <= at && p.LogID == now.Position().LogID && p.Epoch == now.EpochOf(p.Revision) &&
			(best < 0 || p.Revision > a.rebuilt[best].Position().Revision) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	st := a.rebuilt[best]
	a.rebuilt = append(slices.Delete(a.rebuilt, best, best+1), st)
	return st
}

// keep remembers a state for rebuiltLife after the last one was rebuilt.
func (a *archive) keep(st *projector.State) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.rebuilt) == maxRebuilt {
		a.rebuilt = slices.Delete(a.rebuilt, 0, 1)
	}
	a.rebuilt = append(a.rebuilt, st)
	if a.drop != nil {
		a.drop.Stop()
	}
	a.drop = time.AfterFunc(rebuiltLife, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.rebuilt = nil
	})
}
