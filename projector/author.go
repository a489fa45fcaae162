package projector

import (
	"encoding/binary"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// A limit on an actor's routes needs to know whose a route is. A route has the
// revision of its last change, so it is enough to keep whose a revision is, of the
// actors that such guards name, as long as it has routes. Revisions from before an
// actor was named are nobody's. It is in no digest, and costs nothing without such
// a guard.

// authored is a commit of an actor whose routes are counted.
type authored struct {
	actor  string
	routes int // that it changed last; above 0
}

func revisionKey(r eventlog.Revision) pmap.String {
	return pmap.String(binary.BigEndian.AppendUint64(nil, uint64(r)))
}

// authorOf is whose a commit's changes are: its actor's, but where the system makes
// what somebody has scheduled, that one's.
func authorOf(c *eventlog.Commit) string {
	if c.Actor == eventlog.SystemActor && c.For != "" {
		return c.For
	}
	return c.Actor
}

// begin notes whose commit is folded.
func (f *Fold) begin(c *eventlog.Commit) {
	f.author, f.wrote = "", 0
	if f.counted.Len() > 0 && f.counted.Has(pmap.String(authorOf(c))) {
		f.author = authorOf(c)
	}
}

// end takes in what the commit wrote.
func (f *Fold) end() {
	if f.wrote > 0 {
		f.authors.Set(revisionKey(f.pos.Revision), authored{f.author, f.wrote})
		n, _ := f.counted.Upsert(pmap.String(f.author))
		*n += f.wrote
	}
}

// write notes that the commit being folded changed a route.
func (f *Fold) write() {
	if f.author != "" {
		f.wrote++
	}
}

// unwrite notes that a route of a revision is no longer that revision's.
func (f *Fold) unwrite(r eventlog.Revision) {
	switch {
	case r == f.pos.Revision:
		f.wrote = max(f.wrote-1, 0)
	case f.authors.Len() > 0:
		k := revisionKey(r)
		a := f.authors.Update(k)
		if a == nil {
			return
		}
		n, _ := f.counted.Upsert(pmap.String(a.actor))
		*n--
		if a.routes--; a.routes == 0 {
			f.authors.Delete(k)
		}
	}
}

// recount begins and ends counting the routes of the actors that guards name.
// Cost: O(guards), and O(commits counted) where one is named no more.
func (f *Fold) recount() {
	named := map[string]bool{}
	for _, it := range itemsOf(f.items.View, pmap.String(rune(itemGuard))) {
		if g := it.event.(*eventlog.GuardSet); g.Type == eventlog.GuardMaxRoutes && g.Actor != "" && g.Origin == "" {
			named[g.Actor] = true
		}
	}
	for actor := range named {
		f.counted.Upsert(pmap.String(actor))
	}
	var gone []pmap.String
	for k := range f.counted.All() {
		if !named[string(k)] {
			gone = append(gone, k)
		}
	}
	if len(gone) == 0 {
		return
	}
	for _, k := range gone {
		f.counted.Delete(k)
	}
	gone = gone[:0]
	for k, a := range f.authors.All() {
		if !named[a.actor] {
			gone = append(gone, k)
		}
	}
	for _, k := range gone {
		f.authors.Delete(k)
	}
	if !named[f.author] {
		f.author, f.wrote = "", 0
	}
}

// RoutesOf is how many routes an actor changed last, since a guard on them names
// it. O(1).
func (s *State) RoutesOf(actor string) int {
	n, _ := s.counted.Get(pmap.String(actor))
	return n
}

// authorOf is whose a revision is; "": not known, or of nobody that is counted.
func (s *State) authorOf(r eventlog.Revision) string {
	if s.authors.Len() == 0 {
		return ""
	}
	a, _ := s.authors.Get(revisionKey(r))
	return a.actor
}
