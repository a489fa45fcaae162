package appender

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"dvr/eventlog"
)

// outcomes is a Sink that remembers.
type outcomes struct {
	mu        sync.Mutex
	of        map[Tag][]outcome
	told      int
	unflushed int
	gone      bool
}

type outcome struct {
	res Result
	err error
}

func newOutcomes() *outcomes { return &outcomes{of: map[Tag][]outcome{}} }

func (o *outcomes) Done(tag Tag, r Result, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.of[tag] = append(o.of[tag], outcome{r, err})
	o.told++
	o.unflushed++
}

func (o *outcomes) Flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unflushed = 0
}

func (o *outcomes) Gone() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.gone
}

// await waits until n were told and flushed.
func (o *outcomes) await(t *testing.T, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d told and flushed", n), func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.told >= n && o.unflushed == 0
	})
}

// only is what the tag was told, once.
func (o *outcomes) only(t *testing.T, tag Tag) outcome {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.of[tag]) != 1 {
		t.Fatalf("%v was told %d times: %+v", tag, len(o.of[tag]), o.of[tag])
	}
	return o.of[tag][0]
}

// TestSinks: requests of many sinks and of callers who wait share batches, and
// each is told of its own, once.
func TestSinks(t *testing.T) {
	const sinks, each = 6, 200
	log := newLog()
	a := open(t, log, Options{})
	list := make([]*outcomes, sinks)
	var wg sync.WaitGroup
	for s := range list {
		list[s] = newOutcomes()
		wg.Go(func() {
			for i := range each {
				r := request(fmt.Sprintf("%d-%d", s, i/2*2), route(s*each+i/2*2)) // each id twice
				if err := a.SubmitTo(list[s], Tag{uint64(i), uint64(s)}, r); err != nil {
					t.Error(err)
				}
				if i%10 == 0 {
					if _, err := a.Append(testContext(t), request(fmt.Sprintf("w-%d-%d", s, i), route(1<<16+s*each+i))); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	for _, o := range list {
		o.await(t, each)
	}
	stored := commitsByID(t, log)
	for s, o := range list {
		for i := range each {
			got := o.only(t, Tag{uint64(i), uint64(s)})
			first := o.only(t, Tag{uint64(i / 2 * 2), uint64(s)})
			id := fmt.Sprintf("%d-%d", s, i/2*2)
			if got.err != nil || got.res.ID != id || got.res.Revision == 0 || got.res.Revision != first.res.Revision || got.res.Replayed != (i%2 == 1) {
				t.Fatalf("%s: %+v, %v; the first %+v", id, got.res, got.err, first.res)
			}
			if stored[id] != 1 {
				t.Fatalf("%s is stored %d times", id, stored[id])
			}
		}
	}
	sameAsLog(t, a)
}

// TestSinkRefusals: what is not stored is told as it is to who waits.
func TestSinkRefusals(t *testing.T) {
	a := open(t, newLog(), Options{})
	appendOK(t, a, request("one", route(1)))
	o := newOutcomes()
	other := request("one", route(2))
	other.Hash = eventlog.RequestHash{2}
	if err := a.SubmitTo(o, Tag{1}, other); err != nil {
		t.Fatal(err)
	}
	o.await(t, 1)
	if got := o.only(t, Tag{1}); !errors.Is(got.err, ErrIdempotencyMismatch) || got.res.ID != "one" {
		t.Errorf("%+v", got)
	}
	bad := route(3)
	bad.Weight = 0
	var field *eventlog.FieldError
	if err := a.SubmitTo(o, Tag{2}, request("bad", bad)); !errors.As(err, &field) {
		t.Errorf("a bad field: %v", err)
	}
	many := make([]eventlog.Event, eventlog.MaxCommitEvents+1)
	for i := range many {
		many[i] = route(i)
	}
	if err := a.SubmitTo(o, Tag{3}, request("large", many...)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a commit for a stage: %v", err)
	}
	a.Close()
	if err := a.SubmitTo(o, Tag{4}, request("late", route(4))); !errors.Is(err, ErrClosed) {
		t.Errorf("late: %v", err)
	}
	if o.await(t, 1); o.told != 1 {
		t.Errorf("%d told; what SubmitTo refuses is not", o.told)
	}
}

// TestSinkGone: what is in no batch when a sink is gone is not stored; what is,
// goes on.
func TestSinkGone(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{})
	arrived, gate := make(chan struct{}, 1), make(chan struct{})
	log.Faults().BeforeAppend(func(ctx context.Context) error {
		select {
		case arrived <- struct{}{}:
		default:
		}
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	o := newOutcomes()
	if err := a.SubmitTo(o, Tag{1}, request("flying", route(1))); err != nil {
		t.Fatal(err)
	}
	<-arrived
	o.mu.Lock()
	o.gone = true
	o.mu.Unlock()
	for i := range wakeEvery { // a busy loop is woken by so many
		if err := a.SubmitTo(o, Tag{2, uint64(i)}, request(fmt.Sprintf("late-%d", i), route(2))); err != nil {
			t.Fatal(err)
		}
	}
	o.await(t, wakeEvery)
	close(gate)
	o.await(t, wakeEvery+1)
	if got := o.only(t, Tag{1}); got.err != nil {
		t.Errorf("in flight: %v", got.err)
	}
	stored := commitsByID(t, log)
	for i := range wakeEvery {
		if got := o.only(t, Tag{2, uint64(i)}); !errors.Is(got.err, ErrWithdrawn) {
			t.Errorf("late: %v", got.err)
		}
		if id := fmt.Sprintf("late-%d", i); stored[id] != 0 {
			t.Errorf("%s is stored", id)
		}
	}
	if stored["flying"] != 1 {
		t.Error("what flew is not stored")
	}
}

// TestSinksAtClose: nobody is left without an answer.
func TestSinksAtClose(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{})
	log.Faults().HoldAppends()
	o := newOutcomes()
	for i := range 100 {
		if err := a.SubmitTo(o, Tag{uint64(i)}, request(id(i), route(i))); err != nil {
			t.Fatal(err)
		}
	}
	a.Close()
	o.await(t, 100)
	for i := range 100 {
		if got := o.only(t, Tag{uint64(i)}); !errors.Is(got.err, ErrClosed) && !errors.Is(got.err, eventlog.ErrOutcomeUnknown) {
			t.Errorf("%d: %+v", i, got)
		}
	}
}
