package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

// Consistency of a read.
type Consistency uint8

// The consistencies; the zero value leaves it to the call.
const (
	ByDefault    Consistency = iota
	Linearizable             // an error without quorum
	Local
)

// barrierPatience is how long a read that would like to be linearizable waits
// for a quorum before it answers from what this node has.
const barrierPatience = 1500 * time.Millisecond

// Read is how a read is to be answered.
type Read struct {
	Consistency Consistency
	// MinRevision is waited for; Min names the history it belongs to when LogID is set.
	MinRevision eventlog.Revision
	Min         eventlog.Position
	Timeout     time.Duration // 0: DefaultTimeout
	// At is a past revision to answer from, AtTime a time (Unix milliseconds) the
	// last revision up to which is; both 0: the newest.
	At     eventlog.Revision
	AtTime int64
}

// View is a state to answer from.
type View struct {
	State *projector.State
	// Stale: the node could not make sure that this is the newest, or, of a local
	// read, knows that nobody could.
	Stale bool
}

// Unled is an Appender that knows whether any node leads.
type Unled interface {
	// Unled is why nothing can be changed, and reads cannot be made sure of, as far
	// as is known here, and since when (zero: for long); nil where a node leads.
	// Cost: no I/O.
	Unled() (since time.Time, why error)
}

// unled is that of the appender; nil where it knows nothing of the kind.
func (s *Service) unled() (since time.Time, why error) {
	if u, ok := s.appender.(Unled); ok {
		return u.Unled()
	}
	return time.Time{}, nil
}

// absent is the error for what the view does not hold. A view that may be old
// proves no absence, unless it is what was asked for.
func (v View) absent(r Read, err error) error {
	if !v.Stale || r.Consistency == Local {
		return err
	}
	return fmt.Errorf("%w: at revision %d, which may be old: %s", ErrUnavailable, v.State.Position().Revision, err)
}

// View finds the state that a read is answered from. fresh is the call's
// default: linearizable while there is quorum. Cost: a local read is a few
// atomic loads; a linearizable one shares a quorum read with those who wait, for
// barrierPatience at most where nobody leads, counted from when that began. A
// past state may have to be rebuilt (history.Archive).
// Errors: of a past state also *history.GoneError.
func (s *Service) View(ctx context.Context, r Read, fresh bool) (View, error) {
	if r.At > 0 || r.AtTime > 0 {
		return s.past(ctx, r)
	}
	return s.newest(ctx, r, fresh)
}

// newest is View of the present.
func (s *Service) newest(ctx context.Context, r Read, fresh bool) (View, error) {
	if err := s.Outdated(); err != nil {
		if r.Consistency == Linearizable {
			return View{}, fmt.Errorf("a linearizable read: %w: %w", ErrUnavailable, err)
		}
		st, err := s.atLeast(ctx, s.appender.State(), r)
		return View{State: st, Stale: true}, err
	}
	if r.Consistency == Local || r.Consistency == ByDefault && !fresh {
		st := s.appender.State()
		_, why := s.unled()
		st, err := s.atLeast(ctx, st, r)
		return View{State: st, Stale: why != nil}, err
	}
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	if r.Consistency == ByDefault {
		timeout = min(timeout, barrierPatience)
	}
	err := s.barrier(ctx, time.Now().Add(timeout))
	if err == nil {
		st, err := s.atLeast(ctx, s.appender.State(), r)
		return View{State: st}, err
	}
	if ctx.Err() != nil {
		return View{}, ctx.Err()
	}
	if r.Consistency == Linearizable {
		if errors.Is(err, context.DeadlineExceeded) {
			err = ErrUnavailable
		}
		return View{}, fmt.Errorf("a linearizable read: %w", err)
	}
	st, err := s.atLeast(ctx, s.appender.State(), r)
	return View{State: st, Stale: true}, err
}

// barrier is the appender's until the deadline, or until nobody has led for
// barrierPatience: then the error is why nobody does.
func (s *Service) barrier(ctx context.Context, deadline time.Time) error {
	for {
		since, why := s.unled()
		until := deadline
		if given := since.Add(barrierPatience); why != nil && given.Before(until) {
			until = given
		}
		if time.Until(until) <= 0 && why != nil {
			return why
		}
		bounded, cancel := context.WithDeadline(ctx, until)
		err := s.appender.Barrier(bounded)
		cancel()
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) || until.Equal(deadline) {
			return err
		}
	}
}

// atLeast waits for the reader's minimum. A position of a later epoch than this
// node knows of is waited for, too: revisions of two epochs are not compared.
func (s *Service) atLeast(ctx context.Context, st *projector.State, r Read) (*projector.State, error) {
	there, err := r.reached(st.Position())
	if there || err != nil {
		return st, err
	}
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	want := r.MinRevision
	if r.Min.LogID != "" {
		want = r.Min.Revision
	}
	for {
		err := s.appender.Wait(ctx, want)
		st = s.appender.State()
		at := st.Position()
		if errors.Is(err, context.DeadlineExceeded) {
			if r.Min.Epoch > at.Epoch {
				return nil, fmt.Errorf("%w: in epoch %d, asked for revision %d of epoch %d", ErrBehind, at.Epoch, want, r.Min.Epoch)
			}
			return nil, fmt.Errorf("%w: at revision %d, asked for %d", ErrBehind, at.Revision, want)
		}
		if err != nil {
			return nil, err
		}
		if there, err := r.reached(at); there || err != nil {
			return st, err
		}
		want = at.Revision + 1 // of another epoch than asked for: it begins with a commit
	}
}

// reached reports whether the state at a position is as new as is asked for.
func (r *Read) reached(at eventlog.Position) (bool, error) {
	switch {
	case r.Min.LogID == "":
		return at.Revision >= r.MinRevision, nil
	case r.Min.LogID != at.LogID:
		return false, fmt.Errorf("min_revision: %w: it is a position of log %s, this is %s", ErrConflict, r.Min.LogID, at.LogID)
	case r.Min.Epoch < at.Epoch:
		return false, fmt.Errorf("min_revision: %w: epoch %d has ended, the log is in epoch %d", ErrConflict, r.Min.Epoch, at.Epoch)
	}
	return r.Min.Epoch == at.Epoch && at.Revision >= r.Min.Revision, nil
}

// checkRouter says whether a filter may name the router: "*", declared, named
// by a route or link, or subscribed by a data plane.
func (s *Service) checkRouter(st *projector.State, r eventlog.RouterID) error {
	if r == eventlog.AllRouters {
		return nil
	}
	if _, ok := st.Router(r); ok {
		return nil
	}
	if s.planes.Known(r) {
		return nil
	}
	return unknownRouter(r)
}

func unknownRouter(r eventlog.RouterID) error {
	return fmt.Errorf("router %s: %w", r, ErrUnknownRouter)
}
