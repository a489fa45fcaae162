package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"dvr/controller/history"
	"dvr/eventlog"
	"dvr/projector"
)

// KeyWatch delivers the changes of keys as they are made. Not safe for
// concurrent use. It holds nothing that must be released.
type KeyWatch struct {
	service *Service
	prefix  string
	at      eventlog.Revision
	state   *projector.State // the newest one seen
}

// WatchKeys begins to watch the keys that begin with prefix after the position
// that r.MinRevision or r.Min names, now where it names none. Errors: ErrGone
// where the log no longer holds what came after it, ErrConflict for a position
// of another log or an epoch that has ended.
func (s *Service) WatchKeys(ctx context.Context, r Read, prefix string) (*KeyWatch, error) {
	if prefix != "" {
		if err := eventlog.CheckKey(prefix); err != nil {
			return nil, named("prefix", err)
		}
	}
	after := r.MinRevision
	if r.Min.LogID != "" {
		after = r.Min.Revision
	}
	// The wait for it is not this call's timeout, which is the watch's.
	v, err := s.View(ctx, Read{Consistency: r.Consistency, Min: eventlog.Position{LogID: r.Min.LogID, Epoch: r.Min.Epoch}}, true)
	if err != nil {
		return nil, err
	}
	w := &KeyWatch{service: s, prefix: prefix, at: after, state: v.State}
	newest := v.State.Position().Revision
	switch {
	case after == 0:
		w.at = newest
	case after > newest && v.Stale:
		return nil, fmt.Errorf("%w: at revision %d, asked for what comes after %d", ErrBehind, newest, after)
	case after > newest:
		return nil, invalid("after", "is a revision to come: the newest is %d", newest)
	case after < newest:
		low, err := s.history.Low(ctx)
		if err != nil {
			return nil, history.Missing(ctx, s.history, after, err)
		}
		if after+1 < low {
			return nil, fmt.Errorf("changes after revision %d: %w: the log begins at revision %d", after, ErrGone, low)
		}
	}
	return w, nil
}

// Position is up to where everything was delivered: a watch after it misses nothing.
func (w *KeyWatch) Position() eventlog.Position { return w.PositionOf(w.at) }

// PositionOf is that of a commit which was delivered.
func (w *KeyWatch) PositionOf(r eventlog.Revision) eventlog.Position {
	return eventlog.Position{LogID: w.state.Position().LogID, Epoch: w.state.EpochOf(r), Revision: r}
}

// unavailablePause is how long a watch waits for a quorum between two tries.
const unavailablePause = 500 * time.Millisecond

// Next waits for changes and gives those of one or more commits, in order.
// Where the log cannot be read it waits, too. Errors: ctx's; ErrGone when the
// watcher was so slow that the log was truncated before it.
func (w *KeyWatch) Next(ctx context.Context) ([]KeyCommit, error) {
	for {
		w.state = w.service.appender.State()
		newest := w.state.Position().Revision
		if w.state.KeysChanged() <= w.at {
			w.at = max(w.at, newest)
		}
		if newest <= w.at {
			if err := w.service.appender.Wait(ctx, w.at+1); err != nil {
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				return nil, err
			}
			continue
		}
		list, to, err := w.service.feed.after(ctx, w.at, newest)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, ErrUnavailable):
			select {
			case <-time.After(unavailablePause):
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		case err != nil:
			return nil, err
		}
		w.at = to
		if list = w.admitted(list); len(list) > 0 {
			return list, nil
		}
	}
}

// admitted are the changes under the prefix.
func (w *KeyWatch) admitted(list []KeyCommit) []KeyCommit {
	if w.prefix == "" {
		return list
	}
	var out []KeyCommit
	for _, c := range list {
		all := c.Changes
		c.Changes = nil
		for _, change := range all {
			if strings.HasPrefix(change.Key, w.prefix) {
				c.Changes = append(c.Changes, change)
			}
		}
		if len(c.Changes) > 0 {
			out = append(out, c)
		}
	}
	return out
}
