package history

import (
	"context"
	"errors"
	"sort"

	"dvr/eventlog"
)

// Feed holds the newest commits, so that many watchers cost one read of the
// log. It has no goroutine: who needs more than it holds reads on for all, one
// at a time. Safe for concurrent use.
type Feed struct {
	log  Log
	want func(eventlog.Event) bool // nil: every event, and commits without any
	turn chan struct{}             // capacity 1: who has sent may touch the rest
	// commits are all that are wanted in (from, to].
	from, to eventlog.Revision
	commits  []Commit
	held     int
}

const (
	feedHold  = 8 << 20 // bytes of commits that are held
	feedChunk = 1 << 20 // bytes that are read at a time
)

// NewFeed is a feed of the commits with events that are wanted, and those events
// alone; nil: of every commit.
func NewFeed(l Log, want func(eventlog.Event) bool) *Feed {
	return &Feed{log: l, want: want, turn: make(chan struct{}, 1)}
}

// After gives commits in (after, upTo], in order, and up to where it looked.
// The commits are shared: nobody changes them. Errors: ctx's, as Missing.
func (f *Feed) After(ctx context.Context, after, upTo eventlog.Revision) ([]Commit, eventlog.Revision, error) {
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
func (f *Feed) chunk(ctx context.Context, after, upTo eventlog.Revision) ([]Commit, eventlog.Revision, error) {
	var list []Commit
	held := 0
	err := commits(ctx, f.log, after, upTo, nil, func(_ *eventlog.Batch, c *eventlog.Commit) error {
		events, err := Expanded(ctx, f.log, c)
		if err != nil {
			return err
		}
		k := commitOf(c)
		k.N, k.Events = len(events), events
		if f.want != nil {
			if k.Events = f.wanted(events); k.Events == nil {
				return nil
			}
		}
		list = append(list, k)
		if held += k.Bytes(); held >= feedChunk {
			return errChunk
		}
		return nil
	})
	switch {
	case errors.Is(err, errChunk):
		return list, list[len(list)-1].Revision, nil
	case err != nil:
		return nil, after, Missing(ctx, f.log, after, err)
	}
	return list, upTo, nil
}

func (f *Feed) wanted(events []eventlog.Event) (out []eventlog.Event) {
	for _, e := range events {
		if f.want(e) {
			out = append(out, lone(e))
		}
	}
	return out
}

// add appends a chunk and forgets the oldest beyond feedHold, but for the
// chunk itself.
func (f *Feed) add(list []Commit, to eventlog.Revision) {
	for i := range list {
		f.held += list[i].Bytes()
	}
	keep := f.commits
	for f.held > feedHold && len(keep) > 0 {
		f.held -= keep[0].Bytes()
		f.from = keep[0].Revision
		keep = keep[1:]
	}
	// A fresh array where some were dropped, so that they are not kept alive;
	// watchers may still hold the old one.
	if len(keep) < len(f.commits) {
		keep = append(make([]Commit, 0, len(keep)+len(list)), keep...)
	}
	f.commits, f.to = append(keep, list...), to
}
