package projector

import (
	"iter"
	"net/netip"
	"slices"

	"dvr/eventlog"
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
	self   int         // in topo; −1: no links
	local  bool        // what other routers have is left out
	table  *resolution // while one is being computed: its result so far
	offers []offer
}

func (s *State) view(router eventlog.RouterID) *view {
	t := s.topology.get()
	return &view{state: s, router: router, topo: t, self: t.find(router)}
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
				d := v.topo.distance(v.router, p.router)
				if d == unreachable {
					continue
				}
				o.metric += d
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
	var hops []NextHop
	var over map[int]bool // links of this router that some offer uses
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
		x := v.topo.find(o.origin)
		d := v.topo.distances(x)
		for i := range v.topo.hops[v.self] {
			if v.topo.through(x, &v.topo.hops[v.self][i], d) == d[v.self] && !over[i] {
				if over == nil {
					over = map[int]bool{}
				}
				over[i] = true
			}
		}
	}
	if len(over) > 0 {
		v6 := c.prefersIPv6()
		for i := range v.topo.hops[v.self] {
			if over[i] {
				h := &v.topo.hops[v.self][i]
				hops = append(hops, NextHop{
					Type: eventlog.Unicast, Address: h.address(v6), Interface: h.iface, Weight: 1, Via: v.topo.ids[h.to],
				})
			}
		}
	}
	return canonicalGroup(hops)
}

// prefersIPv6 is the family that a neighbour is addressed in: that of the
// class's own next hops. A class has no family of its own.
func (c *class) prefersIPv6() bool {
	for i := range c.paths {
		if a := c.paths[i].nextHop; a.IsValid() {
			return a.Is6()
		}
	}
	return false
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
