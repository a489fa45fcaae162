package observe

import (
	"net/netip"

	"dvr/controller/fibpb"
	"dvr/eventlog"
)

// maxSeen bounds what is kept of a data plane, of each kind.
const maxSeen = 8192

// view is what a router's data plane has told on its stream.
type view struct {
	whole      bool // the state of everything has been told
	interfaces map[string]seen
	hops       map[netip.Addr]map[string]seen // that were told to be down, by interface
	count      int                            // of hops
	wholeAt    uint64
}

// seen is a state since a time, in Unix milliseconds of the data plane.
type seen struct {
	up bool
	at uint64
}

func newView() *view {
	return &view{interfaces: map[string]seen{}, hops: map[netip.Addr]map[string]seen{}}
}

// take folds an observation in; false: it says nothing of links.
func (v *view) take(o *fibpb.Observation) bool {
	switch k := o.GetWhat().(type) {
	case *fibpb.Observation_Link_:
		name := k.Link.GetInterface()
		if _, known := v.interfaces[name]; !known && len(v.interfaces) >= maxSeen {
			return false
		}
		v.interfaces[name] = seen{k.Link.GetUp(), o.GetTimeMs()}
	case *fibpb.Observation_NextHop:
		address, ok := netip.AddrFromSlice(k.NextHop.GetAddress())
		if !ok {
			return false
		}
		iface := k.NextHop.GetInterface()
		if _, known := v.hops[address][iface]; !known {
			if v.count >= maxSeen {
				return false
			}
			v.count++
		}
		if v.hops[address] == nil {
			v.hops[address] = map[string]seen{}
		}
		// One that is up again stays for the time since when it is.
		v.hops[address][iface] = seen{k.NextHop.GetUp(), o.GetTimeMs()}
	case *fibpb.Observation_Whole_:
		v.whole, v.wholeAt = true, o.GetTimeMs()
	default:
		return false
	}
	return true
}

// of is the link's state as its end r sees it, and since when: the interface's, and
// that of the neighbour's addresses. Unknown: nothing was told that the link names,
// or not all of it yet.
func (v *view) of(l *eventlog.LinkSet, r eventlog.RouterID) (eventlog.ObservedState, uint64) {
	iface, neighbour := l.InterfaceA, l.AddressB
	if r == l.B {
		iface, neighbour = l.InterfaceB, l.AddressA
	}
	if iface == "" && len(neighbour) == 0 || len(v.interfaces) == 0 {
		return eventlog.ObservedUnknown, 0
	}
	since := uint64(0)
	if iface != "" {
		i, known := v.interfaces[iface]
		switch {
		case !known:
			return eventlog.ObservedUnknown, 0
		case !i.up:
			return eventlog.ObservedDown, i.at
		}
		since = i.at
	}
	for _, a := range neighbour {
		for on, s := range v.hops[a] {
			if iface != "" && on != iface {
				continue
			}
			if !s.up {
				return eventlog.ObservedDown, s.at
			}
			since = max(since, s.at)
		}
	}
	if !v.whole {
		return eventlog.ObservedUnknown, 0 // what is down may still be told
	}
	if since == 0 {
		since = v.wholeAt
	}
	return eventlog.ObservedUp, since
}
