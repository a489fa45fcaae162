package projector

import (
	"iter"
	"net/netip"
	"slices"
	"sync/atomic"

	"dvr/eventlog"
	"dvr/projector/internal/spf"
)

// NextHop is one member of a group.
type NextHop struct {
	Type      eventlog.RouteType
	Address   netip.Addr
	Interface string
	Weight    uint16
	Via       eventlog.RouterID // neighbouring router; "" for an own next hop
}

// Decision is what a router does with a prefix.
type Decision struct {
	Prefix     netip.Prefix
	Class      ClassID
	Preference uint8
	Metric     uint64
	NextHops   []NextHop           // sorted as in the group item
	Origins    []eventlog.RouterID // sorted; the router itself for its own and `*` routes
	Revision   eventlog.Revision
}

// offer is a path as a router sees it: where it starts and what it costs.
type offer struct {
	path       int               // index in the class
	at         int32             // number of another router that it starts at
	origin     eventlog.RouterID // the router that has it as its own, or `*`
	preference uint8
	metric     uint64 // above the set's lowest
}

func (o offer) better(p offer) bool {
	return o.preference < p.preference || o.preference == p.preference && o.metric < p.metric
}

func (o offer) equal(p offer) bool { return o.preference == p.preference && o.metric == p.metric }

// choice is what a router does with a class.
type choice struct {
	offers   []offer // the equally good ones
	nextHops []NextHop
}

// view is how one router sees a state. Not safe for concurrent use.
type view struct {
	state  *State
	router eventlog.RouterID
	topo   *topology
	paths  rooted      // to the other routers, once asked for
	local  bool        // what other routers have is left out
	table  *resolution // while one is being computed: its result so far
	offers []offer
	groups [2][][]NextHop // of classes that are one other router's: by family and set of first hops
	gaps   map[int32]gap  // once asked for
}

func (s *State) view(router eventlog.RouterID) *view {
	return &view{state: s, router: router, topo: s.topology.get()}
}

// tree is the router's; nil: it has no usable link.
func (v *view) tree() *spf.Tree {
	if v.paths.at == nil {
		v.paths = v.topo.tree(v.topo.find(v.router), rooted{})
	}
	return v.paths.tree
}

// distance to another router by name.
func (v *view) distance(to eventlog.RouterID) uint64 {
	var guess atomic.Int32
	_, d := v.locate(to, &guess)
	return d
}

// locate is the number of another router and the distance to it.
func (v *view) locate(to eventlog.RouterID, guess *atomic.Int32) (int32, uint64) {
	t := v.tree()
	if t == nil {
		return -1, unreachable
	}
	x := guess.Load()
	if int(x) >= len(v.topo.ids) || v.topo.ids[x] != to {
		var ok bool
		if x, ok = v.topo.names.find(to); !ok {
			return -1, unreachable
		}
		guess.Store(x)
	}
	return x, t.Distance(int(x))
}

// choose is the router's choice for a class; false: nothing usable.
func (v *view) choose(c *class) (choice, bool) {
	best := v.best(c)
	if len(best) == 0 {
		return choice{}, false
	}
	hops := v.nextHops(c, best)
	if len(hops) == 0 {
		return choice{}, false
	}
	return choice{offers: best, nextHops: hops}, true
}

// best is the equally good offers, in the order of the class's paths. The slice is reused.
func (v *view) best(c *class) []offer {
	v.offers = v.offers[:0]
	for o := range v.all(c) {
		if len(v.offers) > 0 && o.better(v.offers[0]) {
			v.offers = v.offers[:0]
		}
		if len(v.offers) == 0 || o.equal(v.offers[0]) {
			v.offers = append(v.offers, o)
		}
	}
	return v.offers
}

// all is every usable offer of a class at the router. `*` routes are local
// everywhere and are not learnt over links.
func (v *view) all(c *class) iter.Seq[offer] {
	return func(yield func(offer) bool) {
		for i := range c.paths {
			p := &c.paths[i]
			o := offer{path: i, origin: p.router, preference: p.preference, metric: uint64(p.metric)}
			if v.remote(p) {
				if v.local {
					continue
				}
				at, d := v.locate(p.router, &c.numbers[i])
				if d == unreachable {
					continue
				}
				o.at, o.metric = at, o.metric+d
			}
			if p.recursive {
				r, ok := v.resolution(p).paths[pathKey{c, i}]
				if !ok {
					continue
				}
				o.metric += r.metric
			}
			if !yield(o) {
				return
			}
		}
	}
}

// remote: the path is another router's.
func (v *view) remote(p *path) bool { return p.router != v.router && p.router != eventlog.AllRouters }

// resolution is where a recursive path's outcome is found.
func (v *view) resolution(p *path) *resolution {
	switch {
	case v.local:
		return v.table
	case p.router != eventlog.AllRouters:
		return v.state.localResolution(p.router)
	case v.table != nil:
		return v.table
	}
	return v.state.wholeResolution(v.router)
}

// nextHops is the group of the equally good offers.
func (v *view) nextHops(c *class, best []offer) []NextHop {
	var over []uint32 // links of this router that some offer uses
	if len(best) == 1 && v.remote(&c.paths[best[0].path]) {
		return v.shared(v.tree().First(int(best[0].at)), c.prefersIPv6())
	}
	var hops []NextHop
	for _, o := range best {
		p := &c.paths[o.path]
		if !v.remote(p) {
			if p.recursive {
				hops = append(hops, v.resolution(p).paths[pathKey{c, o.path}].hops...)
			} else {
				hops = append(hops, NextHop{Type: p.typ, Address: p.nextHop, Interface: p.iface, Weight: p.weight})
			}
			continue
		}
		t := v.tree()
		over = append(over, t.Hops(t.First(int(o.at)))...)
	}
	slices.Sort(over)
	return canonicalGroup(v.through(hops, slices.Compact(over), c.prefersIPv6()))
}

// through appends the next hops over links of this router, which ascend.
func (v *view) through(hops []NextHop, over []uint32, v6 bool) []NextHop {
	if len(over) == 0 {
		return hops
	}
	self := v.topo.find(v.router)
	arcs := v.topo.graph.Arcs[self]
	for i := range arcs {
		if _, ok := slices.BinarySearch(over, arcs[i].Hop); ok {
			e := &v.topo.ends[self][i]
			hops = append(hops, NextHop{
				Type: eventlog.Unicast, Address: e.address(v6), Interface: e.iface, Weight: 1, Via: v.topo.ids[arcs[i].To],
			})
		}
	}
	return hops
}

// shared is the group over a set of first hops, one for all classes that use it.
func (v *view) shared(first uint32, v6 bool) []NextHop {
	groups := &v.groups[0]
	if v6 {
		groups = &v.groups[1]
	}
	g := grow(groups, first)
	if *g == nil {
		*g = canonicalGroup(v.through(nil, v.tree().Hops(first), v6))
	}
	return *g
}

// prefersIPv6 is the family that a neighbour is addressed in: that of the
// class's own next hops. A class has no family of its own; without next hops it
// is IPv6, over which Linux forwards both.
func (c *class) prefersIPv6() bool {
	for i := range c.paths {
		if a := c.paths[i].nextHop; a.IsValid() {
			return a.Is6()
		}
	}
	return true
}

// decide is the router's decision about an entry.
func (v *view) decide(p place, e *entry) (Decision, bool) {
	if e.set.class == nil {
		return Decision{}, false
	}
	ch, ok := v.choose(e.set.class)
	if !ok {
		return Decision{}, false
	}
	d := Decision{
		Prefix: p.prefix(), Class: e.set.class.id, Preference: ch.offers[0].preference,
		Metric: ch.offers[0].metric + uint64(e.set.base), NextHops: ch.nextHops, Revision: e.rev,
	}
	for _, o := range ch.offers {
		if o.origin == eventlog.AllRouters {
			o.origin = v.router
		}
		d.Origins = append(d.Origins, o.origin)
	}
	slices.Sort(d.Origins)
	d.Origins = slices.Compact(d.Origins)
	return d, true
}

// Vector iterates over router's distance vector in prefix order, after the
// cursor. Only usable prefixes are in it. The decisions of a class share NextHops.
func (s *State) Vector(router eventlog.RouterID, after netip.Prefix) iter.Seq[Decision] {
	return func(yield func(Decision) bool) {
		v := s.view(router)
		type known struct {
			d  Decision
			ok bool
		}
		memo := map[*class]known{}
		for p, e := range s.entries(netip.Prefix{}, after) {
			c := e.set.class
			if c == nil {
				continue
			}
			k, met := memo[c]
			if !met {
				k.d, k.ok = v.decide(p, e)
				k.d.Metric -= uint64(e.set.base)
				memo[c] = k
			}
			if !k.ok {
				continue
			}
			d := k.d
			d.Prefix, d.Revision = p.prefix(), e.rev
			d.Metric += uint64(e.set.base)
			if !yield(d) {
				return
			}
		}
	}
}
