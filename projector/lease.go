package projector

import (
	"cmp"
	"maps"
	"slices"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// Lease is what a rollback gives back only for a while: items that it restores to
// what a commit had made of them whose lifetime is not over.
type Lease struct {
	Until  int64            // Unix milliseconds of log time
	Events []eventlog.Event // what is there afterwards; at most MaxCommitEvents of them
}

// layer is what a pending commit made of an item. Layers are in the order of
// their commits, the newest, which is what the item is, first.
type layer struct {
	owner eventlog.Revision
	under eventlog.Event // what gives back what it met
	ends  int64          // of its lifetime; 0: it has none
	open  bool           // it waits for its confirmation
}

// layers are the pending commits that made the item what it is; none where
// somebody else changed it since.
func (s *State) layers(e eventlog.Event) (out []layer) {
	h, _ := s.held.Get(holdKey(e))
	for ; h != nil; h = h.below {
		if h.watch {
			continue
		}
		if h.touched > 0 {
			break
		}
		l := layer{owner: h.owner, under: cmp.Or(h.lent, h.back)}
		if h.back != nil {
			_, l.open = s.Confirmation(h.owner)
		}
		if t, ok := s.Timer(h.until); ok {
			l.ends = t.At
		}
		out = append(out, l)
	}
	return out
}

// lent is an item with the layers that it would have were it not for what is taken back.
type lent struct {
	value  eventlog.Event // nil: it is not there
	layers []layer
}

func (l *lent) of(owner eventlog.Revision) int {
	return slices.IndexFunc(l.layers, func(x layer) bool { return x.owner == owner })
}

// give ends a layer, which gives back what it met.
func (l *lent) give(i int) {
	if i > 0 {
		l.layers[i-1].under = l.layers[i].under
	} else if l.value = l.layers[0].under; Removes(l.value) {
		l.value = nil
	}
	l.layers = slices.Delete(l.layers, i, i+1)
}

// stay makes a layer last for good: what it met does not come back.
func (l *lent) stay(i int) { l.layers = l.layers[:i] }

// settled is what becomes of a layer whose timer or confirmation has ended.
func (l *lent) settled(i int, gives, timer bool) {
	x := &l.layers[i]
	switch {
	case gives:
		l.give(i)
		return
	case timer:
		x.ends = 0
	default:
		x.open = false
	}
	if !x.open && x.ends == 0 {
		l.stay(i)
	}
}

// lapse ends the layers whose time has come.
func (l *lent) lapse(now int64) {
	for i := len(l.layers) - 1; i >= 0; i-- {
		if ends := l.layers[i].ends; ends > 0 && ends <= now {
			l.give(i)
		}
	}
}

// end is when the item is what else. Where lifetimes lie over each other, that
// is one moment only if those that end before change nothing. Cost: a pass over
// the layers.
func (l *lent) end() (at int64, under eventlog.Event, cause Cause) {
	if slices.ContainsFunc(l.layers, func(x layer) bool { return x.open }) {
		return 0, nil, Unconfirmed
	}
	was := l.value
	rest := lent{l.value, slices.Clone(l.layers)}
	for len(rest.layers) > 0 {
		first := 0
		for i, x := range rest.layers {
			if x.ends <= rest.layers[first].ends {
				first = i
			}
		}
		ends, back := rest.layers[first].ends, rest.layers[first].under
		rest.give(first)
		if first > 0 || sameItem(rest.value, was) {
			continue
		}
		if at > 0 && at != ends {
			return 0, nil, Overlaid
		}
		at, under, was = ends, back, rest.value
	}
	return at, under, 0
}

// leases gathers what ends, by when.
type leases map[int64][]eventlog.Event

// add takes in an item, or says why it cannot be ended as it would have been.
func (m leases) add(l *lent) Cause {
	at, under, cause := l.end()
	if cause == 0 && at > 0 {
		m[at] = append(m[at], under)
	}
	return cause
}

func (m leases) list() (out []Lease) {
	for at, events := range m {
		for part := range slices.Chunk(events, eventlog.MaxCommitEvents) {
			out = append(out, Lease{at, part})
		}
	}
	slices.SortStableFunc(out, func(a, b Lease) int { return cmp.Compare(a.Until, b.Until) })
	return out
}

// Leases are what Restore(past) gives back only for a while, also where it is as it
// was then and somebody has set it meanwhile: with the lifetimes that it had then,
// as far as they are not over. Where they cannot go on it is a conflict. Cost: a
// look at what pended then.
func (s *State) Leases(past *State) ([]Lease, []Conflict) {
	out := leases{}
	var conflicts []Conflict
	met := map[pmap.String]bool{}
	look := func(inverse []eventlog.Event) {
		for _, e := range inverse {
			k := holdKey(e)
			layers := past.layers(e)
			if len(layers) == 0 || met[k] || k[0] == itemTimer {
				continue
			}
			met[k] = true
			if h, _ := s.held.Get(k); h.kept(layers[0].owner) != nil {
				continue
			}
			l := lent{past.Item(e).Event, layers}
			owner := layers[0].owner
			for i := 0; i < len(l.layers); i++ {
				x := &l.layers[i]
				if _, pending := s.Confirmation(x.owner); !pending {
					x.open = false
				}
				if x.ends <= s.time {
					x.ends = 0
				}
				if !x.open && x.ends == 0 {
					l.stay(i)
				}
			}
			if cause := out.add(&l); cause != 0 {
				conflicts = append(conflicts, Conflict{Event: aboutOf(l.value, e), Revision: owner, Cause: cause})
			}
		}
	}
	for _, d := range past.Agenda() {
		if t, ok := past.Timer(d.Timer); ok && t.Undo {
			look(t.Inverse)
		} else if c, ok := past.Confirmation(d.Revision); ok && d.Timer == "" {
			look(c.Inverse)
		}
	}
	return out.list(), conflicts
}

// aboutOf is an event about an item: what sets it, else another one.
func aboutOf(value, e eventlog.Event) eventlog.Event {
	if value != nil {
		return value
	}
	return e
}

// Lapse is a scheduled rollback as it is to be made at now: what it gives back
// for a while, and that is over, is what comes afterwards.
func Lapse(events []eventlog.Event, now int64) []eventlog.Event {
	after := map[pmap.String]eventlog.Event{}
	rest := make([]eventlog.Event, 0, len(events))
	for _, e := range events {
		if t, ok := e.(*eventlog.TimerSet); ok && t.Undo && t.At <= now && len(t.Events) > 0 {
			for _, e := range t.Events {
				after[holdKey(e)] = e
			}
		} else {
			rest = append(rest, e)
		}
	}
	if len(after) == 0 {
		return events
	}
	for i, e := range rest {
		if x, ok := after[holdKey(e)]; ok {
			rest[i] = x
			delete(after, holdKey(e))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(after)) { // it was that already when this was scheduled
		rest = append(rest, after[k])
	}
	return rest
}
