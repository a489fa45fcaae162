package projector

import (
	"cmp"
	"crypto/sha256"
	"net/netip"
	"slices"
	"strings"

	"dvr/eventlog"
)

// body is everything of a route but its destination, interned: a million
// prefixes behind 64 next hops share 64 bodies. Immutable.
type body struct {
	route eventlog.RouteAnnounced // Destination is zero
	id    [16]byte                // first 128 bits of SHA-256 of the canonical line
	words words
	slot  uint32 // index of the writer's record
}

// newBody takes its own copy of r.
func newBody(r *eventlog.RouteAnnounced, id [16]byte) *body {
	b := &body{route: *r, id: id, words: wordsOf(id)}
	b.route.Destination = netip.Prefix{}
	if r.Router == eventlog.AllRouters {
		b.route.Router = eventlog.AllRouters
	} else {
		b.route.Router = eventlog.RouterID(strings.Clone(string(r.Router)))
	}
	if r.Origin == eventlog.DefaultOrigin {
		b.route.Origin = eventlog.DefaultOrigin
	} else {
		b.route.Origin = strings.Clone(r.Origin)
	}
	b.route.VRF = strings.Clone(r.VRF)
	b.route.Interface = strings.Clone(r.Interface)
	b.route.Tags = slices.Clone(r.Tags)
	return b
}

func bodyID(scratch []byte, r *eventlog.RouteAnnounced) (id [16]byte, line []byte) {
	line = eventlog.AppendRouteBody(scratch[:0], r)
	sum := sha256.Sum256(line)
	return [16]byte(sum[:16]), line
}

// is reports that r has exactly this body.
func (b *body) is(r *eventlog.RouteAnnounced) bool {
	o := &b.route
	return o.NextHop == r.NextHop && o.Metric == r.Metric && o.Preference == r.Preference &&
		o.Weight == r.Weight && o.Type == r.Type && o.Recursive == r.Recursive &&
		o.ViaDefault == r.ViaDefault && o.Expires == r.Expires && o.Router == r.Router &&
		o.Interface == r.Interface && o.Origin == r.Origin && o.VRF == r.VRF && slices.Equal(o.Tags, r.Tags)
}

// at is the route of this body for a destination.
func (b *body) at(p place) eventlog.RouteAnnounced {
	r := b.route
	r.Destination = p.prefix()
	return r
}

// usable: it can forward in the default VRF, the only one that is compiled.
func (b *body) usable() bool {
	return b.route.Metric != eventlog.MetricUnusable && b.route.VRF == ""
}

// forwarding is the routes of the bodies that can forward.
func forwarding(bodies []*body) []*eventlog.RouteAnnounced {
	routes := make([]*eventlog.RouteAnnounced, 0, len(bodies))
	for _, b := range bodies {
		if b.usable() {
			routes = append(routes, &b.route)
		}
	}
	return routes
}

// compareRoutes is the canonical order of the candidates of a destination:
// VRF, router, type, next hop, interface, origin.
func compareRoutes(a, b *eventlog.RouteID) int {
	return cmp.Or(
		strings.Compare(a.VRF, b.VRF),
		strings.Compare(string(a.Router), string(b.Router)),
		cmp.Compare(a.Type, b.Type),
		a.NextHop.Compare(b.NextHop),
		strings.Compare(a.Interface, b.Interface),
		strings.Compare(a.Origin, b.Origin),
	)
}
