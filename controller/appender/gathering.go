package appender

import "time"

const (
	// gatherMost is the size from which on gathering more into a batch saves less
	// than filling the next one while it is in flight.
	gatherMost = 128
	// Nobody came for so long: the batch leaves.
	gatherGap = time.Millisecond
	// Longer than this after they were answered callers are not waited for.
	gatherLong = 4 * time.Millisecond
	// So many batches leave as they are after gathering was of no use.
	gatherPasses = 1
)

// gather waits for callers who were just answered to come again, and for those
// who came meanwhile, so that they share a transaction, which costs as much as
// twenty requests. It ends when most have come, when for gatherGap nobody has, and
// gatherLong after they were answered. Where callers do not come again it is left
// out for a while. A lone caller does not wait.
func (l *loop) gather() {
	b, want := l.building, min(l.expected, gatherMost)
	l.expected = 0
	if len(b.items) >= want || time.Since(l.answered) > gatherLong {
		return
	}
	if l.passes > 0 {
		l.passes--
		return
	}
	first, seen := len(b.items), l.queue.total.Load()
	l.queue.busy.Store(true)
	l.gap.Reset(gatherGap)
	for {
		total := l.queue.total.Load()
		l.fill()
		if len(b.items) >= want || l.backlog.first != nil { // as wanted, or full
			return
		}
		if !l.queue.wakeAt(total + uint32(want-len(b.items))) {
			continue
		}
		select {
		case <-l.queue.wake:
		case <-l.ctx.Done():
			return
		case now := <-l.gap.C:
			if total == seen || now.Sub(l.answered) > gatherLong {
				if len(b.items)-first < (want-first)/2 {
					l.passes = gatherPasses
				}
				return
			}
			seen = total
			l.gap.Reset(gatherGap)
		}
	}
}
