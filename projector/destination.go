package projector

import (
	"dvr/eventlog"
)

// entry is a destination in the table.
type entry struct {
	set  *candidateSet
	rev  eventlog.Revision    // newest change of the destination
	each *[]eventlog.Revision // of each candidate; nil: all are rev. Immutable.
}

// revision is that of candidate i.
func (e *entry) revision(i int) eventlog.Revision {
	if e.each != nil {
		return (*e.each)[i]
	}
	return e.rev
}

// setRevisions keeps revs (one a candidate, own copy) in the short form where possible.
func (e *entry) setRevisions(newest eventlog.Revision, revs []eventlog.Revision) {
	e.rev, e.each = newest, nil
	for _, r := range revs {
		if r != newest {
			kept := append([]eventlog.Revision(nil), revs...)
			e.each = &kept
			return
		}
	}
}

// announce folds a route.announced.
func (f *Fold) announce(r *eventlog.RouteAnnounced) {
	b := f.intern.body(r)
	p := placeOf(r.Destination)
	var e *entry
	if p.v6 {
		e, _ = f.v6.Upsert(p.key6())
	} else {
		e, _ = f.v4.Upsert(p.key4())
	}
	f.digest = f.digest.Add(p.routeItem(b, f.pos.Revision))
	old := e.set
	if old == nil {
		e.set = f.intern.single(b)
		e.rev = f.pos.Revision
		f.write()
		f.routes++
		f.intern.join(e.set, p)
		f.tracking.changed(p)
		return
	}
	if f.intern.base != nil {
		f.intern.pin(old)
	}
	if len(old.bodies) == 1 && old.bodies[0] == b {
		f.digest = f.digest.Sub(p.routeItem(b, e.revision(0)))
		f.unwrite(e.revision(0))
		f.write()
		e.rev, e.each = f.pos.Revision, nil
		return
	}
	i, found := old.find(&r.RouteID)
	bodies, revs := f.unfold(e)
	if found {
		f.digest = f.digest.Sub(p.routeItem(bodies[i], revs[i]))
		f.unwrite(revs[i])
		bodies[i], revs[i] = b, f.pos.Revision
	} else {
		bodies = append(bodies, nil)
		copy(bodies[i+1:], bodies[i:])
		bodies[i] = b
		revs = append(revs, 0)
		copy(revs[i+1:], revs[i:])
		revs[i] = f.pos.Revision
		f.routes++
	}
	f.write()
	f.refold(e, p, bodies, revs)
}

// withdraw folds a route.withdrawn.
func (f *Fold) withdraw(r *eventlog.RouteID) {
	p := placeOf(r.Destination)
	var e *entry
	if p.v6 {
		e = f.v6.Update(p.key6())
	} else {
		e = f.v4.Update(p.key4())
	}
	if e == nil {
		return
	}
	i, found := e.set.find(r)
	if !found {
		return
	}
	if f.intern.base != nil {
		f.intern.pin(e.set)
	}
	f.routes--
	f.unwrite(e.revision(i))
	f.digest = f.digest.Sub(p.routeItem(e.set.bodies[i], e.revision(i)))
	if len(e.set.bodies) == 1 {
		set := e.set
		f.tracking.changed(p)
		if p.v6 {
			f.v6.Delete(p.key6())
		} else {
			f.v4.Delete(p.key4())
		}
		f.intern.leave(set, p)
		f.intern.release(set)
		return
	}
	bodies, revs := f.unfold(e)
	bodies = append(bodies[:i], bodies[i+1:]...)
	revs = append(revs[:i], revs[i+1:]...)
	f.refold(e, p, bodies, revs)
}

// unfold lists the candidates of e in the fold's scratch.
func (f *Fold) unfold(e *entry) ([]*body, []eventlog.Revision) {
	f.scratch.bodies = append(f.scratch.bodies[:0], e.set.bodies...)
	f.scratch.revs = f.scratch.revs[:0]
	for i := range e.set.bodies {
		f.scratch.revs = append(f.scratch.revs, e.revision(i))
	}
	return f.scratch.bodies, f.scratch.revs
}

// refold gives e the candidates and its class the destination.
func (f *Fold) refold(e *entry, p place, bodies []*body, revs []eventlog.Revision) {
	old := e.set
	f.tracking.changed(p)
	f.scratch.bodies, f.scratch.revs = bodies, revs
	e.set = f.intern.set(bodies)
	e.setRevisions(f.pos.Revision, revs)
	if e.set.class != old.class {
		f.intern.leave(old, p)
		f.intern.join(e.set, p)
	}
	f.intern.release(old)
}
