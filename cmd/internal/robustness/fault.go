package robustness

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// class groups faults of which only one acts at a time.
type class uint8

const (
	process class = iota
	network
	disk
	clocks
	membership
)

// Fault is one thing that goes wrong, lasts, and ends. An error is a promise
// that was broken, or a fault that could not be made.
type Fault struct {
	Name  string
	class class
	long  bool // takes many seconds: not for the short form
	run   func(ctx context.Context, s *scene) error
}

// Faults is every fault there is.
var Faults = []Fault{
	{"kill", process, false, func(ctx context.Context, s *scene) error {
		s.target(ctx).Kill()
		s.last(ctx)
		return s.Restore()
	}},
	{"kill and start at once", process, false, func(ctx context.Context, s *scene) error {
		s.target(ctx).Kill()
		return s.Restore()
	}},
	{"kill all", process, false, func(ctx context.Context, s *scene) error {
		for _, m := range s.Members() {
			m.Kill()
		}
		return s.Restore()
	}},
	{"kill a majority", process, false, func(ctx context.Context, s *scene) error {
		t := s.target(ctx)
		for _, m := range s.others(t) {
			m.Kill()
		}
		s.last(ctx)
		return s.Restore()
	}},
	{"pause", process, false, func(ctx context.Context, s *scene) error {
		t := s.target(ctx)
		t.Pause()
		s.last(ctx)
		t.Resume()
		return nil
	}},
	{"pause a majority", process, false, func(ctx context.Context, s *scene) error {
		t := s.target(ctx)
		for _, m := range s.others(t) {
			m.Pause()
		}
		s.last(ctx)
		return s.Restore()
	}},
	{"graceful restart", process, false, func(ctx context.Context, s *scene) error {
		if err := s.target(ctx).Stop(); err != nil {
			s.logf("stop: %v", err)
		}
		return s.Restore()
	}},

	{"cut off", network, false, func(ctx context.Context, s *scene) error {
		t := s.target(ctx)
		return s.cut(ctx, t, true, true)
	}},
	{"deaf", network, false, func(ctx context.Context, s *scene) error {
		return s.cut(ctx, s.target(ctx), false, true)
	}},
	{"mute", network, false, func(ctx context.Context, s *scene) error {
		return s.cut(ctx, s.target(ctx), true, false)
	}},
	{"bridge", network, false, func(ctx context.Context, s *scene) error {
		// Two do not hear each other; whoever is left hears both.
		t := s.target(ctx)
		o := s.others(t)[0]
		defer s.Network.Heal()
		err := errors.Join(s.Network.Cut(t.Name, o.Name), s.Network.Cut(o.Name, t.Name))
		s.last(ctx)
		return err
	}},
	{"loss", network, false, func(ctx context.Context, s *scene) error {
		defer s.Network.Heal()
		var errs []error
		for _, m := range s.Members() {
			errs = append(errs, s.Network.Lose(m.Name, 5+s.rng.IntN(35)))
		}
		s.last(ctx)
		return errors.Join(errs...)
	}},
	{"delay", network, false, func(ctx context.Context, s *scene) error {
		defer s.Network.Heal()
		var errs []error
		for _, m := range s.Members() {
			errs = append(errs, s.Network.Delay(m.Name, s.upTo(80*time.Millisecond), s.upTo(80*time.Millisecond)))
		}
		s.last(ctx)
		return errors.Join(errs...)
	}},

	{"slow disk", disk, false, func(ctx context.Context, s *scene) error {
		return s.trace(ctx, s.target(ctx), fmt.Sprintf("fdatasync:delay_enter=%d", 5_000+s.rng.IntN(150_000)))
	}},
	{"failing disk", disk, false, func(ctx context.Context, s *scene) error {
		if err := s.trace(ctx, s.target(ctx), fmt.Sprintf("fdatasync:error=EIO:when=%d+", 1+s.rng.IntN(20))); err != nil {
			return err
		}
		return s.Restore()
	}},
	{"full disk", disk, false, func(ctx context.Context, s *scene) error {
		free, err := s.target(ctx).FillDisk()
		if err != nil {
			return err
		}
		s.last(ctx)
		return errors.Join(free(), s.Restore())
	}},
	{"full quota", disk, true, fillQuota},

	{"clock jumps", clocks, false, func(ctx context.Context, s *scene) error {
		// By less than half the idempotency window, so that what is repeated within
		// seconds is within it whatever the clocks say.
		t := s.target(ctx)
		if err := t.Jump(s.upTo(8*time.Minute) - 4*time.Minute); err != nil {
			return err
		}
		s.last(ctx)
		return t.Jump(0)
	}},

	{"leadership moved", membership, false, moveLeader},
	{"member replaced", membership, true, func(ctx context.Context, s *scene) error {
		t := s.target(ctx)
		if err := s.Remove(ctx, t); err != nil {
			return err
		}
		return s.Join(ctx, t)
	}},
	{"data lost", membership, true, loseData},
	{"join and leave", membership, true, joinAndLeave},
}

// cut separates a member from the others: they do not hear it (mute), it does
// not hear them (deaf).
func (s *scene) cut(ctx context.Context, t *Seat, mute, deaf bool) error {
	defer s.Network.Heal()
	var errs []error
	for _, o := range s.others(t) {
		if mute {
			errs = append(errs, s.Network.Cut(t.Name, o.Name))
		}
		if deaf {
			errs = append(errs, s.Network.Cut(o.Name, t.Name))
		}
	}
	s.last(ctx)
	return errors.Join(errs...)
}
