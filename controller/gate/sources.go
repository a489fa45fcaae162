package gate

import (
	"net/netip"
	"time"
)

// sourcesKept bounds the sources that are told apart, of which none takes more
// than some hundred bytes.
const sourcesKept = 4096

// Sources bounds what is spent on callers whom nobody knows, by where they come
// from: an IPv4 address, or an IPv6 network of 64 bits, which is what one
// machine is given. nil bounds nothing. Safe for concurrent use.
//
// Loopback is never bounded: a proxy, a launcher and probes come from there, in
// the name of many. What else does so is exempt.
type Sources struct {
	rates  *Rates[netip.Prefix]
	exempt []netip.Prefix
}

// NewSources lets each source be refused perSecond times, and five times that at
// once, before it is turned away unheard; nil where perSecond is 0.
func NewSources(perSecond float64, exempt []netip.Prefix) *Sources {
	if perSecond <= 0 {
		return nil
	}
	return &Sources{NewRates[netip.Prefix](perSecond, int(5*perSecond), sourcesKept), exempt}
}

// Refuse counts a refusal of a caller from remote, host:port; false: that
// source has had too many. Cost: a lock and a lookup.
func (s *Sources) Refuse(remote string, now time.Time) bool {
	from := s.of(remote)
	return !from.IsValid() || s.rates.Take(from, now)
}

// Spent reports whether Refuse would be false.
func (s *Sources) Spent(remote string, now time.Time) bool {
	from := s.of(remote)
	return from.IsValid() && s.rates.Spent(from, now)
}

// of is the source of a remote address; invalid: it is not bounded.
func (s *Sources) of(remote string) netip.Prefix {
	if s == nil {
		return netip.Prefix{}
	}
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{} // no network: a pipe, a socket of this machine
	}
	a := at.Addr().Unmap().WithZone("")
	if a.IsLoopback() {
		return netip.Prefix{}
	}
	for _, p := range s.exempt {
		if p.Contains(a) {
			return netip.Prefix{}
		}
	}
	bits := 32
	if a.Is6() {
		bits = 64
	}
	from, _ := a.Prefix(bits) // bits fit
	return from
}
