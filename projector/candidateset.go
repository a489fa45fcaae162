package projector

import (
	"crypto/sha256"

	"dvr/eventlog"
)

// candidateSet is the candidates of a destination, interned. Immutable.
type candidateSet struct {
	bodies []*body // in canonical order, identities distinct, never empty
	class  *class  // nil: nothing usable
	base   uint32  // lowest metric of the usable candidates
	slot   uint32  // index of the writer's record
}

// find is the place of the candidate with r's identity, or where it belongs.
func (s *candidateSet) find(r *eventlog.RouteID) (int, bool) {
	for i, b := range s.bodies {
		if c := compareRoutes(&b.route.RouteID, r); c >= 0 {
			return i, c == 0
		}
	}
	return len(s.bodies), false
}

// setID identifies a set by its bodies.
func setID(scratch []byte, bodies []*body) (id [16]byte, grown []byte) {
	scratch = scratch[:0]
	for _, b := range bodies {
		scratch = append(scratch, b.id[:]...)
	}
	sum := sha256.Sum256(scratch)
	return [16]byte(sum[:16]), scratch
}
