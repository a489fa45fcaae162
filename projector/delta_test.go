package projector

import (
	"net/netip"
	"strconv"
	"testing"

	"dvr/eventlog"
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

// A class that becomes usable again comes with all its prefixes: many of them are
// read off the state, few are in Set, and both give the table.
func TestClassesUsableAgain(t *testing.T) {
	for _, n := range []int{blockPrefixes / 2, 4 * blockPrefixes} {
		f := NewFold("log")
		link := func(down bool) *eventlog.LinkSet {
			return &eventlog.LinkSet{LinkID: eventlog.LinkID{A: "a", B: "b"}, CostAB: 1, CostBA: 1, Down: down,
				AddressA: []netip.Addr{netip.MustParseAddr("172.16.0.1")}, AddressB: []netip.Addr{netip.MustParseAddr("172.16.0.2")}}
		}
		events := []eventlog.Event{link(false)}
		for i := range n {
			events = append(events, &eventlog.RouteAnnounced{
				RouteID: eventlog.RouteID{Router: "b", Origin: eventlog.DefaultOrigin, NextHop: netip.MustParseAddr("192.0.2.1"),
					Destination: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i)}), 24)},
				Metric: 1, Preference: eventlog.DefaultPreference, Weight: eventlog.DefaultWeight,
			})
		}
		apply := func(r eventlog.Revision, events ...eventlog.Event) *FIB {
			t.Helper()
			mustApply(t, f, &eventlog.Commit{Revision: r, Time: 1_800_000_000_000 + int64(r), ID: strconv.Itoa(int(r)), Actor: "test", Events: events})
			return f.State().FIB("a", nil)
		}
		up := apply(1, events...)
		down := apply(2, link(true))
		if d := down.Delta(up); len(d.Withdrawn) != 1 {
			t.Fatalf("%d classes withdrawn", len(d.Withdrawn))
		}
		d := apply(3, link(false)).Delta(down)
		got := map[netip.Prefix]bool{}
		for block := range d.Sets() {
			prefixes(block, func(p netip.Prefix, class int) {
				if got[p] || d.Classes[class].NextHops == nil {
					t.Fatalf("%s comes twice or without next hops", p)
				}
				got[p] = true
			})
		}
		if lazy := d.Set.len() == 0; len(got) != n || lazy != (n > blockPrefixes) || d.Empty() {
			t.Errorf("%d of %d prefixes, %d in Set", len(got), n, d.Set.len())
		}
	}
}
