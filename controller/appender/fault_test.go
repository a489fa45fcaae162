package appender

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

func TestLostAnswer(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{})
	resolve := log.Faults().LoseAnswers(1)
	ctx := testContext(t)
	short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	defer cancel()
	if _, err := a.Append(short, request("x", route(1))); !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		t.Fatalf("got %v", err)
	}
	again, err := a.Submit(ctx, request("x", route(1)))
	if err != nil {
		t.Fatal(err)
	}
	resolve()
	if res, err := again.Wait(ctx); err != nil || !res.Replayed || res.Revision != 2 {
		t.Fatalf("%+v, %v", res, err)
	}
	sameAsLog(t, a)
}

// TestLostRequestAnotherWins: the request is lost, and before it is tried
// again another appender stores at the same head.
func TestLostRequestAnotherWins(t *testing.T) {
	log := newLog()
	other := log.Another()
	a, b := open(t, log, Options{Node: "a"}), open(t, other, Options{Node: "b"})
	resolve := log.Faults().LoseRequests(1)
	ctx := testContext(t)
	p, err := a.Submit(ctx, request("mine", route(1)))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "in flight", func() bool { return p.state.Load() == taken })
	appendOK(t, b, request("theirs", route(2)))
	resolve()
	if res, err := p.Wait(ctx); err != nil || res.Revision != 3 || res.Replayed {
		t.Fatalf("%+v, %v", res, err)
	}
	if err := b.Barrier(ctx); err != nil {
		t.Fatal(err)
	}
	sameAsLog(t, a)
	sameAsLog(t, b)
	if a.Statistics().HeadMoved != 1 {
		t.Fatalf("%+v", a.Statistics())
	}
}

// TestTwoAppenders lets two appenders write at once, with the same ids at
// times: every acknowledged commit is there once, and the two agree.
func TestTwoAppenders(t *testing.T) {
	log := newLog()
	list := []*Appender{open(t, log, Options{Node: "a"}), open(t, log.Another(), Options{Node: "b"})}
	var wg sync.WaitGroup
	var acked, replayed atomic.Int64
	for c := range 8 {
		a := list[c%2]
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(c), 1))
			for i := range 60 {
				n := c/2*60 + i // callers of the two appenders share ids
				key := fmt.Sprintf("n-%d", n)
				r := request(key, put(key, key)...)
				res, err := a.Append(context.Background(), r)
				if err != nil {
					t.Error(err)
					return
				}
				acked.Add(1)
				if res.Replayed {
					replayed.Add(1)
				}
				if rng.IntN(10) == 0 {
					if err := a.Barrier(context.Background()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	for _, a := range list {
		if err := a.Barrier(testContext(t)); err != nil {
			t.Fatal(err)
		}
		sameAsLog(t, a)
		if at := a.State().Position().Revision; at != 241 {
			t.Fatalf("at revision %d, want 241", at)
		}
	}
	for id, n := range commitsByID(t, log) {
		if n != 1 {
			t.Errorf("%s is there %d times", id, n)
		}
	}
	if acked.Load() != 480 || replayed.Load() != 240 {
		t.Fatalf("%d acknowledged, %d of them replayed; want 480 and 240", acked.Load(), replayed.Load())
	}
}

func TestFollowsAnother(t *testing.T) {
	log := newLog()
	other := log.Another()
	a, b := open(t, log, Options{}), open(t, other, Options{})
	for i := range 50 {
		res := appendOK(t, a, request("", route(i)))
		if err := b.Wait(testContext(t), res.Revision); err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			other.Faults().CutFollows()
		}
	}
	sameAsLog(t, b)
}

func TestNoSpace(t *testing.T) {
	log := newLog()
	clock := newClock()
	freed := make(chan error)
	a := open(t, log, Options{Now: clock.Now, OnNoSpace: func(ctx context.Context) error {
		select {
		case err := <-freed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}})
	ctx := testContext(t)
	refuse := func(id string) {
		t.Helper()
		if _, err := a.Append(ctx, request(id, route(1))); !errors.Is(err, eventlog.ErrNoSpace) {
			t.Fatalf("%s: %v, want ErrNoSpace", id, err)
		}
	}
	log.Faults().RefuseAppends(2, eventlog.ErrNoSpace)
	refuse("a")
	refuse("b") // without asking the store
	if n := a.Statistics().NoSpace; n != 1 {
		t.Fatalf("the store was asked %d times", n)
	}
	clock.advance(time.Second)
	refuse("c") // asked once more
	refuse("d")
	if n := a.Statistics().NoSpace; n != 2 {
		t.Fatalf("the store was asked %d times", n)
	}
	freed <- nil
	eventually(t, "writing again", func() bool {
		_, err := a.Append(ctx, request("e", route(1)))
		return err == nil
	})
	sameAsLog(t, a)
}

func TestUnavailableThenBack(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{})
	appendOK(t, a, request("a", route(1)))
	log.Faults().Down(eventlog.ErrUnavailable)
	ctx := testContext(t)
	if err := a.Barrier(ctx); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Fatalf("barrier: %v", err)
	}
	p, err := a.Submit(ctx, request("b", route(2)))
	if err != nil {
		t.Fatal(err)
	}
	if at := a.State().Position().Revision; at != 2 {
		t.Fatalf("State at %d: it must go on serving", at)
	}
	log.Faults().Down(nil)
	if _, err := p.Wait(ctx); err != nil && !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		t.Fatal(err)
	}
	if res := appendOK(t, a, request("b", route(2))); res.Revision != 3 {
		t.Fatalf("%+v", res)
	}
	sameAsLog(t, a)
}

// TestNotReadyIsSaidAtOnce: without a quorum writes are refused while they are
// still the caller's, nothing is stored, and reading goes on.
func TestNotReadyIsSaidAtOnce(t *testing.T) {
	log := newLog()
	var away atomic.Bool
	a := open(t, log, Options{Ready: func() error {
		if away.Load() {
			return eventlog.ErrUnavailable
		}
		return nil
	}})
	appendOK(t, a, request("a", route(1)))
	away.Store(true)
	for _, r := range []Request{request("b", route(2)), request("c", largeEvents(eventlog.MaxCommitEvents+1)...)} {
		// A context without an end: the answer must not come from a deadline.
		if res, err := a.Append(context.Background(), r); !errors.Is(err, eventlog.ErrUnavailable) || res.ID != r.ID {
			t.Fatalf("%+v, %v", res, err)
		}
		if _, err := a.Submit(context.Background(), r); !errors.Is(err, eventlog.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if at := a.State().Position().Revision; at != 2 || log.Stages() != 0 || a.Statistics().Queued != 0 {
		t.Fatalf("at %d, %d stages", at, log.Stages())
	}
	away.Store(false)
	if res := appendOK(t, a, request("b", route(2))); res.Revision != 3 || res.Replayed {
		t.Fatalf("%+v", res)
	}
}

// TestBarrier: what another appender acknowledged before the call is there after it.
func TestBarrier(t *testing.T) {
	log := newLog()
	a, b := open(t, log, Options{}), open(t, log.Another(), Options{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 30 {
				res, err := a.Append(context.Background(), request("", route(i)))
				if err != nil {
					t.Error(err)
					return
				}
				if err := b.Barrier(context.Background()); err != nil {
					t.Error(err)
					return
				}
				if at := b.State().Position().Revision; at < res.Revision {
					t.Errorf("at %d after a barrier, %d was acknowledged before", at, res.Revision)
				}
			}
		})
	}
	wg.Wait()
}

func TestNewerLevelStopsFolding(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{})
	appendOK(t, a, request("a", route(1)))
	head, err := log.Head(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	b := newBatch(head, a.State().Time(), nil, 1)
	c := eventlog.Commit{ID: "raise", Actor: "system", Events: []eventlog.Event{&eventlog.LevelRaised{Level: eventlog.MaxLevel + 1}}}
	var f form
	f.encode(&c)
	var text [timeLen]byte
	eventlog.AppendTime(text[:0], a.State().Time())
	b.raw = f.appendTo(b.raw, head.Revision+1, &text)
	var ch chain
	b.tip.Hash, b.tip.Revision = ch.next(head.Hash, b.raw[lineRoom:]), head.Revision+1
	b.tip.Level = eventlog.MaxLevel + 1
	b.items = make([]*Pending, 1)
	if _, err := log.Append(testContext(t), head, b.tip, b.seal("newer"), nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the level is noticed", func() bool { return errors.Is(a.Fault(), eventlog.ErrLevel) })
	if at := a.State().Position().Revision; at != 2 {
		t.Fatalf("State at %d, want the last that could be folded", at)
	}
	want := fmt.Sprintf("this node supports level %d, the log is at level %d from revision 3: upgrade it", eventlog.MaxLevel, eventlog.MaxLevel+1)
	if _, err := a.Append(testContext(t), request("b", route(2))); !errors.Is(err, eventlog.ErrLevel) || err.Error() != want {
		t.Fatalf("got %v", err)
	}
	again := open(t, log, Options{})
	if !errors.Is(again.Fault(), eventlog.ErrLevel) || again.State().Position().Revision != 2 {
		t.Fatalf("opened at %d, %v", again.State().Position().Revision, again.Fault())
	}
}

func TestStagedCommit(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{})
	b := open(t, log.Another(), Options{})
	events := make([]eventlog.Event, 3*eventlog.MaxCommitEvents)
	for i := range events {
		events[i] = route(i)
	}
	res := appendOK(t, a, request("big", events...))
	if res.Revision != 2 || a.State().Stats().Routes != len(events) {
		t.Fatalf("%+v, %+v", res, a.State().Stats())
	}
	if err := b.Wait(testContext(t), 2); err != nil {
		t.Fatal(err)
	}
	if b.State().Digest() != a.State().Digest() {
		t.Fatal("the follower's digest differs")
	}
	sameAsLog(t, a)
	bad := route(5000)
	bad.Weight = 0
	events[5000] = bad
	var f *eventlog.FieldError
	if _, err := a.Append(testContext(t), request("bad", events...)); !errors.As(err, &f) || f.Field != "events[5000].weight" {
		t.Fatalf("got %v", err)
	}
	// Prepare may not make what would have to be staged.
	r := request("prepared")
	r.Prepare = func(*projector.State) ([]eventlog.Event, error) { return events[:5000], nil }
	if _, err := a.Append(testContext(t), r); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("got %v", err)
	}
}

// TestRandomFaults appends under random faults from several callers who
// retry with the same id until they know: at the end each commit is there once.
func TestRandomFaults(t *testing.T) {
	for seed := range uint64(4) {
		log := newLog()
		second := log.Another()
		list := []*Appender{open(t, log, Options{Node: "a"}), open(t, second, Options{Node: "b"})}
		stop := make(chan struct{})
		var faults, wg sync.WaitGroup
		faults.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 2))
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(rng.IntN(2000)) * time.Microsecond):
				}
				f := log.Faults()
				if rng.IntN(2) == 0 {
					f = second.Faults()
				}
				switch rng.IntN(5) {
				case 0:
					resolve := f.LoseAnswers(1)
					time.AfterFunc(time.Millisecond, resolve)
				case 1:
					resolve := f.LoseRequests(1)
					time.AfterFunc(time.Millisecond, resolve)
				case 2:
					f.CutFollows()
				case 3:
					release := f.HoldFollows()
					time.AfterFunc(2*time.Millisecond, release)
				case 4:
					release := f.HoldAppends()
					time.AfterFunc(2*time.Millisecond, release)
				}
			}
		})
		const callers, each = 12, 40
		for c := range callers {
			wg.Go(func() {
				for i := range each {
					n := c*each + i
					for {
						ctx, cancel := context.WithTimeout(context.Background(), 3*time.Millisecond)
						_, err := list[(c+i)%2].Append(ctx, request(id(n), route(n)))
						cancel()
						if err == nil {
							break
						}
						if !errors.Is(err, eventlog.ErrOutcomeUnknown) && !errors.Is(err, ErrWithdrawn) {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		wg.Wait()
		close(stop)
		faults.Wait()
		for _, a := range list {
			if err := a.Barrier(testContext(t)); err != nil {
				t.Fatal(err)
			}
			sameAsLog(t, a)
		}
		count := commitsByID(t, log)
		for n := range callers * each {
			if count[id(n)] != 1 {
				t.Errorf("seed %d: %s is there %d times", seed, id(n), count[id(n)])
			}
		}
	}
}
