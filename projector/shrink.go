package projector

import (
	"slices"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
	"dvr/projector/internal/spf"
)

// Which prefixes a router's FIB holds follows from which routers it reaches: a
// class is usable where a router that it has a path of is reached. So routers that
// reach each other, and are not drained, hold the same prefixes, and one of them
// stands for all. A commit about links and routers takes prefixes out only where
// somebody is no longer reached, and one about routes only where the routers are
// reached whose routes it is about.

// reach is who reaches whom in a topology: the parts that undrained routers make,
// and the softly drained routers beside them.
type reach struct {
	t     *topology
	part  []int32   // by number: of undrained routers; −1: drained
	stubs [][]int32 // by part: the softly drained neighbours, sorted
}

func reachOf(t *topology) *reach {
	n := len(t.ids)
	r := &reach{t: t, part: make([]int32, n)}
	for i := range r.part {
		r.part[i] = -1
	}
	var queue []int32
	for i := range r.part {
		if r.part[i] >= 0 || t.graph.Transit[i] != spf.Open {
			continue
		}
		at := int32(len(r.stubs))
		var stubs []int32
		r.part[i] = at
		for queue = append(queue[:0], int32(i)); len(queue) > 0; {
			v := queue[len(queue)-1]
			queue = queue[:len(queue)-1]
			for _, arc := range t.graph.Arcs[v] {
				switch t.graph.Transit[arc.To] {
				case spf.Open:
					if r.part[arc.To] < 0 {
						r.part[arc.To] = at
						queue = append(queue, arc.To)
					}
				case spf.Stub:
					stubs = append(stubs, arc.To)
				}
			}
		}
		slices.Sort(stubs)
		r.stubs = append(r.stubs, slices.Compact(stubs))
	}
	return r
}

// at is where a router is: its part, or −1 with its drain. A router without
// links is alone, in part −2.
func (r *reach) at(id eventlog.RouterID) (part int32, transit spf.Transit) {
	i := r.t.find(id)
	if i < 0 {
		return -2, spf.Open
	}
	return r.part[i], r.t.graph.Transit[i]
}

// beside reports whether an undrained part reaches the router id: as a member,
// or as a softly drained neighbour.
func (r *reach) beside(part int32, id eventlog.RouterID) bool {
	i := r.t.find(id)
	if i < 0 || part < 0 {
		return false
	}
	if r.part[i] == part {
		return true
	}
	_, found := slices.BinarySearch(r.stubs[part], int32(i))
	return found
}

// hit marks the parts that reach the router id.
func (r *reach) hit(id eventlog.RouterID, parts []bool) {
	i := r.t.find(id)
	switch {
	case i < 0 || r.t.graph.Transit[i] == spf.Closed:
	case r.part[i] >= 0:
		parts[r.part[i]] = true
	default:
		for _, arc := range r.t.graph.Arcs[i] {
			if p := r.part[arc.To]; p >= 0 {
				parts[p] = true
			}
		}
	}
}

// losing says of each part of before whether it reaches less in after.
func losing(before, after *reach) []bool {
	out := make([]bool, len(before.stubs))
	to := make([]int32, len(before.stubs)) // where its members are then; −3: not known yet
	for i := range to {
		to[i] = -3
	}
	for i, part := range before.part {
		if part < 0 || out[part] {
			continue
		}
		if len(before.t.graph.Arcs[i]) == 0 {
			to[part] = -2 // alone: it can only gain
			continue
		}
		then, transit := after.at(before.t.ids[i])
		if transit != spf.Open || then < 0 || to[part] != -3 && to[part] != then {
			out[part] = true
		}
		to[part] = then
	}
	for part, stubs := range before.stubs {
		for _, d := range stubs {
			out[part] = out[part] || !after.beside(to[part], before.t.ids[d])
		}
	}
	return out
}

// loses reports whether the drained router number i of before reaches less in after.
func (r *reach) loses(i int, lost []bool, after *reach) bool {
	id := r.t.ids[i]
	now := after.t.find(id)
	for _, arc := range r.t.graph.Arcs[i] {
		if r.t.graph.Transit[arc.To] == spf.Closed {
			continue
		}
		if p := r.part[arc.To]; p >= 0 && lost[p] || now < 0 {
			return true
		}
		to := after.t.find(r.t.ids[arc.To])
		linked := to >= 0 && slices.ContainsFunc(after.t.graph.Arcs[now], func(a spf.Arc) bool { return a.To == int32(to) })
		if !linked || after.t.graph.Transit[to] > r.t.graph.Transit[arc.To] {
			return true
		}
	}
	return false
}

// Shrinking lists the routers whose FIBs tell whether a commit takes too many
// prefixes out of any router's: "*" for those that have no routes and links of
// their own (and, if they are to get some, lose no more), and of the others one of
// each that hold the same before and after, and all that a guard names. after is the state that the events lead to from s.
// A function of the states alone: every node judges the same. Cost: O(routers +
// links) where links or routers change, else that of the routers it lists.
func (p *Policy) Shrinking(s, after *State, events []eventlog.Event) []eventlog.RouterID {
	named := map[eventlog.RouterID]bool{}
	for i := range p.shrink {
		for _, r := range p.shrink[i].Routers {
			named[r] = true
		}
	}
	about := map[eventlog.RouterID]bool{} // whose routes may go
	all := false
	for _, e := range events {
		if r, ok := e.(*eventlog.RouteAnnounced); ok && r.Metric != eventlog.MetricUnusable && !r.Recursive {
			continue
		}
		if id := aboutRoute(e); id != nil {
			all = all || id.Router == eventlog.AllRouters || s.resolvesThrough(id.Destination)
			about[id.Router] = true
		}
	}
	was, then := reachOf(s.topology.get()), reachOf(after.topology.get())
	lost := losing(was, then)
	if len(s.recursive)+len(after.recursive) > 0 && s.topology != after.topology {
		all = true // what routes resolve through may have moved
	}
	hit := slices.Clone(lost)
	for id := range about {
		was.hit(id, hit)
	}
	type group struct{ was, then int32 } // of undrained routers; a drained one is alone
	best := map[group]eventlog.RouterID{}
	out := []eventlog.RouterID{}
	if all || len(about) > 0 {
		out = append(out, eventlog.AllRouters)
	}
	for i, id := range was.t.ids {
		part := was.part[i]
		switch {
		case len(was.t.graph.Arcs[i]) == 0: // below, with those that have no links
			continue
		case part < 0:
			hears := all || about[id] || was.loses(i, lost, then)
			for _, arc := range was.t.graph.Arcs[i] {
				q := was.part[arc.To]
				hears = hears || q >= 0 && hit[q] || about[was.t.ids[arc.To]]
			}
			if hears {
				out = append(out, id)
			}
		case all || hit[part]:
			to, transit := then.at(id)
			if named[id] || transit != spf.Open {
				out = append(out, id)
			} else if to == -2 || len(then.t.graph.Arcs[then.t.find(id)]) == 0 { // it keeps its own alone
				out = append(out, id)
			} else if g := (group{part, to}); best[g] == "" || id < best[g] {
				best[g] = id
			}
		}
	}
	for _, id := range best {
		out = append(out, id)
	}
	alone := func(id eventlog.RouterID) bool {
		i := was.t.find(id)
		return i < 0 || len(was.t.graph.Arcs[i]) == 0
	}
	if all {
		for id := range s.originators() {
			if alone(id) {
				out = append(out, id)
			}
		}
		for id := range named {
			if alone(id) {
				out = append(out, id)
			}
		}
	} else {
		for id := range about {
			if alone(id) && id != eventlog.AllRouters {
				out = append(out, id)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// originators iterates over the routers that have usable routes of their own.
func (s *State) originators() func(func(eventlog.RouterID) bool) {
	return func(yield func(eventlog.RouterID) bool) {
		next := originKey{}
		for {
			found := false
			for k := range s.origins.From(next) {
				if !yield(k.router) {
					return
				}
				found, next = true, originKey{router: k.router + "\x00"}
				break
			}
			if !found {
				return
			}
		}
	}
}

// Holds counts the prefixes of a router's FIB without making it, where that
// follows from what it announces itself; false: it does not. all is the FIB of
// "*" at s. Cost: O(classes of the router).
func (s *State) Holds(router eventlog.RouterID, all *FIB) (n int, ok bool) {
	if i := s.topology.get().find(router); len(s.recursive) > 0 || i >= 0 && len(s.topology.get().graph.Arcs[i]) > 0 {
		return 0, false
	}
	n = all.n4 + all.n6
	for c := range s.originating(router) {
		if all.groups.Has(pmap.ID(c.id)) {
			continue
		}
		if a := s.classes.Ptr(pmap.ID(c.id)); a != nil {
			n += int(a.n4 + a.n6)
		}
	}
	return n, true
}
