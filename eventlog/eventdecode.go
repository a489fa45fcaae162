package eventlog

import "bytes"

var kindFirst = []byte(`{"kind":"`)

// kind opens an event's object and returns its kind, wherever it stands. The
// scanner is left at the first member that follows the brace or the kind.
func (d *Decoder) kind(f *frame) string {
	s := &d.s
	if bytes.HasPrefix(s.b[s.i:], kindFirst) {
		s.i += len(kindFirst) - 1
		f.begun, f.kind = true, true
		return kindName(s.text("kind"))
	}
	if !s.open("") {
		return ""
	}
	start := s.i
	var ahead frame
	for {
		key, ok := s.member(&ahead)
		if !ok {
			break
		}
		if string(key) == "kind" {
			kind := kindName(s.text("kind"))
			if s.err == nil {
				s.i = start
			}
			return kind
		}
		s.skip(0)
	}
	s.fail("kind", "is missing")
	return ""
}

// kindName avoids an allocation for the kind of nearly all events.
func kindName(b []byte) string {
	if string(b) == string(KindRouteAnnounced) {
		return string(KindRouteAnnounced)
	}
	return string(b)
}

// event reads one event of any kind and checks its form.
func (d *Decoder) event() Event {
	s := &d.s
	f := frame{event: true}
	kind := d.kind(&f)
	if s.err != nil {
		return nil
	}
	if kind == string(KindRouteAnnounced) {
		r := d.newRoute()
		d.route(&f, r, true)
		if s.err == nil {
			s.check(r.Validate())
		}
		return r
	}
	e := d.rare(Kind(kind), &f)
	if s.err == nil {
		s.check(e.Validate())
	}
	return e
}

// Members of a route, as bits of the frame.
const (
	mVRF = iota
	mRouter
	mDestination
	mType
	mNextHop
	mInterface
	mOrigin
	mMetric
	mPreference
	mWeight
	mRecursive
	mViaDefault
	mTags
	mExpires
)

func (d *Decoder) route(f *frame, r *RouteAnnounced, destination bool) {
	s := &d.s
	r.Router, r.Origin = AllRouters, DefaultOrigin
	r.Preference, r.Weight = DefaultPreference, DefaultWeight
	if f.begun && destination {
		d.expected(f, r)
	}
	for {
		key, ok := s.member(f)
		if !ok {
			break
		}
		if d.routeID(f, key, &r.RouteID, destination) {
			continue
		}
		switch string(key) {
		case "metric":
			s.once(f, mMetric, "metric")
			r.Metric = uint32(s.uint("metric", MetricUnusable))
		case "preference":
			s.once(f, mPreference, "preference")
			r.Preference = uint8(s.uint("preference", 255))
		case "weight":
			s.once(f, mWeight, "weight")
			r.Weight = uint16(s.whole("weight", 1, MaxWeight))
		case "recursive":
			s.once(f, mRecursive, "recursive")
			r.Recursive = s.bool("recursive")
		case "via_default":
			s.once(f, mViaDefault, "via_default")
			r.ViaDefault = s.bool("via_default")
		case "tags":
			s.once(f, mTags, "tags")
			r.Tags = d.tags()
		case "expires":
			s.once(f, mExpires, "expires")
			r.Expires = s.time("expires")
		default:
			s.other(f, key)
		}
	}
	if destination {
		s.require(f, mDestination, "destination")
	}
}

// expected reads the members that most routes have where they stand as the
// canonical form puts them, which spares the search for their names. What
// stands otherwise is left to the general loop.
func (d *Decoder) expected(f *frame, r *RouteAnnounced) {
	s := &d.s
	if s.ahead(f, mRouter, `,"router":"`) {
		r.Router = d.router("router")
	}
	if s.ahead(f, mDestination, `,"destination":"`) {
		r.Destination = d.prefix("destination")
	}
	if s.ahead(f, mNextHop, `,"next_hop":"`) {
		r.NextHop = d.addr("next_hop")
	}
	if s.ahead(f, mMetric, `,"metric":`) {
		r.Metric = uint32(s.uint("metric", MetricUnusable))
	}
}

// routeID reads one member of a route's identity; false: key is none.
func (d *Decoder) routeID(f *frame, key []byte, r *RouteID, destination bool) bool {
	s := &d.s
	switch string(key) {
	case "vrf":
		s.once(f, mVRF, "vrf")
		r.VRF = d.name("vrf")
	case "router":
		s.once(f, mRouter, "router")
		r.Router = d.router("router")
	case "destination":
		if !destination {
			return false
		}
		s.once(f, mDestination, "destination")
		r.Destination = d.prefix("destination")
	case "type":
		s.once(f, mType, "type")
		t, ok := ParseRouteType(d.name("type"))
		if !ok {
			s.fail("type", reasonRouteType)
		}
		r.Type = t
	case "next_hop":
		s.once(f, mNextHop, "next_hop")
		r.NextHop = d.addr("next_hop")
	case "interface":
		s.once(f, mInterface, "interface")
		r.Interface = d.again("interface", &d.lastInterface)
	case "origin":
		s.once(f, mOrigin, "origin")
		r.Origin = d.again("origin", &d.lastOrigin)
	default:
		return false
	}
	return true
}
