package service

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"dvr/controller/history"
	"dvr/eventlog"
)

// Commit appends events as one commit: all or nothing. What is too large for a
// batch is staged by the appender.
func (s *Service) Commit(ctx context.Context, m *Mutation, events []eventlog.Event) (Receipt, error) {
	if len(events) == 0 {
		return Receipt{}, invalid("events", "must not be empty")
	}
	if err := checkAll(events); err != nil {
		return Receipt{}, err
	}
	var prefixes []netip.Prefix
	if m.Wait == WaitInstalled {
		prefixes = prefixesOf(events)
	}
	return s.apply(ctx, m, events, nil, prefixes)
}

// prefixesOf names the destinations that events touch; nil when any may be
// touched, as by a link.
func prefixesOf(events []eventlog.Event) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(events))
	for _, e := range events {
		switch e := e.(type) {
		case *eventlog.RouteAnnounced:
			out = append(out, e.Destination)
		case *eventlog.RouteWithdrawn:
			out = append(out, e.Destination)
		default:
			return nil
		}
	}
	return out
}

// MaxPage is the most items that one page holds.
const MaxPage = 10000

var errPageFull = errors.New("page full")

// Commits calls fn with up to limit commits after the revision, in order. A
// commit is valid only during the call. Cost: a read of the store.
// Errors: ErrGone where the log no longer holds them.
func (s *Service) Commits(ctx context.Context, after eventlog.Revision, limit int, fn func(*eventlog.Commit) error) error {
	head := s.appender.State().Position().Revision
	if after >= head || limit <= 0 {
		return nil
	}
	n := 0
	err := s.history.Read(ctx, after, func(b *eventlog.Batch) error {
		for i := range b.Commits {
			c := &b.Commits[i]
			if c.Revision <= after {
				continue
			}
			if n == limit {
				return errPageFull
			}
			if err := fn(c); err != nil {
				return err
			}
			n++
		}
		if n == limit {
			return errPageFull
		}
		return nil
	})
	if errors.Is(err, errPageFull) {
		return nil
	}
	return history.Missing(ctx, s.history, after, err)
}

// CommitAt calls fn with one commit. Errors: ErrNotFound for a revision still
// to come, ErrGone for one no longer retained.
func (s *Service) CommitAt(ctx context.Context, r eventlog.Revision, fn func(*eventlog.Commit) error) error {
	found := false
	if r > 0 {
		if err := s.Commits(ctx, r-1, 1, func(c *eventlog.Commit) error {
			if c.Revision != r {
				return nil
			}
			found = true
			return fn(c)
		}); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("commit %d: %w", r, ErrNotFound)
	}
	return nil
}

// StagedPage gives the events of a staged commit at revision r as the lines that
// the log has: most of them at most, after the first from ones.
// Cost: a read of the whole stage. Errors: ErrGone, ErrUnavailable.
func (s *Service) StagedPage(ctx context.Context, r eventlog.Revision, stage *eventlog.CommitStaged, from, most int) ([][]byte, error) {
	lines, err := history.StagedPage(ctx, s.history, stage, from, most)
	return lines, s.missingStage(ctx, r, err)
}

// StagedLines calls fn with every event of a staged commit at revision r, as a
// line without its end that is valid only during the call. Cost: two reads of the
// stage. Errors: ErrGone, ErrUnavailable, fn's; once fn was called none but fn's
// is to be expected.
func (s *Service) StagedLines(ctx context.Context, r eventlog.Revision, stage *eventlog.CommitStaged, fn func(line []byte) error) error {
	return s.missingStage(ctx, r, history.StagedLines(ctx, s.history, stage, fn))
}

// missingStage says of a stage that went with its batch meanwhile that it is gone.
func (s *Service) missingStage(ctx context.Context, r eventlog.Revision, err error) error {
	if errors.Is(err, eventlog.ErrNotFound) {
		if low, failed := s.history.Low(ctx); failed == nil && low > r {
			err = eventlog.ErrTruncated
		}
	}
	if err == nil {
		return nil
	}
	return history.Missing(ctx, s.history, r-1, fmt.Errorf("events of commit %d: %w", r, err))
}
