package spf

import "math"

// Unreachable is the distance to a router that no path leads to.
const Unreachable = math.MaxUint64

// Blocked is the cost of a link in a direction in which nothing can be sent.
const Blocked = math.MaxUint32

// further is the distance beyond an arc of that cost; from is not Unreachable.
func further(from uint64, cost uint32) uint64 {
	if cost == Blocked {
		return Unreachable
	}
	return from + uint64(cost)
}

// Arc is a link as one of its ends sees it. Costs are at least 1: a router
// that is nearer is settled before.
type Arc struct {
	To   int32
	Cost uint32 // towards To
	Back uint32 // from To
	// Hop identifies this end of the link and how its neighbour is addressed,
	// Hop^1 the other end. It is another number when any of that changes, and
	// none comes back with another meaning while trees of the graph live.
	Hop uint32
}

// Transit says what a router does for others.
type Transit uint8

const (
	Open   Transit = iota
	Stub           // nothing passes through; it can be reached
	Closed         // nothing passes through, and it cannot be reached
)

// Graph is the routers 0…n−1. Arcs come in pairs: each link is in the list of
// both its ends. A Graph does not change while a tree of it is computed.
type Graph struct {
	Arcs    [][]Arc
	Transit []Transit
}

// carries: paths from source may pass over an arc that leads from router from.
func (g *Graph) carries(source, from int32) bool {
	return from == source || g.Transit[from] == Open
}

// admits: paths from source may end at, or pass, router to.
func (g *Graph) admits(source, to int32) bool {
	return to != source && g.Transit[to] != Closed
}
