package appender

import "sync/atomic"

// queue is a many-producer, single-consumer stack that is taken whole and
// turned around: pushing is one compare-and-swap and no allocation, and what
// one goroutine pushes keeps its order.
type queue struct {
	head atomic.Pointer[Pending]
	// busy: the consumer is sure to look in before long, so only every
	// wakeEvery-th push wakes it, and the one that total reaches due with.
	busy  atomic.Bool
	total atomic.Uint32 // pushes
	due   atomic.Uint32
	count atomic.Int64 // requests accepted and not yet answered
	bytes atomic.Int64 // of their encoded forms
	wake  chan struct{}

	maxCount, maxBytes int64
}

func newQueue(maxCount int, maxBytes int64) *queue {
	return &queue{wake: make(chan struct{}, 1), maxCount: int64(maxCount), maxBytes: maxBytes}
}

// reserve counts a request in, or refuses it where the queue is full. A
// request larger than the whole limit passes when it is alone.
func (q *queue) reserve(size int64) bool {
	n, b := q.count.Add(1), q.bytes.Add(size)
	if n > q.maxCount || (b > q.maxBytes && n > 1) {
		q.release(size)
		return false
	}
	return true
}

func (q *queue) release(size int64) {
	q.count.Add(-1)
	q.bytes.Add(-size)
}

// wakeEvery: being woken for each request would cost the consumer more than
// the request itself.
const wakeEvery = 16

// push adds p, and wakes the consumer if the queue was empty and the consumer is
// not busy. Whoever ends being busy must look at the queue afterwards.
func (q *queue) push(p *Pending) {
	for {
		old := q.head.Load()
		p.next = old
		if q.head.CompareAndSwap(old, p) { // p is the consumer's from here on
			if n := q.total.Add(1); old == nil && !q.busy.Load() || n%wakeEvery == 0 || n == q.due.Load() {
				q.poke()
			}
			return
		}
	}
}

// wakeAt has the push that makes total due wake the consumer; false: there are
// as many already, and it may not.
func (q *queue) wakeAt(due uint32) bool {
	q.due.Store(due)
	return int32(q.total.Load()-due) < 0
}

// poke wakes the consumer.
func (q *queue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// takeAll empties the queue, oldest first.
func (q *queue) takeAll() *Pending {
	if q.head.Load() == nil {
		return nil
	}
	var first *Pending
	for p := q.head.Swap(nil); p != nil; {
		next := p.next
		p.next = first
		first, p = p, next
	}
	return first
}
