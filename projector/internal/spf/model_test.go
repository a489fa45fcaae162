package spf

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"
)

// world is links and drains that change; the graph is built from it anew each time.
type world struct {
	n       int
	links   []link
	transit []Transit
	version uint32
	heads   []int32 // since the last take
}

type link struct {
	a, b        int32
	there, back uint32
	number      uint32
}

func newWorld(n int) *world { return &world{n: n, transit: make([]Transit, n)} }

func (w *world) touch(routers ...int32) { w.heads = append(w.heads, routers...) }

func (w *world) add(a, b int32, there, back uint32) {
	w.version++
	w.links = append(w.links, link{a, b, there, back, w.version})
	w.touch(a, b)
}

func (w *world) remove(i int) {
	w.touch(w.links[i].a, w.links[i].b)
	w.links = slices.Delete(w.links, i, i+1)
}

// cost keeps the link's number, as a change of cost does not change how the
// neighbour is addressed; renumber is a change of address.
func (w *world) cost(i int, there, back uint32) {
	w.links[i].there, w.links[i].back = there, back
	w.touch(w.links[i].a, w.links[i].b)
}

func (w *world) renumber(i int) {
	w.version++
	w.links[i].number = w.version
	w.touch(w.links[i].a, w.links[i].b)
}

func (w *world) drain(r int32, to Transit) {
	w.transit[r] = to
	w.touch(r)
	for _, l := range w.links {
		if l.a == r {
			w.touch(l.b)
		}
		if l.b == r {
			w.touch(l.a)
		}
	}
}

func (w *world) take() []int32 {
	h := w.heads
	w.heads = nil
	return h
}

func (w *world) graph() *Graph {
	g := &Graph{Arcs: make([][]Arc, w.n), Transit: slices.Clone(w.transit)}
	for _, l := range w.links {
		g.Arcs[l.a] = append(g.Arcs[l.a], Arc{To: l.b, Cost: l.there, Back: l.back, Hop: 2 * l.number})
		g.Arcs[l.b] = append(g.Arcs[l.b], Arc{To: l.a, Cost: l.back, Back: l.there, Hop: 2*l.number + 1})
	}
	return g
}

// told is what a tree says, in full.
type told struct {
	distance []uint64
	hops     [][]uint32
}

func tellTree(t *Tree, n int) told {
	out := told{make([]uint64, n), make([][]uint32, n)}
	for i := range n {
		out.distance[i] = t.Distance(i)
		out.hops[i] = append([]uint32{}, t.Hops(t.First(i))...)
	}
	return out
}

// bellmanFord is the judge: every router takes the best that its neighbours
// say, until nothing changes. Towards each destination by itself, so that the
// first hops are the source's links over which the destination is nearest.
func (w *world) bellmanFord(source int32) told {
	out := told{make([]uint64, w.n), make([][]uint32, w.n)}
	for to := range int32(w.n) {
		d := make([]uint64, w.n)
		for i := range d {
			d[i] = Unreachable
		}
		d[to] = 0
		over := func(next int32, cost uint32) uint64 {
			switch {
			case d[next] == Unreachable, w.transit[next] == Closed, w.transit[next] == Stub && next != to:
				return Unreachable
			case cost == Blocked:
				return Unreachable
			}
			return d[next] + uint64(cost)
		}
		for changed := true; changed; {
			changed = false
			for _, l := range w.links {
				for _, e := range [2]struct {
					r, next int32
					cost    uint32
				}{{l.a, l.b, l.there}, {l.b, l.a, l.back}} {
					if via := over(e.next, e.cost); e.r != to && via < d[e.r] {
						d[e.r], changed = via, true
					}
				}
			}
		}
		out.distance[to] = d[source]
		out.hops[to] = []uint32{}
		if to == source || d[source] == Unreachable {
			continue
		}
		for _, l := range w.links {
			if l.a == source && over(l.b, l.there) == d[source] {
				out.hops[to] = append(out.hops[to], 2*l.number)
			}
			if l.b == source && over(l.a, l.back) == d[source] {
				out.hops[to] = append(out.hops[to], 2*l.number+1)
			}
		}
		slices.Sort(out.hops[to])
	}
	return out
}

func (a told) difference(b told) string {
	for i := range a.distance {
		if a.distance[i] != b.distance[i] {
			return fmt.Sprintf("router %d: distance %d, want %d", i, a.distance[i], b.distance[i])
		}
		if !slices.Equal(a.hops[i], b.hops[i]) {
			return fmt.Sprintf("router %d: first hops %v, want %v", i, a.hops[i], b.hops[i])
		}
	}
	return ""
}

func (a told) changes(b told) (n int) {
	for i := range a.distance {
		if a.distance[i] != b.distance[i] || !slices.Equal(a.hops[i], b.hops[i]) {
			n++
		}
	}
	return n
}

// step draws one event.
func (w *world) step(t *rapid.T) {
	last := int32(w.n - 1)
	router := rapid.OneOf(rapid.Int32Range(0, last), rapid.Int32Range(0, min(5, last)), rapid.Int32Range(max(0, last-5), last))
	cost := rapid.SampledFrom([]uint32{1, 1, 1, 2, 3, 7, 1 << 24, Blocked})
	kind := rapid.IntRange(0, 9).Draw(t, "event")
	if len(w.links) == 0 || kind >= 6 {
		a, b := router.Draw(t, "a"), router.Draw(t, "b")
		if a != b {
			w.add(a, b, cost.Draw(t, "cost"), cost.Draw(t, "back"))
		}
		return
	}
	i := rapid.IntRange(0, len(w.links)-1).Draw(t, "link")
	switch kind {
	case 0, 1, 2:
		w.remove(i)
	case 3:
		w.cost(i, cost.Draw(t, "cost"), cost.Draw(t, "back"))
	case 4:
		w.renumber(i)
	case 5:
		w.drain(router.Draw(t, "router"), rapid.SampledFrom([]Transit{Open, Open, Stub, Closed}).Draw(t, "transit"))
	}
}
