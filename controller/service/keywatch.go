package service

import (
	"context"
	"errors"
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
	v, at, err := s.beginning(ctx, r)
	if err != nil {
		return nil, err
	}
	return &KeyWatch{service: s, prefix: prefix, at: at, state: v.State}, nil
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
		list, to, err := w.service.keys.After(ctx, w.at, newest)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, ErrUnavailable):
			if !pause(ctx, unavailablePause) {
				return nil, ctx.Err()
			}
			continue
		case err != nil:
			return nil, err
		}
		w.at = to
		if changes := w.admitted(list); len(changes) > 0 {
			return changes, nil
		}
	}
}

// admitted are the changes under the prefix.
func (w *KeyWatch) admitted(list []history.Commit) []KeyCommit {
	var out []KeyCommit
	for i := range list {
		k := keyCommitOf(&list[i], func(key string) bool { return strings.HasPrefix(key, w.prefix) })
		if len(k.Changes) > 0 {
			out = append(out, k)
		}
	}
	return out
}
