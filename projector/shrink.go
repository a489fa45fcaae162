package projector

import (
	"iter"
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
// reached whose routes it is about. Links that can be used in one direction only
// make that directed: a part may reach another one that does not reach it.

// reach is who reaches whom in a topology: the parts (strongly connected
// components) that undrained routers make, and the softly drained routers beside them.
type reach struct {
	t     *topology
	part  []int32   // by number: of undrained routers; −1: drained
	stubs [][]int32 // by part: the softly drained neighbours, sorted
	to    [][]int32 // by part: other parts that it has an arc into, sorted
	from  [][]int32 // by part: those that have one into it
}

func reachOf(t *topology) *reach {
	r := &reach{t: t, part: make([]int32, len(t.ids))}
	n := r.components()
	r.stubs, r.to, r.from = make([][]int32, n), make([][]int32, n), make([][]int32, n)
	for i, part := range r.part {
		if part < 0 {
			continue
		}
		for to := range r.nexts(int32(i)) {
			switch q := r.part[to]; {
			case t.graph.Transit[to] == spf.Stub:
				r.stubs[part] = append(r.stubs[part], to)
			case q >= 0 && q != part:
				r.to[part] = append(r.to[part], q)
			}
		}
	}
	for part := range n {
		slices.Sort(r.stubs[part])
		r.stubs[part] = slices.Compact(r.stubs[part])
		slices.Sort(r.to[part])
		r.to[part] = slices.Compact(r.to[part])
		for _, q := range r.to[part] {
			r.from[q] = append(r.from[q], part)
		}
	}
	return r
}

// nexts are the routers that router i can send to, as often as there are links.
func (r *reach) nexts(i int32) iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for _, arc := range r.t.graph.Arcs[i] {
			if arc.Cost != spf.Blocked && !yield(arc.To) {
				return
			}
		}
	}
}

// mute: router i can send to nobody.
func (r *reach) mute(i int) bool {
	for range r.nexts(int32(i)) {
		return false
	}
	return true
}

// components numbers the strongly connected components of the undrained routers
// (R. Tarjan, Depth-first search and linear graph algorithms, 1972) and gives how
// many there are. Cost: O(routers + links), without recursion.
func (r *reach) components() (n int32) {
	type step struct{ v, arc int32 }
	var (
		graph = &r.t.graph
		index = make([]int32, len(r.part)) // 1 + the order of discovery; 0: not yet
		low   = make([]int32, len(r.part))
		path  []step
		open  []int32 // discovered, and of no component yet
		next  int32
	)
	for i := range r.part {
		r.part[i] = -1
	}
	for root := range r.part {
		if index[root] != 0 || graph.Transit[root] != spf.Open {
			continue
		}
		path = append(path, step{int32(root), 0})
		for len(path) > 0 {
			at := &path[len(path)-1]
			v := at.v
			if at.arc == 0 {
				next++
				index[v], low[v] = next, next
				open = append(open, v)
			}
			if arcs := graph.Arcs[v]; int(at.arc) < len(arcs) {
				to, cost := arcs[at.arc].To, arcs[at.arc].Cost
				at.arc++
				switch {
				case cost == spf.Blocked:
				case graph.Transit[to] != spf.Open:
				case index[to] == 0:
					path = append(path, step{to, 0})
				case r.part[to] < 0:
					low[v] = min(low[v], index[to])
				}
				continue
			}
			path = path[:len(path)-1]
			if len(path) > 0 {
				up := path[len(path)-1].v
				low[up] = min(low[up], low[v])
			}
			if low[v] != index[v] {
				continue
			}
			for {
				w := open[len(open)-1]
				open = open[:len(open)-1]
				r.part[w] = n
				if w == v {
					break
				}
			}
			n++
		}
	}
	return n
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

// beside reports whether an undrained part has the router id as a member, or as
// a softly drained neighbour.
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

// hit marks the parts that the router id is a member or a softly drained
// neighbour of. spread marks those too that reach them.
func (r *reach) hit(id eventlog.RouterID, parts []bool) {
	i := r.t.find(id)
	switch {
	case i < 0 || r.t.graph.Transit[i] == spf.Closed:
	case r.part[i] >= 0:
		parts[r.part[i]] = true
	default:
		for p, stubs := range r.stubs {
			if _, found := slices.BinarySearch(stubs, int32(i)); found {
				parts[p] = true
			}
		}
	}
}

// spread marks the parts that reach a marked one.
func (r *reach) spread(parts []bool) {
	var queue []int32
	for p, marked := range parts {
		if marked {
			queue = append(queue, int32(p))
		}
	}
	for len(queue) > 0 {
		p := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, q := range r.from[p] {
			if !parts[q] {
				parts[q] = true
				queue = append(queue, q)
			}
		}
	}
}

// losing says of each part of before whether it may reach less in after: where its
// members do not stay together, a neighbour is none any more, or a part that it
// reaches loses.
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
		then, transit := after.at(before.t.ids[i])
		if then == -2 && before.mute(i) && len(before.from[part]) == 0 {
			to[part] = -2 // alone before: it can only gain
			continue
		}
		if transit != spf.Open || then < 0 || to[part] != -3 && to[part] != then {
			out[part] = true
		}
		to[part] = then
	}
	for part, stubs := range before.stubs {
		for _, d := range stubs {
			out[part] = out[part] || !after.beside(to[part], before.t.ids[d])
		}
		for _, q := range before.to[part] {
			if out[part] || to[q] == to[part] {
				continue
			}
			if to[part] < 0 {
				out[part] = true
			} else if _, found := slices.BinarySearch(after.to[to[part]], to[q]); !found {
				out[part] = true
			}
		}
	}
	before.spread(out)
	return out
}

// loses reports whether the drained router number i of before reaches less in after.
func (r *reach) loses(i int, lost []bool, after *reach) bool {
	id := r.t.ids[i]
	now := after.t.find(id)
	for next := range r.nexts(int32(i)) {
		if r.t.graph.Transit[next] == spf.Closed {
			continue
		}
		if p := r.part[next]; p >= 0 && lost[p] || now < 0 {
			return true
		}
		to := after.t.find(r.t.ids[next])
		linked := to >= 0 && slices.ContainsFunc(after.t.graph.Arcs[now], func(a spf.Arc) bool { return a.To == int32(to) && a.Cost != spf.Blocked })
		if !linked || after.t.graph.Transit[to] > r.t.graph.Transit[next] {
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
	was.spread(hit)
	type group struct{ was, then int32 } // of undrained routers; a drained one is alone
	best := map[group]eventlog.RouterID{}
	out := []eventlog.RouterID{}
	if all || len(about) > 0 {
		out = append(out, eventlog.AllRouters)
	}
	for i, id := range was.t.ids {
		part := was.part[i]
		switch {
		case was.mute(i): // below, with those that have no links
			continue
		case part < 0:
			hears := all || about[id] || was.loses(i, lost, then)
			for next := range was.nexts(int32(i)) {
				q := was.part[next]
				hears = hears || q >= 0 && hit[q] || about[was.t.ids[next]]
			}
			if hears {
				out = append(out, id)
			}
		case all || hit[part]:
			to, transit := then.at(id)
			if named[id] || transit != spf.Open {
				out = append(out, id)
			} else if to == -2 || then.mute(then.t.find(id)) { // it keeps its own alone
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
		return i < 0 || was.mute(i)
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
