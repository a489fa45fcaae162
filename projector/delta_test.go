package projector

import (
	"testing"
)

// A full delta costs no copy of the table, however many are made at a time: its
// prefixes are read block by block.
func TestFullDeltaIsNoCopy(t *testing.T) {
	const prefixes = 100_000
	f := NewFold("log")
	mustApply(t, f, importCommits(table(prefixes), 64, 1, 100)...)
	fib := f.State().FIB("r1", nil)
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			for block := range fib.Delta(nil).Sets() {
				if len(block.Addr4) > blockPrefixes || len(block.Class4) != len(block.Addr4) || len(block.Class6) != len(block.Addr6) {
					b.Fatalf("a block of %d and %d prefixes", len(block.Addr4), len(block.Addr6))
				}
				n += len(block.Len4) + len(block.Len6)
			}
			if n != prefixes {
				b.Fatalf("%d prefixes", n)
			}
		}
	})
	if got := result.AllocedBytesPerOp(); got > 64<<10 {
		t.Errorf("a full delta of %d prefixes allocates %d bytes", prefixes, got)
	}
}

// Whoever reads the prefixes may stop at any block.
func TestSetsStop(t *testing.T) {
	f := NewFold("log")
	mustApply(t, f, importCommits(table(3*blockPrefixes), 64, 1, 100)...)
	for stop := 1; stop <= 4; stop++ {
		n := 0
		for range f.State().FIB("r1", nil).Delta(nil).Sets() {
			if n++; n == stop {
				break
			}
		}
		if n != min(stop, 3) {
			t.Errorf("%d blocks, want %d", n, min(stop, 3))
		}
	}
}
