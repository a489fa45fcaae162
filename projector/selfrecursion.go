package projector

import (
	"net/netip"

	"dvr/eventlog"
)

// HoldsItsNextHop: what resolves the route's next hop may be the route itself.
func HoldsItsNextHop(r *eventlog.RouteAnnounced) bool {
	return r.Recursive && r.NextHop.IsValid() && r.Destination.Contains(r.NextHop)
}

// OnlyItself reports a recursive route whose next hop lies in its own destination
// where no other route of s could resolve it: it could never forward. Cost: a lookup.
func (s *State) OnlyItself(r *eventlog.RouteAnnounced) bool {
	if !HoldsItsNextHop(r) {
		return false
	}
	for _, d := range s.Covering(netip.PrefixFrom(r.NextHop, r.NextHop.BitLen())) {
		if d.Prefix == r.Destination || d.Prefix.Bits() == 0 && !r.ViaDefault {
			continue
		}
		for i := range d.Candidates {
			c := &d.Candidates[i]
			sees := r.Router == eventlog.AllRouters || c.Router == eventlog.AllRouters || c.Router == r.Router
			if sees && c.Metric != eventlog.MetricUnusable && !(c.Recursive && c.NextHop == r.NextHop) {
				return false
			}
		}
	}
	return true
}
