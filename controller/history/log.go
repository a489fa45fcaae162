package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"dvr/eventlog"
)

// Log is what is stored: eventlog.Log, as far as it is needed here.
type Log interface {
	Read(ctx context.Context, after eventlog.Revision, fn func(*eventlog.Batch) error) error
	Low(ctx context.Context) (eventlog.Revision, error)
	Staged(ctx context.Context, s *eventlog.CommitStaged) ([]eventlog.Event, error)
	StageParts(ctx context.Context, s *eventlog.CommitStaged, fn func(part []byte) error) error
	Snapshots(ctx context.Context) ([]eventlog.SnapshotInfo, error)
	OpenSnapshot(ctx context.Context, info eventlog.SnapshotInfo) (io.ReadCloser, error)
}

// StageOf is the event that stands for a commit's events; nil where they are in
// the batch.
func StageOf(c *eventlog.Commit) *eventlog.CommitStaged {
	if len(c.Events) != 1 {
		return nil
	}
	s, _ := c.Events[0].(*eventlog.CommitStaged)
	return s
}

// StagedPage gives lines of a stage: most of them at most, after the first from
// ones. Where its parts are missing or changed they are mended first, if the log
// can. Cost: a read of the whole stage, which proves it. Memory: the page.
// Errors: ErrNotFound, ErrCorrupt, ErrUnavailable of eventlog.
func StagedPage(ctx context.Context, l Log, s *eventlog.CommitStaged, from, most int) ([][]byte, error) {
	read := func() (lines [][]byte, err error) {
		err = eventlog.StageLines(ctx, l, s, from, most, func(line []byte) error {
			lines = append(lines, bytes.Clone(line))
			return nil
		})
		return lines, err
	}
	lines, err := read()
	if mender, ok := l.(eventlog.StageMender); ok && (errors.Is(err, eventlog.ErrNotFound) || errors.Is(err, eventlog.ErrCorrupt)) {
		if err = mender.MendStage(ctx, s); err == nil {
			lines, err = read()
		}
	}
	if err != nil {
		return nil, err
	}
	return lines, nil
}

// StagedLines calls fn with every line of a stage that was proven in a first
// pass. An error after fn was called means that it changed since. Cost: two reads
// of the stage. Memory: a part. Errors: StagedPage's, fn's.
func StagedLines(ctx context.Context, l Log, s *eventlog.CommitStaged, fn func(line []byte) error) error {
	if _, err := StagedPage(ctx, l, s, 0, 0); err != nil {
		return err
	}
	return eventlog.StageLines(ctx, l, s, 0, s.Events, fn)
}

// Expanded gives a commit's events, those of a staged one from its stage.
func Expanded(ctx context.Context, l Log, c *eventlog.Commit) ([]eventlog.Event, error) {
	s := StageOf(c)
	if s == nil {
		return c.Events, nil
	}
	events, err := eventlog.StagedIn(ctx, l, s)
	if err != nil {
		return nil, fmt.Errorf("staged commit %d: %w", c.Revision, err)
	}
	return events, nil
}

var errRangeRead = errors.New("the range is read")

// commits calls fn with the commits in (after, upTo], in order; what it is
// given may be kept. Events that skip is true for may be nil; it may be nil, too.
// Cost: a read of the stored batches.
func commits(ctx context.Context, l Log, after, upTo eventlog.Revision, skip func(line []byte) bool, fn func(b *eventlog.Batch, c *eventlog.Commit) error) error {
	if after >= upTo {
		return nil
	}
	read := l.Read
	if s, ok := l.(eventlog.Searcher); ok && skip != nil {
		read = func(ctx context.Context, after eventlog.Revision, fn func(*eventlog.Batch) error) error {
			return s.ReadSome(ctx, after, skip, fn)
		}
	}
	err := read(ctx, after, func(b *eventlog.Batch) error {
		for i := range b.Commits {
			c := &b.Commits[i]
			if c.Revision <= after {
				continue
			}
			if c.Revision > upTo {
				return errRangeRead
			}
			if err := fn(b, c); err != nil {
				return err
			}
		}
		if b.Last() >= upTo {
			return errRangeRead
		}
		return ctx.Err()
	})
	if errors.Is(err, errRangeRead) {
		return nil
	}
	return err
}
