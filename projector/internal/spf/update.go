package spf

// Update is the tree of g. heads names every router of which something that
// leads to it differs from the graph that t was computed for: both ends of a
// link that came, went or changed; the neighbours of a router whose Transit
// changed, and that router. They may be named more than once or needlessly.
// The tree that is given back is t itself if it holds for g. Cost: the arcs of
// the heads and of the routers that change.
func (t *Tree) Update(g *Graph, heads []int32) (*Tree, Work) {
	if scanned, same := t.holds(g, heads); same {
		return t, Work{Scanned: scanned}
	}
	t.table.mu.Lock()
	defer t.table.mu.Unlock()
	if t.table.full() {
		return New(g, int(t.source))
	}
	d := &draft{g: g, source: t.source, table: t.table, was: t.pages}
	if n := (len(g.Arcs) + pageSize - 1) >> pageBits; n > len(t.pages) {
		d.pages = make([]*page, n)
		for i := copy(d.pages, t.pages); i < n; i++ {
			d.pages[i] = nowhere
		}
	} else {
		d.pages = append([]*page(nil), t.pages...)
	}
	d.begin(len(g.Arcs))
	defer d.end()
	d.lose(heads)
	d.gain(heads)
	d.rehop(heads)
	return d.tree(t), d.work
}

// holds: what leads to each of the heads gives the distance and the first hops
// that t has. Then nothing changed, as a change begins at a head. This is what
// most trees are asked, and all that they are.
func (t *Tree) holds(g *Graph, heads []int32) (scanned int, same bool) {
	for _, v := range heads {
		if v == t.source {
			continue
		}
		best, first := uint64(Unreachable), uint32(0)
		if g.admits(t.source, v) {
			arcs := g.Arcs[v]
			scanned += len(arcs)
			for i := range arcs {
				u := arcs[i].To
				near := t.Distance(int(u))
				if near == Unreachable {
					continue
				}
				far := further(near, arcs[i].Back)
				if far > best || far == Unreachable || !g.carries(t.source, u) {
					continue
				}
				via := t.First(int(u))
				if u == t.source {
					via = t.table.numberOfOne(arcs[i].Hop ^ 1)
				}
				if far < best {
					best, first = far, via
				} else if first != via {
					first = t.table.unionOf(first, via)
				}
			}
		}
		if best != t.Distance(int(v)) || first != t.First(int(v)) {
			return scanned, false
		}
	}
	return scanned, true
}

// lose finds the routers to which no path of their distance is left, and makes
// them unreachable. A path of a router's distance goes over routers that are
// nearer, so that in order of distance each is decided once.
func (d *draft) lose(heads []int32) {
	for _, v := range heads {
		if v != d.source && d.distance(v) != Unreachable && d.set(v, pending) {
			d.queue.push(d.distance(v), v)
		}
	}
	for len(d.queue) > 0 {
		v := d.queue.pop().router
		d.marks[v] &^= pending
		if !d.set(v, checked) || d.supported(v) {
			continue
		}
		d.set(v, losing)
		d.lost = append(d.lost, v)
		// Whom it supported: over arcs that did not change; the others' ends are heads.
		arcs := d.g.Arcs[v]
		d.work.Scanned += len(arcs)
		for i := range arcs {
			w := arcs[i].To
			if d.marks[w]&(checked|pending) == 0 && d.behind(w, d.distance(v), arcs[i].Cost) && w != d.source {
				d.set(w, pending)
				d.queue.push(d.distance(w), w)
			}
		}
	}
	for _, v := range d.lost {
		d.setDistance(v, Unreachable)
	}
}

// supported: a router that is not lost leads to v at v's distance.
func (d *draft) supported(v int32) bool {
	if !d.g.admits(d.source, v) {
		return false
	}
	arcs := d.g.Arcs[v]
	for i := range arcs {
		u := arcs[i].To
		d.work.Scanned++
		if near := d.distance(u); near != Unreachable && further(near, arcs[i].Back) == d.distance(v) &&
			d.marks[u]&losing == 0 && d.g.carries(d.source, u) {
			return true
		}
	}
	return false
}

// gain finds the distances of what was lost, and what became nearer.
func (d *draft) gain(heads []int32) {
	for _, v := range d.lost {
		d.reach(v)
	}
	for _, v := range heads {
		if v != d.source {
			d.reach(v)
		}
	}
	for len(d.queue) > 0 {
		top := d.queue.pop()
		v := top.router
		if top.distance != d.distance(v) {
			continue
		}
		d.work.Settled++
		if !d.g.carries(d.source, v) {
			continue
		}
		arcs := d.g.Arcs[v]
		d.work.Scanned += len(arcs)
		for i := range arcs {
			to := further(top.distance, arcs[i].Cost)
			if w := arcs[i].To; to < d.distance(w) && d.g.admits(d.source, w) {
				d.setDistance(w, to)
				d.queue.push(to, w)
			}
		}
	}
}

// reach lets v have the best that its neighbours offer now, if it is better.
func (d *draft) reach(v int32) {
	if !d.g.admits(d.source, v) {
		return
	}
	best := d.distance(v)
	arcs := d.g.Arcs[v]
	d.work.Scanned += len(arcs)
	for i := range arcs {
		u := arcs[i].To
		if near := d.distance(u); near != Unreachable && d.g.carries(d.source, u) {
			best = min(best, further(near, arcs[i].Back))
		}
	}
	if best < d.distance(v) {
		d.setDistance(v, best)
		d.queue.push(best, v)
	}
}

// rehop finds the first hops anew: of the heads, of the routers that moved and
// those that lie behind them now or did, and of whatever follows from these.
func (d *draft) rehop(heads []int32) {
	for _, v := range heads {
		d.wait(v)
	}
	for _, v := range d.moved {
		d.wait(v)
		arcs := d.g.Arcs[v]
		d.work.Scanned += len(arcs)
		for i := range arcs {
			if w := arcs[i].To; d.behind(w, d.distance(v), arcs[i].Cost) || d.behind(w, d.before(v), arcs[i].Cost) {
				d.wait(w)
			}
		}
	}
	for len(d.queue) > 0 {
		v := d.queue.pop().router
		d.marks[v] &^= pending
		first := d.firstOf(v)
		if first == d.first(v) {
			if d.distance(v) != d.before(v) {
				d.work.Changed++
			}
			continue
		}
		d.own(v).first[v&(pageSize-1)] = first
		d.work.Changed++
		if !d.g.carries(d.source, v) {
			continue
		}
		arcs := d.g.Arcs[v]
		d.work.Scanned += len(arcs)
		for i := range arcs {
			if w := arcs[i].To; d.behind(w, d.distance(v), arcs[i].Cost) {
				d.wait(w)
			}
		}
	}
}

// behind: w is as far as a router at that distance and an arc of that cost.
func (d *draft) behind(w int32, distance uint64, cost uint32) bool {
	return distance != Unreachable && cost != Blocked && d.distance(w) == distance+uint64(cost)
}

// wait puts v into the queue. Each comes out once: what it depends on is nearer.
func (d *draft) wait(v int32) {
	if v != d.source && d.set(v, pending) {
		d.queue.push(d.distance(v), v)
	}
}

// firstOf is v's set of first hops by those of its neighbours.
func (d *draft) firstOf(v int32) (first uint32) {
	far := d.distance(v)
	if far == Unreachable {
		return 0
	}
	arcs := d.g.Arcs[v]
	d.work.Scanned += len(arcs)
	for i := range arcs {
		u := arcs[i].To
		if near := d.distance(u); near == Unreachable || further(near, arcs[i].Back) != far || !d.g.carries(d.source, u) {
			continue
		}
		if u == d.source {
			first = d.table.union(first, d.table.of(arcs[i].Hop^1))
		} else {
			first = d.table.union(first, d.first(u))
		}
	}
	return first
}
