package appender

import (
	"runtime"
	"slices"
	"time"

	"dvr/eventlog"
)

// heraldAt is the number of callers from which on waking them is left to
// another goroutine.
const heraldAt = 128

// heraldRoom is how many batches may wait to be told of before the loop waits, too:
// with one it stood still for a tenth of the time under a thousand callers, while
// the log was idle.
const heraldRoom = 8

// tell answers everyone who waits for b. It runs in any goroutine. Sinks come
// first, as they wake at most one goroutine each. Between two of the others it
// gives way: callers woken all at once would queue for the processors in front of
// the goroutines that bring the next batch into the log.
func (a *Appender) tell(b *batch) {
	began := time.Now()
	a.tellSinks(b)
	easy := true
	for i, p := range b.items {
		if i > 0 && easy {
			easy = giveWay()
		}
		a.answer(p, resultOf(&p.commit))
	}
	for _, j := range b.joined {
		a.conclude(j)
	}
	a.measures.answer.Observe(time.Since(began).Seconds())
}

// tellSinks answers those of b's requests that have a sink, and takes them out.
func (a *Appender) tellSinks(b *batch) {
	var told [4]Sink // to be flushed; few nodes forward to one
	n := 0
	rest := b.items[:0]
	for _, p := range b.items {
		if p.sink == nil {
			rest = append(rest, p)
			continue
		}
		a.queue.release(p.size)
		s := p.finish(resultOf(&p.commit), nil)
		if n > 0 && told[n-1] == s || slices.Contains(told[:n], s) {
			continue
		}
		if n == len(told) {
			s.Flush()
			continue
		}
		told[n] = s
		n++
	}
	b.items = rest
	for _, s := range told[:n] {
		s.Flush()
	}
}

func resultOf(c *eventlog.Commit) Result {
	return Result{Epoch: c.Epoch, Revision: c.Revision, Time: c.Time, NoChange: len(c.Events) == 0}
}

// giveWay lets the goroutines run that can, and tells whether that was quick:
// where others compute for long, giving way again and again would hold up
// everyone who waits for the caller of giveWay.
func giveWay() (quick bool) {
	began := time.Now()
	runtime.Gosched()
	return time.Since(began) < time.Millisecond
}

// herald tells of large batches while the loop fills the next.
func (a *Appender) herald(told <-chan *batch) {
	defer a.owned.Done()
	for b := range told {
		a.tell(b)
	}
}
