package node

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestPercentFor(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct {
		floor, live int64
		want        int
	}{
		{320 * mib, 0, 2000}, {320 * mib, 1 * mib, 2000}, {320 * mib, 32 * mib, 900}, {320 * mib, 80 * mib, 300},
		{320 * mib, 160 * mib, 100}, {320 * mib, 1000 * mib, 100},
	} {
		if got := percentFor(test.floor, test.live); got != test.want {
			t.Errorf("floor %d, live %d: %d, want %d", test.floor, test.live, got, test.want)
		}
	}
}

// The percentage follows the heap: after a collection that finds much alive it
// is back at 100, and the end restores what was set before.
func TestHeapFloorFollowsTheHeap(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	end := keepHeapFloor(64 << 20)
	held := make([][]byte, 0, 100)
	for range 100 {
		held = append(held, make([]byte, 1<<20))
	}
	current := func() int {
		p := debug.SetGCPercent(50)
		debug.SetGCPercent(p)
		return p
	}
	deadline := time.Now().Add(patience)
	for current() != 100 {
		if time.Now().After(deadline) {
			t.Fatalf("percentage %d with 100 MiB live over a floor of 64", current())
		}
		runtime.GC() // cleanups run after it, in their own goroutine
	}
	runtime.KeepAlive(held)
	end()
	if got := current(); got != 100 {
		t.Errorf("percentage %d after the end", got)
	}
}

func TestHeapFloorFitsTheMachine(t *testing.T) {
	const mib = 1 << 20
	for memory, want := range map[int64]int64{0: 64 * mib, 512 * mib: 64 * mib, 2048 * mib: 128 * mib, 24 << 30: 448 * mib} {
		if got := heapFloor(memory); got != want {
			t.Errorf("%d MiB: %d MiB, want %d", memory/mib, got/mib, want/mib)
		}
	}
}

func TestTuneIsUndone(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMAXPROCS", "")
	processors, percent := runtime.GOMAXPROCS(0), debug.SetGCPercent(77)
	defer debug.SetGCPercent(percent)
	end := Tune()
	if got := runtime.GOMAXPROCS(0); got != processors+1 {
		t.Errorf("%d processors, want one more than %d", got, processors)
	}
	end()
	if got := runtime.GOMAXPROCS(0); got != processors {
		t.Errorf("%d processors after the end, want %d", got, processors)
	}
	if got := debug.SetGCPercent(77); got != 77 {
		t.Errorf("GC percentage %d after the end", got)
	}
	t.Setenv("GOMAXPROCS", "5")
	t.Setenv("GOGC", "50")
	defer Tune()()
	if got := runtime.GOMAXPROCS(0); got != processors {
		t.Errorf("%d processors though GOMAXPROCS is set", got)
	}
	if got := debug.SetGCPercent(77); got != 77 {
		t.Errorf("GC percentage %d though GOGC is set", got)
	}
}
