package reference

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"

	"dvr/eventlog"
)

// State is what the events said.
type State struct {
	Routes   map[eventlog.RouteID]eventlog.RouteAnnounced
	Routers  map[eventlog.RouterID]eventlog.RouterSet
	Links    map[eventlog.LinkID]eventlog.LinkSet
	Observed map[eventlog.LinkID]map[eventlog.RouterID]eventlog.ObservedState
	Keys     map[string]string
}

// New is the state of an empty log.
func New() *State {
	return &State{
		Routes:   map[eventlog.RouteID]eventlog.RouteAnnounced{},
		Routers:  map[eventlog.RouterID]eventlog.RouterSet{},
		Links:    map[eventlog.LinkID]eventlog.LinkSet{},
		Observed: map[eventlog.LinkID]map[eventlog.RouterID]eventlog.ObservedState{},
		Keys:     map[string]string{},
	}
}

// Apply folds events in order; kinds that do not forward are ignored.
func (s *State) Apply(events ...eventlog.Event) {
	for _, e := range events {
		switch e := e.(type) {
		case *eventlog.RouteAnnounced:
			s.Routes[e.RouteID] = *e
		case *eventlog.RouteWithdrawn:
			delete(s.Routes, e.RouteID)
		case *eventlog.RouterSet:
			s.Routers[e.Router] = *e
		case *eventlog.RouterRemoved:
			delete(s.Routers, e.Router)
			for _, seen := range s.Observed {
				delete(seen, e.Router)
			}
		case *eventlog.LinkSet:
			s.Links[e.LinkID] = *e
		case *eventlog.LinkRemoved:
			delete(s.Links, e.LinkID)
			delete(s.Observed, e.LinkID)
		case *eventlog.LinkObserved:
			if s.Observed[e.LinkID] == nil {
				s.Observed[e.LinkID] = map[eventlog.RouterID]eventlog.ObservedState{}
			}
			s.Observed[e.LinkID][e.Router] = e.State
		case *eventlog.KeyPut:
			s.Keys[e.Key] = e.Value
		case *eventlog.KeyDeleted:
			delete(s.Keys, e.Key)
		}
	}
}

// Known lists the routers that are declared or named by a route or link, sorted.
func (s *State) Known() []eventlog.RouterID {
	known := map[eventlog.RouterID]bool{}
	for r := range s.Routers {
		known[r] = true
	}
	for l := range s.Links {
		known[l.A], known[l.B] = true, true
	}
	for id := range s.Routes {
		if id.Router != eventlog.AllRouters {
			known[id.Router] = true
		}
	}
	return slices.Sorted(maps.Keys(known))
}

// record is the bytes of a candidate in its class; lowest is the set's lowest metric.
func record(r eventlog.RouteAnnounced, lowest uint32) []byte {
	var b bytes.Buffer
	text := func(s string) { b.WriteByte(byte(len(s))); b.WriteString(s) }
	text(string(r.Router))
	text(r.VRF)
	b.WriteByte(r.Preference)
	binary.Write(&b, binary.BigEndian, r.Metric-lowest)
	b.WriteByte(byte(r.Type))
	b.Write(address(r.NextHop))
	text(r.Interface)
	binary.Write(&b, binary.BigEndian, r.Weight)
	flags := byte(0)
	if r.Recursive {
		flags = 1
	}
	if r.ViaDefault {
		flags += 2
	}
	b.WriteByte(flags)
	return b.Bytes()
}

// address is the family byte and 16 bytes.
func address(a netip.Addr) []byte {
	b := make([]byte, 17)
	if a.IsValid() {
		b[0] = 6
		if a.Is4() {
			b[0] = 4
		}
		copy(b[1:], a.AsSlice())
	}
	return b
}

// set is the usable candidates of a destination, equal records once, and its class.
type set struct {
	class      ClassID
	candidates []eventlog.RouteAnnounced
}

// sets is every destination that has a class.
func (s *State) sets() map[netip.Prefix]set {
	all := map[netip.Prefix][]eventlog.RouteAnnounced{}
	for id, r := range s.Routes {
		if r.Metric != eventlog.MetricUnusable {
			all[id.Destination] = append(all[id.Destination], r)
		}
	}
	out := map[netip.Prefix]set{}
	for p, candidates := range all {
		lowest := slices.MinFunc(candidates, func(a, b eventlog.RouteAnnounced) int { return cmp.Compare(a.Metric, b.Metric) }).Metric
		byRecord := map[string]eventlog.RouteAnnounced{}
		for _, c := range candidates {
			byRecord[string(record(c, lowest))] = c
		}
		var d set
		text := "dvr class 1\n"
		for _, rec := range slices.Sorted(maps.Keys(byRecord)) {
			text += rec
			d.candidates = append(d.candidates, byRecord[rec])
		}
		sum := sha256.Sum256([]byte(text))
		d.class = ClassID(sum[:16])
		out[p] = d
	}
	return out
}

// ClassOf is the class id of a destination; false: it has none.
func (s *State) ClassOf(p netip.Prefix) (ClassID, bool) {
	d, ok := s.sets()[p]
	return d.class, ok
}
