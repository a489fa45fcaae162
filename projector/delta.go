package projector

import (
	"iter"
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
	Set       Columns   // see Sets
	Removed   Columns   // Class columns empty: the default VRF
	Withdrawn []ClassID // classes that lost their last path

	walk *walk // what is set beside Set; nil: nothing
}

// Sets gives the prefixes that are set, in blocks of columns; a block must not be kept
// or written, since the next one may be in the same place. What a difference names
// is in Set; whole tables and whole classes are read off the state block by block, so
// that many deltas at once cost no copy of it. Not for two goroutines at a time.
func (d *Delta) Sets() iter.Seq[*Columns] {
	return func(yield func(*Columns) bool) {
		if d.Set.len() > 0 && !yield(&d.Set) || d.walk == nil {
			return
		}
		d.walk.blocks(yield)
	}
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

// clear empties the columns and keeps their arrays.
func (c *Columns) clear() {
	c.Addr4, c.Len4, c.Class4 = c.Addr4[:0], c.Len4[:0], c.Class4[:0]
	c.Addr6, c.Len6, c.Class6 = c.Addr6[:0], c.Len6[:0], c.Class6[:0]
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
// pass over the table, for many prefixes that of Sets, where a class has become usable again.
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
	// Removals and moves first, without the classes that are sent whole.
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
	d.walk = &walk{dict: dict, takes: func(c *class, _ place) bool { return again[c.id] }}
	n := 0
	for id := range again {
		a := f.state.classes.Ptr(pmap.ID(id))
		n += int(a.n4) + int(a.n6)
	}
	if n <= blockPrefixes {
		d.walk.into(&d.Set)
		d.walk = nil
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
// Its cost is that of Sets: one pass over the table.
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
	d.walk = &walk{dict: dict, takes: func(_ *class, p place) bool { return only == nil || named(only, p) }}
	return d
}

// blockPrefixes is how many prefixes of the state are looked at for a block: their
// columns take 21 bytes each at most.
const blockPrefixes = 512

// walk is the prefixes of a FIB whose class it takes and the dictionary has.
type walk struct {
	dict  *dictionary // complete
	takes func(*class, place) bool
}

// blocks gives the prefixes in their order, a family after the other.
func (w *walk) blocks(yield func(*Columns) bool) {
	var block Columns
	// next hands a full block over; false: no more is wanted.
	next := func() bool {
		if block.len() < blockPrefixes {
			return true
		}
		if !yield(&block) {
			return false
		}
		block.clear()
		return true
	}
	s := w.dict.fib.state
	for k, e := range s.v4.All() {
		if p, ok := w.class(e, place4(k)); ok {
			block.add4(k)
			block.Class4 = append(block.Class4, p)
			if !next() {
				return
			}
		}
	}
	for k, e := range s.v6.All() {
		if p, ok := w.class(e, place6(k)); ok {
			block.add6(k)
			block.Class6 = append(block.Class6, p)
			if !next() {
				return
			}
		}
	}
	if block.len() > 0 {
		yield(&block)
	}
}

// class is the place of a destination's class; false: it is left out.
func (w *walk) class(e *entry, p place) (uint32, bool) {
	if c := e.set.class; c != nil && w.takes(c, p) {
		return w.dict.place(c)
	}
	return 0, false
}

// into appends all of them.
func (w *walk) into(c *Columns) {
	w.blocks(func(block *Columns) bool {
		c.Addr4, c.Len4, c.Class4 = append(c.Addr4, block.Addr4...), append(c.Len4, block.Len4...), append(c.Class4, block.Class4...)
		c.Addr6, c.Len6, c.Class6 = append(c.Addr6, block.Addr6...), append(c.Len6, block.Len6...), append(c.Class6, block.Class6...)
		return true
	})
}

func named(buckets *[128]byte, p place) bool {
	b := p.bucket()
	return buckets[b/8]&(1<<(b%8)) != 0
}
