package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"dvr/eventlog"
	"dvr/projector"
)

// times are revisions whose log time is known, ascending: what was found out
// once narrows the next search.
type times []instant

type instant struct {
	revision eventlog.Revision
	time     int64
	epoch    uint64
}

const maxTimes = 4096

// RevisionAt is the last revision whose log time, Unix milliseconds, is not
// after t; what happened in the millisecond t itself is included. Where the
// log's clock was stepped back there are several such; it is one of them.
// Cost: reads of the log, some ten for a million commits.
// Errors: *GoneError where t lies before what is retained; ErrUnavailable.
func (a *Archive) RevisionAt(ctx context.Context, now *projector.State, t int64) (eventlog.Revision, error) {
	newest := now.Position().Revision
	if t >= now.Time() {
		return newest, nil
	}
	low, err := a.log.Low(ctx)
	if err != nil {
		return 0, Missing(ctx, a.log, 0, err)
	}
	// Invariant: the commit at lo is not after t, or lo is before the log; that at hi is.
	lo, hi := instant{revision: max(low, 1) - 1}, instant{revision: newest, time: now.Time()}
	a.mu.Lock()
	for _, k := range a.times {
		if k.epoch != now.EpochOf(k.revision) || k.revision < low {
			continue
		}
		if k.time <= t && k.revision > lo.revision {
			lo = k
		}
		if k.time > t && k.revision < hi.revision {
			hi = k
		}
	}
	a.mu.Unlock()
	if lo.revision > hi.revision { // the clock was stepped between
		lo = instant{revision: max(low, 1) - 1}
	}
	for even := false; hi.revision-lo.revision > 1; even = !even {
		mid := lo.revision + (hi.revision-lo.revision)/2
		if span := hi.time - lo.time; !even && lo.revision >= max(low, 1) && span > 0 { // where it would be at an even pace
			at := lo.revision + eventlog.Revision(float64(hi.revision-lo.revision)*float64(t-lo.time)/float64(span))
			mid = min(max(at, lo.revision+1), hi.revision-1)
		}
		read, err := a.instants(ctx, now, mid)
		if err != nil {
			return 0, err
		}
		for _, k := range read {
			if k.time > t {
				if k.revision < hi.revision {
					hi = k
				}
				break
			}
			if k.revision < hi.revision {
				lo = k
			}
		}
	}
	if lo.revision >= max(low, 1) {
		return lo.revision, nil
	}
	gone := &GoneError{What: "the state of " + string(eventlog.AppendTime(nil, t)), Oldest: lo.revision + 1, Why: beyond(a.log)}
	if low <= 1 {
		return 0, gone
	}
	// The state that the log begins after is in a snapshot.
	list, err := a.log.Snapshots(ctx)
	if err != nil {
		return 0, Missing(ctx, a.log, 0, err)
	}
	for i := range list {
		if s := &list[i]; s.Revision+1 == low && s.Epoch == now.EpochOf(s.Revision) {
			if gone.Oldest = s.Revision; s.Time <= t {
				return s.Revision, nil
			}
		}
	}
	return 0, gone
}

// instants reads when the commits from a revision on, to the end of its batch, were made.
func (a *Archive) instants(ctx context.Context, now *projector.State, from eventlog.Revision) ([]instant, error) {
	var list []instant
	err := a.log.Read(ctx, from-1, func(b *eventlog.Batch) error {
		for i := range b.Commits {
			if c := &b.Commits[i]; c.Revision >= from {
				list = append(list, instant{c.Revision, c.Time, now.EpochOf(c.Revision)})
			}
		}
		return errRangeRead
	})
	if err != nil && !errors.Is(err, errRangeRead) {
		return nil, Missing(ctx, a.log, from-1, err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("commit %d: %w", from, eventlog.ErrHole)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range []instant{list[0], list[len(list)-1]} {
		i := sort.Search(len(a.times), func(i int) bool { return a.times[i].revision >= k.revision })
		if i < len(a.times) && a.times[i].revision == k.revision {
			a.times[i] = k
			continue
		}
		if len(a.times) == maxTimes {
			a.times = a.times[:0]
			i = 0
		}
		a.times = slices.Insert(a.times, i, k)
	}
	return list, nil
}
