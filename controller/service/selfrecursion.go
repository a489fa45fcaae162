package service

import (
	"net/netip"

	"dvr/eventlog"
	"dvr/projector"
)

// holdsItsNextHop: what resolves the route's next hop may be the route itself.
func holdsItsNextHop(r *eventlog.RouteAnnounced) bool {
	return r.Recursive && r.NextHop.IsValid() && r.Destination.Contains(r.NextHop)
}

// resolvesOnlyItself refuses a recursive route whose next hop lies in its own
// destination where no other route could resolve it: it could never forward.
// It is asked of calls about one destination only: of a commit or an import
// another part may bring what resolves it, or the next one. So does a route that
// comes later; then this one is announced after it.
func resolvesOnlyItself(st *projector.State, r *eventlog.RouteAnnounced) error {
	if !holdsItsNextHop(r) {
		return nil
	}
	for _, d := range st.Covering(netip.PrefixFrom(r.NextHop, r.NextHop.BitLen())) {
		if d.Prefix == r.Destination || d.Prefix.Bits() == 0 && !r.ViaDefault {
			continue
		}
		for i := range d.Candidates {
			c := &d.Candidates[i]
			sees := r.Router == eventlog.AllRouters || c.Router == eventlog.AllRouters || c.Router == r.Router
			if sees && c.Metric != eventlog.MetricUnusable && !(c.Recursive && c.NextHop == r.NextHop) {
				return nil
			}
		}
	}
	return invalid("next_hop", "lies in the route's own destination, and no other route resolves it: announce that first, or this one without recursive")
}
