package node

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// Tune fits Go's runtime to a node, where the environment (GOGC, GOMAXPROCS)
// does not say otherwise, and returns what undoes it.
func Tune() (end func()) {
	processors := runtime.GOMAXPROCS(0)
	if os.Getenv("GOMAXPROCS") == "" {
		// A goroutine in fdatasync holds its processor until the runtime's monitor
		// takes it away, which on a machine of few cores leaves one idle for most of
		// each transaction. One more than there are cores fills it.
		runtime.GOMAXPROCS(processors + 1)
	}
	floor := func() {}
	if os.Getenv("GOGC") == "" {
		floor = keepHeapFloor(heapFloor(machineMemory()))
	}
	return func() {
		floor()
		runtime.GOMAXPROCS(processors)
	}
}

// heapFloor is the heap, in bytes, below which collecting is not worth its cost
// on a machine with so much memory (0: unknown): a node with few routes would
// otherwise collect its 20 MiB ten times a second under load, a tenth of its time.
func heapFloor(memory int64) int64 {
	const least, most = 64 << 20, 448 << 20
	return min(max(memory/16, least), most)
}

// keepHeapFloor makes the collector wait until the heap has reached floor bytes
// or twice what is live, whichever is more, and returns what ends it. The soft
// limit (GOMEMLIMIT) stays above it. Cost: one metric read a collection.
func keepHeapFloor(floor int64) (end func()) {
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
