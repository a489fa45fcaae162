package service

import (
	"context"
	"fmt"
	"time"

	"dvr/eventlog"
)

// past gives the state at the revision or time that r names. What it was it
// stays, so where this node has it no quorum is asked.
func (s *Service) past(ctx context.Context, r Read) (View, error) {
	v, at, err := s.whereabouts(ctx, r)
	if err != nil || at == v.State.Position().Revision {
		return v, err
	}
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	st, err := s.archive.State(ctx, v.State, at)
	return View{State: st}, err
}

// whereabouts finds the revision that r names, and the newest state.
func (s *Service) whereabouts(ctx context.Context, r Read) (View, eventlog.Revision, error) {
	v := View{State: s.appender.State()}
	var err error
	if r.At > v.State.Position().Revision || r.Min.LogID != "" || r.MinRevision > 0 || r.AtTime > v.State.Time() {
		if v, err = s.newest(ctx, r, true); err != nil {
			return v, 0, err
		}
	}
	if r.AtTime > 0 {
		if r.AtTime > time.Now().Add(aheadOfUs).UnixMilli() {
			return v, 0, invalid("at", "is a time to come")
		}
		ctx, cancel := r.bounded(ctx)
		defer cancel()
		at, err := s.archive.RevisionAt(ctx, v.State, r.AtTime)
		return v, at, err
	}
	newest := v.State.Position().Revision
	if r.At > newest {
		if v.Stale {
			return v, 0, behind(newest, r.At)
		}
		return v, 0, invalid("at", "is a revision to come: the newest is %d", newest)
	}
	return v, r.At, nil
}

// behind is the error for a revision that this node, cut off, may not know yet.
func behind(newest, asked eventlog.Revision) error {
	return fmt.Errorf("%w: at revision %d, asked for %d", ErrBehind, newest, asked)
}

// lost is the error for changes that the log no longer holds, with the way back.
func lost(after, low eventlog.Revision) error {
	return fmt.Errorf("changes after revision %d: %w: the log begins at revision %d; read anew what is watched, then watch after the revision that was read", after, ErrGone, low)
}

// aheadOfUs is how far the clock of who asks may be ahead of ours.
const aheadOfUs = 5 * time.Second

// bounded is ctx with the timeout of the read.
func (r *Read) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	return context.WithTimeout(ctx, timeout)
}

// settled is r with the revision in place of the time that it names, so that
// several answers are about one state.
func (s *Service) settled(ctx context.Context, r Read) (Read, error) {
	if r.AtTime == 0 {
		return r, nil
	}
	_, at, err := s.whereabouts(ctx, r)
	r.At, r.AtTime = at, 0
	return r, err
}
