package projector

import (
	"fmt"
	"net/netip"
	"testing"

	"dvr/eventlog"
)

// gridEvents is side × side routers with so many prefixes each.
func gridEvents(side, prefixes int) (events []eventlog.Event) {
	for y := range side {
		for x := range side {
			at := y*side + x
			if x+1 < side {
				events = append(events, linkEvent(at, at+1, 1))
			}
			if y+1 < side {
				events = append(events, linkEvent(at, at+side, 1))
			}
			for p := range prefixes {
				events = append(events, &eventlog.RouteAnnounced{
					RouteID: eventlog.RouteID{
						Router: eventlog.RouterID(fmt.Sprintf("r%04d", at)), Origin: "static", Interface: "lan",
						Destination: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(at >> 8), byte(at), byte(p << 4)}), 28),
					}, Preference: 1, Weight: 1,
				})
			}
		}
	}
	return events
}

func BenchmarkVectors(b *testing.B) {
	const side = 32
	events := gridEvents(side, 10)
	f := NewFold("log")
	s := applyEvents(b, f, events...)
	routers := s.topology.get().ids
	all := func(s *State, prev []*Paths) (out []*Paths, decisions int) {
		out = make([]*Paths, len(routers))
		for i, r := range routers {
			var p *Paths
			if prev != nil {
				p = prev[i]
			}
			out[i] = s.Paths(r, p)
			for d := range out[i].Changes(p) {
				if d.Usable {
					decisions++
				}
			}
		}
		return out, decisions
	}
	b.Run("from nothing", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			f := NewFold("log")
			s := applyEvents(b, f, events...)
			b.StartTimer()
			if _, n := all(s, nil); n != side*side*side*side {
				b.Fatal(n)
			}
		}
	})
	b.Run("one link change", func(b *testing.B) {
		paths, _ := all(s, nil)
		i := 0
		for b.Loop() {
			i = (i + 97) % (side*side - side)
			a := i
			for _, cost := range []uint32{100, 1} {
				s := applyEvents(b, f, linkEvent(a, a+side, cost))
				paths, _ = all(s, paths)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)/2, "ms/change")
	})
}
