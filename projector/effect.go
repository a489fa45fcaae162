package projector

import (
	"cmp"
	"net/netip"
	"slices"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// Effect is how one router's FIB differs between two states.
//
// Added + Removed + Changed is exact: it counts every prefix whose next hops
// differ. Entries and Groups name some of them: what was touched by itself, and
// what changed because the next hops of its whole class did.
type Effect struct {
	Router                        eventlog.RouterID
	DigestBefore, Digest          Digest
	Before, After                 int // prefixes of both families
	Added, Removed, Changed       int
	Entries                       []EntryEffect // in prefix order, at most as many as asked for
	Groups                        []GroupEffect // most prefixes first, at most as many as asked for
	EntriesLeftOut, GroupsLeftOut int
}

// EntryEffect is a prefix whose next hops differ; nil: it is not in the FIB.
type EntryEffect struct {
	Prefix        netip.Prefix
	Before, After []NextHop
}

// GroupEffect is a class whose next hops differ, without the touched prefixes.
type GroupEffect struct {
	Class         ClassID
	Prefixes      int // how many of the class were not touched by themselves
	Examples      []netip.Prefix
	Before, After []NextHop
}

// namedExamples is how many prefixes of a class are named.
const namedExamples = 4

// Comparison compares the FIBs of many routers at two states of which the later
// may be an overlay's. Not safe for concurrent use.
type Comparison struct {
	before, after *State
	limit         int
	touched       []touchedPlace           // in prefix order, each once
	among         map[*class]int           // touched prefixes by their class before
	wanted        map[ClassID]*groupWanted // of which examples are to be found
}

type touchedPlace struct {
	place
	before, after *class // nil: nothing usable
}

type groupWanted struct {
	id       ClassID
	examples []netip.Prefix
}

// Compare prepares the comparison of before and after, whose routes differ at
// most at the touched prefixes (in any order, repeated or not). limit bounds the
// entries and groups that an Effect names. Cost: O(touched).
func Compare(before, after *State, touched []netip.Prefix, limit int) *Comparison {
	c := &Comparison{
		before: before, after: after, limit: limit,
		touched: make([]touchedPlace, len(touched)), among: map[*class]int{}, wanted: map[ClassID]*groupWanted{},
	}
	for i, p := range touched {
		c.touched[i].place = placeOf(p)
	}
	slices.SortFunc(c.touched, func(a, b touchedPlace) int { return a.compare(b.place) })
	c.touched = slices.CompactFunc(c.touched, func(a, b touchedPlace) bool { return a.place == b.place })
	for i := range c.touched {
		t := &c.touched[i]
		t.before, t.after = before.classAt(t.place), after.classAt(t.place)
		if t.before != nil {
			c.among[t.before]++
		}
	}
	return c
}

// compare orders places as tables are: IPv4 first, address, length.
func (p place) compare(o place) int {
	if p.v6 != o.v6 {
		if p.v6 {
			return 1
		}
		return -1
	}
	return p.key6().Compare(o.key6())
}

func (s *State) classAt(p place) *class {
	if e := s.entry(p); e != nil {
		return e.set.class
	}
	return nil
}

// Effect compares a router's FIBs, fib being the one at the state before (nil:
// it is compiled). It gives the FIB after, too. The examples of its groups are
// there after Examples. Cost: O(touched + classes that changed), and what
// compiling costs.
func (c *Comparison) Effect(router eventlog.RouterID, fib *FIB) (*Effect, *FIB) {
	if fib == nil || fib.state != c.before {
		fib = c.before.FIB(router, fib)
	}
	now := c.after.FIB(router, fib)
	e := &Effect{Router: router, DigestBefore: fib.Digest(), Digest: now.Digest()}
	e.Before, e.After = fib.total(), now.total()
	was, is := memoOf(fib), memoOf(now)
	for i := range c.touched {
		t := &c.touched[i]
		a, b := was.of(t.before), is.of(t.after)
		if !e.count(a, b, 1) {
			continue
		}
		if len(e.Entries) < c.limit {
			e.Entries = append(e.Entries, EntryEffect{t.prefix(), a, b})
		} else {
			e.EntriesLeftOut++
		}
	}
	changedGroups(fib, now, func(id ClassID, a, b []NextHop) {
		account := c.before.classes.Ptr(pmap.ID(id))
		if account == nil || !c.after.classes.Has(pmap.ID(id)) {
			return
		}
		n := int(account.n4) + int(account.n6) - c.among[account.class]
		if n > 0 && e.count(a, b, n) {
			e.Groups = append(e.Groups, GroupEffect{Class: id, Prefixes: n, Before: a, After: b})
		}
	})
	slices.SortFunc(e.Groups, func(a, b GroupEffect) int {
		return cmp.Or(cmp.Compare(b.Prefixes, a.Prefixes), slices.Compare(a.Class[:], b.Class[:]))
	})
	if n := len(e.Groups); n > c.limit {
		e.Groups, e.GroupsLeftOut = e.Groups[:c.limit], n-c.limit
	}
	for i := range e.Groups {
		id := e.Groups[i].Class
		if c.wanted[id] == nil {
			c.wanted[id] = &groupWanted{id: id}
		}
	}
	return e, now
}

// count takes in n prefixes whose next hops were a and are b; false: the same.
func (e *Effect) count(a, b []NextHop, n int) bool {
	switch {
	case a == nil && b == nil:
		return false
	case a == nil:
		e.Added += n
	case b == nil:
		e.Removed += n
	case slices.Equal(a, b):
		return false
	default:
		e.Changed += n
	}
	return true
}

// Examples names prefixes of the groups of the effects. Cost: a walk over the
// table until each group has its examples, at most once over all of it.
func (c *Comparison) Examples(effects []*Effect) {
	missing := 0
	for _, w := range c.wanted {
		missing += min(namedExamples, c.untouched(w.id)) - len(w.examples)
	}
	if missing > 0 {
		i := 0
		for p, e := range c.before.entries(netip.Prefix{}, netip.Prefix{}) {
			for i < len(c.touched) && c.touched[i].compare(p) < 0 {
				i++
			}
			if i < len(c.touched) && c.touched[i].place == p || e.set.class == nil {
				continue
			}
			w := c.wanted[e.set.class.id]
			if w == nil || len(w.examples) == namedExamples {
				continue
			}
			w.examples = append(w.examples, p.prefix())
			if missing--; missing == 0 {
				break
			}
		}
	}
	for _, e := range effects {
		for i := range e.Groups {
			if w := c.wanted[e.Groups[i].Class]; w != nil {
				e.Groups[i].Examples = w.examples
			}
		}
	}
}

func (c *Comparison) untouched(id ClassID) int {
	a := c.before.classes.Ptr(pmap.ID(id))
	return int(a.n4) + int(a.n6) - c.among[a.class]
}

func (f *FIB) total() int {
	v4, v6 := f.Len()
	return v4 + v6
}

// changedGroups calls fn for every class whose next hops differ; nil: not usable.
func changedGroups(before, after *FIB, fn func(id ClassID, before, after []NextHop)) {
	hops := func(g **group) []NextHop {
		if g == nil {
			return nil
		}
		return (*g).hops
	}
	pmap.Diff(before.groups, after.groups, sameGroup, func(k pmap.ID, a, b **group) bool {
		fn(ClassID(k), hops(a), hops(b))
		return true
	})
}

// hopsMemo remembers the groups of a FIB by class.
type hopsMemo struct {
	fib  *FIB
	memo map[*class][]NextHop
}

func memoOf(f *FIB) *hopsMemo { return &hopsMemo{f, map[*class][]NextHop{}} }

func (m *hopsMemo) of(c *class) []NextHop {
	if c == nil {
		return nil
	}
	hops, ok := m.memo[c]
	if !ok {
		hops = m.fib.Group(c.id)
		m.memo[c] = hops
	}
	return hops
}
