package history

import (
	"context"
	"errors"
	"slices"

	"dvr/eventlog"
)

// Commit is a commit with those of its events that were looked for.
type Commit struct {
	Revision          eventlog.Revision
	Time              int64 // log time, Unix milliseconds
	ID, Actor, Reason string
	Source, For       string
	Reverts           []eventlog.Revision
	Forced            []string // guards passed by force
	N                 int      // events of the whole commit
	Events            []eventlog.Event
}

func commitOf(c *eventlog.Commit) Commit {
	return Commit{
		Revision: c.Revision, Time: c.Time, ID: c.ID, Actor: c.Actor, Reason: c.Reason, Source: c.Source, For: c.For,
		Reverts: c.Reverts, Forced: c.Forced, N: len(c.Events),
	}
}

// Bytes is about what the commit takes in memory.
func (c *Commit) Bytes() int {
	n := 160 + len(c.ID) + len(c.Actor) + len(c.Reason)
	for _, e := range c.Events {
		switch e := e.(type) {
		case *eventlog.KeyPut:
			n += 64 + len(e.Key) + len(e.Value)
		case *eventlog.TimerSet:
			n += 200 * (1 + len(e.Events))
		default:
			n += 200
		}
	}
	return n
}

// Bounds of what one page of a scan reads and holds.
const (
	scanBytes    = 64 << 20 // of batches
	scanHold     = 4 << 20  // of what was found
	scanWindow   = 4096     // commits, at most, that are read at a time
	narrowWindow = 64
	widening     = 4        // the next window holds so many times as many
	wideBytes    = 16 << 20 // a wide window that holds more is narrowed
)

// Scan looks for events backwards, since the log has no index: in windows from
// the newest to the oldest. Not safe for concurrent use.
type Scan struct {
	Log   Log
	Want  func(eventlog.Event) bool
	Low   eventlog.Revision // where the log begins
	Limit int               // commits
	// Skip says of an event as stored that it is not wanted, where that is seen
	// sooner than it is decoded; may be nil.
	Skip func(line []byte) bool
	// Most is the bytes of batches that are read; 0: 64 MiB. Where it is set, a
	// staged commit of more than is left of it is not read: the scan ends behind it.
	Most int

	found []Commit
	held  int               // bytes of found
	raw   int               // bytes of batches read so far
	bound int               // that raw may come to in this window; 0: any
	stage eventlog.Revision // that was too large to be read; 0: none
}

var errWide = errors.New("the range holds too much")

// Run finds the commits up to and including hi that have an event which is
// wanted, newest first, and the revision before which it stopped; 0: it has
// reached the beginning. Where it has read Most bytes it stops, too, so it may
// find little or nothing and still be followed by another. Errors: as Missing.
func (s *Scan) Run(ctx context.Context, hi eventlog.Revision) ([]Commit, eventlog.Revision, error) {
	most := s.Most
	if most == 0 {
		most = scanBytes
	}
	window := eventlog.Revision(1) // hi itself is often the one
	for hi >= s.Low && hi > 0 {
		after := max(hi, window) - window
		after = max(after, s.Low-1)
		read := s.raw
		if s.bound = 0; window > narrowWindow {
			s.bound = read + wideBytes
		}
		list, cut, err := s.window(ctx, after, hi)
		if errors.Is(err, errWide) {
			window, s.stage = narrowWindow, 0 // what lies between is searched first
			continue
		}
		if err != nil {
			return nil, 0, Missing(ctx, s.Log, after, err)
		}
		for _, c := range slices.Backward(list) {
			s.held += c.Bytes()
			s.found = append(s.found, c)
		}
		switch {
		case cut:
			return s.found, s.found[len(s.found)-1].Revision, nil
		case s.stage > 0:
			return s.found, s.stage + 1, nil
		case after < s.Low:
			return s.found, 0, nil
		case len(s.found) >= s.Limit || s.held >= scanHold || s.raw >= most:
			return s.found, after + 1, nil
		}
		hi = after
		// A window is read forwards, so one that is too wide cannot be cut short.
		each := eventlog.Revision(s.raw-read)/window + 1 // bytes of a commit
		window = max(1, min(widening*window, scanWindow, eventlog.Revision(min(wideBytes, most-s.raw))/each))
	}
	return s.found, 0, nil
}

// window reads (after, hi] and keeps the newest finds that still have room;
// cut: there were more.
func (s *Scan) window(ctx context.Context, after, hi eventlog.Revision) (list []Commit, cut bool, err error) {
	held := 0
	counted := eventlog.Revision(0)
	err = commits(ctx, s.Log, after, hi, s.Skip, func(b *eventlog.Batch, c *eventlog.Commit) error {
		if counted != b.Last() {
			counted = b.Last()
			if s.raw += len(b.Raw); s.bound > 0 && s.raw > s.bound {
				return errWide
			}
		}
		if st := StageOf(c); st != nil {
			if s.Most > 0 && st.Bytes > int64(s.Most-s.raw) {
				s.stage, list, held, cut = c.Revision, nil, 0, false
				return nil
			}
			s.raw += int(st.Bytes)
		}
		events, err := Expanded(ctx, s.Log, c)
		if err != nil {
			return err
		}
		var found []eventlog.Event
		for _, e := range events {
			if e != nil && s.Want(e) {
				found = append(found, lone(e))
			}
		}
		if found == nil {
			return nil
		}
		k := commitOf(c)
		k.N, k.Events = len(events), found
		list = append(list, k)
		held += k.Bytes()
		for len(list) > s.Limit-len(s.found) || held > scanHold && len(list) > 1 {
			held -= list[0].Bytes()
			list[0] = Commit{} // not kept alive by the list
			list, cut = list[1:], true
		}
		return nil
	})
	return list, cut, err
}

// lone copies an event of the kinds that lie in blocks, so that one that is
// kept does not keep the block.
func lone(e eventlog.Event) eventlog.Event {
	switch e := e.(type) {
	case *eventlog.RouteAnnounced:
		c := *e
		return &c
	case *eventlog.RouteWithdrawn:
		c := *e
		return &c
	case *eventlog.KeyPut:
		c := *e
		return &c
	}
	return e
}

// CommitsAt reads commits by their revisions, without their events; one that is
// no longer retained is left out. Cost: a read of the log for each that does not
// lie near the one before. Errors: as Missing.
func CommitsAt(ctx context.Context, l Log, revisions []eventlog.Revision) (map[eventlog.Revision]Commit, error) {
	low, err := l.Low(ctx)
	if err != nil {
		return nil, Missing(ctx, l, 0, err)
	}
	out := map[eventlog.Revision]Commit{}
	list := slices.Clone(revisions)
	slices.Sort(list)
	list = slices.Compact(list)
	for _, r := range list {
		if _, ok := out[r]; ok || r < low || r == 0 {
			continue
		}
		err := l.Read(ctx, r-1, func(b *eventlog.Batch) error {
			for i := range b.Commits {
				c := &b.Commits[i]
				if _, asked := slices.BinarySearch(list, c.Revision); asked {
					out[c.Revision] = commitOf(c)
				}
			}
			return errRangeRead
		})
		if err != nil && !errors.Is(err, errRangeRead) && !errors.Is(err, eventlog.ErrTruncated) {
			return nil, Missing(ctx, l, r-1, err)
		}
	}
	return out, nil
}
