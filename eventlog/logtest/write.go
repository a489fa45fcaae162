package logtest

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"time"

	"dvr/eventlog"
)

// patience is how long anything may take before it counts as hanging.
const patience = 30 * time.Second

// baseTime dates commits far after the first batch of any log.
const baseTime = 4102444800000 // 2100-01-01

func (s *suite) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	s.Cleanup(cancel)
	return ctx
}

func (s *suite) head(l eventlog.Log) eventlog.Head {
	s.Helper()
	h, err := l.Head(s.ctx())
	if err != nil {
		s.Fatalf("Head: %v", err)
	}
	return h
}

func event(i int) eventlog.Event {
	a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	return &eventlog.RouteAnnounced{
		RouteID: eventlog.RouteID{
			Router: eventlog.AllRouters, Destination: netip.PrefixFrom(a, 32),
			NextHop: netip.AddrFrom4([4]byte{192, 168, 1, 1}), Origin: eventlog.DefaultOrigin,
		},
		Metric: uint32(i), Preference: eventlog.DefaultPreference, Weight: eventlog.DefaultWeight,
	}
}

// batch builds a batch of n commits on prev; by tells batches of equal heads apart.
func batch(prev eventlog.Head, by string, n int) (raw []byte, next eventlog.Head) {
	b := eventlog.NewBatchBuilder(prev, "node-1")
	for i := range n {
		rev := int(b.Next())
		c := eventlog.Commit{
			ID: fmt.Sprintf("%s/%d", by, rev), Time: baseTime + int64(rev), Actor: "logtest",
			Events: []eventlog.Event{event(rev), event(1<<20 + rev)}[:1+i%2],
		}
		if err := b.Add(&c); err != nil {
			panic(err)
		}
	}
	raw, next = b.Finish()
	return bytes.Clone(raw), next
}

// add appends batches of the given numbers of commits and returns the heads,
// the first being the one before them, and the batches' bytes.
func (s *suite) add(l eventlog.Log, sizes ...int) (heads []eventlog.Head, raws [][]byte) {
	s.Helper()
	h := s.head(l)
	heads = append(heads, h)
	for _, n := range sizes {
		raw, next := batch(h, "add", n)
		got, err := l.Append(s.ctx(), h, next, raw, nil)
		if err != nil {
			s.Fatalf("Append after revision %d: %v", h.Revision, err)
		}
		s.sameButGuard(got, next)
		if got.Guard == h.Guard {
			s.Fatalf("the guard did not change with revision %d", got.Revision)
		}
		h = got
		heads, raws = append(heads, h), append(raws, raw)
	}
	return heads, raws
}

func (s *suite) sameButGuard(got, want eventlog.Head) {
	s.Helper()
	want.Guard = got.Guard
	if got != want {
		s.Fatalf("head is %+v, want %+v", got, want)
	}
}

// read collects the stored bytes after a revision, checking what Read promises.
func (s *suite) read(l eventlog.Log, after eventlog.Revision) [][]byte {
	s.Helper()
	var raws [][]byte
	var last *eventlog.Batch
	err := l.Read(s.ctx(), after, func(b *eventlog.Batch) error {
		switch {
		case last == nil && (b.First() > after+1 || b.Last() <= after):
			return fmt.Errorf("read after %d begins with %d to %d", after, b.First(), b.Last())
		case last != nil && (b.First() != last.Last()+1 || b.Prev != last.Hash):
			return fmt.Errorf("revision %d is not the continuation of %d", b.First(), last.Last())
		}
		last = &eventlog.Batch{Hash: b.Hash, Commits: []eventlog.Commit{{Revision: b.Last()}}}
		raws = append(raws, bytes.Clone(b.Raw))
		return nil
	})
	if err != nil {
		s.Fatalf("Read after %d: %v", after, err)
	}
	return raws
}

// whole checks that the log from revision 1 is one chain up to its head, and
// returns how often each commit id is in it.
func (s *suite) whole(l eventlog.Log) map[string]int {
	s.Helper()
	ids := map[string]int{}
	var h eventlog.Head
	err := l.Read(s.ctx(), 0, func(b *eventlog.Batch) (err error) {
		if h, err = h.Follow(b); err != nil {
			return err
		}
		for _, c := range b.Commits {
			ids[c.ID]++
		}
		return nil
	})
	if err != nil {
		s.Fatalf("Read of the whole log: %v", err)
	}
	s.sameButGuard(s.head(l), h)
	return ids
}

func equal(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// result runs fn apart and hands out what it returns.
func result[T any](fn func() T) <-chan T {
	c := make(chan T, 1)
	go func() { c <- fn() }()
	return c
}

func await[T any](s *suite, c <-chan T, what string) (v T) {
	s.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		s.Fatalf("%s does not come", what)
	}
	return v
}
