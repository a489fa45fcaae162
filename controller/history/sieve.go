package history

import (
	"bytes"
	"net/netip"
)

// Sieve holds destinations that are looked for, as the log writes them, so that a
// search passes over the routes to all others without decoding them. The zero
// value holds none. Not safe for concurrent use.
type Sieve struct{ texts map[string]struct{} }

// Add adds a destination.
func (s *Sieve) Add(p netip.Prefix) {
	if s.texts == nil {
		s.texts = map[string]struct{}{}
	}
	s.texts[p.String()] = struct{}{}
}

// addCovering adds all destinations that contain an address.
func (s *Sieve) addCovering(a netip.Addr) {
	for bits := range a.BitLen() + 1 {
		p, _ := a.Prefix(bits) // there are so many
		s.Add(p)
	}
}

var (
	routeLine   = []byte(`{"kind":"route.`)
	destination = []byte(`"destination":"`)
)

// Elsewhere says of an event as stored that it is about a route to none of the
// destinations. A line that is not in the writer's form it says nothing of. Cost:
// a pass over the line up to the destination.
func (s *Sieve) Elsewhere(line []byte) bool {
	if !bytes.HasPrefix(line, routeLine) {
		return false
	}
	// Quotes within strings are escaped, so this is found as a member only.
	i := bytes.Index(line[len(routeLine):], destination)
	if i < 0 {
		return false
	}
	text := line[len(routeLine)+i+len(destination):]
	n := bytes.IndexByte(text, '"')
	if n < 0 {
		return false
	}
	_, wanted := s.texts[string(text[:n])]
	return !wanted
}
