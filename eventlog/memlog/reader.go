package memlog

import (
	"context"
	"fmt"
	"sort"

	"dvr/eventlog"
)

// Read calls fn with the batches that hold commits after the given revision.
func (l *Log) Read(ctx context.Context, after eventlog.Revision, fn func(*eventlog.Batch) error) error {
	const op = "read"
	if err := l.enter(ctx, op); err != nil {
		return err
	}
	list, _, err := l.s.after(after)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	var d eventlog.Decoder
	for i, st := range list {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		var before *eventlog.Head
		if i > 0 {
			before = &list[i-1].head
		}
		b, err := st.decode(&d, before)
		if err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		if err := fn(b); err != nil {
			return err
		}
	}
	return nil
}

// Follow delivers batches after the given revision until ctx ends or fn fails.
func (l *Log) Follow(ctx context.Context, after eventlog.Head, fn func(*eventlog.Batch, eventlog.Head) error) error {
	const op = "follow"
	var d eventlog.Decoder
	for {
		cut := l.faults.cut() // first, so that no fault set from here on is slept through
		if err := l.enter(ctx, op); err != nil {
			return err
		}
		if err := l.faults.beforeFollow(ctx); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		list, changed, err := l.s.after(after.Revision)
		if err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		for _, st := range list {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("%s: %w", op, err)
			}
			var before *eventlog.Head
			if st.first == after.Revision+1 {
				before = &after
			}
			b, err := st.decode(&d, before)
			if err != nil {
				return fmt.Errorf("%s: %w", op, err)
			}
			if err := fn(b, st.head); err != nil {
				return err
			}
			after = st.head
		}
		select {
		case <-changed:
		case <-cut:
		case <-ctx.Done():
		}
	}
}

// after lists the batches that hold commits after rev, up to head, and the
// channel that is closed when there may be more.
func (s *store) after(rev eventlog.Revision) ([]stored, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rev+1 < s.low {
		return nil, nil, fmt.Errorf("%w: revision %d, the oldest is %d", eventlog.ErrTruncated, rev+1, s.low)
	}
	i := sort.Search(len(s.batches), func(i int) bool { return s.batches[i].head.Revision > rev })
	return s.batches[i:len(s.batches):len(s.batches)], s.changed, nil
}

// decode reads the batch and checks that it continues before (nil: unknown)
// and leaves behind the head that was stored with it.
func (st *stored) decode(d *eventlog.Decoder, before *eventlog.Head) (*eventlog.Batch, error) {
	b, err := d.DecodeBatch(st.raw)
	if err != nil {
		return nil, err
	}
	if before != nil {
		if _, err := before.Follow(b); err != nil {
			return nil, err
		}
	}
	if b.Last() != st.head.Revision || b.Hash != st.head.Hash {
		return nil, fmt.Errorf("%w: revision %d is not what the head says", eventlog.ErrCorrupt, b.Last())
	}
	return b, nil
}
