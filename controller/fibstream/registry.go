package fibstream

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dvr/controller/fibpb"
	"dvr/eventlog"
	"dvr/projector"
)

// DataPlane is what is known of a router's data plane.
type DataPlane struct {
	Router    eventlog.RouterID
	Instance  string
	Version   string
	Connected bool
	Since     time.Time         // connected, or gone, since
	Position  eventlog.Position // acked last
	Lag       uint64            // revisions behind this controller's state
	// DigestEqual: what it acked last is what the controller computed for it.
	DigestEqual bool
	Deviates    bool   // it took a next hop out by itself
	Failed      uint64 // entries that sinks could not install
	Sinks       []Sink // sorted by name
	Counters    map[string]uint64
	Down        []Down   // what it sees down, sorted
	Repairs     []Repair // the last 32, the newest last
	Undone      []Undone // the last 32, the newest last
}

// Sink is a sink as its data plane reported it last.
type Sink struct {
	Name      string
	Installed []byte // digest, 16 bytes; empty: not told
	Entries   uint64
	Failed    uint64
	Repaired  uint64
	Deviates  bool      // a group forwards without a next hop that cannot be used for now
	Failures  []Failure // the first 100
}

// Failure is an entry that a sink could not install.
type Failure struct{ Prefix, Reason string }

// plane is a router's entry in the registry.
type plane struct {
	router   eventlog.RouterID
	instance string
	version  string
	sinkList []string
	session  *session // nil: gone
	since    time.Time
	seen     time.Time // connected or gone last
	stamp    uint64    // of its claim
	takeover bool      // from another instance

	position  eventlog.Position // as told in Hello or acked
	installed eventlog.Position // acked on this stream, with the right digest
	examined  eventlog.Position // up to here it is known what concerns the router
	from      eventlog.Position // from here on
	covers    []cover
	equal     bool
	deviates  bool
	sinks     map[string]*sinkState
	counters  map[string]uint64
	up        map[string]bool // interfaces that were seen up on this stream
	down      map[Down]time.Time
	repairs   []Repair
	undone    []Undone

	// What a gone instance acked last, until keepUntil.
	keep      *projector.FIB
	keepUntil time.Time
}

// registry knows every data plane. Its broadcast is closed and replaced
// whenever something changes that WaitInstalled may wait for.
type registry struct {
	options Options
	mu      sync.Mutex
	planes  map[eventlog.RouterID]*plane
	changed chan struct{}
}

func newRegistry(o Options) *registry {
	r := &registry{options: o, planes: map[eventlog.RouterID]*plane{}, changed: make(chan struct{})}
	r.enrol(o.Roster)
	return r
}

// broadcast wakes everyone who waits. The caller holds mu.
func (r *registry) broadcast() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// claim makes x the session of its router, by the rules of identity.
func (r *registry) claim(x *session, h *fibpb.Hello) error {
	far, node, elsewhere := r.options.Elsewhere.Claim(x.router)
	r.mu.Lock()
	now := r.options.Now()
	r.release(now)
	p := r.planes[x.router]
	var last Claim // of any controller
	where := ""
	if p != nil && p.instance != "" {
		last = p.claim(now)
	}
	if elsewhere && far.Stamp > last.Stamp {
		last, where = far, " through controller "+node
	}
	other := last.Instance != "" && last.Instance != x.instance
	if other && !h.GetTakeover() && (last.Connected || last.Gone < r.options.GoneFor) {
		r.mu.Unlock()
		return status.Errorf(codes.AlreadyExists,
			"router %s is served by instance %s%s; it must be gone for %s, or start this one with --takeover", x.router, last.Instance, where, r.options.GoneFor)
	}
	if p == nil {
		if len(r.planes) >= r.options.MaxPlanes && !r.evict(now) {
			r.mu.Unlock()
			return status.Errorf(codes.ResourceExhausted, "this controller serves %d data planes and takes no more", r.options.MaxPlanes)
		}
		p = &plane{router: x.router}
		r.planes[x.router] = p
	}
	old := p.session
	if p.instance != x.instance {
		p.keep = nil // another instance's
	}
	x.plane = p
	p.session, p.instance, p.version = x, x.instance, h.GetVersion()
	p.sinkList = slices.Clone(h.GetSinks())
	p.since, p.seen = now, now
	p.stamp = max(uint64(now.UnixMilli()), last.Stamp+1)
	p.takeover = other && h.GetTakeover()
	p.sinks, p.counters = map[string]*sinkState{}, nil
	p.up, p.down = nil, nil
	p.installed, p.examined, p.from, p.covers = eventlog.Position{}, eventlog.Position{}, eventlog.Position{}, nil
	p.equal, p.deviates = false, false
	r.broadcast()
	r.mu.Unlock()
	r.options.Elsewhere.Changed()
	if old != nil {
		reason := "replaced by a newer stream of the same instance"
		if old.instance != x.instance {
			reason = "taken over by instance " + x.instance
		}
		// What it acked is this instance's best base, but only when it is the same.
		old.mu.Lock()
		acked := old.acked
		old.mu.Unlock()
		if old.instance == x.instance && acked != nil {
			r.mu.Lock()
			p.keep, p.keepUntil = acked, now.Add(r.options.Keep)
			r.mu.Unlock()
		}
		old.end(status.Error(codes.Aborted, reason))
	}
	return nil
}

// release drops the FIBs that were kept for long enough. The caller holds mu.
func (r *registry) release(now time.Time) {
	for _, p := range r.planes {
		if p.keep != nil && now.After(p.keepUntil) {
			p.keep = nil
		}
	}
}

// evict forgets data planes that were gone for long enough, or else the one
// that was gone longest; false: all are connected. The caller holds mu.
func (r *registry) evict(now time.Time) bool {
	var oldest *plane
	evicted := false
	for id, p := range r.planes {
		if p.session != nil {
			continue
		}
		if now.Sub(p.seen) > r.options.Remember {
			delete(r.planes, id)
			evicted = true
		} else if oldest == nil || p.seen.Before(oldest.seen) {
			oldest = p
		}
	}
	if !evicted && oldest != nil {
		delete(r.planes, oldest.router)
		evicted = true
	}
	return evicted
}

// own runs f on x's entry if x still is its router's session.
func (r *registry) own(x *session, f func(*plane)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := x.plane; p != nil && p.session == x {
		f(p)
	}
}

// greeted notes what the Hello said.
func (r *registry) greeted(x *session, h *fibpb.Hello, fib *projector.FIB) {
	r.own(x, func(p *plane) {
		q := h.GetPosition()
		p.position = eventlog.Position{LogID: q.GetLogId(), Epoch: q.GetEpoch(), Revision: eventlog.Revision(q.GetRevision())}
		if x.first.base == fib {
			p.equal = true
		}
	})
}

// kept is the FIB of position at that p's instance had acked.
func (r *registry) kept(p *plane, at eventlog.Position) *projector.FIB {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.keep == nil || p.keep.Position() != at || r.options.Now().After(p.keepUntil) {
		return nil
	}
	return p.keep
}

// acked notes that x has applied everything up to at.
func (r *registry) acked(x *session, at eventlog.Position, equal bool, a *fibpb.Ack) (err error) {
	r.own(x, func(p *plane) {
		if err = takeSinks(p.sinks, a.GetSinks()); err != nil {
			return
		}
		p.position, p.equal, p.deviates = at, equal, a.GetDeviates()
		if equal {
			p.installed = at
		}
		r.broadcast()
	})
	return err
}

func (r *registry) reported(x *session, sinks []*fibpb.SinkStatus) (err error) {
	r.own(x, func(p *plane) {
		err = takeSinks(p.sinks, sinks)
		p.deviates = false
		for _, s := range p.sinks {
			p.deviates = p.deviates || s.status.Deviates
		}
		r.broadcast()
	})
	return err
}

// maxCounters bounds the named counters that are kept.
const maxCounters = 256

func (r *registry) counted(x *session, c *fibpb.Counters) {
	m := map[string]uint64{
		"lookups": c.GetLookups(), "packets": c.GetPackets(), "bytes": c.GetBytes(), "resident_bytes": c.GetResidentBytes(),
	}
	for _, k := range slices.Sorted(maps.Keys(c.GetMore())) {
		if _, own := m[k]; !own && len(m) < maxCounters && printable(k, maxName) {
			m[k] = c.GetMore()[k]
		}
	}
	r.own(x, func(p *plane) { p.counters = m })
}

// examined notes what the delta between two positions concerns.
func (r *registry) examined(x *session, from, to eventlog.Position, t touch) {
	r.own(x, func(p *plane) {
		if p.examined == (eventlog.Position{}) {
			p.from = from
		}
		p.examined = to
		if !t.nothing() {
			p.cover(cover{from: from, to: to, touch: t})
		}
		r.broadcast()
	})
}

// leave notes that x has gone and keeps its FIB for a while.
func (r *registry) leave(x *session, acked *projector.FIB) {
	r.own(x, func(p *plane) {
		now := r.options.Now()
		r.release(now)
		r.options.OnStream(x.router, false)
		p.session = nil
		p.since, p.seen = now, now
		p.covers = nil
		p.keep, p.keepUntil = nil, time.Time{}
		if acked != nil {
			p.keep, p.keepUntil = acked, now.Add(r.options.Keep)
		}
		r.broadcast()
	})
	r.options.Elsewhere.Changed()
}

func (r *registry) each(f func(*session)) {
	r.mu.Lock()
	var list []*session
	for _, p := range r.planes {
		if p.session != nil {
			list = append(list, p.session)
		}
	}
	r.mu.Unlock()
	for _, x := range list {
		f(x)
	}
}

// List gives every data plane that is connected or was within a day, sorted
// by router.
func (s *Server) List() []DataPlane {
	head := s.states.State().Position()
	r := s.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.options.Now()
	r.release(now)
	list := make([]DataPlane, 0, len(r.planes))
	for id, p := range r.planes {
		if p.session == nil && now.Sub(p.seen) > r.options.Remember {
			delete(r.planes, id)
			continue
		}
		list = append(list, p.describe(head))
	}
	slices.SortFunc(list, func(a, b DataPlane) int { return cmp.Compare(a.Router, b.Router) })
	return list
}

// Known reports whether a data plane subscribes as the router, or did within a day.
func (s *Server) Known(router eventlog.RouterID) bool {
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	p := s.registry.planes[router]
	return p != nil && (p.session != nil || s.options.Now().Sub(p.seen) <= s.options.Remember)
}

func (p *plane) describe(head eventlog.Position) DataPlane {
	d := DataPlane{
		Router: p.router, Instance: p.instance, Version: p.version,
		Connected: p.session != nil, Since: p.since, Position: p.position,
		DigestEqual: p.equal, Deviates: p.deviates, Counters: maps.Clone(p.counters), Down: p.listDown(), Repairs: slices.Clone(p.repairs), Undone: slices.Clone(p.undone),
	}
	switch {
	case p.position.LogID != head.LogID:
		d.Lag = uint64(head.Revision)
	case p.position.Revision < head.Revision:
		d.Lag = uint64(head.Revision - p.position.Revision)
	}
	for _, name := range p.sinkList {
		if p.sinks[name] == nil {
			d.Sinks = append(d.Sinks, Sink{Name: name})
		}
	}
	for _, x := range p.sinks {
		d.Sinks = append(d.Sinks, x.status)
		d.Failed += x.status.Failed
	}
	slices.SortFunc(d.Sinks, func(a, b Sink) int { return cmp.Compare(a.Name, b.Name) })
	return d
}
