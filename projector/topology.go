package projector

import (
	"math"
	"net/netip"
	"sync"
	"sync/atomic"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// topologyCell is a topology that is derived when first asked for. States
// between which no router or link changed share one, so two cells are the
// same topology when they are the same cell.
type topologyCell struct {
	once  sync.Once
	items pmap.View[pmap.String, *item] // let go when built
	built *topology
}

func (c *topologyCell) get() *topology {
	c.once.Do(func() {
		c.built = newTopology(c.items)
		c.items = pmap.View[pmap.String, *item]{}
	})
	return c.built
}

// topology is the routers that have usable links or are drained, and what
// connects them. Immutable but for the distances, which are computed when
// first asked for.
type topology struct {
	ids     []eventlog.RouterID
	index   map[eventlog.RouterID]int
	drained []eventlog.Drain
	hops    [][]hop                    // by router, in the order of the links
	toward  []atomic.Pointer[[]uint64] // by destination router: distance of every router
}

// hop is a link that is up, as its router sees it.
type hop struct {
	to    int
	cost  uint64
	iface string        // local
	addrs [2]netip.Addr // the neighbour's: IPv4, IPv6
}

// address of the neighbour, of the preferred family where there is one.
func (h *hop) address(v6 bool) netip.Addr {
	a, b := h.addrs[0], h.addrs[1]
	if v6 {
		a, b = b, a
	}
	if a.IsValid() {
		return a
	}
	return b
}

const unreachable = math.MaxUint64

func newTopology(items pmap.View[pmap.String, *item]) *topology {
	t := &topology{index: map[eventlog.RouterID]int{}}
	for _, it := range itemsOf(items, pmap.String(rune(itemRouter))) {
		if r := it.event.(*eventlog.RouterSet); r.Drained != eventlog.DrainNone {
			t.drained[t.add(r.Router)] = r.Drained
		}
	}
	for _, it := range itemsOf(items, pmap.String(rune(itemLink))) {
		l := it.event.(*eventlog.LinkSet)
		if l.Down || seenDown(items, &l.LinkID) {
			continue
		}
		a, b := t.add(l.A), t.add(l.B)
		t.hops[a] = append(t.hops[a], hop{b, uint64(l.CostAB), l.InterfaceA, byFamily(l.AddressB)})
		t.hops[b] = append(t.hops[b], hop{a, uint64(l.CostBA), l.InterfaceB, byFamily(l.AddressA)})
	}
	t.toward = make([]atomic.Pointer[[]uint64], len(t.ids))
	return t
}

func (t *topology) add(id eventlog.RouterID) int {
	i, ok := t.index[id]
	if !ok {
		i = len(t.ids)
		t.index[id] = i
		t.ids = append(t.ids, id)
		t.drained = append(t.drained, eventlog.DrainNone)
		t.hops = append(t.hops, nil)
	}
	return i
}

func seenDown(items pmap.View[pmap.String, *item], l *eventlog.LinkID) bool {
	for _, it := range itemsOf(items, linkKey(itemLinkSeen, l, "")) {
		if it.event.(*eventlog.LinkObserved).State == eventlog.ObservedDown {
			return true
		}
	}
	return false
}

func byFamily(list []netip.Addr) (out [2]netip.Addr) {
	for _, a := range list {
		if a.Is4() {
			out[0] = a
		} else {
			out[1] = a
		}
	}
	return out
}

// find is the index of a router; −1: it has no usable link and is not drained.
func (t *topology) find(id eventlog.RouterID) int {
	if i, ok := t.index[id]; ok {
		return i
	}
	return -1
}

// distances is how far every router is from router x, on paths whose routers
// between the ends are not drained and whose end is not drained hard. It is
// Bellman-Ford: each router's distance is its neighbours' least plus the
// link's cost, until nothing changes. Costs are positive, so it ends.
func (t *topology) distances(x int) []uint64 {
	if d := t.toward[x].Load(); d != nil {
		return *d
	}
	d := make([]uint64, len(t.ids))
	for i := range d {
		d[i] = unreachable
	}
	d[x] = 0
	for changed := true; changed; {
		changed = false
		for r, hops := range t.hops {
			if r == x {
				continue
			}
			for i := range hops {
				if n := t.through(x, &hops[i], d); n < d[r] {
					d[r] = n
					changed = true
				}
			}
		}
	}
	t.toward[x].Store(&d)
	return d
}

// through is the distance to x over a link, given the distances d.
func (t *topology) through(x int, h *hop, d []uint64) uint64 {
	if d[h.to] == unreachable || t.drained[h.to] == eventlog.DrainHard ||
		t.drained[h.to] == eventlog.DrainSoft && h.to != x {
		return unreachable
	}
	return d[h.to] + h.cost
}

// distance between two routers by name.
func (t *topology) distance(from, to eventlog.RouterID) uint64 {
	if from == to {
		return 0
	}
	r, x := t.find(from), t.find(to)
	if r < 0 || x < 0 {
		return unreachable
	}
	return t.distances(x)[r]
}
