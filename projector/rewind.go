package projector

import (
	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// Revisit is a fold at s for looking at the past: it may be moved (Rewind), and
// it does not answer from the idempotency window, of which it keeps no index.
// What it folds and freezes is the same. Cost: O(destinations of s), some 30 ns each.
func Revisit(s *State) *Fold {
	f := NewFold(s.pos.LogID)
	f.window.unindexed = true
	f.Rewind(s)
	return f
}

// Rewind makes f continue at s, which any fold may have frozen, before or after
// what f has folded. f answers no longer from the idempotency window (Revisit).
// Cost: O(what f and s do not share), twice, so little between states of one
// history of folding, however large; plus one look at each set of candidates' record.
//
// The writer's bookkeeping is brought to s in two steps: what s does not have
// is released first, so the slots that s uses are free when its own are taken
// over. Objects of s live in one fold's numbering, hence do not collide.
func (f *Fold) Rewind(s *State) {
	f.flush()
	f.intern.named = func(eventlog.RouterID, int) {} // s knows who is named
	f.release(s)
	f.flush() // classes without sets are gone from the records
	f.adopt(s)
	for _, t := range f.intern.dirty {
		t.dirty = false
		if a := s.classes.Ptr(pmap.ID(t.class.id)); a != nil {
			t.sum = a.sum
		}
	}
	clear(f.intern.dirty)
	f.intern.dirty, f.intern.recursive = f.intern.dirty[:0], false
	f.intern.free.bodies, f.intern.free.sets, f.intern.free.classes = f.intern.free.bodies[:0], f.intern.free.sets[:0], f.intern.free.classes[:0]
	f.intern.adopted()
	f.intern.named = f.name

	f.pos, f.nonce, f.hash, f.level, f.time, f.digest = s.pos, s.nonce, s.hash, s.level, s.time, s.digest
	f.epochs = s.epochs
	f.v4, f.v6, f.items, f.held = s.v4.Thaw(), s.v6.Thaw(), s.items.Thaw(), s.held.Thaw()
	f.classes, f.origins, f.named = s.classes.Thaw(), s.origins.Thaw(), s.named.Thaw()
	f.authors, f.counted = s.authors.Thaw(), s.counted.Thaw()
	f.routes, f.links, f.keys, f.keyBytes, f.keysAt = s.routes, s.links, s.keys, s.keyBytes, s.keysAt
	f.topology, f.touched, f.recursive, f.stale = s.topology, nil, s.recursive, false
	f.agenda, f.policy = s.agenda, s.policy
	f.tracking.follow(s.recursive)
	f.tracking.cell, f.tracking.stale = s.resolution, false
	f.window = s.window.resumeUnindexed()
}

// release lets go the destinations that f has and s has not, or with other candidates.
func (f *Fold) release(s *State) {
	let := func(p place, before *entry) {
		if before != nil {
			f.intern.leave(before.set, p)
			f.intern.release(before.set)
		}
	}
	if f.v4.Len() > 0 {
		pmap.Diff(f.v4.View, s.v4, sameSet, func(k pmap.V4, before, _ *entry) bool { let(place4(k), before); return true })
	}
	if f.v6.Len() > 0 {
		pmap.Diff(f.v6.View, s.v6, sameSet, func(k pmap.V6, before, _ *entry) bool { let(place6(k), before); return true })
	}
}

// adopt takes the destinations over that s has and f has not, or with other
// candidates. It compares anew: to remember a table of them would cost more.
func (f *Fold) adopt(s *State) {
	take := func(p place, after *entry) {
		if after == nil {
			return
		}
		f.intern.adopt(after.set, p)
		if t := f.intern.sets[after.set.slot].tally; t != nil {
			f.intern.touch(t)
		}
	}
	pmap.Diff(f.v4.View, s.v4, sameSet, func(k pmap.V4, _, after *entry) bool { take(place4(k), after); return true })
	pmap.Diff(f.v6.View, s.v6, sameSet, func(k pmap.V6, _, after *entry) bool { take(place6(k), after); return true })
}

// Distance is how many destinations and other items differ between two states,
// counted no further than to most: what one holds in memory beside the other
// grows with it. Cost: O(what they do not share).
func (s *State) Distance(o *State, most int) int {
	n := 0
	count := func() bool { n++; return n < most }
	pmap.Diff(o.v4, s.v4, sameEntry, func(pmap.V4, *entry, *entry) bool { return count() })
	if n < most {
		pmap.Diff(o.v6, s.v6, sameEntry, func(pmap.V6, *entry, *entry) bool { return count() })
	}
	if n < most {
		pmap.Diff(o.items, s.items, func(a, b **item) bool { return *a == *b }, func(pmap.String, **item, **item) bool { return count() })
	}
	return n
}

// sameEntry: same candidates with the same revisions, in states of one fold.
func sameEntry(a, b *entry) bool { return a.set == b.set && a.rev == b.rev && a.each == b.each }
