package service

import (
	"context"
	"fmt"

	"dvr/controller/history"
	"dvr/eventlog"
)

// KeyHistory is a page of the commits that changed a key, newest first.
type KeyHistory struct {
	View
	Key     string
	Commits []KeyCommit // each with the one change of the key
	// Before is where the next page goes on; 0: this was the last one.
	Before eventlog.Revision
	// Low is the revision that the retained log begins at: older changes are not known.
	Low eventlog.Revision
}

// MaxHistory is the most commits that one page of a history holds.
const MaxHistory = 1000

// KeyHistory finds the commits that changed the key before a revision (0: up to
// the newest), newest first, at most limit. The log has no index of keys: it is
// read backwards, a window at a time, from the key's last change, which the
// state knows. A page ends where it has read 64 MiB of log, too, so it may
// be short or empty and still be followed by another.
//
// Errors: ErrNotFound where the key is absent and no retained commit changed
// it, ErrGone where what is asked for lies before the retained log.
func (s *Service) KeyHistory(ctx context.Context, r Read, key string, before eventlog.Revision, limit int) (KeyHistory, error) {
	if err := eventlog.CheckKey(key); err != nil {
		return KeyHistory{}, named("key", err)
	}
	v, err := s.View(ctx, r, true)
	if err != nil {
		return KeyHistory{}, err
	}
	out := KeyHistory{View: v, Key: key}
	if out.Low, err = s.history.Low(ctx); err != nil {
		return out, history.Missing(ctx, s.history, 0, err)
	}
	hi := v.State.Position().Revision
	if before > 0 {
		hi = min(hi, before-1)
	}
	k, exists := v.State.Key(key)
	if exists {
		hi = min(hi, k.Revision)
	}
	if hi < out.Low {
		if hi == 0 {
			return out, nil // nothing comes before the first commit
		}
		return out, fmt.Errorf("changes of key %s up to revision %d: %w: the log begins at revision %d", quoted(key), hi, ErrGone, out.Low)
	}
	wanted := func(k string) bool { return k == key }
	scan := history.Scan{Log: s.history, Low: out.Low, Limit: limit, Want: func(e eventlog.Event) bool {
		change, ok := keyChangeOf(e)
		return ok && wanted(change.Key)
	}}
	found, next, err := scan.Run(ctx, hi)
	if err != nil {
		return out, err
	}
	out.Before = next
	for i := range found {
		out.Commits = append(out.Commits, keyCommitOf(&found[i], wanted))
	}
	if len(out.Commits) == 0 && out.Before == 0 && before == 0 && !exists {
		return out, v.absent(r, fmt.Errorf("key %s: %w: no commit from revision %d on changed it", quoted(key), ErrNotFound, out.Low))
	}
	return out, nil
}
