package node

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// HeapFloor is a node's: the heap, in bytes, below which collecting is not worth its
// cost: a node with few routes would otherwise collect its 20 MiB ten times a
// second under load, a tenth of its time.
const HeapFloor = 320 << 20

// KeepHeapFloor makes the collector wait until the heap has reached floor bytes
// or twice what is live, whichever is more, and returns what ends it. The soft
// limit (GOMEMLIMIT) stays above it. Cost: one metric read a collection.
func KeepHeapFloor(floor int64) (end func()) {
	var ended atomic.Bool
	before := debug.SetGCPercent(percentFor(floor, live()))
	var arm func()
	arm = func() {
		// The sentinel is garbage at once, so its cleanup runs after every collection.
		runtime.AddCleanup(&struct{ _ [16]byte }{}, func(struct{}) {
			if !ended.Load() {
				debug.SetGCPercent(percentFor(floor, live()))
				arm()
			}
		}, struct{}{})
	}
	arm()
	return func() {
		if !ended.Swap(true) {
			debug.SetGCPercent(before)
		}
	}
}

// spareProcessor runs Go on one processor more than there are: a goroutine in
// fdatasync holds its processor until the runtime's monitor takes it away, which
// on a machine of few cores leaves one idle for most of each transaction.
// GOMAXPROCS in the environment wins.
func spareProcessor() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
}

// percentFor is the GC percentage with which a heap of so many live bytes grows to floor.
func percentFor(floor, live int64) int {
	const least, most = 100, 2000
	if live <= 0 {
		return most
	}
	return int(min(max((floor-live)*100/live, least), most))
}

// live is what the last collection found reachable.
func live() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return int64(sample[0].Value.Uint64())
}
