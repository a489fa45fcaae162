package projector

import (
	"iter"
	"net/netip"

	"dvr/eventlog"
)

// admitted counts the candidates of a set that admits takes; nil takes all.
// Neighbours mostly have the same set, which is asked about once.
func admitted(admits func(*eventlog.RouteAnnounced) bool) func(*candidateSet) int {
	if admits == nil {
		return func(s *candidateSet) int { return len(s.bodies) }
	}
	var last *candidateSet
	n := 0
	return func(s *candidateSet) int {
		if s != last {
			last, n = s, 0
			for _, b := range s.bodies {
				if admits(&b.route) {
					n++
				}
			}
		}
		return n
	}
}

// Select is Destinations for those with a candidate that admits takes, which
// is asked about routes without a destination. What it leaves out costs some
// nanoseconds and no memory.
func (s *State) Select(within, after netip.Prefix, admits func(*eventlog.RouteAnnounced) bool) iter.Seq[Destination] {
	return func(yield func(Destination) bool) {
		count := admitted(admits)
		for p, e := range s.entries(within, after) {
			if count(e.set) > 0 && !yield(e.destination(p)) {
				return
			}
		}
	}
}

// Skip passes over destinations in the order of Destinations, as long as they
// have at most n candidates together that admits takes (a route without a
// destination is what it is asked about; nil takes all). It returns the last
// one passed over (after, where that is none), for Destinations to go on
// behind, and how many such candidates they have. Cost: some nanoseconds a
// destination.
func (s *State) Skip(within, after netip.Prefix, n int, admits func(*eventlog.RouteAnnounced) bool) (last netip.Prefix, skipped int) {
	count := admitted(admits)
	var end place
	moved := false
	for p, e := range s.entries(within, after) {
		k := count(e.set)
		if k > n-skipped {
			break
		}
		skipped += k
		end, moved = p, true
	}
	if !moved {
		return after, 0
	}
	return end.prefix(), skipped
}
