package projector

import (
	"slices"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// Delta is a FIB update (decision 2).
//
// Sets are applied first, then removals, then withdrawals. A class ceases to
// exist, with its group, when no prefix is left in it: that is not said apart.
type Delta struct {
	Full      bool
	Buckets   *[128]byte // Full only; nil: all
	From, To  eventlog.Position
	Digest    Digest // after it
	Classes   []ClassGroup
	Set       Columns
	Removed   Columns   // Class columns empty: the default VRF
	Withdrawn []ClassID // classes that lost their last path
}

// Empty reports that only the position moves.
func (d *Delta) Empty() bool {
	return !d.Full && len(d.Classes) == 0 && len(d.Withdrawn) == 0 && d.Set.len() == 0 && d.Removed.len() == 0
}

// ClassGroup is an entry of the delta's dictionary; its index is its place in Classes.
type ClassGroup struct {
	ID       ClassID
	VRF      string
	NextHops []NextHop // nil: unchanged since From; never nil in a full delta
}

// Columns are packed prefixes; the slices of a family have equal lengths.
type Columns struct {
	Addr4  []uint32
	Len4   []uint8
	Class4 []uint32 // index into Classes
	Addr6  [][16]byte
	Len6   []uint8
	Class6 []uint32
}

func (c *Columns) len() int { return len(c.Addr4) + len(c.Addr6) }

func (c *Columns) add4(k pmap.V4) {
	c.Addr4 = append(c.Addr4, uint32(k>>8))
	c.Len4 = append(c.Len4, uint8(k))
}

func (c *Columns) add6(k pmap.V6) {
	c.Addr6 = append(c.Addr6, k.Addr())
	c.Len6 = append(c.Len6, k.Len)
}

func (c *Columns) reserve(n4, n6 int) {
	c.Addr4, c.Len4, c.Class4 = make([]uint32, 0, n4), make([]uint8, 0, n4), make([]uint32, 0, n4)
	c.Addr6, c.Len6, c.Class6 = make([][16]byte, 0, n6), make([]uint8, 0, n6), make([]uint32, 0, n6)
}

// dictionary gives the classes of one FIB their places in a delta.
type dictionary struct {
	fib   *FIB
	delta *Delta
	// places by class slot: 0 not known, 1 not usable, place + 2.
	places []uint32
	hops   func(id ClassID, g *group) []NextHop // what the entry of a class carries
}

// place is the class's index; false: not usable.
func (d *dictionary) place(c *class) (uint32, bool) {
	if int(c.slot) < len(d.places) {
		if p := d.places[c.slot]; p != 0 {
			return p - 2, p > 1
		}
	}
	at := grow(&d.places, c.slot)
	g, ok := d.fib.groups.Get(pmap.ID(c.id))
	if !ok {
		*at = 1
		return 0, false
	}
	*at = uint32(len(d.delta.Classes)) + 2
	d.delta.Classes = append(d.delta.Classes, ClassGroup{ID: c.id, NextHops: d.hops(c.id, g)})
	return *at - 2, true
}

// Delta is what takes a data plane from prev to f; prev nil: full. Identical
// tables give an empty delta. Cost: O(changed prefixes + changed classes); one
// pass over the table where a class has become usable again.
func (f *FIB) Delta(prev *FIB) *Delta {
	if prev == nil {
		return f.full(nil)
	}
	d := &Delta{From: prev.state.pos, To: f.state.pos, Digest: f.digest}
	changed := map[ClassID][]NextHop{} // groups that the data plane does not have
	again := map[ClassID]bool{}        // usable again: their prefixes were there all the time
	gone := map[ClassID]bool{}
	pmap.Diff(prev.groups, f.groups, sameGroup, func(k pmap.ID, before, after **group) bool {
		id := ClassID(k)
		switch {
		case after == nil:
			if f.state.classes.Has(k) {
				gone[id] = true
				d.Withdrawn = append(d.Withdrawn, id)
			}
		default:
			changed[id] = (*after).hops
			if before == nil && prev.state.classes.Has(k) {
				again[id] = true
			}
		}
		return true
	})
	dict := &dictionary{fib: f, delta: d, hops: func(id ClassID, _ *group) []NextHop { return changed[id] }}
	ids := make([]ClassID, 0, len(changed))
	for id := range changed {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b ClassID) int { return pmap.ID(a).Compare(pmap.ID(b)) })
	for _, id := range ids {
		a := f.state.classes.Ptr(pmap.ID(id))
		dict.place(a.class)
	}
	m := &move{was: prev.users(), dict: dict, gone: gone}
	if len(again) == 0 {
		pmap.Diff(prev.state.v4, f.state.v4, sameSet, func(k pmap.V4, before, after *entry) bool {
			m.step4(k, before, after)
			return true
		})
		pmap.Diff(prev.state.v6, f.state.v6, sameSet, func(k pmap.V6, before, after *entry) bool {
			m.step6(k, before, after)
			return true
		})
		return d
	}
	// Removals and moves first, without the classes that are sent whole; the
	// order within Set does not matter to the data plane but is kept by prefix.
	pmap.Diff(prev.state.v4, f.state.v4, sameSet, func(k pmap.V4, before, after *entry) bool {
		if after == nil || after.set.class == nil || !again[after.set.class.id] {
			m.step4(k, before, after)
		}
		return true
	})
	pmap.Diff(prev.state.v6, f.state.v6, sameSet, func(k pmap.V6, before, after *entry) bool {
		if after == nil || after.set.class == nil || !again[after.set.class.id] {
			m.step6(k, before, after)
		}
		return true
	})
	for k, e := range f.state.v4.All() {
		if c := e.set.class; c != nil && again[c.id] {
			p, _ := dict.place(c)
			d.Set.add4(k)
			d.Set.Class4 = append(d.Set.Class4, p)
		}
	}
	for k, e := range f.state.v6.All() {
		if c := e.set.class; c != nil && again[c.id] {
			p, _ := dict.place(c)
			d.Set.add6(k)
			d.Set.Class6 = append(d.Set.Class6, p)
		}
	}
	return d
}

func sameSet(a, b *entry) bool { return a.set == b.set }

func sameGroup(a, b **group) bool { return *a == *b || slices.Equal((*a).hops, (*b).hops) }

// move is what an incremental delta says about a destination that changed.
type move struct {
	was  *users
	dict *dictionary
	gone map[ClassID]bool
}

type outcome uint8

const (
	stays outcome = iota
	isSet
	isRemoved
)

func (m *move) judge(before, after *entry) (outcome, uint32) {
	var old, now *class
	if before != nil && before.set.class != nil && m.was.uses(before.set.class) {
		old = before.set.class
	}
	if after != nil {
		now = after.set.class
	}
	if now != nil {
		if old != nil && old.id == now.id && m.dict.fib.groups.Has(pmap.ID(now.id)) {
			return stays, 0
		}
		if p, ok := m.dict.place(now); ok {
			return isSet, p
		}
	}
	if old == nil || m.gone[old.id] {
		return stays, 0
	}
	return isRemoved, 0
}

func (m *move) step4(k pmap.V4, before, after *entry) {
	d := m.dict.delta
	switch o, p := m.judge(before, after); o {
	case isSet:
		d.Set.add4(k)
		d.Set.Class4 = append(d.Set.Class4, p)
	case isRemoved:
		d.Removed.add4(k)
	}
}

func (m *move) step6(k pmap.V6, before, after *entry) {
	d := m.dict.delta
	switch o, p := m.judge(before, after); o {
	case isSet:
		d.Set.add6(k)
		d.Set.Class6 = append(d.Set.Class6, p)
	case isRemoved:
		d.Removed.add6(k)
	}
}

// DeltaBuckets is the full delta of the buckets named (bit i of byte i/8 = bucket i).
func (f *FIB) DeltaBuckets(buckets *[128]byte) *Delta {
	b := *buckets
	return f.full(&b)
}

func (f *FIB) full(only *[128]byte) *Delta {
	d := &Delta{Full: true, Buckets: only, To: f.state.pos, Digest: f.digest}
	d.Classes = make([]ClassGroup, 0, f.groups.Len())
	dict := &dictionary{fib: f, delta: d, hops: func(_ ClassID, g *group) []NextHop { return g.hops }}
	for id := range f.groups.All() {
		dict.place(f.state.classes.Ptr(id).class)
	}
	if only == nil {
		d.Set.reserve(f.n4, f.n6)
	}
	for k, e := range f.state.v4.All() {
		if e.set.class == nil || only != nil && !named(only, place4(k)) {
			continue
		}
		if p, ok := dict.place(e.set.class); ok {
			d.Set.add4(k)
			d.Set.Class4 = append(d.Set.Class4, p)
		}
	}
	for k, e := range f.state.v6.All() {
		if e.set.class == nil || only != nil && !named(only, place6(k)) {
			continue
		}
		if p, ok := dict.place(e.set.class); ok {
			d.Set.add6(k)
			d.Set.Class6 = append(d.Set.Class6, p)
		}
	}
	return d
}

func named(buckets *[128]byte, p place) bool {
	b := p.bucket()
	return buckets[b/8]&(1<<(b%8)) != 0
}
