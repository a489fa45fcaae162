package etcdlog

import "sync/atomic"

// Counters is what this Log did since it was opened.
type Counters struct {
	Appends       uint64 // batches stored
	AppendedBytes uint64
	AppendRetries uint64 // transactions repeated because their outcome was unknown
	HeadMoved     uint64 // appends lost to another appender
	NoSpace       uint64 // writes refused for space
	ReadBatches   uint64 // batches delivered by Read and Follow
	ReadBytes     uint64
	WatchEvents   uint64
	Resyncs       uint64 // times a follower left its watch and ranged again
	Foreign       uint64 // keys or values that are not part of the log
	Restored      uint64 // changed or missing values put back
}

type counters struct {
	appends, appendedBytes, appendRetries, headMoved, noSpace,
	readBatches, readBytes, watchEvents, resyncs, foreign, restored atomic.Uint64
}

// Counters returns the current counts; each is exact, together they are not
// one instant.
func (l *Log) Counters() Counters {
	c := &l.counters
	return Counters{
		Appends: c.appends.Load(), AppendedBytes: c.appendedBytes.Load(), AppendRetries: c.appendRetries.Load(),
		HeadMoved: c.headMoved.Load(), NoSpace: c.noSpace.Load(),
		ReadBatches: c.readBatches.Load(), ReadBytes: c.readBytes.Load(),
		WatchEvents: c.watchEvents.Load(), Resyncs: c.resyncs.Load(),
		Foreign: c.foreign.Load(), Restored: c.restored.Load(),
	}
}
