package service

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"dvr/eventlog"
)

// orphan is an appender whose quorum tests take away.
type orphan struct {
	Appender
	since atomic.Pointer[time.Time] // nil: a node leads
	asked atomic.Int32              // barriers
}

var errUnled = &UnledError{Err: ErrUnavailable, Node: "n1"}

func (o *orphan) Unled() (time.Time, error) {
	if since := o.since.Load(); since != nil {
		return *since, errUnled
	}
	return time.Time{}, nil
}

func (o *orphan) Barrier(ctx context.Context) error {
	o.asked.Add(1)
	if o.since.Load() == nil {
		return o.Appender.Barrier(ctx)
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

func (o *orphan) lose(since time.Time) { o.since.Store(&since) }
func (o *orphan) regain()              { o.since.Store(nil) }

func newOrphan(t *testing.T) (*keyed, *orphan) {
	k, end := newKeyed(t)
	t.Cleanup(end)
	o := &orphan{Appender: k.svc.appender}
	k.svc.appender = o
	return k, o
}

// TestReadsWithoutALeader: what is there is shown and marked, at once where
// nobody has led for long; whether something is absent cannot be told.
func TestReadsWithoutALeader(t *testing.T) {
	k, o := newOrphan(t)
	k.commit(t, putting("a", "1"))
	o.lose(time.Time{})
	before := o.asked.Load()
	for _, c := range []Consistency{ByDefault, Linearizable, Local} {
		r := Read{Consistency: c}
		got, err := k.svc.Key(t.Context(), r, "a")
		if c == Linearizable {
			if !errors.Is(err, ErrUnavailable) || !errors.Is(err, errUnled) {
				t.Errorf("linearizable: %v", err)
			}
		} else if err != nil || !got.Stale || got.Value != "1" {
			t.Errorf("consistency %d: %+v, %v", c, got, err)
		}
		want := ErrUnavailable
		if c == Local {
			want = ErrNotFound
		}
		router, destination := eventlog.RouterID("r9"), netip.MustParsePrefix("10.0.0.0/8")
		for what, ask := range map[string]func() error{
			"key":     func() error { _, err := k.svc.Key(t.Context(), r, "b"); return err },
			"history": func() error { _, err := k.svc.KeyHistory(t.Context(), r, "b", 0, 1); return err },
			"route":   func() error { _, err := k.svc.Route(t.Context(), r, destination, eventlog.AllRouters); return err },
			"table":   func() error { _, err := k.svc.Table(t.Context(), r, router); return err },
			"router":  func() error { _, err := k.svc.Router(t.Context(), r, router); return err },
			"link":    func() error { _, err := k.svc.Link(t.Context(), r, eventlog.LinkID{A: "r1", B: "r2"}); return err },
			"page": func() error {
				_, err := k.svc.Page(t.Context(), r, Query{RouteFilter: RouteFilter{Router: router}}, "")
				return err
			},
			"lookup": func() error {
				_, err := k.svc.Lookup(t.Context(), r, eventlog.AllRouters, destination.Addr(), false)
				return err
			},
			"lookup there": func() error { _, err := k.svc.Lookup(t.Context(), r, router, destination.Addr(), false); return err },
		} {
			if err := ask(); !errors.Is(err, want) || want == ErrUnavailable && errors.Is(err, ErrNotFound) {
				t.Errorf("consistency %d, an absent %s: %v, want %v", c, what, err, want)
			}
		}
	}
	if n := o.asked.Load() - before; n > 0 {
		t.Errorf("%d quorum reads were waited for, of which none could come back", n)
	}
	page, err := k.svc.KeyPage(t.Context(), Read{}, "", "")
	if err != nil || !page.Stale {
		t.Errorf("a list: %+v, %v", page, err)
	}
	o.regain()
	if _, err := k.svc.Key(t.Context(), Read{}, "b"); !errors.Is(err, ErrNotFound) {
		t.Errorf("with a leader: %v", err)
	}
}

// TestReadsOverAnElection: what began before the next node leads is answered by
// it; what it lasts longer than barrierPatience is not.
func TestReadsOverAnElection(t *testing.T) {
	k, o := newOrphan(t)
	k.commit(t, putting("a", "1"))
	o.lose(time.Now().Add(100*time.Millisecond - barrierPatience))
	over := make(chan error, 1)
	go func() {
		_, err := k.svc.Key(t.Context(), Read{Consistency: Linearizable}, "a")
		over <- err
	}()
	for o.asked.Load() == 0 {
		time.Sleep(time.Millisecond) // until the read waits
	}
	o.regain() // before its patience has ended, though the waiting one does not hear of it
	if err := <-over; err != nil {
		t.Error(err)
	}
	o.lose(time.Now().Add(50*time.Millisecond - barrierPatience))
	if _, err := k.svc.Key(t.Context(), Read{Consistency: Linearizable}, "a"); !errors.Is(err, errUnled) {
		t.Errorf("an election that does not end: %v", err)
	}
}
