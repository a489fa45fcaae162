package fibstream

import (
	"container/list"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// turns bounds how many full tables are begun to be sent at a time: first come,
// first served. Safe for concurrent use.
type turns struct {
	length  time.Duration // after which one that was given counts no longer
	waiting prometheus.Gauge

	mu    sync.Mutex
	free  int
	queue list.List // of *turn, the oldest first
}

// turn is a session's place in the queue, or what it was given for it. A session
// waits for it without blocking: it is poked when the turn is its own.
type turn struct {
	of    *turns
	poke  func()
	place *list.Element // nil: not in the queue
	timer *time.Timer   // set while it counts
}

func newTurns(n int, length time.Duration, waiting prometheus.Gauge) *turns {
	return &turns{length: length, waiting: waiting, free: n}
}

// ask takes a turn or a place in the queue; poke is called when one in the queue
// is given, with no lock of the caller's needed. Cost: constant.
func (q *turns) ask(poke func()) *turn {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := &turn{of: q, poke: poke}
	if q.free > 0 {
		q.give(t)
		return t
	}
	t.place = q.queue.PushBack(t)
	q.waiting.Inc()
	return t
}

// give has t count from now on. q.mu is held.
func (q *turns) give(t *turn) {
	q.free--
	t.timer = time.AfterFunc(q.length, t.expire)
}

// mine says whether the turn was given. It stays so after it has ceased to count:
// who is slow is sent its table, too, and holds up nobody.
func (t *turn) mine() bool {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	return t.place == nil
}

// end gives the turn, or the place in the queue, back. Nil and repeated calls are
// allowed.
func (t *turn) end() {
	if t == nil {
		return
	}
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	if t.place != nil {
		t.of.queue.Remove(t.place)
		t.place = nil
		t.of.waiting.Dec()
		return
	}
	t.release()
}

func (t *turn) expire() {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	t.release()
}

// release gives a turn that counts to the next in the queue. of.mu is held.
func (t *turn) release() {
	if t.timer == nil {
		return
	}
	t.timer.Stop()
	t.timer = nil
	q := t.of
	q.free++
	if first := q.queue.Front(); first != nil {
		next := q.queue.Remove(first).(*turn)
		next.place = nil
		q.waiting.Dec()
		q.give(next)
		next.poke()
	}
}
