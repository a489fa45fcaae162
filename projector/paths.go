package projector

import (
	"iter"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
	"dvr/projector/internal/spf"
)

// Paths is how one router reaches the others at a state: its vector before any
// prefix is looked at. Immutable; safe for concurrent use.
type Paths struct {
	state  *State
	router eventlog.RouterID
	topo   *topology
	rooted
	work Work
}

// Work counts what it took to come to Paths.
type Work struct {
	Settled int // routers whose distance was found or found again
	Scanned int // ends of links looked at
	Changed int // routers with another distance or other next hops than before
}

// Paths computes router's paths. With prev (same router, any earlier state)
// only what changed is computed. Cost: the links whose ends change; from
// nothing, all links.
func (s *State) Paths(router eventlog.RouterID, prev *Paths) *Paths {
	p := &Paths{state: s, router: router, topo: s.topology.get()}
	source := p.topo.find(router)
	if prev == nil || prev.router != router {
		prev = &Paths{}
	}
	var w spf.Work
	p.rooted, w = p.topo.treeWork(source, prev.rooted)
	p.work = Work(w)
	return p
}

// Work is what the computation took; nothing where the result was there already.
func (p *Paths) Work() Work { return p.work }

// Distance to another router; false: no path leads there.
func (p *Paths) Distance(to eventlog.RouterID) (uint64, bool) {
	if to == p.router {
		return 0, true
	}
	d := p.view().distance(to)
	return d, d != unreachable
}

func (p *Paths) view() *view {
	return &view{state: p.state, router: p.router, topo: p.topo, paths: p.rooted}
}

// ClassDecision is what a router does with every prefix of a class.
type ClassDecision struct {
	Class      ClassID
	Usable     bool // false: what follows is zero
	Preference uint8
	Metric     uint64    // above the lowest metric of a destination's own candidates
	NextHops   []NextHop // shared with other classes, not to be written
}

// Changes iterates over the decisions about classes that may have changed since
// prev (nil: about all), a class at most once; those that no destination is
// left in come as unusable. No prefix is looked at. Cost: O(changed classes
// and classes of the routers whose paths changed).
func (p *Paths) Changes(prev *Paths) iter.Seq[ClassDecision] {
	return func(yield func(ClassDecision) bool) {
		v := p.view()
		decide := func(c *class) bool {
			d := ClassDecision{Class: c.id}
			if best := v.best(c); len(best) > 0 {
				if hops := v.nextHops(c, best); len(hops) > 0 {
					d = ClassDecision{c.id, true, best[0].preference, best[0].metric, hops}
				}
			}
			return yield(d)
		}
		if prev != nil && prev.router == p.router {
			if list, ok := p.affected(prev); ok {
				for _, c := range list {
					if !decide(c) {
						return
					}
				}
				pmap.Diff(prev.state.classes, p.state.classes, func(_, _ *account) bool { return true }, func(id pmap.ID, before, after *account) bool {
					return after != nil || yield(ClassDecision{Class: ClassID(id)})
				})
				return
			}
		}
		for _, a := range p.state.classes.All() {
			if !decide(a.class) {
				return
			}
		}
	}
}

// affected is the classes about which the decision may differ from that of
// prev; false: any may.
func (p *Paths) affected(prev *Paths) (list []*class, ok bool) {
	var met map[*class]bool
	add := func(c *class) {
		if met == nil {
			met = map[*class]bool{}
		}
		if !met[c] {
			met[c] = true
			list = append(list, c)
		}
	}
	if !p.topo.behind(prev.rooted, p.rooted, p.state, add) {
		return nil, false
	}
	pmap.Diff(prev.state.classes, p.state.classes, func(_, _ *account) bool { return true }, func(_ pmap.ID, before, after *account) bool {
		if before == nil {
			add(after.class)
		}
		return true
	})
	for _, c := range p.state.recursive {
		if c.resolvesAnew(prev.state.resolution, p.state.resolution) {
			add(c)
		}
	}
	return list, true
}

// behind calls each for the classes of s with a path of a router that two
// trees of one source tell other things about, once or more; false: they
// cannot be compared. now is of this topology.
func (t *topology) behind(was, now rooted, s *State, each func(*class)) bool {
	_, follows := t.since(was.at)
	return follows && spf.Diff(was.tree, now.tree, func(i int) {
		for c := range s.originating(t.ids[i]) {
			each(c)
		}
	})
}
