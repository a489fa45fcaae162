package pmap

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// orders are ways to go through 0…n−1 that build and tear down trees differently.
var orders = map[string]func(n int) []int{
	"ascending": func(n int) []int { return sequence(n) },
	"descending": func(n int) []int {
		s := sequence(n)
		slices.Reverse(s)
		return s
	},
	"random": func(n int) []int { return rand.New(rand.NewPCG(1, 2)).Perm(n) },
	"from the middle": func(n int) []int {
		s := make([]int, 0, n)
		for i := range n / 2 {
			s = append(s, n/2+i, n/2-1-i)
		}
		return s
	},
	"interleaved runs": func(n int) []int {
		s := make([]int, 0, n)
		for start := range 10 {
			for i := start; i < n; i += 10 {
				s = append(s, i)
			}
		}
		return s
	},
}

func sequence(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// Trees of four levels, filled in one order and emptied in another.
func TestTallTrees(t *testing.T) {
	const n = 300_000
	for filled, fill := range orders {
		for emptied, empty := range orders {
			t.Run(filled+"/"+emptied, func(t *testing.T) {
				var m Map[Uint, int]
				for _, i := range fill(n) {
					m.Set(Uint(i), i)
				}
				nodes, err := m.check()
				if err != nil {
					t.Fatal(err)
				}
				least := map[string]float64{"ascending": 0.97, "random": 0.75, "descending": 0.48, "from the middle": 0.48, "interleaved runs": 0.6}[filled]
				if used := float64(n) / leafCap / float64(nodes); used < least {
					t.Errorf("leaves are %.0f %% full, want %.0f", used*100, least*100)
				}
				if filled == "random" && m.height != 3 || filled == "ascending" && m.height != 3 {
					t.Errorf("height %d: the test no longer covers inner nodes of inner nodes", m.height)
				}
				full := m.Freeze()
				for at, i := range empty(n) {
					if was, ok := m.Delete(Uint(i)); !ok || was != i {
						t.Fatalf("Delete(%d) = %d, %v", i, was, ok)
					}
					if at%(n/8) == n/8-1 {
						nodes, err := m.check()
						if err != nil {
							t.Fatal(err)
						}
						if m.n > 1000 && float64(m.n)/leafCap/float64(nodes) < 0.3 {
							t.Fatalf("%d nodes for %d entries", nodes, m.n)
						}
					}
				}
				if m.Len() != 0 || m.root != nil {
					t.Fatalf("%d entries left", m.Len())
				}
				if _, err := full.check(); err != nil || full.Len() != n {
					t.Fatalf("the frozen view changed: %v", err)
				}
				want := 0
				for k, p := range full.All() {
					if int(k) != want || *p != want {
						t.Fatalf("the frozen view has %d at %d", k, want)
					}
					want++
				}
			})
		}
	}
}

// Churn must not leave leaves nearly empty.
func TestChurnKeepsLeavesFilled(t *testing.T) {
	const n = 100_000
	r := rand.New(rand.NewPCG(3, 4))
	var m Map[Uint, int]
	for i := range n {
		m.Set(Uint(i*2), i)
	}
	for range 10 * n {
		k := Uint(r.IntN(n * 4))
		if _, ok := m.Delete(k); !ok && m.Len() < n {
			m.Set(k, 0)
		}
	}
	nodes, err := m.check()
	if err != nil {
		t.Fatal(err)
	}
	if used := float64(m.Len()) / leafCap / float64(nodes); used < 0.6 {
		t.Errorf("leaves are %.0f %% full after churn", used*100)
	}
}

// One change after a freeze copies one path and no more, and the difference
// looks at no more than that.
func TestChangeCopiesOnePath(t *testing.T) {
	m := fill(spread)
	r := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		k := spread(r.IntN(million))
		before := m.Freeze()
		m.Set(k, value{rev: r.Uint64() | 1<<63})
		after := m.Freeze()
		var a, b = before.root, after.root
		for h := m.height; h > 0; h-- {
			x, y := asInner[Uint, value](a), asInner[Uint, value](b)
			i := x.child(k)
			for j := range x.n {
				if (x.kids[j] == y.kids[j]) == (j == i) {
					t.Fatalf("height %d, child %d of %d on the path: shared is %v", h, j, i, x.kids[j] == y.kids[j])
				}
			}
			a, b = x.kids[i], y.kids[i]
		}
		compared := 0
		Diff(before, after, func(a, b *value) bool { compared++; return *a == *b }, func(got Uint, _, _ *value) bool {
			if got != k {
				t.Fatalf("Diff gave %v, want %v", got, k)
			}
			return true
		})
		if compared > leafCap {
			t.Fatalf("%d values compared for one change", compared)
		}
	}
	if allocated := testing.Benchmark(func(b *testing.B) {
		i := 0
		for b.Loop() {
			m.Freeze()
			i += 7919
			m.Set(spread(i%million), value{rev: uint64(i)})
		}
	}).AllocedBytesPerOp(); allocated > 6<<10 {
		t.Errorf("%d bytes allocated by a change after a freeze", allocated)
	}
}

// Inserting and deleting runs shifts entries between leaves; what is far away
// must still be skipped.
func TestDiffSkipsWhatIsShared(t *testing.T) {
	var m Map[Uint, int]
	for i := range 200_000 {
		m.Set(Uint(i)*100, i)
	}
	r := rand.New(rand.NewPCG(7, 8))
	for range 100 {
		before := m.Freeze()
		from := Uint(r.IntN(200_000)) * 100
		for i := range Uint(300) {
			if r.IntN(2) == 0 {
				m.Set(from+i*7, -1)
			} else {
				m.Delete(from + i*100)
			}
		}
		compared, changes := 0, 0
		Diff(before, m.View, func(a, b *int) bool { compared++; return *a == *b }, func(k Uint, _, _ *int) bool {
			if k < from || k > from+300*100 {
				t.Fatalf("Diff gave %d, outside of what was changed", k)
			}
			changes++
			return true
		})
		if changes == 0 || compared > 1500 {
			t.Fatalf("%d values compared for %d changes", compared, changes)
		}
	}
}

// An untouched map frozen twice is the same view; an absent key copies nothing.
func TestAbsentKeysCopyNothing(t *testing.T) {
	var m Map[Uint, int]
	for i := range 1000 {
		m.Set(Uint(i)*2, i)
	}
	before := m.Freeze()
	m.Delete(501)
	if p := m.Update(501); p != nil {
		t.Fatal("Update of an absent key")
	}
	if after := m.Freeze(); after != before {
		t.Error("a tree was copied for nothing")
	}
}

// Frozen views are read while the writer goes on; the race detector watches.
func TestReadersBesideTheWriter(t *testing.T) {
	const n = 5000
	var m Map[Uint, int]
	for i := range n {
		m.Set(Uint(i), 0)
	}
	views := make(chan View[Uint, int])
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for v := range views {
				// Every entry of a version holds the number of the version's round or is older.
				round := *v.Ptr(n)
				sum := 0
				for k, p := range v.All() {
					if *p > round {
						t.Errorf("key %d: a value of round %d in the view of round %d", k, *p, round)
					}
					sum++
				}
				if sum != v.Len() {
					t.Errorf("%d entries, Len %d", sum, v.Len())
				}
				if _, err := v.check(); err != nil {
					t.Error(err)
				}
				w := v.Thaw() // a reader may branch off as well
				w.Set(n, -1)
				if *v.Ptr(n) != round {
					t.Error("a branch wrote into its origin")
				}
			}
		})
	}
	r := rand.New(rand.NewPCG(9, 10))
	for round := range 300 {
		for range 50 {
			switch k := Uint(r.IntN(n)); r.IntN(3) {
			case 0:
				m.Delete(k)
			default:
				m.Set(k, round)
			}
		}
		m.Set(n, round)
		views <- m.Freeze()
	}
	close(views)
	readers.Wait()
}
