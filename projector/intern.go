package projector

import "dvr/eventlog"

// interner is the writer's bookkeeping of bodies, sets and classes: who is
// used how often, and which object stands for which identity. The objects
// themselves are shared with States and never change; their slots index the
// records here, so a fold that resumes from a state of another brings its own.
type interner struct {
	byBody  map[[16]byte]*body
	bySet   map[[16]byte]*candidateSet // sets of two candidates and more
	byClass map[ClassID]*tally

	bodies  []bodyRecord
	sets    []setRecord
	classes []*tally
	free    struct{ bodies, sets, classes []uint32 }

	recent    [1024]*body // direct-mapped: most events repeat a recent body
	dirty     []*tally    // classes whose sums changed since the last flush
	recursive bool        // a recursive one is among them
	named     func(id eventlog.RouterID, by int)

	line []byte // scratch
	base *State // of an overlay: whose objects are taken over when they are met
}

type bodyRecord struct {
	body   *body
	refs   int           // sets
	single *candidateSet // the set of this body alone
}

type setRecord struct {
	set   *candidateSet
	refs  int // destinations
	tally *tally
}

// tally is the writer's account of a class.
type tally struct {
	class  *class
	sum    Digest // of the prefix items
	n4, n6 int
	sets   int
	dirty  bool
}

func newInterner(named func(eventlog.RouterID, int)) interner {
	return interner{
		byBody:  map[[16]byte]*body{},
		bySet:   map[[16]byte]*candidateSet{},
		byClass: map[ClassID]*tally{},
		named:   named,
	}
}

func slotOf[T any](records *[]T, free *[]uint32) uint32 {
	if n := len(*free); n > 0 {
		s := (*free)[n-1]
		*free = (*free)[:n-1]
		return s
	}
	var zero T
	*records = append(*records, zero)
	return uint32(len(*records) - 1)
}

// place of r's body in recent.
func recentSlot(r *eventlog.RouteAnnounced) uint64 {
	var h uint64
	if r.NextHop.IsValid() {
		p := placeOfAddr(r.NextHop)
		h = p.hi ^ p.lo>>7
	}
	h ^= uint64(r.Metric)<<20 ^ uint64(r.Weight)<<3 ^ uint64(r.Preference) ^ uint64(r.Expires)<<9 ^ uint64(len(r.Router))<<50
	if n := len(r.Router); n > 1 {
		h ^= uint64(r.Router[n-1])<<13 ^ uint64(r.Router[0])<<29
	}
	return h * 0x9e3779b97f4a7c15 >> 54
}

// body is the interned body of r. One that is not used by any set yet has no
// references; it stays until the set that it was made for is released.
func (in *interner) body(r *eventlog.RouteAnnounced) *body {
	at := &in.recent[recentSlot(r)]
	if b := *at; b != nil && b.is(r) {
		return b
	}
	var id [16]byte
	id, in.line = bodyID(in.line, r)
	b := in.byBody[id]
	if b == nil {
		b = newBody(r, id)
		in.addBody(b)
	}
	*at = b
	return b
}

func (in *interner) addBody(b *body) {
	b.slot = slotOf(&in.bodies, &in.free.bodies)
	in.bodies[b.slot] = bodyRecord{body: b}
	in.byBody[b.id] = b
	if b.route.Router != eventlog.AllRouters {
		in.named(b.route.Router, 1)
	}
}

func (in *interner) releaseBody(b *body) {
	r := &in.bodies[b.slot]
	r.refs--
	if r.refs > 0 {
		return
	}
	*r = bodyRecord{}
	in.free.bodies = append(in.free.bodies, b.slot)
	delete(in.byBody, b.id)
	if at := &in.recent[recentSlot(&b.route)]; *at == b {
		*at = nil
	}
	if b.route.Router != eventlog.AllRouters {
		in.named(b.route.Router, -1)
	}
}

// single is the set of b alone, with one more reference.
func (in *interner) single(b *body) *candidateSet {
	s := in.bodies[b.slot].single
	if s == nil {
		s = in.addSet([]*body{b})
		in.bodies[b.slot].single = s
	}
	in.sets[s.slot].refs++
	return s
}

// set is the set of bodies, with one more reference. It does not keep the slice.
func (in *interner) set(bodies []*body) *candidateSet {
	if len(bodies) == 1 {
		return in.single(bodies[0])
	}
	var id [16]byte
	id, in.line = setID(in.line, bodies)
	s := in.bySet[id]
	if s == nil {
		s = in.addSet(append([]*body(nil), bodies...))
		in.bySet[id] = s
	}
	in.sets[s.slot].refs++
	return s
}

func (in *interner) addSet(bodies []*body) *candidateSet {
	s := &candidateSet{bodies: bodies, slot: slotOf(&in.sets, &in.free.sets)}
	for _, b := range bodies {
		in.bodies[b.slot].refs++
	}
	record := setRecord{set: s}
	if t, base := in.tallyOf(bodies); t != nil {
		t.sets++
		s.class, s.base = t.class, base
		record.tally = t
	}
	in.sets[s.slot] = record
	return s
}

// tallyOf is the account of the class of a new set, and its lowest metric; nil:
// none forwards.
func (in *interner) tallyOf(bodies []*body) (t *tally, base uint32) {
	if len(bodies) == 1 && bodies[0].usable() {
		// Most new sets are one body with a metric that no other has; the class is there.
		r := &bodies[0].route
		var id ClassID
		id, in.line = classOfOne(in.line, r)
		if t := in.tally(id); t != nil {
			return t, r.Metric
		}
	}
	c, base, ok := classOf(forwarding(bodies))
	if !ok {
		return nil, 0
	}
	t = in.tally(c.id)
	if t == nil {
		c.slot = slotOf(&in.classes, &in.free.classes)
		t = &tally{class: c}
		in.classes[c.slot] = t
		in.byClass[c.id] = t
	}
	return t, base
}

// release gives up one reference to s.
func (in *interner) release(s *candidateSet) {
	r := &in.sets[s.slot]
	r.refs--
	if r.refs > 0 {
		return
	}
	if t := r.tally; t != nil {
		t.sets--
		in.touch(t) // the flush drops it
	}
	*r = setRecord{}
	in.free.sets = append(in.free.sets, s.slot)
	if len(s.bodies) == 1 {
		in.bodies[s.bodies[0].slot].single = nil
	} else {
		var id [16]byte
		id, in.line = setID(in.line, s.bodies)
		delete(in.bySet, id)
	}
	for _, b := range s.bodies {
		in.releaseBody(b)
	}
}

func (in *interner) touch(t *tally) {
	if !t.dirty {
		t.dirty = true
		in.dirty = append(in.dirty, t)
		in.recursive = in.recursive || t.class.recursive
	}
}

// join and leave account a destination to the class of its set.
func (in *interner) join(s *candidateSet, p place) {
	if t := in.sets[s.slot].tally; t != nil {
		t.sum = t.sum.Add(p.item(t.class.words))
		t.count(p, 1)
		in.touch(t)
	}
}

func (in *interner) leave(s *candidateSet, p place) {
	if t := in.sets[s.slot].tally; t != nil {
		t.sum = t.sum.Sub(p.item(t.class.words))
		t.count(p, -1)
		in.touch(t)
	}
}

func (t *tally) count(p place, by int) {
	if p.v6 {
		t.n6 += by
	} else {
		t.n4 += by
	}
}

// destroy is for a class without sets, at the flush.
func (in *interner) destroy(t *tally) {
	delete(in.byClass, t.class.id)
	in.classes[t.class.slot] = nil
	in.free.classes = append(in.free.classes, t.class.slot)
}

// adopt takes over the objects of a state for a fold that resumes from it:
// one more destination with this set.
func (in *interner) adopt(s *candidateSet, p place) {
	if int(s.slot) >= len(in.sets) || in.sets[s.slot].set == nil {
		in.adoptSet(s)
	}
	r := &in.sets[s.slot]
	r.refs++
	if r.tally != nil {
		r.tally.count(p, 1)
	}
}

func grow[T any](records *[]T, slot uint32) *T {
	for int(slot) >= len(*records) {
		var zero T
		*records = append(*records, zero)
	}
	return &(*records)[slot]
}

func (in *interner) adoptSet(s *candidateSet) {
	for _, b := range s.bodies {
		r := grow(&in.bodies, b.slot)
		if r.body == nil {
			r.body = b
			in.byBody[b.id] = b
			if b.route.Router != eventlog.AllRouters {
				in.named(b.route.Router, 1)
			}
		}
		r.refs++
	}
	record := setRecord{set: s}
	if s.class != nil {
		t := grow(&in.classes, s.class.slot)
		if *t == nil {
			*t = &tally{class: s.class}
			in.byClass[s.class.id] = *t
		}
		(*t).sets++
		record.tally = *t
	}
	*grow(&in.sets, s.slot) = record
	if len(s.bodies) == 1 {
		in.bodies[s.bodies[0].slot].single = s
		return
	}
	var id [16]byte
	id, in.line = setID(in.line, s.bodies)
	in.bySet[id] = s
}

// adopted ends an adoption: the slots that were not met are free.
func (in *interner) adopted() {
	for i := range in.bodies {
		if in.bodies[i].body == nil {
			in.free.bodies = append(in.free.bodies, uint32(i))
		}
	}
	for i := range in.sets {
		if in.sets[i].set == nil {
			in.free.sets = append(in.free.sets, uint32(i))
		}
	}
	for i := range in.classes {
		if in.classes[i] == nil {
			in.free.classes = append(in.free.classes, uint32(i))
		}
	}
}
