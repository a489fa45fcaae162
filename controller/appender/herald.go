package appender

import (
	"runtime"
	"time"
)

// heraldAt is the number of callers from which on waking them is left to
// another goroutine.
const heraldAt = 128

// tell answers everyone who waits for b. It runs in any goroutine. Between two
// it gives way: callers woken all at once would queue for the processors in
// front of the goroutines that bring the next batch into the log.
func (a *Appender) tell(b *batch) {
	easy := true
	for i, p := range b.items {
		if i > 0 && easy {
			easy = giveWay()
		}
		c := &p.commit
		a.answer(p, Result{Epoch: c.Epoch, Revision: c.Revision, Time: c.Time, NoChange: len(c.Events) == 0})
	}
	for _, j := range b.joined {
		a.conclude(j)
	}
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
