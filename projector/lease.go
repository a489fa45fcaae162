package projector

import (
	"maps"
	"slices"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// Lease is what a rollback gives back only for a while: items that it restores to
// what a commit had made of them whose lifetime is not over.
type Lease struct {
	Until  int64            // Unix milliseconds of log time
	Events []eventlog.Event // what is under the lifetimes; at most MaxCommitEvents of them
}

// lent is an item that is restored, with the commits that had made it so and
// were to be undone.
type lent struct {
	about   eventlog.Event
	lenders []eventlog.Revision // the newest first
}

func lentOf(e eventlog.Event, h *hold) (lent, bool) {
	l := lent{about: e}
	for _, x := range h.lenders() {
		l.lenders = append(l.lenders, x.owner)
	}
	return l, len(l.lenders) > 0
}

// leases are those of what is restored at s, where it is still to end. Where
// lifetimes lie over each other, the last of them counts.
func (s *State) leases(restored []lent) []Lease {
	if len(restored) == 0 {
		return nil
	}
	ends := map[eventlog.Revision]int64{}
	for _, d := range s.Agenda() {
		if t, ok := s.Timer(d.Timer); ok && t.Undo {
			ends[t.Revision] = max(ends[t.Revision], t.At)
		}
	}
	byEnd := map[int64][]eventlog.Event{}
	for _, l := range restored {
		h, _ := s.held.Get(holdKey(l.about))
		end, back := int64(0), eventlog.Event(nil)
		for _, owner := range l.lenders {
			at, pending := ends[owner]
			x := h.of(owner)
			if !pending || x == nil {
				break
			}
			end, back = max(end, at), x.back
		}
		if back != nil {
			byEnd[end] = append(byEnd[end], back)
		}
	}
	var out []Lease
	for _, end := range slices.Sorted(maps.Keys(byEnd)) {
		for part := range slices.Chunk(byEnd[end], eventlog.MaxCommitEvents) {
			out = append(out, Lease{end, part})
		}
	}
	return out
}

// Leases are what the inverse gives back only for a while, at now, a state on the
// fold's history from where it is on. Cost: a look at what pends, and at each item
// that is restored to what was to end.
func (r *Reverter) Leases(now *State) []Lease {
	var restored []lent
	for _, x := range r.order {
		if len(x.lent.lenders) > 0 && x.conflict == nil {
			restored = append(restored, x.lent)
		}
	}
	return now.leases(restored)
}

// Leases are what Restore(past) gives back only for a while, also where it is as it
// was then and somebody has set it meanwhile. Cost: a look at what pended then.
func (s *State) Leases(past *State) []Lease {
	var restored []lent
	met := map[pmap.String]bool{}
	for _, d := range past.Agenda() {
		t, ok := past.Timer(d.Timer)
		if !ok || !t.Undo {
			continue
		}
		for _, e := range t.Inverse {
			k := holdKey(e)
			then, _ := past.held.Get(k)
			l, ok := lentOf(e, then)
			if !ok || met[k] {
				continue
			}
			met[k] = true
			if h, _ := s.held.Get(k); h.kept(l.lenders[0]) == nil {
				restored = append(restored, l)
			}
		}
	}
	return s.leases(restored)
}
