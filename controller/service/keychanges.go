package service

import (
	"context"
	"errors"

	"dvr/controller/history"
	"dvr/eventlog"
)

// KeyChange is one change of a key as the log tells it.
type KeyChange struct {
	Key, Value string
	Deleted    bool
}

// KeyCommit is a commit that changed keys, with those changes alone.
type KeyCommit struct {
	Revision          eventlog.Revision
	Time              int64 // log time, Unix milliseconds
	ID, Actor, Reason string
	Changes           []KeyChange
}

// bytes is about what the commit takes in memory.
func (c *KeyCommit) bytes() int {
	n := 128 + len(c.ID) + len(c.Actor) + len(c.Reason)
	for i := range c.Changes {
		n += 64 + len(c.Changes[i].Key) + len(c.Changes[i].Value)
	}
	return n
}

// keyReader reads the changes of keys from the log.
type keyReader struct {
	history History
	want    func(key string) bool
	raw     int // bytes of batches read so far
	most    int // raw may become; 0: unlimited
}

var (
	errRangeRead = errors.New("the range is read")
	errWide      = errors.New("the range holds too much")
)

// read calls fn with the commits in (after, upTo] that changed a key which is
// wanted, in order; a commit may be kept. Cost: a read of the stored batches.
// Errors: ErrGone, ErrUnavailable, errWide, fn's own.
func (k *keyReader) read(ctx context.Context, after, upTo eventlog.Revision, fn func(*KeyCommit) error) error {
	if after >= upTo {
		return nil
	}
	err := k.history.Read(ctx, after, func(b *eventlog.Batch) error {
		if k.raw += len(b.Raw); k.most > 0 && k.raw > k.most {
			return errWide
		}
		for i := range b.Commits {
			c := &b.Commits[i]
			if c.Revision <= after {
				continue
			}
			if c.Revision > upTo {
				return errRangeRead
			}
			found, err := k.changes(ctx, c)
			if err != nil {
				return err
			}
			if found != nil {
				if err := fn(found); err != nil {
					return err
				}
			}
		}
		if b.Last() >= upTo {
			return errRangeRead
		}
		return nil
	})
	if errors.Is(err, errRangeRead) {
		return nil
	}
	return history.Missing(ctx, k.history, after, err)
}

// changes is what c changes of the wanted keys; nil: nothing.
func (k *keyReader) changes(ctx context.Context, c *eventlog.Commit) (*KeyCommit, error) {
	events, err := history.Expanded(ctx, k.history, c)
	if err != nil {
		return nil, err
	}
	var out *KeyCommit
	for _, e := range events {
		var change KeyChange
		switch e := e.(type) {
		case *eventlog.KeyPut:
			change = KeyChange{Key: e.Key, Value: e.Value}
		case *eventlog.KeyDeleted:
			change = KeyChange{Key: e.Key, Deleted: true}
		default:
			continue
		}
		if !k.want(change.Key) {
			continue
		}
		if out == nil {
			out = &KeyCommit{Revision: c.Revision, Time: c.Time, ID: c.ID, Actor: c.Actor, Reason: c.Reason}
		}
		out.Changes = append(out.Changes, change)
	}
	return out, nil
}
