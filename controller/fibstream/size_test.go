package fibstream

import (
	"net/netip"
	"testing"

	"dvr/eventlog"
	"dvr/projector"
)

// The size of a full delta grows by what a prefix takes, that of a delta that
// only moves the position does not depend on the table.
func TestEncodedSize(t *testing.T) {
	size := func(n int) (full, empty int) {
		f := projector.NewFold("log")
		var events []eventlog.Event
		for i := range n {
			events = append(events, &eventlog.RouteAnnounced{
				RouteID: eventlog.RouteID{
					Router: eventlog.AllRouters, Origin: "static", NextHop: netip.MustParseAddr("192.0.2.1"),
					Destination: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i)}), 24),
				},
				Preference: 1, Weight: 1,
			})
		}
		var fib *projector.FIB
		for r := range 2 {
			if err := f.Apply(&eventlog.Commit{Revision: eventlog.Revision(r + 1), Time: 1, ID: "a", Actor: "b", Events: events}, eventlog.Hash{}); err != nil {
				t.Fatal(err)
			}
			events = nil
			was := fib
			fib = f.State().FIB("r1", was)
			if was != nil {
				empty = EncodedSize(fib.Delta(was))
			}
		}
		return EncodedSize(fib.Delta(nil)), empty
	}
	one, emptyOne := size(1)
	many, emptyMany := size(20_001)
	if per := float64(many-one) / 20_000; per < 6 || per > bytesPerSet4+.1 { // with the chunks themselves
		t.Errorf("%.1f bytes a prefix", per)
	}
	if emptyOne != emptyMany || emptyOne == 0 || emptyOne >= one {
		t.Errorf("an empty delta of %d and %d bytes, a full one of %d", emptyOne, emptyMany, one)
	}
}
