package eventlog

import (
	"fmt"
	"net/netip"
	"slices"
)

// rules collects the first broken rule of an event, so that a Validate reads
// as the list of its members.
type rules struct{ err *FieldError }

func (r *rules) check(field, reason string) {
	if reason != "" && r.err == nil {
		r.err = &FieldError{Field: field, Reason: reason}
	}
}

func (r *rules) refuse(bad bool, field, reason string) {
	if bad {
		r.check(field, reason)
	}
}

// done avoids the non-nil interface around a nil *FieldError.
func (r *rules) done() error {
	if r.err == nil {
		return nil
	}
	return r.err
}

// Validate checks the route's identity and attributes.
func (e *RouteAnnounced) Validate() error {
	var r rules
	e.RouteID.check(&r, true)
	e.checkAttributes(&r)
	return r.done()
}

// validateBody is Validate for a route without its destination.
func (e *RouteAnnounced) validateBody() error {
	var r rules
	e.RouteID.check(&r, false)
	e.checkAttributes(&r)
	return r.done()
}

func (e *RouteAnnounced) checkAttributes(r *rules) {
	if e.Weight < 1 || e.Weight > MaxWeight {
		r.check("weight", wholeReason(1, MaxWeight))
	}
	if e.Recursive {
		r.refuse(!e.NextHop.IsValid(), "recursive", "needs a next_hop to resolve")
		r.refuse(e.Interface != "", "interface", "must be absent from a recursive route: the route that resolves it has one")
	}
	if e.ViaDefault && !e.Recursive {
		r.check("via_default", "needs recursive")
	}
	if len(e.Tags) > 0 {
		r.check("tags", tagsReason(e.Tags))
	}
	if e.Expires != 0 {
		r.check("expires", timeReason(e.Expires))
	}
}

// Validate checks the route's identity.
func (e *RouteWithdrawn) Validate() error {
	var r rules
	e.RouteID.check(&r, true)
	return r.done()
}

func (id *RouteID) check(r *rules, destination bool) {
	if id.VRF != "" {
		r.check("vrf", nameReason(id.VRF))
	}
	if id.Router != AllRouters {
		r.check("router", routerReason(id.Router))
	}
	if destination {
		r.check("destination", prefixReason(id.Destination))
	}
	switch {
	case int(id.Type) >= len(routeTypes):
		r.check("type", reasonRouteType)
	case id.Type != Unicast:
		r.refuse(id.NextHop.IsValid(), "next_hop", "must be absent from a route of type "+id.Type.String())
		r.refuse(id.Interface != "", "interface", "must be absent from a route of type "+id.Type.String())
	case id.NextHop.IsValid():
		r.check("next_hop", nextHopReason(id.NextHop))
		r.refuse(id.Interface == "" && id.NextHop.IsLinkLocalUnicast(), "next_hop", "is link-local and needs the interface it is on")
		r.refuse(destination && id.NextHop.Is4() && !id.Destination.Addr().Is4(), "next_hop",
			"is IPv4, the destination IPv6: an IPv6 packet cannot be sent to it")
	case id.Interface == "":
		r.check("next_hop", "is missing: a unicast route needs a next_hop or an interface")
	}
	if id.Interface != "" {
		r.check("interface", interfaceReason(id.Interface))
	}
	if id.Origin != DefaultOrigin {
		r.check("origin", nameReason(id.Origin))
	}
}

// Validate checks the declaration of a router.
func (e *RouterSet) Validate() error {
	var r rules
	r.check("router", routerReason(e.Router))
	r.check("description", textReason(e.Description, MaxDescription))
	r.check("tags", tagsReason(e.Tags))
	r.refuse(e.Drained != DrainNone && e.Drained != DrainSoft && e.Drained != DrainHard, "drained", "must be soft or hard, or absent")
	checkProbes(&r, e.Probes)
	return r.done()
}

func checkProbes(r *rules, list []Probe) {
	if len(list) > MaxProbes {
		r.check("probes", tooMany(MaxProbes))
	}
	for i, p := range list {
		at := fmt.Sprintf("probes[%d]", i)
		if p.NextHop.IsValid() {
			r.check(at+".next_hop", nextHopReason(p.NextHop))
		}
		r.check(at+".interface", optionalInterfaceReason(p.Interface))
		if p.Interval < MinProbeInterval || p.Interval > MaxProbeInterval {
			r.check(at+".interval_ms", wholeReason(MinProbeInterval, MaxProbeInterval))
		}
		if i == 0 {
			continue
		}
		order := CompareProbes(list[i-1], p)
		r.refuse(order == 0, "probes", "names the same next hops twice: "+probed(p))
		r.refuse(order > 0, "probes", "must be sorted by next hop, then by interface")
	}
}

// probed is what a probe is for, as a reader names it.
func probed(p Probe) string {
	switch {
	case p.NextHop.IsValid() && p.Interface != "":
		return p.NextHop.String() + " on " + p.Interface
	case p.NextHop.IsValid():
		return p.NextHop.String()
	case p.Interface != "":
		return "those on " + p.Interface
	}
	return "those without next_hop and interface"
}

// Validate checks the router's id.
func (e *RouterRemoved) Validate() error {
	var r rules
	r.check("router", routerReason(e.Router))
	return r.done()
}

func (l *LinkID) check(r *rules) {
	r.check("a", routerReason(l.A))
	r.check("b", routerReason(l.B))
	r.refuse(l.A == l.B, "b", "must be another router than a")
	r.refuse(l.A > l.B, "b", "must sort after a: name the ends of the link in order")
	r.check("name", optionalNameReason(l.Name))
}

// Validate checks the link's identity and attributes.
func (e *LinkSet) Validate() error {
	var r rules
	e.LinkID.check(&r)
	r.check("cost_ab", costReason(e.CostAB))
	r.check("cost_ba", costReason(e.CostBA))
	r.check("address_a", linkAddrReason(e.AddressA))
	r.check("address_b", linkAddrReason(e.AddressB))
	r.check("interface_a", optionalInterfaceReason(e.InterfaceA))
	r.check("interface_b", optionalInterfaceReason(e.InterfaceB))
	for _, a := range e.AddressA {
		r.refuse(slices.Contains(e.AddressB, a) && !a.IsLinkLocalUnicast(), "address_b", "is also the address of the other side")
	}
	r.check("tags", tagsReason(e.Tags))
	return r.done()
}

func costReason(c uint32) string {
	if c < 1 || c > MaxLinkCost {
		return wholeReason(1, MaxLinkCost)
	}
	return ""
}

func linkAddrReason(list []netip.Addr) string {
	for _, a := range list {
		if r := nextHopReason(a); r != "" {
			return "holds an address that " + r
		}
	}
	switch {
	case len(list) > 2 || len(list) == 2 && list[0].Is4() == list[1].Is4():
		return "may hold one IPv4 and one IPv6 address at most"
	case len(list) == 2 && !list[0].Is4():
		return "must hold the IPv4 address before the IPv6 one"
	}
	return ""
}

// Validate checks the link's identity.
func (e *LinkRemoved) Validate() error {
	var r rules
	e.LinkID.check(&r)
	return r.done()
}

// Validate checks the link's identity, the observer and the state.
func (e *LinkObserved) Validate() error {
	var r rules
	e.LinkID.check(&r)
	r.refuse(e.Router != e.A && e.Router != e.B, "router", "must be one of the link's ends")
	r.check("state", stateReason(e.State))
	return r.done()
}

// Validate checks the next hop and the state.
func (e *NextHopObserved) Validate() error {
	var r rules
	r.check("vrf", optionalNameReason(e.VRF))
	r.check("router", routerReason(e.Router))
	r.check("next_hop", nextHopReason(e.NextHop))
	r.refuse(e.Interface == "" && e.NextHop.IsLinkLocalUnicast(), "next_hop", "is link-local and needs the interface it is on")
	r.check("interface", optionalInterfaceReason(e.Interface))
	r.check("state", stateReason(e.State))
	return r.done()
}

func stateReason(s ObservedState) string {
	if s != ObservedUp && s != ObservedDown && s != ObservedUnknown {
		return "must be up, down or unknown"
	}
	return ""
}

// Validate checks key and value.
func (e *KeyPut) Validate() error {
	var r rules
	r.check("key", keyReason(e.Key))
	r.check("value", textReason(e.Value, MaxValue))
	return r.done()
}

// Validate checks the key.
func (e *KeyDeleted) Validate() error {
	var r rules
	r.check("key", keyReason(e.Key))
	return r.done()
}
