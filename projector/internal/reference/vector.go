package reference

import (
	"net/netip"
	"slices"

	"dvr/eventlog"
)

// Decision is what a router does with a prefix.
type Decision struct {
	Prefix     netip.Prefix
	Class      ClassID
	Preference uint8
	Metric     uint64
	NextHops   []NextHop           // canonical
	Origins    []eventlog.RouterID // sorted; the router itself for its own and `*` routes
}

// Vector is a router's decision for every prefix that it can reach.
type Vector map[netip.Prefix]Decision

// adjacency is a usable link as one of its ends sees it.
type adjacency struct {
	neighbour eventlog.RouterID
	cost      uint64
	iface     string
	addresses []netip.Addr // the neighbour's
}

// adjacencies lists the usable links of a router.
func (s *State) adjacencies(r eventlog.RouterID) (out []adjacency) {
	for id, l := range s.Links {
		down := l.Down
		for _, state := range s.Observed[id] {
			down = down || state == eventlog.ObservedDown
		}
		// Where neither an address nor an interface is known, nothing can be sent.
		switch {
		case down:
		case l.A == r && (l.InterfaceA != "" || len(l.AddressB) > 0):
			out = append(out, adjacency{l.B, uint64(l.CostAB), l.InterfaceA, l.AddressB})
		case l.B == r && (l.InterfaceB != "" || len(l.AddressA) > 0):
			out = append(out, adjacency{l.A, uint64(l.CostBA), l.InterfaceB, l.AddressA})
		}
	}
	return out
}

// hop is the next hop through the neighbour for a set.
func (a adjacency) hop(d set) NextHop {
	v4 := false // both families are forwarded over IPv6
	for _, c := range d.candidates {
		if c.NextHop.IsValid() {
			v4 = c.NextHop.Is4()
			break
		}
	}
	h := NextHop{Interface: a.iface, Weight: 1, Via: a.neighbour}
	for _, address := range a.addresses {
		if !h.Address.IsValid() || address.Is4() == v4 {
			h.Address = address
		}
	}
	return h
}

// locals splits the candidates at r into what stands and what must be resolved.
func locals(r eventlog.RouterID, sets map[netip.Prefix]set) (fixed map[netip.Prefix][]option, recursive []*waiting) {
	fixed = map[netip.Prefix][]option{}
	for p, d := range sets {
		for _, c := range d.candidates {
			switch {
			case c.Router != r && c.Router != eventlog.AllRouters:
			case c.Recursive:
				recursive = append(recursive, &waiting{prefix: p, class: d.class, route: c})
			default:
				fixed[p] = append(fixed[p], option{
					preference: c.Preference, metric: uint64(c.Metric), origins: []eventlog.RouterID{c.Router},
					hops: []NextHop{{Type: c.Type, Address: c.NextHop, Interface: c.Interface, Weight: c.Weight}},
				})
			}
		}
	}
	return fixed, recursive
}

// named keeps of a table's options what a router may tell its neighbours.
func named(table map[netip.Prefix][]option) map[netip.Prefix][]option {
	out := map[netip.Prefix][]option{}
	for p, options := range table {
		for _, o := range options {
			if !slices.Contains(o.origins, eventlog.AllRouters) {
				out[p] = append(out[p], o)
			}
		}
	}
	return out
}

// Vectors computes the vector of every router named; a router that the state
// does not know has the `*` routes.
func (s *State) Vectors(routers ...eventlog.RouterID) map[eventlog.RouterID]Vector {
	sets := s.sets()
	all := s.Known()
	own := map[eventlog.RouterID]map[netip.Prefix][]option{} // named routes, resolved locally
	for _, r := range all {
		fixed, recursive := locals(r, sets)
		own[r] = named(resolve(fixed, recursive, sets))
	}

	// Bellman-Ford: everybody tells everybody, until nothing changes. Costs
	// are positive, so that metrics settle in as many rounds as there are
	// routers, and the origins with them.
	told := map[eventlog.RouterID]map[netip.Prefix]option{}
	for round := 0; round <= 2*len(all)+2; round++ {
		next := map[eventlog.RouterID]map[netip.Prefix]option{}
		for _, r := range all {
			next[r] = map[netip.Prefix]option{}
			drained := s.Routers[r].Drained
			if drained == eventlog.DrainHard {
				continue
			}
			for p := range sets {
				options := own[r][p]
				if drained != eventlog.DrainSoft {
					options = append(slices.Clone(options), s.learnt(r, p, sets[p], told)...)
				}
				if b, ok := best(options); ok {
					next[r][p] = b
				}
			}
		}
		told = next
	}

	out := map[eventlog.RouterID]Vector{}
	for _, r := range routers {
		fixed, recursive := locals(r, sets)
		var everywhere []*waiting
		for _, w := range recursive {
			if w.route.Router == eventlog.AllRouters {
				everywhere = append(everywhere, w)
			}
		}
		for p := range sets {
			// fixed holds the plain own routes; own[r] has them too, with the resolved ones.
			options := slices.DeleteFunc(fixed[p], func(o option) bool { return !slices.Contains(o.origins, eventlog.AllRouters) })
			fixed[p] = append(append(options, own[r][p]...), s.learnt(r, p, sets[p], told)...)
		}
		v := Vector{}
		for p, options := range resolve(fixed, everywhere, sets) {
			if b, ok := best(options); ok {
				for i, o := range b.origins {
					if o == eventlog.AllRouters {
						b.origins[i] = r // local
					}
				}
				slices.Sort(b.origins)
				b.origins = slices.Compact(b.origins)
				v[p] = Decision{p, sets[p].class, b.preference, b.metric, b.hops, b.origins}
			}
		}
		out[r] = v
	}
	return out
}

// learnt is what r's neighbours told about p.
func (s *State) learnt(r eventlog.RouterID, p netip.Prefix, d set, told map[eventlog.RouterID]map[netip.Prefix]option) (out []option) {
	for _, a := range s.adjacencies(r) {
		if o, ok := told[a.neighbour][p]; ok {
			out = append(out, option{preference: o.preference, metric: o.metric + a.cost, hops: []NextHop{a.hop(d)}, origins: o.origins})
		}
	}
	return out
}

// Lookup is the longest match of a router for an address.
func (v Vector) Lookup(a netip.Addr) (Decision, bool) {
	p, ok := Longest(v, a, true)
	return v[p], ok
}
