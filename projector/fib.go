package projector

import (
	"slices"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// FIB is one router's forwarding table at a state. Immutable; safe for concurrent use.
//
// It is the state's own tables and the groups of the classes that are usable
// at the router: a prefix is in the FIB exactly if its class has a group.
type FIB struct {
	state  *State
	router eventlog.RouterID
	groups pmap.View[pmap.ID, *group]
	paths  rooted // the router's
	digest Digest
	n4, n6 int
}

// group is a class's next hops at the router, canonical. Immutable.
type group struct {
	hops []NextHop
	item Digest
}

// FIB compiles router's table. With prev (same router, any earlier state) only what changed is
// computed. Cost: O(changed prefixes + changed classes); where links or routers changed, the
// paths that change and the classes of the routers at their ends.
func (s *State) FIB(router eventlog.RouterID, prev *FIB) *FIB {
	if prev == nil || prev.router != router {
		prev = &FIB{state: &State{}, router: router}
	}
	c := compiler{
		fib:    &FIB{state: s, router: router, digest: prev.digest, n4: prev.n4, n6: prev.n6},
		groups: prev.groups.Thaw(),
		view:   s.view(router),
	}
	c.view.paths = c.view.topo.tree(c.view.topo.find(router), prev.paths)
	c.fib.paths = c.view.paths
	pmap.Diff(prev.state.classes, s.classes, func(a, b *account) bool { return *a == *b }, c.changed)
	switch {
	case prev.state.topology == nil: // from nothing: every class was new
	case prev.state.topology != s.topology:
		c.reroute(prev)
	case prev.state.resolution != s.resolution:
		for _, class := range s.recursive {
			if class.resolvesAnew(prev.state.resolution, s.resolution) {
				c.regroup(s.classes.Ptr(pmap.ID(class.id)))
			}
		}
	}
	c.fib.groups = c.groups.Freeze()
	return c.fib
}

// compiler derives a FIB from an earlier one.
type compiler struct {
	fib    *FIB
	groups pmap.Map[pmap.ID, *group]
	view   *view
}

// changed takes in that a class's account changed.
func (c *compiler) changed(id pmap.ID, before, after *account) bool {
	g, _ := c.groups.Get(id)
	if g != nil && before != nil {
		c.fib.weigh(before, g, -1)
	}
	switch {
	case after == nil:
		c.groups.Delete(id)
		return true
	case before == nil:
		if g = c.compile(after.class); g != nil {
			c.groups.Set(id, g)
		}
	}
	if g != nil {
		c.fib.weigh(after, g, 1)
	}
	return true
}

// reroute takes in that links or routers changed.
func (c *compiler) reroute(prev *FIB) {
	s := c.fib.state
	done := map[*class]bool{}
	again := func(cl *class) {
		if !done[cl] {
			done[cl] = true
			if a := s.classes.Ptr(pmap.ID(cl.id)); a != nil {
				c.regroup(a)
			}
		}
	}
	if !c.view.topo.behind(prev.paths, c.fib.paths, s, again) {
		for _, a := range s.classes.All() {
			c.regroup(a)
		}
		return
	}
	for _, cl := range s.recursive {
		if cl.resolvesAnew(prev.state.resolution, s.resolution) {
			again(cl)
		}
	}
}

// regroup computes the group of a class anew.
func (c *compiler) regroup(a *account) {
	id := pmap.ID(a.class.id)
	old, _ := c.groups.Get(id)
	g := c.compile(a.class)
	if old != nil && g != nil && slices.Equal(old.hops, g.hops) {
		return
	}
	if old != nil {
		c.fib.weigh(a, old, -1)
	}
	if g != nil {
		c.fib.weigh(a, g, 1)
		c.groups.Set(id, g)
	} else {
		c.groups.Delete(id)
	}
}

func (c *compiler) compile(cl *class) *group {
	ch, ok := c.view.choose(cl)
	if !ok {
		return nil
	}
	return &group{ch.nextHops, groupItem(cl.id, ch.nextHops)}
}

// weigh adds (by = 1) or takes away (−1) a class with its prefixes.
func (f *FIB) weigh(a *account, g *group, by int) {
	sum := a.sum.Add(g.item)
	if by > 0 {
		f.digest = f.digest.Add(sum)
	} else {
		f.digest = f.digest.Sub(sum)
	}
	f.n4 += by * int(a.n4)
	f.n6 += by * int(a.n6)
}

// State is the state that the table was compiled from.
func (f *FIB) State() *State { return f.state }

// Position is that of the state.
func (f *FIB) Position() eventlog.Position { return f.state.pos }

// Router is the router whose table this is.
func (f *FIB) Router() eventlog.RouterID { return f.router }

// Digest is the FIB digest (decision 3).
func (f *FIB) Digest() Digest { return f.digest }

// Len counts the prefixes by family.
func (f *FIB) Len() (v4, v6 int) { return f.n4, f.n6 }

// Group is the group of a class at this router; nil: the class is not usable here.
func (f *FIB) Group(c ClassID) []NextHop {
	if g, ok := f.groups.Get(pmap.ID(c)); ok {
		return g.hops
	}
	return nil
}

// Buckets sums the prefix items by bucket. Cost: one pass over the table.
func (f *FIB) Buckets() *[buckets]Digest {
	out := new([buckets]Digest)
	u := f.users()
	for k, e := range f.state.v4.All() {
		if c := e.set.class; c != nil && u.uses(c) {
			p := place4(k)
			b := &out[p.bucket()]
			*b = b.Add(p.item(c.words))
		}
	}
	for k, e := range f.state.v6.All() {
		if c := e.set.class; c != nil && u.uses(c) {
			p := place6(k)
			b := &out[p.bucket()]
			*b = b.Add(p.item(c.words))
		}
	}
	return out
}

func (p place) bucket() uint64 { return p.item(words{}).Lo % buckets }

// users answers which classes of the FIB's state are usable, by slot: within
// one state a slot is one class.
type users struct {
	fib  *FIB
	memo []int8 // 0 not known, 1 usable, −1 not
}

func (f *FIB) users() *users { return &users{fib: f} }

func (u *users) uses(c *class) bool {
	slot := int(c.slot)
	if slot < len(u.memo) && u.memo[slot] != 0 {
		return u.memo[slot] > 0
	}
	*grow(&u.memo, c.slot) = -1
	if u.fib.groups.Has(pmap.ID(c.id)) {
		u.memo[slot] = 1
	}
	return u.memo[slot] > 0
}
