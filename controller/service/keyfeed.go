package service

import (
	"context"
	"errors"
	"sort"

	"dvr/eventlog"
)

// keyFeed holds the newest commits that changed keys, so that many watchers
// cost one read of the log. It has no goroutine: who needs more than it holds
// reads on for all, one at a time.
type keyFeed struct {
	history History
	turn    chan struct{} // capacity 1: who has sent may touch the rest
	// commits are all that changed keys in (from, to].
	from, to eventlog.Revision
	commits  []KeyCommit
	held     int
}

const (
	feedHold  = 8 << 20 // bytes of commits that are held
	feedChunk = 1 << 20 // bytes that are read at a time
)

// after gives commits in (after, upTo], in order, and up to where it looked.
// The commits are shared: nobody changes them.
func (f *keyFeed) after(ctx context.Context, after, upTo eventlog.Revision) ([]KeyCommit, eventlog.Revision, error) {
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, after, ctx.Err()
	}
	if after < f.from { // held no more: read for this one alone
		<-f.turn
		return f.chunk(ctx, after, upTo)
	}
	defer func() { <-f.turn }()
	if after > f.to { // what lies between nobody has asked for
		f.from, f.to, f.commits, f.held = after, after, nil, 0
	}
	if after == f.to && f.to < upTo {
		list, to, err := f.chunk(ctx, f.to, upTo)
		if err != nil {
			return nil, after, err
		}
		f.add(list, to)
	}
	i := sort.Search(len(f.commits), func(i int) bool { return f.commits[i].Revision > after })
	return f.commits[i:len(f.commits):len(f.commits)], f.to, nil
}

var errChunk = errors.New("enough for now")

// chunk reads commits in (after, upTo] until it holds feedChunk bytes.
func (f *keyFeed) chunk(ctx context.Context, after, upTo eventlog.Revision) ([]KeyCommit, eventlog.Revision, error) {
	var list []KeyCommit
	held := 0
	reader := keyReader{history: f.history, want: func(string) bool { return true }}
	err := reader.read(ctx, after, upTo, func(c *KeyCommit) error {
		list = append(list, *c)
		if held += c.bytes(); held >= feedChunk {
			return errChunk
		}
		return nil
	})
	switch {
	case errors.Is(err, errChunk):
		return list, list[len(list)-1].Revision, nil
	case err != nil:
		return nil, after, err
	}
	return list, upTo, nil
}

// add appends a chunk and forgets the oldest beyond feedHold, but for the
// chunk itself.
func (f *keyFeed) add(list []KeyCommit, to eventlog.Revision) {
	for i := range list {
		f.held += list[i].bytes()
	}
	keep := f.commits
	for f.held > feedHold && len(keep) > 0 {
		f.held -= keep[0].bytes()
		f.from = keep[0].Revision
		keep = keep[1:]
	}
	// A fresh array where some were dropped, so that they are not kept alive;
	// watchers may still hold the old one.
	if len(keep) < len(f.commits) {
		keep = append(make([]KeyCommit, 0, len(keep)+len(list)), keep...)
	}
	f.commits, f.to = append(keep, list...), to
}
