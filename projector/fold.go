package projector

import (
	"fmt"
	"slices"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// Fold is the single writer of states. Not safe for concurrent use; the States it gives are.
//
// What it folds into lies in persistent maps. Between two freezes they are
// changed in place, so replaying a log costs what an ordinary map costs, and a
// State shares with its neighbours everything that did not change.
type Fold struct {
	pos    eventlog.Position
	nonce  eventlog.Nonce
	hash   eventlog.Hash
	level  uint32
	time   int64
	digest Digest
	epochs []Epoch // append-only: States hold prefixes of it

	v4    pmap.Map[pmap.V4, entry]
	v6    pmap.Map[pmap.V6, entry]
	items pmap.Map[pmap.String, *item] // everything that is not a route
	held  pmap.Map[pmap.String, *hold] // of routes and items: what pending commits changed, by holdKey
	// classes has the sums of every class that has destinations, as of the last flush.
	classes pmap.Map[pmap.ID, account]
	origins pmap.Map[originKey, *class]   // of classes: those with a path of a router, see originKey
	named   pmap.Map[pmap.String, uint32] // routers that routes and links name, how often

	// authors is the commits whose routes are counted, counted how many of each actor.
	authors pmap.Map[pmap.String, authored]
	counted pmap.Map[pmap.String, int]
	author  string // of the commit being folded, where its routes are counted
	wrote   int    // routes of it

	routes, links, keys int
	keyBytes            int64             // of keys and their values
	keysAt              eventlog.Revision // no event of a key lies after it

	intern    interner
	window    window
	topology  *topologyCell // as of the last State; nil: there was none
	touched   []pmap.String // links, routers and observations that changed since
	agenda    *agendaCell   // nil: timers or confirmations changed since
	policy    *policyCell   // nil: guards, freezes, roles or tokens changed since
	recursive []*class      // what of classes is recursive
	tracking  tracking      // and what it resolves through
	stale     bool          // recursive must be collected anew
	current   State
	scratch   struct {
		bodies []*body
		revs   []eventlog.Revision
		line   []byte
		seen   struct { // by the last Seen: mostly the next commit's
			actor, id string
			key       [16]byte
		}
	}
}

// Epoch says where an epoch began: an item's revision and this table give its ETag.
type Epoch struct {
	Epoch uint64
	First eventlog.Revision
}

// account is what a class weighs in the FIBs that use it.
type account struct {
	class  *class
	sum    Digest // of the prefix items
	n4, n6 uint32
}

// NewFold is the fold of an empty log.
func NewFold(logID string) *Fold {
	f := &Fold{level: 1}
	f.pos.LogID = logID
	f.intern = newInterner(f.name)
	return f
}

// flushAt bounds the classes whose sums wait for a freeze.
const flushAt = 8192

// Apply folds the next commit (revision = last + 1) whose chain hash is h.
// Staged commits must have been expanded. Strings and slices inside c are
// retained. Errors: ErrLevel, ErrHole; the fold is then unchanged.
// Cost: about 0.3 µs a route, without allocation where its body is known.
func (f *Fold) Apply(c *eventlog.Commit, h eventlog.Hash) error {
	if c.Revision != f.pos.Revision+1 {
		return fmt.Errorf("fold revision %d after %d: %w", c.Revision, f.pos.Revision, eventlog.ErrHole)
	}
	holds, err := inspect(c)
	if err != nil {
		return err
	}
	f.pos.Revision = c.Revision
	f.hash = h
	f.time = c.Time
	f.begin(c)
	switch {
	case holds:
		f.applyHeld(c)
	case f.held.Len() > 0:
		for _, e := range c.Events {
			f.change(e, c.Revision)
			f.apply(e, c)
		}
	default:
		for _, e := range c.Events {
			f.apply(e, c)
		}
	}
	f.end()
	f.window.add(c.Revision, c.Time, f.windowKey(c.Actor, c.ID), c.Request)
	if len(f.intern.dirty) > flushAt {
		f.flush()
	}
	return nil
}

// inspect refuses what cannot be folded, and finds what makes the fold keep something of the commit.
func inspect(c *eventlog.Commit) (holds bool, err error) {
	for _, e := range c.Events {
		switch e := e.(type) {
		case *eventlog.ConfirmationOpened:
			holds = true
		case *eventlog.TimerSet:
			holds = holds || e.Undo || e.Unchanged
		case *eventlog.LevelRaised:
			if e.Level > eventlog.MaxLevel {
				return false, fmt.Errorf("fold revision %d: %w", c.Revision, &eventlog.LevelError{Level: e.Level, From: c.Revision})
			}
		case *eventlog.CommitStaged:
			return false, fmt.Errorf("fold revision %d: stage %q is not expanded: %w", c.Revision, e.ID, eventlog.ErrHole)
		}
	}
	return holds, nil
}

func (f *Fold) apply(e eventlog.Event, c *eventlog.Commit) {
	switch e := e.(type) {
	case *eventlog.RouteAnnounced:
		f.announce(e)
	case *eventlog.RouteWithdrawn:
		f.withdraw(&e.RouteID)
	default:
		f.applyItem(e, c)
	}
}

// name counts who names a router.
func (f *Fold) name(id eventlog.RouterID, by int) {
	n, _ := f.named.Upsert(pmap.String(id))
	*n = uint32(int(*n) + by)
	if *n == 0 {
		f.named.Delete(pmap.String(id))
	}
}

// flush brings the classes' accounts into their map.
func (f *Fold) flush() {
	for _, t := range f.intern.dirty {
		t.dirty = false
		id := pmap.ID(t.class.id)
		if t.n4+t.n6 == 0 {
			if _, was := f.classes.Delete(id); was {
				f.originate(t.class, false)
				f.stale = f.stale || t.class.recursive
			}
		} else {
			_, was := f.classes.Set(id, account{t.class, t.sum, uint32(t.n4), uint32(t.n6)})
			if !was {
				f.originate(t.class, true)
				f.stale = f.stale || t.class.recursive
			}
		}
		if t.sets == 0 {
			f.intern.destroy(t)
		}
	}
	clear(f.intern.dirty)
	f.intern.dirty, f.intern.recursive = f.intern.dirty[:0], false
	if f.stale {
		f.stale = false
		f.recursive = nil
		for _, a := range f.classes.All() {
			if a.class.recursive {
				f.recursive = append(f.recursive, a.class)
			}
		}
		f.tracking.follow(f.recursive)
	}
}

// State freezes the fold. O(1) beyond the classes changed since the last freeze.
func (f *Fold) State() *State {
	f.flush()
	items := f.items.Freeze()
	moved := f.moved()
	if moved {
		f.topology, f.touched = cellAfter(f.topology, items, f.touched), nil
	}
	if f.agenda == nil {
		f.agenda = &agendaCell{items: f.items.Freeze()}
	}
	if f.policy == nil {
		f.policy = &policyCell{items: f.items.Freeze()}
	}
	s := &State{}
	f.fill(s)
	s.resolution = f.tracking.resolutions(f.recursive, moved)
	f.tracking.cell = s.resolution
	s.v4, s.v6, s.items, s.held = f.v4.Freeze(), f.v6.Freeze(), items, f.held.Freeze()
	s.classes, s.origins, s.named = f.classes.Freeze(), f.origins.Freeze(), f.named.Freeze()
	s.authors, s.counted = f.authors.Freeze(), f.counted.Freeze()
	return s
}

// Current is a read-only view of the fold itself, valid until the next Apply
// or Current: the appender validates each commit against it without freezing.
// FIBs are not compiled from it, nor is it saved.
func (f *Fold) Current() *State {
	if f.intern.recursive {
		f.flush() // resolving needs to know every recursive class
	}
	s := &f.current
	*s = State{}
	f.fill(s)
	s.v4, s.v6, s.items, s.held = f.v4.View, f.v6.View, f.items.View, f.held.View
	s.classes, s.origins, s.named = f.classes.View, f.origins.View, f.named.View
	s.authors, s.counted = f.authors.View, f.counted.View
	s.resolution = f.tracking.resolutions(f.recursive, f.moved())
	if f.moved() {
		s.topology = cellAfter(f.topology, s.items, slices.Clip(f.touched))
	}
	if s.agenda == nil {
		s.agenda = &agendaCell{items: s.items}
	}
	if s.policy == nil {
		s.policy = &policyCell{items: s.items}
	}
	return s
}

func (f *Fold) fill(s *State) {
	s.pos, s.nonce, s.hash, s.level, s.time, s.digest = f.pos, f.nonce, f.hash, f.level, f.time, f.digest
	s.epochs = f.epochs[:len(f.epochs):len(f.epochs)]
	s.routes, s.links, s.keys = f.routes, f.links, f.keys
	s.keyBytes, s.keysAt = f.keyBytes, f.keysAt
	s.window = f.window.view()
	s.topology, s.agenda, s.policy = f.topology, f.agenda, f.policy
	s.slots = f.intern.slots()
	s.recursive = f.recursive
}

// moved: links or routers changed since the last State.
func (f *Fold) moved() bool { return f.topology == nil || len(f.touched) > 0 }

// Seen answers from the idempotency window, up to and including what was last applied.
func (f *Fold) Seen(actor, id string) (Seen, bool) {
	return f.window.find(f.windowKey(actor, id))
}

// windowKey remembers the last key: a commit is looked for and then added.
func (f *Fold) windowKey(actor, id string) [16]byte {
	last := &f.scratch.seen
	if last.id != id || last.actor != actor || id == "" {
		last.actor, last.id, last.key = actor, id, windowKey(&f.scratch.line, actor, id)
	}
	return last.key
}

// Resume continues folding at s. Cost: O(items of s).
func Resume(s *State) *Fold {
	f := &Fold{
		pos: s.pos, nonce: s.nonce, hash: s.hash, level: s.level, time: s.time, digest: s.digest, epochs: s.epochs,
		v4: s.v4.Thaw(), v6: s.v6.Thaw(), items: s.items.Thaw(), held: s.held.Thaw(), classes: s.classes.Thaw(), origins: s.origins.Thaw(), named: s.named.Thaw(),
		authors: s.authors.Thaw(), counted: s.counted.Thaw(),
		routes: s.routes, links: s.links, keys: s.keys, keyBytes: s.keyBytes, keysAt: s.keysAt,
		topology: s.topology, agenda: s.agenda, policy: s.policy, recursive: s.recursive,
	}
	f.intern = newInterner(func(eventlog.RouterID, int) {})
	for k, e := range s.v4.All() {
		f.intern.adopt(e.set, place4(k))
	}
	for k, e := range s.v6.All() {
		f.intern.adopt(e.set, place6(k))
	}
	f.intern.adopted()
	for _, a := range s.classes.All() {
		f.intern.byClass[a.class.id].sum = a.sum
	}
	f.intern.named = f.name
	f.tracking.follow(s.recursive)
	f.tracking.cell, f.tracking.stale = s.resolution, false
	f.window = s.window.resume()
	return f
}
