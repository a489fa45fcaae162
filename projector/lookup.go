package projector

import (
	"net/netip"

	"dvr/eventlog"
)

// Best is the decision of router for exactly this prefix; false: no usable candidate.
func (s *State) Best(router eventlog.RouterID, p netip.Prefix) (Decision, bool) {
	if !p.IsValid() {
		return Decision{}, false
	}
	at := placeOf(p)
	e := s.entry(at)
	if e == nil {
		return Decision{}, false
	}
	return s.view(router).decide(at, e)
}

// Lookup is the longest match with a usable candidate.
func (s *State) Lookup(router eventlog.RouterID, a netip.Addr) (Decision, bool) {
	if !a.IsValid() {
		return Decision{}, false
	}
	v := s.view(router)
	for p, e := range s.covering(placeOfAddr(a.Unmap().WithZone(""))) {
		if d, ok := v.decide(p, e); ok {
			return d, true
		}
	}
	return Decision{}, false
}
