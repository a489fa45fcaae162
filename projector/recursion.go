package projector

import (
	"math"
	"sync"

	"dvr/eventlog"
)

// Recursive next hops (decision 3) are resolved by class: within one, all
// prefixes have the same next hops. A named router's recursive routes are
// resolved in its local RIB (its own and `*` routes), recursive `*` routes at
// each router in its whole RIB, where the router's own are what the local RIB
// made of them.

// pathKey is a path of a class.
type pathKey struct {
	class *class
	path  int
}

// resolved is what a recursive path comes to at a router.
type resolved struct {
	metric uint64 // of the route that resolves it
	hops   []NextHop
}

// resolution is every recursive path that is usable at a router; what is
// missing is not. Immutable once it is published.
type resolution struct {
	paths    map[pathKey]resolved
	circular map[pathKey]bool // taken out because they lay on a cycle
}

// resolutionCell keeps the resolutions of the states that share it, each
// computed when first asked for.
type resolutionCell struct{ local, whole *resolutionMemo }

func newResolutionCell() *resolutionCell {
	return &resolutionCell{newResolutionMemo(), newResolutionMemo()}
}

// resolutionMemo forgets all when it holds the results for many routers.
type resolutionMemo struct {
	mu sync.Mutex
	of map[eventlog.RouterID]*resolution
}

const maxResolutions = 1024

func newResolutionMemo() *resolutionMemo {
	return &resolutionMemo{of: map[eventlog.RouterID]*resolution{}}
}

func (m *resolutionMemo) get(r eventlog.RouterID) *resolution {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of[r]
}

func (m *resolutionMemo) put(r eventlog.RouterID, t *resolution) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.of) >= maxResolutions {
		clear(m.of)
	}
	m.of[r] = t
}

func (s *State) localResolution(r eventlog.RouterID) *resolution {
	return s.resolve(s.resolution.local, r, true)
}

func (s *State) wholeResolution(r eventlog.RouterID) *resolution {
	return s.resolve(s.resolution.whole, r, false)
}

func (s *State) resolve(memo *resolutionMemo, r eventlog.RouterID, local bool) *resolution {
	if t := memo.get(r); t != nil {
		return t
	}
	v := s.view(r)
	v.local, v.table = local, &resolution{map[pathKey]resolved{}, map[pathKey]bool{}}
	x := &resolver{view: v, byClass: map[*class][]*waiting{}, alive: map[*class]int{}, filled: map[*class]bool{}}
	x.collect()
	x.settle()
	for _, w := range x.waiting {
		x.fill(w.class)
	}
	memo.put(r, v.table)
	return v.table
}

// waiting is a recursive path in question.
type waiting struct {
	pathKey
	dead  bool
	match *entry // the longest usable match, as of this round
}

// resolver computes one resolution.
type resolver struct {
	view    *view // its table is the result
	waiting []*waiting
	byClass map[*class][]*waiting
	alive   map[*class]int // paths in question that are not dead
	filled  map[*class]bool
}

// collect finds the paths in question.
func (x *resolver) collect() {
	for _, c := range x.view.state.recursive {
		for i := range c.paths {
			p := &c.paths[i]
			if p.recursive && (p.router == eventlog.AllRouters || x.view.local && p.router == x.view.router) {
				w := &waiting{pathKey: pathKey{c, i}}
				x.waiting = append(x.waiting, w)
				x.byClass[c] = append(x.byClass[c], w)
				x.alive[c]++
			}
		}
	}
}

// usable: the class has a path that is not in question, or one that is not dead.
func (x *resolver) usable(c *class) bool {
	if x.alive[c] > 0 {
		return true
	}
	for range x.view.all(c) {
		return true // the table is still empty: only what is fixed is offered
	}
	return false
}

// settle takes out, round by round, every path whose next hop matches nothing
// usable and every one on a cycle. The dead only become more, so it ends.
func (x *resolver) settle() {
	for {
		usable := map[*class]bool{}
		for _, w := range x.waiting {
			if !w.dead {
				w.match = x.longest(&w.class.paths[w.path], usable)
			}
		}
		component := x.components()
		changed := false
		for _, w := range x.waiting {
			if w.dead {
				continue
			}
			circular := w.match != nil && component[w.class] == component[w.match.set.class]
			if circular {
				x.view.table.circular[w.pathKey] = true
			}
			if circular || w.match == nil {
				w.dead, changed = true, true
				x.alive[w.class]--
			}
		}
		if !changed {
			return
		}
	}
}

// longest is the longest usable match of p's next hop; nil: none.
func (x *resolver) longest(p *path, memo map[*class]bool) *entry {
	if !p.nextHop.IsValid() {
		return nil
	}
	for at, e := range x.view.state.covering(placeOfAddr(p.nextHop)) {
		c := e.set.class
		if c == nil || at.bits == 0 && !p.viaDefault {
			continue
		}
		ok, met := memo[c]
		if !met {
			ok = x.usable(c)
			memo[c] = ok
		}
		if ok {
			return e
		}
	}
	return nil
}

// components numbers the strongly connected components of the graph of
// classes, an edge for each living path to its match (Tarjan's algorithm, its
// stack kept by hand: chains may be as long as there are classes).
func (x *resolver) components() map[*class]int {
	edges := map[*class][]*class{}
	for _, w := range x.waiting {
		if !w.dead && w.match != nil {
			edges[w.class] = append(edges[w.class], w.match.set.class)
		}
	}
	type frame struct {
		class *class
		next  int
	}
	index, low := map[*class]int{}, map[*class]int{}
	component := map[*class]int{}
	var open []*class
	var calls []frame
	visit := func(c *class) {
		index[c] = len(index) + 1
		low[c] = index[c]
		open = append(open, c)
		calls = append(calls, frame{class: c})
	}
	for _, w := range x.waiting {
		if index[w.class] == 0 {
			visit(w.class)
		}
		for len(calls) > 0 {
			f := &calls[len(calls)-1]
			if f.next < len(edges[f.class]) {
				to := edges[f.class][f.next]
				f.next++
				if index[to] == 0 {
					visit(to)
				} else if component[to] == 0 {
					low[f.class] = min(low[f.class], index[to])
				}
				continue
			}
			c := f.class
			calls = calls[:len(calls)-1]
			if len(calls) > 0 {
				up := calls[len(calls)-1].class
				low[up] = min(low[up], low[c])
			}
			if low[c] == index[c] {
				for n := index[c]; ; {
					last := open[len(open)-1]
					open = open[:len(open)-1]
					component[last] = n
					if last == c {
						break
					}
				}
			}
		}
	}
	return component
}

// fill resolves the living paths of a class, those that they depend on first.
// The graph has no cycle left.
func (x *resolver) fill(c *class) {
	if x.filled[c] {
		return
	}
	x.filled[c] = true
	for _, w := range x.byClass[c] {
		if w.dead {
			continue
		}
		via := w.match.set
		x.fill(via.class)
		if ch, ok := x.view.choose(via.class); ok {
			x.view.table.paths[w.pathKey] = resolved{
				metric: uint64(via.base) + ch.offers[0].metric,
				hops:   c.paths[w.path].over(ch.nextHops),
			}
		}
	}
}

// over is the next hops of a recursive path that goes over these: an interface
// without an address is a network that the path's own next hop is on.
func (p *path) over(hops []NextHop) []NextHop {
	out := make([]NextHop, len(hops))
	for i, h := range hops {
		h.Weight = uint16(min(uint32(h.Weight)*uint32(p.weight), math.MaxUint16))
		if h.Type == eventlog.Unicast && h.Via == "" && !h.Address.IsValid() {
			h.Address = p.nextHop
		}
		out[i] = h
	}
	return out
}
