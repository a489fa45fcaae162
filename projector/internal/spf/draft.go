package spf

import "sync"

// draft is a tree in the making: pages of the tree before, copied where they
// are first written.
type draft struct {
	g      *Graph
	source int32
	table  *hopTable // its lock is held
	was    []*page
	pages  []*page
	work   Work
	*scratch
}

// scratch is what a computation needs and leaves empty for the next one.
type scratch struct {
	queue  queue
	marks  []mark
	marked []int32 // routers with a mark
	lost   []int32 // routers that no old path supports
	moved  []int32 // routers whose distance was written
}

type mark uint8

const (
	known   mark = 1 << iota // in marked
	checked                  // looked at whether an old path still supports it
	losing                   // none does
	moving                   // in moved
	pending                  // waits for its first hops
)

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func (d *draft) begin(n int) {
	d.scratch = scratches.Get().(*scratch)
	if len(d.marks) < n {
		d.marks = make([]mark, n)
	}
}

func (d *draft) end() {
	for _, v := range d.marked {
		d.marks[v] = 0
	}
	d.marked, d.lost, d.moved, d.queue = d.marked[:0], d.lost[:0], d.moved[:0], d.queue[:0]
	scratches.Put(d.scratch)
	d.scratch = nil
}

// set gives v a mark; false: it had it.
func (d *draft) set(v int32, m mark) bool {
	if d.marks[v]&m != 0 {
		return false
	}
	if d.marks[v] == 0 {
		d.marked = append(d.marked, v)
	}
	d.marks[v] |= m | known
	return true
}

func (d *draft) distance(v int32) uint64 { return d.pages[v>>pageBits].distance[v&(pageSize-1)] }
func (d *draft) first(v int32) uint32    { return d.pages[v>>pageBits].first[v&(pageSize-1)] }

// before is the distance in the tree before.
func (d *draft) before(v int32) uint64 {
	if int(v>>pageBits) >= len(d.was) {
		return Unreachable
	}
	return d.was[v>>pageBits].distance[v&(pageSize-1)]
}

// own is v's page, to be written.
func (d *draft) own(v int32) *page {
	at := v >> pageBits
	p := d.pages[at]
	if p == nowhere || int(at) < len(d.was) && p == d.was[at] {
		p = &page{}
		*p = *d.pages[at]
		d.pages[at] = p
	}
	return p
}

func (d *draft) setDistance(v int32, to uint64) {
	d.own(v).distance[v&(pageSize-1)] = to
	if d.set(v, moving) {
		d.moved = append(d.moved, v)
	}
}

// tree is the draft's outcome; before, if it is the same.
func (d *draft) tree(before *Tree) *Tree {
	if before != nil && d.work.Changed == 0 {
		return before
	}
	return &Tree{source: d.source, pages: d.pages, table: d.table, sets: d.table.sets}
}

// New is the tree of a source from nothing: Dijkstra's algorithm.
func New(g *Graph, source int) (*Tree, Work) {
	d := &draft{g: g, source: int32(source), table: newHopTable()}
	d.pages = make([]*page, (len(g.Arcs)+pageSize-1)>>pageBits)
	for i := range d.pages {
		p := *nowhere
		d.pages[i] = &p
	}
	d.begin(0)
	defer d.end()
	d.pages[source>>pageBits].distance[source&(pageSize-1)] = 0
	d.queue.push(0, d.source)
	for len(d.queue) > 0 {
		top := d.queue.pop()
		v := top.router
		if top.distance != d.distance(v) {
			continue // reached on a shorter way meanwhile
		}
		d.work.Settled++
		if !g.carries(d.source, v) {
			continue
		}
		first := d.first(v)
		arcs := g.Arcs[v]
		d.work.Scanned += len(arcs)
		for i := range arcs {
			a := &arcs[i]
			to := further(top.distance, a.Cost)
			p, at := d.pages[a.To>>pageBits], a.To&(pageSize-1)
			if to > p.distance[at] || to == Unreachable || !g.admits(d.source, a.To) {
				continue
			}
			via := first
			if v == d.source {
				via = d.table.of(a.Hop)
			}
			if to == p.distance[at] {
				p.first[at] = d.table.union(p.first[at], via)
				continue
			}
			p.distance[at], p.first[at] = to, via
			d.queue.push(to, a.To)
		}
	}
	d.work.Changed = d.work.Settled
	return d.tree(nil), d.work
}
