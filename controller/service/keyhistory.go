package service

import (
	"context"
	"errors"
	"fmt"
	"slices"

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

// Bounds of what one page of a history reads and holds.
const (
	historyScan   = 64 << 20 // bytes of batches
	historyHold   = 4 << 20  // bytes of changes
	historyWindow = 4096     // commits, at most, that are read at a time
	narrowWindow  = 64
	wideBytes     = 16 << 20 // a wide window that holds more is narrowed
)

// KeyHistory finds the commits that changed the key before a revision (0: up to
// the newest), newest first, at most limit. The log has no index of keys: it is
// read backwards, a window at a time, from the key's last change, which the
// state knows. A page ends where it has read historyScan bytes, too, so it may
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
	scan := backwards{
		reader: keyReader{history: s.history, want: func(k string) bool { return k == key }},
		low:    out.Low, limit: limit,
	}
	if out.Before, err = scan.run(ctx, hi); err != nil {
		return out, err
	}
	out.Commits = scan.found
	if len(out.Commits) == 0 && out.Before == 0 && before == 0 && !exists {
		return out, v.absent(r, fmt.Errorf("key %s: %w: no commit from revision %d on changed it", quoted(key), ErrNotFound, out.Low))
	}
	return out, nil
}

// backwards reads the log in windows from the newest to the oldest.
type backwards struct {
	reader keyReader
	low    eventlog.Revision
	limit  int
	found  []KeyCommit // newest first
	held   int         // bytes of found
}

// run finds what changed up to and including hi, and gives the revision before
// which it stopped; 0: it has reached the beginning.
func (b *backwards) run(ctx context.Context, hi eventlog.Revision) (eventlog.Revision, error) {
	window := eventlog.Revision(1) // hi itself is the likely one
	for hi >= b.low {
		after := max(hi, window) - window
		after = max(after, b.low-1)
		read := b.reader.raw
		if b.reader.most = 0; window > narrowWindow {
			b.reader.most = read + wideBytes
		}
		list, cut, err := b.window(ctx, after, hi)
		if errors.Is(err, errWide) {
			window = narrowWindow
			continue
		}
		if err != nil {
			return 0, err
		}
		for _, c := range slices.Backward(list) {
			b.held += c.bytes()
			b.found = append(b.found, c)
		}
		switch {
		case cut:
			return b.found[len(b.found)-1].Revision, nil
		case after < b.low:
			return 0, nil
		case len(b.found) >= b.limit || b.held >= historyHold || b.reader.raw >= historyScan:
			return after + 1, nil
		}
		hi = after
		if window < narrowWindow {
			window = narrowWindow
		} else if b.reader.raw-read < wideBytes/8 {
			window = min(2*window, historyWindow)
		}
	}
	return 0, nil
}

// window reads the changes in (after, hi] and keeps the newest of them that
// still have room; cut: there were more.
func (b *backwards) window(ctx context.Context, after, hi eventlog.Revision) (list []KeyCommit, cut bool, err error) {
	held := 0
	err = b.reader.read(ctx, after, hi, func(c *KeyCommit) error {
		list = append(list, *c)
		held += c.bytes()
		for len(list) > b.limit-len(b.found) || held > historyHold && len(list) > 1 {
			held -= list[0].bytes()
			list[0] = KeyCommit{} // not kept alive by the list
			list, cut = list[1:], true
		}
		return nil
	})
	return list, cut, err
}
