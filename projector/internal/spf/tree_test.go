package spf

import (
	"math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// Every tree equals Bellman-Ford after every batch of events; the one before
// stays as it was, and what is said to have changed is what did.
func TestTreesEqualBellmanFordUnderChurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.IntRange(1, 9).Draw(t, "routers"))
		for range rapid.IntRange(0, 14).Draw(t, "links") {
			w.step(t)
		}
		g := w.graph()
		w.take()
		trees, tells := make([]*Tree, w.n), make([]told, w.n)
		for s := range w.n {
			trees[s], _ = New(g, s)
			tells[s] = w.bellmanFord(int32(s))
			if d := tellTree(trees[s], w.n).difference(tells[s]); d != "" {
				t.Fatalf("from %d, from nothing: %s", s, d)
			}
		}
		for range rapid.IntRange(1, 8).Draw(t, "batches") {
			if rapid.IntRange(0, 3).Draw(t, "grows") == 0 {
				w.n += rapid.IntRange(1, 70).Draw(t, "by") // over the edge of a page
				w.transit = append(w.transit, make([]Transit, w.n-len(w.transit))...)
			}
			for range rapid.IntRange(0, 5).Draw(t, "events") {
				w.step(t)
			}
			g, heads := w.graph(), w.take()
			for s := range trees {
				was, tell := trees[s], tells[s]
				now, work := was.Update(g, heads)
				want := w.bellmanFord(int32(s))
				if d := tellTree(now, w.n).difference(want); d != "" {
					t.Fatalf("from %d: %s", s, d)
				}
				if d := tellTree(was, len(tell.distance)).difference(tell); d != "" {
					t.Fatalf("from %d: the tree before has changed: %s", s, d)
				}
				for i := len(tell.distance); i < w.n; i++ {
					tell.distance, tell.hops = append(tell.distance, Unreachable), append(tell.hops, nil)
				}
				if n := want.changes(tell); work.Changed != n {
					t.Fatalf("from %d: %d routers are said to have changed, %d did", s, work.Changed, n)
				}
				if (now == was) != (work.Changed == 0) {
					t.Fatalf("from %d: the same tree: %v, with %d changes", s, now == was, work.Changed)
				}
				differ := 0
				if !Diff(was, now, func(int) { differ++ }) || differ != work.Changed {
					t.Fatalf("from %d: Diff finds %d of %d", s, differ, work.Changed)
				}
				trees[s], tells[s] = now, want
			}
		}
	})
}

// grid is side × side routers, links to the right and below, costs given.
func grid(side int, cost func() uint32) *world {
	w := newWorld(side * side)
	for y := range side {
		for x := range side {
			at := int32(y*side + x)
			if x+1 < side {
				w.add(at, at+1, cost(), cost())
			}
			if y+1 < side {
				w.add(at, at+int32(side), cost(), cost())
			}
		}
	}
	w.take()
	return w
}

// Larger graphs, whose trees have many pages, against trees from nothing.
func TestUpdatesOfLargerGraphsEqualTreesFromNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, cost := range map[string]func() uint32{
		"equal costs":  func() uint32 { return 1 },
		"few costs":    func() uint32 { return 1 + random.Uint32N(3) },
		"random costs": func() uint32 { return 1 + random.Uint32N(1000) },
	} {
		t.Run(name, func(t *testing.T) {
			w := grid(20, cost)
			g := w.graph()
			sources := []int{0, 19, 210, 399}
			var trees []*Tree
			for _, s := range sources {
				tree, _ := New(g, s)
				trees = append(trees, tree)
			}
			for round := range 150 {
				for range 1 + round%3 {
					i := random.IntN(len(w.links))
					switch random.IntN(5) {
					case 0:
						w.remove(i)
					case 1:
						w.add(random.Int32N(400), random.Int32N(399)+1, cost(), cost())
						if l := &w.links[len(w.links)-1]; l.a == l.b {
							l.a--
							w.touch(l.a)
						}
					case 2:
						w.drain(random.Int32N(400), Transit(random.IntN(3)))
					default:
						w.cost(i, cost(), cost())
					}
				}
				g, heads := w.graph(), w.take()
				for i, s := range sources {
					trees[i], _ = trees[i].Update(g, heads)
					want, _ := New(g, s)
					if d := tellTree(trees[i], w.n).difference(tellTree(want, w.n)); d != "" {
						t.Fatalf("round %d, from %d: %s", round, s, d)
					}
				}
			}
		})
	}
}

// What an event costs follows from what it changes, not from the graph.
func TestAnEventFarFromAnyPathCostsItsEnds(t *testing.T) {
	w := grid(30, func() uint32 { return 1 })
	tree, _ := New(w.graph(), 0)
	w.cost(len(w.links)-1, 5, 5) // of two paths to the far corner, one is lost
	now, work := tree.Update(w.graph(), w.take())
	if now != tree && work.Changed > 2 {
		t.Fatalf("changed %d routers", work.Changed)
	}
	if work.Scanned > 60 {
		t.Fatalf("%d arcs were looked at, of %d", work.Scanned, 4*len(w.links))
	}
}

// A table of sets that has grown too large is left.
func TestHopSetsOfGoneLinksDoNotPileUp(t *testing.T) {
	w := newWorld(3)
	w.add(0, 1, 1, 1)
	w.add(1, 2, 1, 1)
	tree, _ := New(w.graph(), 0)
	for range 3 * maxSets {
		w.renumber(0)
		tree, _ = tree.Update(w.graph(), w.take())
		if n := len(tree.table.sets); n > maxSets+2 {
			t.Fatalf("%d sets", n)
		}
	}
	if d := tellTree(tree, 3).difference(w.bellmanFord(0)); d != "" {
		t.Fatal(d)
	}
}

// Readers update trees of one line at the same time.
func TestTreesOfOneLineMayBeUpdatedAtOnce(t *testing.T) {
	w := grid(12, func() uint32 { return 1 })
	tree, _ := New(w.graph(), 5)
	var wg sync.WaitGroup
	for i := range 4 {
		// Each has its own copy of the world and its own changes.
		own := newWorld(w.n)
		own.links, own.version = append(own.links, w.links...), w.version+uint32(i)*1000
		wg.Go(func() {
			at := tree
			for round := range 40 {
				own.remove((round * 7) % len(own.links))
				own.add(int32(round), int32(round+40), 2, 2)
				at, _ = at.Update(own.graph(), own.take())
				if d := tellTree(at, own.n).difference(own.bellmanFord(5)); d != "" {
					t.Errorf("line %d, round %d: %s", i, round, d)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestDiffOfTreesThatHaveNothingInCommon(t *testing.T) {
	w := grid(3, func() uint32 { return 1 })
	a, _ := New(w.graph(), 0)
	b, _ := New(w.graph(), 0)
	for _, pair := range [][2]*Tree{{a, b}, {nil, a}, {a, nil}} {
		if Diff(pair[0], pair[1], func(int) { t.Error("called") }) {
			t.Error("comparable")
		}
	}
	if !Diff(nil, nil, nil) || !Diff(a, a, nil) {
		t.Error("not equal to itself")
	}
}

func BenchmarkTree(b *testing.B) {
	w := grid(32, func() uint32 { return 1 })
	g := w.graph()
	b.Run("from nothing, 1024 sources", func(b *testing.B) {
		for b.Loop() {
			for s := range w.n {
				New(g, s)
			}
		}
	})
	b.Run("link down and up, 1024 sources", func(b *testing.B) {
		trees := make([]*Tree, w.n)
		for s := range trees {
			trees[s], _ = New(g, s)
		}
		i := 0
		for b.Loop() {
			i = (i + 97) % len(w.links)
			l := w.links[i]
			for _, cost := range []uint32{100, l.there} {
				w.cost(i, cost, cost)
				g, heads := w.graph(), w.take()
				for s := range trees {
					trees[s], _ = trees[s].Update(g, heads)
				}
			}
		}
	})
}
