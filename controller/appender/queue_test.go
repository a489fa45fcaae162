package appender

import (
	"errors"
	"sync"
	"testing"

	"dvr/eventlog"
)

// woken tells whether the consumer was woken since it was asked last.
func woken(q *queue) bool {
	select {
	case <-q.wake:
		return true
	default:
		return false
	}
}

func TestQueueWakes(t *testing.T) {
	q := newQueue(1<<20, 1<<30)
	push := func(n int) {
		for range n {
			q.push(&Pending{})
		}
	}
	if push(1); !woken(q) {
		t.Error("an idle consumer was not woken by the first")
	}
	if push(wakeEvery - 2); woken(q) {
		t.Error("it was woken again before it looked")
	}
	q.busy.Store(true)
	if push(1); !woken(q) {
		t.Errorf("a busy consumer was not woken by the %dth", wakeEvery)
	}
	q.takeAll()
	if push(wakeEvery - 1); woken(q) {
		t.Error("a busy consumer was woken by few")
	}
	if push(1); !woken(q) {
		t.Error("a busy consumer was not woken by many")
	}
	n := 0
	for p := q.takeAll(); p != nil; p = p.next {
		n++
	}
	if n != wakeEvery {
		t.Errorf("%d taken, want %d", n, wakeEvery)
	}
}

// TestQueueWakesWhenDue: who waits for so many is woken by the last of them, or
// told that they are there.
func TestQueueWakesWhenDue(t *testing.T) {
	q := newQueue(1<<20, 1<<30)
	q.busy.Store(true)
	for range 2000 {
		const n = 5
		start := q.total.Load()
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() { q.push(&Pending{}) })
		}
		for q.wakeAt(start + n) {
			<-q.wake // a lost wake leaves the test here
		}
		if got := q.total.Load() - start; got != n {
			t.Fatalf("%d have come, not %d", got, n)
		}
		wg.Wait()
		woken(q)
		q.takeAll()
	}
}

// TestQueueLosesNoWake: a consumer that sleeps between two looks, now busy, now
// not, takes everything that many push, in the order of each.
func TestQueueLosesNoWake(t *testing.T) {
	const producers, each = 8, 20001 // not a multiple of wakeEvery in all
	q := newQueue(1<<30, 1<<40)
	var wg sync.WaitGroup
	for w := range producers {
		wg.Go(func() {
			for i := range each {
				q.push(&Pending{size: int64(w*each + i)})
			}
		})
	}
	last := make([]int64, producers)
	for w := range last {
		last[w] = -1
	}
	taken := 0
	take := func() {
		for p := q.takeAll(); p != nil; p = p.next {
			w, i := p.size/each, p.size%each
			if i != last[w]+1 {
				t.Fatalf("producer %d: %d follows %d", w, i, last[w])
			}
			last[w] = i
			taken++
		}
	}
	for round := 0; taken < producers*each; round++ {
		// As the loop does: busy for a while, and a look after that ends, before it sleeps.
		q.busy.Store(round%3 == 0)
		take()
		q.busy.Store(false)
		take()
		if taken < producers*each {
			<-q.wake // a lost wake leaves the test here
		}
	}
	wg.Wait()
}

// TestAnswersInALongFlight: while a batch hangs, who need not wait for it is
// answered, although few requests do not wake the loop then.
func TestAnswersInALongFlight(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{})
	ctx := testContext(t)
	first := appendOK(t, a, request("done", route(1)))
	resolve := log.Faults().LoseAnswers(1)
	hanging, err := a.Submit(ctx, request("hanging", route(2)))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "in flight", func() bool { return hanging.state.Load() == taken })
	res, err := a.Append(ctx, request("done", route(1)))
	if err != nil || !res.Replayed || res.Revision != first.Revision {
		t.Errorf("the repeated request: %+v, %v", res, err)
	}
	other := request("done", route(3))
	other.Hash = eventlog.RequestHash{2}
	if _, err := a.Append(ctx, other); !errors.Is(err, ErrIdempotencyMismatch) {
		t.Errorf("another request under its id: %v", err)
	}
	resolve()
	if _, err := hanging.Wait(ctx); err != nil {
		t.Error(err)
	}
}
