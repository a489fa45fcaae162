package logtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"dvr/eventlog"
)

// follower collects what Follow delivers, checking that nothing lacks or comes
// twice, until it has reached a revision.
type follower struct {
	raws [][]byte
	err  error
}

func (s *suite) follow(l eventlog.Log, after eventlog.Head, until eventlog.Revision) <-chan follower {
	ctx := s.ctx()
	return result(func() (f follower) {
		h := after
		f.err = l.Follow(ctx, after, func(b *eventlog.Batch, got eventlog.Head) error {
			next, err := h.Follow(b)
			if err != nil {
				return err
			}
			next.Guard = got.Guard
			if next != got {
				return fmt.Errorf("the head delivered is %+v, want %+v", got, next)
			}
			h = got
			f.raws = append(f.raws, bytes.Clone(b.Raw))
			if h.Revision >= until {
				return errStop
			}
			return nil
		})
		if errors.Is(f.err, errStop) {
			f.err = nil
		} else if f.err == nil {
			f.err = errors.New("Follow ended without an error")
		}
		return f
	})
}

func (s *suite) followed(c <-chan follower, want [][]byte) {
	s.Helper()
	f := await(s, c, "the follower's end")
	if f.err != nil {
		s.Fatalf("Follow: %v", f.err)
	}
	if !equal(f.raws, want) {
		s.Fatalf("Follow delivered %d batches that are not the %d expected", len(f.raws), len(want))
	}
}

func (s *suite) followFromEvery() {
	heads, raws := s.add(s.Log, 1, 3, 1, 2)
	end := heads[len(heads)-1].Revision
	for i, h := range heads[:len(heads)-1] {
		s.followed(s.follow(s.Log, h, end), raws[i:])
		s.followed(s.follow(s.Second, h, end), raws[i:])
	}
}

func (s *suite) followLive() {
	heads, before := s.add(s.Log, 1, 1)
	const more = 40
	until := heads[2].Revision + more
	one, two := s.follow(s.Log, heads[0], until), s.follow(s.Second, heads[2], until)
	var after [][]byte
	for i := range more {
		l := s.Log
		if i%3 == 0 {
			l = s.Second
		}
		_, raws := s.add(l, 1)
		after = append(after, raws...)
	}
	s.followed(one, append(before, after...))
	s.followed(two, after)

	// A follower that waits at the end goes when its context ends.
	ctx, cancel := context.WithCancel(context.Background())
	h := s.head(s.Log)
	done := result(func() error {
		return s.Log.Follow(ctx, h, func(*eventlog.Batch, eventlog.Head) error { return errors.New("nothing was appended") })
	})
	cancel()
	if err := await(s, done, "the follower's end"); !errors.Is(err, context.Canceled) {
		s.Fatalf("Follow whose context ended: %v, want context.Canceled", err)
	}
}

func (s *suite) followStops() {
	heads, _ := s.add(s.Log, 1, 1, 1)
	n := 0
	err := s.Log.Follow(s.ctx(), heads[0], func(*eventlog.Batch, eventlog.Head) error { n++; return errStop })
	if !errors.Is(err, errStop) || n != 1 {
		s.Fatalf("Follow = %v after %d batches, want fn's error after 1", err, n)
	}
}

func (s *suite) followCuts() {
	s.needs(s.CutFollows != nil, "cut the streams")
	s.followThrough(s.CutFollows)
}

func (s *suite) followCompaction() {
	s.needs(s.Compact != nil, "compact the store")
	s.followThrough(s.Compact)
}

// followThrough follows live while disturb is called between appends.
func (s *suite) followThrough(disturb func()) {
	heads, want := s.add(s.Log, 1, 2)
	const more = 20
	c := s.follow(s.Log, heads[0], heads[2].Revision+more)
	for i := range more {
		if i%2 == 0 {
			disturb()
		}
		_, raws := s.add(s.Second, 1)
		want = append(want, raws...)
		if i%3 == 0 {
			disturb()
		}
	}
	s.followed(c, want)
}

// followTruncation: one who follows is not disturbed by a truncation behind
// him; one who is behind it is told so.
func (s *suite) followTruncation() {
	heads, want := s.add(s.Log, 1, 2, 1)
	c := s.follow(s.Log, heads[1], heads[3].Revision+2)
	// let the follower reach the end before what it read is removed
	s.followed(s.follow(s.Log, heads[2], heads[3].Revision), want[2:])
	snap := s.snapshot(heads[3], "state")
	_, live := s.add(s.Log, 1)
	if err := s.Log.Truncate(s.ctx(), snap.Revision+1); err != nil {
		s.Fatalf("Truncate: %v", err)
	}
	_, last := s.add(s.Log, 1)

	f := await(s, c, "the follower's end")
	want = append(append(want[1:], live...), last...)
	switch {
	case errors.Is(f.err, eventlog.ErrTruncated):
		// it was slower than the truncation: what it got must be a prefix
		if !equal(f.raws, want[:len(f.raws)]) {
			s.Fatal("Follow delivered other batches before ErrTruncated")
		}
	case f.err != nil:
		s.Fatalf("Follow across a truncation: %v", f.err)
	case !equal(f.raws, want):
		s.Fatal("Follow across a truncation delivered other batches")
	}
	s.followed(s.follow(s.Log, heads[3], heads[3].Revision+2), append(live, last...))

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	start := time.Now()
	err := s.Log.Follow(ctx, heads[0], func(b *eventlog.Batch, _ eventlog.Head) error {
		return fmt.Errorf("revision %d was delivered", b.First())
	})
	if !errors.Is(err, eventlog.ErrTruncated) {
		s.Fatalf("Follow from before the truncation: %v after %v, want ErrTruncated", err, time.Since(start))
	}
}
