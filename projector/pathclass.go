package projector

import (
	"bytes"
	"iter"
	"net/netip"
	"strings"
	"sync/atomic"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// class is what all prefixes with the same identity of origins share.
// Immutable; one object per id within a fold.
type class struct {
	id        ClassID
	words     words
	slot      uint32
	recursive bool   // some path is
	paths     []path // distinct, in the order of their records
	// numbers guesses the number of each path's router in a topology: it is
	// looked at there whether it is right.
	numbers []atomic.Int32
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

// originKey orders the classes by the routers that their paths are of.
type originKey struct {
	router eventlog.RouterID
	class  ClassID
}

// Compare orders by router, then class.
func (k originKey) Compare(o originKey) int {
	if c := strings.Compare(string(k.router), string(o.router)); c != 0 {
		return c
	}
	return bytes.Compare(k.class[:], o.class[:])
}

// Search counts the smaller keys.
func (k originKey) Search(keys []originKey) int { return pmap.SearchFunc(k, keys) }

// originate enters a class under the routers that have a path of it, or takes
// it out. A link event finds there what it may change.
func (f *Fold) originate(c *class, enter bool) {
	for i := range c.paths {
		switch r := c.paths[i].router; {
		case r == eventlog.AllRouters:
		case enter:
			f.origins.Set(originKey{r, c.id}, c)
		default:
			f.origins.Delete(originKey{r, c.id})
		}
	}
}

// originating iterates over the classes with a path of r.
func (s *State) originating(r eventlog.RouterID) iter.Seq[*class] {
	return func(yield func(*class) bool) {
		for k, c := range s.origins.From(originKey{router: r}) {
			if k.router != r || !yield(*c) {
				return
			}
		}
	}
}

func pathOf(r *eventlog.RouteAnnounced, base uint32) path {
	return path{
		router: r.Router, preference: r.Preference, metric: r.Metric - base, typ: r.Type, nextHop: r.NextHop,
		iface: r.Interface, weight: r.Weight, recursive: r.Recursive, viaDefault: r.ViaDefault,
	}
}
