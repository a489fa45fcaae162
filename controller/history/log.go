package history

import (
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
	Snapshots(ctx context.Context) ([]eventlog.SnapshotInfo, error)
	OpenSnapshot(ctx context.Context, info eventlog.SnapshotInfo) (io.ReadCloser, error)
}

// Expanded gives a commit's events, those of a staged one from its stage.
func Expanded(ctx context.Context, l Log, c *eventlog.Commit) ([]eventlog.Event, error) {
	if len(c.Events) != 1 {
		return c.Events, nil
	}
	s, ok := c.Events[0].(*eventlog.CommitStaged)
	if !ok {
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
// given may be kept. Cost: a read of the stored batches.
func commits(ctx context.Context, l Log, after, upTo eventlog.Revision, fn func(b *eventlog.Batch, c *eventlog.Commit) error) error {
	if after >= upTo {
		return nil
	}
	err := l.Read(ctx, after, func(b *eventlog.Batch) error {
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
