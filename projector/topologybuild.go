package projector

import (
	"maps"
	"slices"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
	"dvr/projector/internal/spf"
)

// topologyBuild makes a topology out of the one before: what it does not
// change is shared.
type topologyBuild struct {
	*topology
	items  pmap.View[pmap.String, *item]
	first  bool           // nothing was before: no step is recorded
	owned  map[int32]bool // routers whose arcs are this topology's own; nil: all
	named  bool           // names.last is its own
	heads  []int32
	redone []int32 // routers whose Transit changed
}

// newTopology is the topology of items from nothing.
func newTopology(items pmap.View[pmap.String, *item]) *topology {
	b := &topologyBuild{topology: &topology{line: newLine()}, items: items, first: true, named: true}
	b.names.most = map[eventlog.RouterID]int32{}
	for k := range itemsOf(items, pmap.String(rune(itemRouter))) {
		b.router(k)
	}
	for k := range itemsOf(items, pmap.String(rune(itemLink))) {
		b.link(k)
	}
	return b.done()
}

// next is the topology of items, which differ from those of t in the items
// named. Where too many of the line's numbers are of no use, all begins anew.
func (t *topology) next(items pmap.View[pmap.String, *item], touched []pmap.String) *topology {
	n := *t
	b := &topologyBuild{topology: &n, items: items, owned: map[int32]bool{}}
	b.graph.Arcs, b.ends = slices.Clone(t.graph.Arcs), slices.Clone(t.ends)
	b.graph.Transit, b.ids = slices.Clone(t.graph.Transit), slices.Clip(t.ids)
	touched = slices.Clone(touched)
	slices.Sort(touched)
	touched = slices.Compact(touched)
	for _, k := range touched {
		if k[0] == itemRouter {
			b.router(k)
		}
	}
	var links []pmap.String
	for _, k := range touched {
		switch k[0] {
		case itemLink:
			links = append(links, k)
		case itemLinkSeen:
			links = append(links, linkOfSeen(k))
		}
	}
	slices.Sort(links)
	for _, k := range slices.Compact(links) {
		b.link(k)
	}
	if n := len(b.ids); n > 1024 && b.idle > n/2 {
		return newTopology(items)
	}
	return b.done()
}

func (b *topologyBuild) done() *topology {
	t := b.topology
	if b.first {
		t.at = &stamp{}
		return t
	}
	for _, r := range b.redone {
		b.heads = append(b.heads, r)
		for i := range t.graph.Arcs[r] {
			b.heads = append(b.heads, t.graph.Arcs[r][i].To)
		}
	}
	if len(b.heads) == 0 {
		return t // tags and the like: the paths are the same
	}
	slices.Sort(b.heads)
	s := step{t.at, slices.Compact(b.heads)}
	t.at = &stamp{}
	steps, total := []step{s}, len(s.heads)
	for _, s := range t.steps {
		if total += len(s.heads); total > maxHeads || len(steps) == maxSteps {
			break
		}
		steps = append(steps, s)
	}
	t.steps = steps
	return t
}

// number of a router, which gets one if it has none.
func (b *topologyBuild) number(id eventlog.RouterID) int32 {
	if i, ok := b.names.find(id); ok {
		return i
	}
	i := int32(len(b.ids))
	switch {
	case b.first:
		b.names.most[id] = i
	case len(b.names.last) < maxLastNames:
		if !b.named {
			b.names.last, b.named = maps.Clone(b.names.last), true
		}
		if b.names.last == nil {
			b.names.last = map[eventlog.RouterID]int32{}
		}
		b.names.last[id] = i
	default:
		most := maps.Clone(b.names.most)
		maps.Copy(most, b.names.last)
		most[id] = i
		b.names, b.named = names{most: most}, true
	}
	b.ids = append(b.ids, id)
	b.graph.Arcs, b.ends = append(b.graph.Arcs, nil), append(b.ends, nil)
	b.graph.Transit = append(b.graph.Transit, spf.Open)
	b.idle++
	return i
}

// used says whether a router counts as idle, before and after a change of it.
func (b *topologyBuild) used(r int32) bool {
	return len(b.graph.Arcs[r]) > 0 || b.graph.Transit[r] != spf.Open
}

func (b *topologyBuild) recount(r int32, was bool) {
	switch now := b.used(r); {
	case now && !was:
		b.idle--
	case was && !now:
		b.idle++
	}
}

// router takes in the drain of a router.
func (b *topologyBuild) router(k pmap.String) {
	id, to := eventlog.RouterID(k[1:]), spf.Open
	if it, ok := b.items.Get(k); ok {
		switch it.event.(*eventlog.RouterSet).Drained {
		case eventlog.DrainSoft:
			to = spf.Stub
		case eventlog.DrainHard:
			to = spf.Closed
		}
	}
	if _, known := b.names.find(id); !known && to == spf.Open {
		return
	}
	r := b.number(id)
	if b.graph.Transit[r] == to {
		return
	}
	was := b.used(r)
	b.graph.Transit[r] = to
	b.recount(r, was)
	b.redone = append(b.redone, r)
}

// link takes in a link as it is now: gone, down, or up with these attributes.
func (b *topologyBuild) link(k pmap.String) {
	var l *eventlog.LinkSet
	if it, ok := b.items.Get(k); ok {
		if l = it.event.(*eventlog.LinkSet); l.Down || seenDown(b.items, &l.LinkID) {
			l = nil
		}
	}
	nameA, nameB := endsOf(k)
	var x, y int32
	if l == nil {
		var okA, okB bool
		x, okA = b.names.find(nameA)
		y, okB = b.names.find(nameB)
		if !okA || !okB {
			return
		}
	} else {
		x, y = b.number(nameA), b.number(nameB)
	}
	i, j := b.place(x, k), b.place(y, k)
	if l == nil {
		if i >= 0 {
			b.cut(x, i)
			b.cut(y, j)
			b.heads = append(b.heads, x, y)
		}
		return
	}
	arcX := spf.Arc{To: y, Cost: l.CostAB, Back: l.CostBA}
	arcY := spf.Arc{To: x, Cost: l.CostBA, Back: l.CostAB}
	endX := end{k, l.InterfaceA, byFamily(l.AddressB)}
	endY := end{k, l.InterfaceB, byFamily(l.AddressA)}
	if endX.blind() {
		arcX.Cost, arcY.Back = spf.Blocked, spf.Blocked
	}
	if endY.blind() {
		arcY.Cost, arcX.Back = spf.Blocked, spf.Blocked
	}
	if i >= 0 && b.ends[x][i] == endX && b.ends[y][j] == endY {
		arcX.Hop, arcY.Hop = b.graph.Arcs[x][i].Hop, b.graph.Arcs[y][j].Hop
		if b.graph.Arcs[x][i] == arcX && b.graph.Arcs[y][j] == arcY {
			return
		}
	} else {
		n := b.line.links.Add(1)
		arcX.Hop, arcY.Hop = 2*n, 2*n+1
	}
	b.put(x, i, arcX, endX)
	b.put(y, j, arcY, endY)
	b.heads = append(b.heads, x, y)
}

// place of a link's arc at a router; −1: none.
func (b *topologyBuild) place(r int32, k pmap.String) int {
	if b.first {
		return -1 // each link is met once
	}
	for i := range b.ends[r] {
		if b.ends[r][i].link == k {
			return i
		}
	}
	return -1
}

// own makes the lists of a router this topology's.
func (b *topologyBuild) own(r int32) {
	if b.first || b.owned[r] {
		return
	}
	b.owned[r] = true
	b.graph.Arcs[r], b.ends[r] = slices.Clone(b.graph.Arcs[r]), slices.Clone(b.ends[r])
}

func (b *topologyBuild) put(r int32, at int, a spf.Arc, e end) {
	was := b.used(r)
	b.own(r)
	if e.blind() {
		b.blind++
	}
	if at >= 0 {
		if b.ends[r][at].blind() {
			b.blind--
		}
		b.graph.Arcs[r][at], b.ends[r][at] = a, e
		return
	}
	b.graph.Arcs[r], b.ends[r] = append(b.graph.Arcs[r], a), append(b.ends[r], e)
	b.recount(r, was)
}

func (b *topologyBuild) cut(r int32, at int) {
	was := b.used(r)
	b.own(r)
	if b.ends[r][at].blind() {
		b.blind--
	}
	b.graph.Arcs[r], b.ends[r] = slices.Delete(b.graph.Arcs[r], at, at+1), slices.Delete(b.ends[r], at, at+1)
	b.recount(r, was)
}
