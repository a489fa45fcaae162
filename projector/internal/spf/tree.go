package spf

const (
	pageBits = 6
	pageSize = 1 << pageBits
)

// page holds what a tree knows of pageSize routers.
type page struct {
	distance [pageSize]uint64
	first    [pageSize]uint32 // number of the set of first hops
}

// nowhere is the page of routers that cannot be reached.
var nowhere = func() *page {
	p := new(page)
	for i := range p.distance {
		p.distance[i] = Unreachable
	}
	return p
}()

// Tree is the shortest paths from one router. Immutable; safe for concurrent use.
type Tree struct {
	source int32
	pages  []*page
	table  *hopTable
	sets   [][]uint32 // of the table, as far as this tree refers to it
}

// Work counts what computing a tree took.
type Work struct {
	Settled int // routers whose distance was found, or found again
	Scanned int // arcs looked at
	Changed int // routers whose distance or first hops are other than before
}

// Source is the router that the paths begin at.
func (t *Tree) Source() int { return int(t.source) }

// Distance to a router; Unreachable where no path leads. Routers that the
// graph got later than the tree are unreachable.
func (t *Tree) Distance(i int) uint64 {
	if i>>pageBits >= len(t.pages) {
		return Unreachable
	}
	return t.pages[i>>pageBits].distance[i&(pageSize-1)]
}

// First is the number of the set of links that shortest paths to a router
// begin with; 0 is the empty set, that of the source and of the unreachable.
func (t *Tree) First(i int) uint32 {
	if i>>pageBits >= len(t.pages) {
		return 0
	}
	return t.pages[i>>pageBits].first[i&(pageSize-1)]
}

// Hops lists a set: numbers of hops, ascending, not to be written.
func (t *Tree) Hops(first uint32) []uint32 { return t.sets[first] }

// Bytes is about what the tree holds for itself alone.
func (t *Tree) Bytes() int { return len(t.pages) * (pageSize*12 + 8) }

// Diff calls changed for each router that two trees of one source tell other
// things about, in order; false: they are not comparable, everything may
// differ. Cost: O(pages + differing pages' routers).
func Diff(a, b *Tree, changed func(i int)) bool {
	if a == b {
		return true
	}
	if a == nil || b == nil || a.source != b.source || a.table != b.table {
		return false
	}
	for at := range max(len(a.pages), len(b.pages)) {
		p, q := nowhere, nowhere
		if at < len(a.pages) {
			p = a.pages[at]
		}
		if at < len(b.pages) {
			q = b.pages[at]
		}
		if p == q {
			continue
		}
		for i := range pageSize {
			if p.distance[i] != q.distance[i] || p.first[i] != q.first[i] {
				changed(at<<pageBits | i)
			}
		}
	}
	return true
}
