package simulation

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// maxRouters bounds what is generated.
const maxRouters = 1 << 20

// generators make a topology of a size; the seed decides what is random.
var generators = map[string]struct {
	least int
	fits  func(n int) bool // nil: each size from least on does
	size  string           // what the number means and which there are
	make  func(n int, rng *rand.Rand) *Topology
}{
	"grid":    {4, func(n int) bool { return side(n)*side(n) == n }, "routers: a square such as 4, 9, 16, 1024", func(n int, _ *rand.Rand) *Topology { return grid(side(n)) }},
	"ring":    {3, nil, "routers, 3 or more", func(n int, _ *rand.Rand) *Topology { return ring(n) }},
	"fattree": {2, func(n int) bool { return n%2 == 0 && n <= maxPorts }, fmt.Sprintf("ports of a switch: even, from 2 to %d", maxPorts), func(n int, _ *rand.Rand) *Topology { return fatTree(n) }},
	"random":  {2, nil, "routers, 2 or more", func(n int, rng *rand.Rand) *Topology { return random(n, 3, rng) }},
	"isp":     {8, nil, "routers, 8 or more", func(n int, rng *rand.Rand) *Topology { return isp(n, rng) }},
}

// maxPorts is of a fat tree's switches: it has 5/4 of the square of them.
const maxPorts = 512

func side(n int) int { return int(math.Round(math.Sqrt(float64(n)))) }

// Generate makes a topology by a name such as grid:1024, ring:100, fattree:16,
// random:500 or isp:10000, of exactly that size. The same seed gives the same topology.
func Generate(name string, seed uint64) (*Topology, error) {
	kind, size, ok := strings.Cut(name, ":")
	g, known := generators[kind]
	n, err := strconv.Atoi(size)
	if !ok || !known || err != nil || n < 2 || n > maxRouters {
		return nil, fmt.Errorf("%q: a generated topology is grid:N, ring:N, fattree:N, random:N or isp:N, N from 2 to %d", name, maxRouters)
	}
	if n < g.least || g.fits != nil && !g.fits(n) {
		return nil, fmt.Errorf("%q: the N of %s:N is %s", name, kind, g.size)
	}
	return g.make(n, rand.New(rand.NewPCG(seed, 1))), nil
}

// grid is side × side routers, each linked to the next one in either direction.
func grid(side int) *Topology {
	t := &Topology{}
	for y := range side {
		for x := range side {
			at := y*side + x
			if x+1 < side {
				t.link(named("r", at), named("r", at+1), "", 1, 1)
			}
			if y+1 < side {
				t.link(named("r", at), named("r", at+side), "", 1, 1)
			}
		}
	}
	return t
}

func ring(n int) *Topology {
	t := &Topology{}
	for i := range n {
		t.link(named("r", i), named("r", (i+1)%n), "", 1, 1)
	}
	return t
}

// fatTree is the three-stage Clos network of k-port switches: k pods of k/2
// edge and k/2 aggregation switches, (k/2)² cores.
func fatTree(k int) *Topology {
	t := &Topology{}
	half := k / 2
	for pod := range k {
		for e := range half {
			for a := range half {
				t.link(named("edge", pod*half+e), named("agg", pod*half+a), "", 1, 1)
			}
		}
		for a := range half {
			for c := range half {
				t.link(named("agg", pod*half+a), named("core", a*half+c), "", 1, 1)
			}
		}
	}
	return t
}

// random is connected: each router is linked to one before it, and to others
// up to degree links a router on average, costs 1…10 by direction.
func random(n, degree int, rng *rand.Rand) *Topology {
	t := &Topology{}
	cost := func() uint32 { return 1 + rng.Uint32N(10) }
	met := map[[2]int]bool{}
	add := func(a, b int) {
		if a > b {
			a, b = b, a
		}
		if a != b && !met[[2]int{a, b}] {
			met[[2]int{a, b}] = true
			t.link(named("r", a), named("r", b), "", cost(), cost())
		}
	}
	for i := 1; i < n; i++ {
		add(i, rng.IntN(i))
	}
	for range n * (degree - 2) / 2 {
		add(rng.IntN(n), rng.IntN(n))
	}
	return t
}

// isp is shaped like a provider's network: cities on a plane, two core routers
// in each, cities linked to their nearest and a few far ones, the cost being
// the distance; below each pair of cores a tree of access routers, each linked
// to both; parallel links between the cores of the busiest cities.
func isp(n int, rng *rand.Rand) *Topology {
	t := &Topology{}
	cities := max(3, int(math.Sqrt(float64(n))/2))
	type city struct{ x, y float64 }
	at := make([]city, cities)
	for i := range at {
		at[i] = city{rng.Float64() * 1000, rng.Float64() * 1000}
	}
	far := func(a, b int) uint32 {
		return 1 + uint32(math.Hypot(at[a].x-at[b].x, at[a].y-at[b].y))
	}
	joined := map[[2]int]bool{}
	join := func(a, b int) {
		if a > b {
			a, b = b, a
		}
		if a == b || joined[[2]int{a, b}] {
			return
		}
		joined[[2]int{a, b}] = true
		for side := range 2 {
			t.link(named("core", 2*a+side), named("core", 2*b+side), "", far(a, b), far(a, b))
		}
	}
	for a := range cities {
		t.link(named("core", 2*a), named("core", 2*a+1), "", 1, 1)
		if a > 0 { // connected, as cities came one after the other
			nearest := 0
			for b := range a {
				if far(a, b) < far(a, nearest) {
					nearest = b
				}
			}
			join(a, nearest)
		}
	}
	for range cities {
		join(rng.IntN(cities), rng.IntN(cities))
	}
	for i := range min(cities/4+1, len(t.Links)) {
		l := t.Links[i*len(t.Links)/(cities/4+1)]
		t.link(l.A, l.B, "second", l.CostAB, l.CostBA)
	}
	for i := range max(0, n-2*cities) {
		// Cities have more access routers the earlier they came.
		c := int(float64(cities) * rng.Float64() * rng.Float64())
		for side := range 2 {
			t.link(named("access", i), named("core", 2*c+side), "", 10, 10)
		}
	}
	return t
}
