package projector

import (
	"net/netip"

	"dvr/eventlog"
)

// class is what all prefixes with the same identity of origins share.
// Immutable; one object per id within a fold.
type class struct {
	id        ClassID
	words     words
	slot      uint32
	recursive bool   // some path is
	paths     []path // distinct, in the order of their records
}

// path is a record of a class (decision 3).
type path struct {
	router     eventlog.RouterID
	preference uint8
	metric     uint32 // above the lowest of the set
	typ        eventlog.RouteType
	nextHop    netip.Addr
	iface      string
	weight     uint16
	recursive  bool
	viaDefault bool
}

func pathOf(r *eventlog.RouteAnnounced, base uint32) path {
	return path{
		router: r.Router, preference: r.Preference, metric: r.Metric - base, typ: r.Type, nextHop: r.NextHop,
		iface: r.Interface, weight: r.Weight, recursive: r.Recursive, viaDefault: r.ViaDefault,
	}
}
