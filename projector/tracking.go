package projector

import (
	"slices"

	"dvr/eventlog"
)

// tracking is the next hops of recursive classes: what is resolved stays
// resolved until a destination that contains one of them changes, or a
// recursive class comes or goes, or links do.
type tracking struct {
	hops  []place // addresses, in order, IPv4 first
	cell  *resolutionCell
	stale bool // the cell holds no more
}

func comparePlaces(a, b place) int {
	if a.v6 != b.v6 {
		if b.v6 {
			return -1
		}
		return 1
	}
	return a.key6().Compare(b.key6())
}

// follow takes in which classes are recursive.
func (t *tracking) follow(recursive []*class) {
	t.hops = t.hops[:0]
	for _, c := range recursive {
		for i := range c.paths {
			if p := &c.paths[i]; p.recursive && p.nextHop.IsValid() {
				t.hops = append(t.hops, placeOfAddr(p.nextHop))
			}
		}
	}
	slices.SortFunc(t.hops, comparePlaces)
	t.hops = slices.Compact(t.hops)
	t.stale = true
}

// changed takes in that the candidates of a destination did. Cost: O(log next hops).
func (t *tracking) changed(p place) {
	if t.stale || len(t.hops) == 0 {
		return
	}
	first := p
	first.bits = 0
	i, _ := slices.BinarySearchFunc(t.hops, first, comparePlaces)
	t.stale = i < len(t.hops) && p.contains(t.hops[i])
}

// contains reports that a lies in p.
func (p place) contains(a place) bool {
	if p.v6 != a.v6 {
		return false
	}
	hi, lo := p.hi^a.hi, p.lo^a.lo
	if p.bits <= 64 {
		return p.bits == 0 || hi>>(64-p.bits) == 0
	}
	return hi == 0 && lo>>(128-p.bits) == 0
}

// resolutions is the cell of a state; moved: links or routers changed since
// the newest topology. Only what `*` routes resolve to depends on these.
func (t *tracking) resolutions(recursive []*class, moved bool) *resolutionCell {
	switch {
	case len(recursive) == 0:
		return nil
	case t.cell == nil || t.stale:
		t.cell, t.stale = newResolutionCell(), false
	case moved:
		return &resolutionCell{local: t.cell.local, whole: newResolutionMemo()}
	}
	return t.cell
}

// resolvesAnew reports what between two states may resolve otherwise: a
// class's own recursive routes, and those of `*`.
func (c *class) resolvesAnew(before, after *resolutionCell) bool {
	if before == nil || after == nil || before.local != after.local {
		return true
	}
	if before == after {
		return false
	}
	return slices.ContainsFunc(c.paths, func(p path) bool { return p.recursive && p.router == eventlog.AllRouters })
}
