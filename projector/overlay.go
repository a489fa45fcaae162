package projector

import (
	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// slots is how many records a fold's interner has had of each kind: the slots of
// a state's objects lie below.
type slots struct{ bodies, sets, classes int }

func (in *interner) slots() slots { return slots{len(in.bodies), len(in.sets), len(in.classes)} }

// pinned is a number of references that is never given back.
const pinned = 1 << 30

// Overlay is a fold that continues at s and shares everything with it, to ask
// what commits would do. Its States, their digests and FIBs are those that Resume
// and the same commits give, but for two things: a router that nothing names any
// more stays known, and the idempotency window begins empty. s must be frozen
// (Fold.State). Cost: O(1) beyond 40 bytes for each distinct body, set and class;
// each commit then costs what it touches.
func (s *State) Overlay() *Fold {
	f := &Fold{
		pos: s.pos, nonce: s.nonce, hash: s.hash, level: s.level, time: s.time, digest: s.digest, epochs: s.epochs,
		v4: s.v4.Thaw(), v6: s.v6.Thaw(), items: s.items.Thaw(), held: s.held.Thaw(), classes: s.classes.Thaw(), origins: s.origins.Thaw(), named: s.named.Thaw(),
		authors: s.authors.Thaw(), counted: s.counted.Thaw(),
		routes: s.routes, links: s.links, keys: s.keys, keyBytes: s.keyBytes, keysAt: s.keysAt,
		topology: s.topology, agenda: s.agenda, policy: s.policy, recursive: s.recursive,
	}
	f.intern = newInterner(f.name)
	f.tracking.follow(s.recursive)
	f.tracking.cell, f.tracking.stale = s.resolution, false
	f.intern.base = s
	f.intern.bodies = make([]bodyRecord, s.slots.bodies)
	f.intern.sets = make([]setRecord, s.slots.sets)
	f.intern.classes = make([]*tally, s.slots.classes)
	return f
}

// pin takes over a set of the base that is about to be used: it and its bodies
// stay, whoever gives them up.
func (in *interner) pin(s *candidateSet) {
	if r := &in.sets[s.slot]; r.set == nil {
		*r = setRecord{set: s, refs: pinned}
		for _, b := range s.bodies {
			if at := &in.bodies[b.slot]; at.body == nil {
				*at = bodyRecord{body: b, refs: pinned}
			}
		}
		if s.class != nil {
			r.tally = in.tally(s.class.id)
		}
	}
}

// tally is the account of a class that is there; nil: none is.
func (in *interner) tally(id ClassID) *tally {
	t := in.byClass[id]
	if t != nil || in.base == nil {
		return t
	}
	a := in.base.classes.Ptr(pmap.ID(id))
	if a == nil {
		return nil
	}
	t = &tally{class: a.class, sum: a.sum, n4: int(a.n4), n6: int(a.n6), sets: pinned}
	in.byClass[id] = t
	in.classes[a.class.slot] = t
	return t
}

// Try is the state that a commit with these events would lead to from s, which
// must be frozen; c's revision is set. Errors: as Apply's.
func (s *State) Try(c *eventlog.Commit) (*State, error) {
	f := s.Overlay()
	c.Revision = s.pos.Revision + 1
	if err := f.Apply(c, eventlog.Hash{}); err != nil {
		return nil, err
	}
	return f.State(), nil
}

func (id ClassID) mapKey() pmap.ID { return pmap.ID(id) }
