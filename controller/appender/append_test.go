package appender

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

func TestAppendPublishes(t *testing.T) {
	log := newLog()
	clock := newClock()
	a := open(t, log, Options{Now: clock.Now})
	changed := a.Changed()
	clock.advance(time.Hour)
	res := appendOK(t, a, request("one", route(1)))
	if res.Revision != 2 || res.ID != "one" || res.Replayed || res.NoChange || res.Time != clock.Now().UnixMilli() || res.Epoch != 1 {
		t.Fatalf("result %+v", res)
	}
	<-changed
	if at := a.State().Position().Revision; at != 2 {
		t.Fatalf("State at %d", at)
	}
	clock.advance(-time.Hour) // log time never goes back
	if again := appendOK(t, a, request("two", route(2))); again.Time != res.Time {
		t.Fatalf("time %d after %d", again.Time, res.Time)
	}
	if res := appendOK(t, a, request("")); res.ID == "" || !res.NoChange || res.Revision != 3 {
		t.Fatalf("a keyless request that changes nothing: %+v", res)
	}
	if res := appendOK(t, a, request("nothing")); !res.NoChange || res.Revision != 4 {
		t.Fatalf("a request with id that changes nothing: %+v", res)
	}
	sameAsLog(t, a)
}

func TestConcurrentCallers(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{})
	const callers, each = 64, 50
	seen := make([]atomic.Bool, callers*each+2)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				res, err := a.Append(context.Background(), request("", route(c*each+i)))
				if err != nil {
					t.Error(err)
					return
				}
				if a.State().Position().Revision < res.Revision {
					t.Errorf("acknowledged %d before it is in State", res.Revision)
				}
				if seen[res.Revision].Swap(true) {
					t.Errorf("revision %d twice", res.Revision)
				}
			}
		})
	}
	wg.Wait()
	if at := a.State().Position().Revision; at != callers*each+1 {
		t.Fatalf("at revision %d", at)
	}
	if s := a.Statistics(); s.Queued != 0 || s.QueuedBytes != 0 || s.Commits != callers*each {
		t.Fatalf("statistics %+v", s)
	}
	sameAsLog(t, a)
}

func TestIdempotency(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{})
	first := appendOK(t, a, request("x", route(1)))
	again := appendOK(t, a, request("x", route(1)))
	if !again.Replayed || again.Revision != first.Revision || again.Time != first.Time {
		t.Fatalf("replay %+v of %+v", again, first)
	}
	other := request("x", route(2))
	other.Hash = eventlog.RequestHash{2}
	if _, err := a.Append(testContext(t), other); !errors.Is(err, ErrIdempotencyMismatch) {
		t.Fatalf("got %v", err)
	}
	other.Actor = "bob" // another actor's ids are other ids
	if res := appendOK(t, a, other); res.Replayed || res.Revision != 3 {
		t.Fatalf("result %+v", res)
	}
	// A replay asks no precondition: it was met when it was stored.
	r := request("x", route(1))
	r.Check = func(*projector.State) error { return ErrPrecondition }
	if res := appendOK(t, a, r); !res.Replayed {
		t.Fatalf("result %+v", res)
	}
	// Refusals are not remembered.
	r.ID = "y"
	if _, err := a.Append(testContext(t), r); !errors.Is(err, ErrPrecondition) {
		t.Fatalf("got %v", err)
	}
	r.Check = nil
	if res := appendOK(t, a, r); res.Replayed || res.Revision != 4 {
		t.Fatalf("result %+v", res)
	}
}

func TestJoinsInFlight(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{})
	release := log.Faults().HoldAppends()
	ctx := testContext(t)
	first, err := a.Submit(ctx, request("x", route(1)))
	if err != nil {
		t.Fatal(err)
	}
	// One joins what is in flight, the others what is being built behind it.
	eventually(t, "in flight", func() bool { return a.queue.head.Load() == nil })
	var rest []*Pending
	for _, r := range []Request{request("x", route(1)), request("y", route(2)), request("y", route(2))} {
		p, err := a.Submit(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		rest = append(rest, p)
	}
	release()
	res, err := first.Wait(ctx)
	if err != nil || res.Revision != 2 || res.Replayed {
		t.Fatalf("%+v, %v", res, err)
	}
	for i, want := range []Result{{Revision: 2, Replayed: true}, {Revision: 3}, {Revision: 3, Replayed: true}} {
		res, err := rest[i].Wait(ctx)
		if err != nil || res.Revision != want.Revision || res.Replayed != want.Replayed {
			t.Fatalf("request %d: %+v, %v", i, res, err)
		}
	}
	sameAsLog(t, a)
}

func TestRefusedAlone(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{})
	release := log.Faults().HoldAppends()
	ctx := testContext(t)
	bad := errors.New("no")
	var list []*Pending
	for i := range 30 {
		r := request(id(i), route(i))
		switch i % 5 {
		case 1:
			r.Check = func(*projector.State) error { return bad }
		case 2:
			r.Events, r.Prepare = nil, func(*projector.State) ([]eventlog.Event, error) { return nil, bad }
		case 3:
			r.Events, r.Prepare = nil, func(*projector.State) ([]eventlog.Event, error) { panic("oops") }
		case 4:
			r.Events = []eventlog.Event{&eventlog.LinkObserved{LinkID: eventlog.LinkID{A: "r1", B: "r2"}, Router: "r1", State: eventlog.ObservedDown}}
		}
		p, err := a.Submit(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	release()
	for i, p := range list {
		_, err := p.Wait(ctx)
		var field *eventlog.FieldError
		ok := false
		switch i % 5 {
		case 0:
			ok = err == nil
		case 1, 2:
			ok = errors.Is(err, bad)
		case 3:
			ok = errors.Is(err, ErrFault)
		case 4:
			ok = errors.As(err, &field)
		}
		if !ok {
			t.Errorf("request %d: %v", i, err)
		}
	}
	if at := a.State().Position().Revision; at != 7 {
		t.Fatalf("at revision %d, want 7", at)
	}
	sameAsLog(t, a)
}

func TestBadRequests(t *testing.T) {
	a := open(t, newLog(), Options{})
	badRoute := route(1)
	badRoute.Weight = 0
	for _, c := range []struct {
		name  string
		r     Request
		field string
		is    error
	}{
		{"event", request("a", route(2), badRoute), "events[1].weight", nil},
		{"id", request("späť", route(1)), "id", nil},
		{"twice", request("a", route(1), route(1)), "events[1].destination", nil},
		{"missing", request("a", nil), "events[0]", nil},
		{"epoch", request("a", &eventlog.EpochStarted{Epoch: 2}), "", ErrReserved},
		{"stage", request("a", &eventlog.CommitStaged{}), "", ErrReserved},
		{"level", request("a", &eventlog.LevelRaised{Level: 1}), "", ErrReserved},
	} {
		_, err := a.Append(testContext(t), c.r)
		var f *eventlog.FieldError
		switch {
		case c.is != nil && !errors.Is(err, c.is):
			t.Errorf("%s: %v, want %v", c.name, err, c.is)
		case c.is == nil && (!errors.As(err, &f) || f.Field != c.field):
			t.Errorf("%s: %v, want field %s", c.name, err, c.field)
		}
	}
	if at := a.State().Position().Revision; at != 1 {
		t.Fatalf("something was stored: revision %d", at)
	}
}

// TestPreconditionsAreExact lets many callers each raise one counter by
// read, compare and set: no increment may be lost.
func TestPreconditionsAreExact(t *testing.T) {
	a := open(t, newLog(), Options{})
	const callers, each = 16, 20
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for done := 0; done < each; {
				old, _ := a.State().Key("n")
				n := 0
				fmt.Sscan(old.Value, &n)
				r := request("", put("n", fmt.Sprint(n+1))...)
				r.Check = func(s *projector.State) error {
					if now, _ := s.Key("n"); now.Revision != old.Revision {
						return ErrPrecondition
					}
					return nil
				}
				switch _, err := a.Append(context.Background(), r); {
				case err == nil:
					done++
				case !errors.Is(err, ErrPrecondition):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if k, _ := a.State().Key("n"); k.Value != fmt.Sprint(callers*each) {
		t.Fatalf("counted %s, want %d", k.Value, callers*each)
	}
}

func TestBackPressure(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{MaxQueued: 4})
	release := log.Faults().HoldAppends()
	ctx := testContext(t)
	var list []*Pending
	for i := range 4 {
		p, err := a.Submit(ctx, request(id(i), route(i)))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if _, err := a.Append(ctx, request("over", route(9))); !errors.Is(err, ErrBusy) {
		t.Fatalf("got %v, want ErrBusy", err)
	}
	release()
	for _, p := range list {
		if _, err := p.Wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
	appendOK(t, a, request("over", route(9)))
	b := open(t, newLog(), Options{MaxQueuedBytes: 10})
	appendOK(t, b, request("alone", route(1))) // larger than the limit, but alone
}

func TestDeadlines(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{})
	release := log.Faults().HoldAppends()
	ctx, cancel := context.WithCancel(testContext(t))
	p, err := a.Submit(ctx, request("flying", route(1)))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "in flight", func() bool { return p.state.Load() == taken })
	cancel()
	res, err := p.Wait(ctx)
	if !errors.Is(err, eventlog.ErrOutcomeUnknown) || res.ID != "flying" {
		t.Fatalf("%+v, %v", res, err)
	}
	release()
	// The appender went on with it: the same id now tells.
	if res := appendOK(t, a, request("flying", route(1))); !res.Replayed || res.Revision != 2 {
		t.Fatalf("%+v", res)
	}
	// What was withdrawn in time is never stored.
	q := &Pending{done: make(chan struct{}, 1)}
	q.commit.ID = "early"
	if _, err := q.Wait(ctx); !errors.Is(err, ErrWithdrawn) {
		t.Fatalf("got %v", err)
	}
	if q.state.CompareAndSwap(queued, taken) {
		t.Fatal("the loop could still take it up")
	}
}

func TestCloseAnswersEveryone(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{})
	log.Faults().HoldAppends()
	ctx := testContext(t)
	flying, _ := a.Submit(ctx, request("flying", route(1)))
	eventually(t, "in flight", func() bool { return flying.state.Load() == taken })
	building, _ := a.Submit(ctx, request("building", route(2)))
	eventually(t, "taken up", func() bool { return building.state.Load() == taken })
	a.Close()
	if _, err := flying.Wait(ctx); !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		t.Fatalf("in flight: %v", err)
	}
	if _, err := building.Wait(ctx); !errors.Is(err, ErrClosed) {
		t.Fatalf("building: %v", err)
	}
	if _, err := a.Append(ctx, request("late", route(3))); !errors.Is(err, ErrClosed) {
		t.Fatalf("late: %v", err)
	}
	if err := a.Barrier(ctx); !errors.Is(err, ErrClosed) {
		t.Fatalf("barrier: %v", err)
	}
}
