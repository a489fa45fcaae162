package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dvr/controller/appender"
	"dvr/eventlog"
	"dvr/projector"
)

// Status is what a node says of its state.
type Status struct {
	Position eventlog.Position
	Hash     eventlog.Hash
	Level    uint32
	Time     int64 // log time, Unix milliseconds
	Digest   projector.Digest
	Window   projector.Window
	Stats    projector.Stats
	// DataPlanes counts those that are connected to this node.
	DataPlanes int
	// Fault says why nothing is folded any more; nil while it goes on.
	Fault    error
	Appender appender.Statistics
}

func (w *writer) Fault() error                    { return w.a.Fault() }
func (w *writer) Statistics() appender.Statistics { return w.a.Statistics() }

// Status describes the newest state. Cost: no I/O.
func (s *Service) Status() Status {
	st := s.appender.State()
	h := st.Head()
	out := Status{Position: st.Position(), Hash: h.Hash, Level: h.Level, Time: st.Time(), Digest: st.Digest(), Window: st.Window(), Stats: st.Stats()}
	for _, d := range s.planes.List() {
		if d.Connected {
			out.DataPlanes++
		}
	}
	if o, ok := s.appender.(LocalAppender); ok {
		out.Fault, out.Appender = o.Fault(), o.Statistics()
	}
	return out
}

// Outdated is eventlog.ErrLevel, as a sentence, where the log is above the level
// that this program folds: what is read is old, and nothing can be changed through
// this node. Cost: an atomic load.
func (s *Service) Outdated() error {
	if o, ok := s.appender.(LocalAppender); ok {
		if err := o.Fault(); errors.Is(err, eventlog.ErrLevel) {
			return err
		}
	}
	return nil
}

// readyPatience is how long a probe of readiness waits for the log's head.
const readyPatience = 750 * time.Millisecond

// CaughtUp is nil where this node folds what the log says and its state holds
// what was acknowledged before the call. Cost: a quorum read, shared with those
// who wait for one; it takes at most readyPatience.
func (s *Service) CaughtUp(ctx context.Context) error {
	if o, ok := s.appender.(LocalAppender); ok {
		if err := o.Fault(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	err := s.appender.Barrier(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: at revision %d, the log's head was not reached within %s", ErrBehind, s.Position().Revision, readyPatience)
	}
	return err
}
