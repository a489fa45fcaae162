package appender

import "sync/atomic"

// counters are written by the loop and read by anyone.
type counters struct {
	batches, commits, bytes       atomic.Int64
	refused, replayed, busy       atomic.Int64
	headMoved, noSpace, followed  atomic.Int64
	foldedBatches, foldedLogBytes atomic.Int64
	unstaged                      atomic.Int64
}

// Statistics counts since the appender was opened.
type Statistics struct {
	Batches, Commits, Bytes int64 // appended by this node
	Refused, Replayed, Busy int64 // requests
	HeadMoved, NoSpace      int64 // batches that were not stored
	Followed                int64 // batches of others that were folded
	// Folded, at the start or later, by whomever they were appended.
	FoldedBatches, FoldedBytes int64
	Queued, QueuedBytes        int64 // accepted and not yet answered
}

// Statistics reads the counters; they are not taken at one instant.
func (a *Appender) Statistics() Statistics {
	c := &a.counts
	return Statistics{
		Batches: c.batches.Load(), Commits: c.commits.Load(), Bytes: c.bytes.Load(),
		Refused: c.refused.Load(), Replayed: c.replayed.Load(), Busy: c.busy.Load(),
		HeadMoved: c.headMoved.Load(), NoSpace: c.noSpace.Load(), Followed: c.followed.Load(),
		FoldedBatches: c.foldedBatches.Load(), FoldedBytes: c.foldedLogBytes.Load(),
		Queued: a.queue.count.Load(), QueuedBytes: a.queue.bytes.Load(),
	}
}

// Volume is how much log lies between the snapshot that the appender was
// opened from and its State. It only grows.
type Volume struct{ Batches, Bytes int64 }

// Volume tells the keeper of snapshots how long the log has become.
func (a *Appender) Volume() Volume {
	return Volume{Batches: a.counts.foldedBatches.Load(), Bytes: a.counts.foldedLogBytes.Load()}
}

func (c *counters) folded(bytes int) {
	c.foldedBatches.Add(1)
	c.foldedLogBytes.Add(int64(bytes))
}
