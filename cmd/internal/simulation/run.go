package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

// Options says what is simulated.
type Options struct {
	Prefixes int // of each router
	// Vectors is how many routers' vectors are followed, DataPlanes how many
	// routers' FIBs; they are spread over the topology.
	Vectors, DataPlanes int
	Events              int    // of churn
	Seed                uint64 // of the churn
	// Verify holds every vector and FIB against one from nothing after every event.
	Verify bool
}

// Check names the first option that makes no sense.
func (o *Options) Check() error {
	for _, x := range []struct {
		name string
		n    int
	}{{"prefixes", o.Prefixes}, {"vectors", o.Vectors}, {"dataplanes", o.DataPlanes}, {"events", o.Events}} {
		if x.n < 0 {
			return fmt.Errorf("%s is %d, and must be 0 or more", x.name, x.n)
		}
	}
	if o.Verify && o.Vectors+o.DataPlanes == 0 {
		return errors.New("there is nothing to verify: neither vectors nor FIBs are followed")
	}
	return nil
}

// Event is what one event of the churn took.
type Event struct {
	What    string
	Fold    time.Duration // into the state
	Vectors time.Duration // of all routers that are followed
	FIBs    time.Duration // tables and their deltas
	Work    projector.Work
	Routers int // whose vector changed
	Told    int // entries of vectors: router, other router
	// Messages is how many updates the routers whose vectors changed would send
	// to their neighbours, one each, if each were a speaker of its own.
	Messages int
	Classes  int // decided anew, over all routers
	Deltas   int // FIBs that are not empty deltas
	Groups   int // in them, with those withdrawn
	Prefixes int // in them
}

// Report is the outcome of a simulation.
type Report struct {
	Routers, Links, Prefixes, Classes int
	Vectors, DataPlanes               int
	Fold                              time.Duration // of the whole topology
	FromNothing, FIBsFromNothing      time.Duration
	Decisions                         int
	Work                              projector.Work
	Heap                              uint64 // bytes, with all that is followed
	Churn                             []Event
	Asked                             int  // events of churn
	Interrupted                       bool // before all of them were made
	Verified                          int  // states at which all that is followed was held against the same from nothing
}

// ErrVerify: something incremental differs from the same from nothing.
var ErrVerify = errors.New("differs from the same computed from nothing")

// ErrNoLinks: events of churn are of links, and there are none.
var ErrNoLinks = errors.New("there is no link, and churn is of links: want a topology with links, or no events")

// run is a simulation under way.
type run struct {
	Options
	topology *Topology
	rng      *rand.Rand
	fold     *projector.Fold
	state    *projector.State
	revision eventlog.Revision
	routers  []eventlog.RouterID
	degree   map[eventlog.RouterID]int
	paths    []*projector.Paths
	fibs     []*projector.FIB
}

// Run simulates. It ends early with ctx, with the report of what was done
// where there is one. Errors: ErrNoLinks, ErrVerify, ctx's, Options.Check's.
func Run(ctx context.Context, t *Topology, o Options) (*Report, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Events > 0 && len(t.Links) == 0 {
		return nil, ErrNoLinks
	}
	r := &run{Options: o, topology: t, rng: rand.New(rand.NewPCG(o.Seed, 2)), fold: projector.NewFold("simulation"), degree: map[eventlog.RouterID]int{}}
	for _, l := range t.Links {
		r.degree[l.A]++
		r.degree[l.B]++
	}
	r.Vectors = min(r.Vectors, len(t.Routers))
	r.DataPlanes = min(r.DataPlanes, len(t.Routers))
	for i := range r.Vectors {
		r.routers = append(r.routers, t.Routers[i*len(t.Routers)/r.Vectors])
	}
	rep := &Report{Asked: o.Events, Routers: len(t.Routers), Links: len(t.Links), Vectors: r.Vectors, DataPlanes: r.DataPlanes}
	begin := time.Now()
	if err := r.apply(t.Events(o.Prefixes)...); err != nil {
		return nil, err
	}
	rep.Fold = time.Since(begin)
	st := r.state.Stats()
	rep.Prefixes, rep.Classes = st.Destinations4+st.Destinations6, st.Classes

	begin = time.Now()
	for _, id := range r.routers {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		p := r.state.Paths(id, nil)
		w := p.Work()
		rep.Work.Settled += w.Settled
		rep.Work.Scanned += w.Scanned
		for d := range p.Changes(nil) {
			if d.Usable {
				rep.Decisions++
			}
		}
		r.paths = append(r.paths, p)
	}
	rep.FromNothing = time.Since(begin)
	begin = time.Now()
	for i := range r.DataPlanes {
		r.fibs = append(r.fibs, r.state.FIB(t.Routers[i*len(t.Routers)/r.DataPlanes], nil))
	}
	rep.FIBsFromNothing = time.Since(begin)
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	rep.Heap = m.HeapAlloc
	if o.Verify {
		if err := r.verify(); err != nil {
			return rep, err
		}
		rep.Verified++
	}
	for range o.Events {
		if ctx.Err() != nil {
			rep.Interrupted = true
			return rep, ctx.Err()
		}
		e, err := r.event()
		if err != nil {
			return rep, err
		}
		rep.Churn = append(rep.Churn, e)
		if o.Verify {
			rep.Verified++
		}
	}
	return rep, nil
}

func (r *run) apply(events ...eventlog.Event) error {
	r.revision++
	c := &eventlog.Commit{Revision: r.revision, Time: 1_800_000_000_000 + int64(r.revision), ID: fmt.Sprint(r.revision), Actor: "simulation", Events: events}
	if err := r.fold.Apply(c, eventlog.Hash{}); err != nil {
		return err
	}
	r.state = r.fold.State()
	return nil
}

// event makes one event of churn and measures what follows.
func (r *run) event() (e Event, err error) {
	change, what := r.draw()
	e.What = what
	begin := time.Now()
	if err := r.apply(change); err != nil {
		return e, err
	}
	e.Fold = time.Since(begin)

	begin = time.Now()
	for i, id := range r.routers {
		was := r.paths[i]
		p := r.state.Paths(id, was)
		w := p.Work()
		e.Work.Settled += w.Settled
		e.Work.Scanned += w.Scanned
		e.Work.Changed += w.Changed
		if w.Changed > 0 {
			e.Routers++
			e.Told += w.Changed
			e.Messages += r.degree[id]
		}
		for range p.Changes(was) {
			e.Classes++
		}
		r.paths[i] = p
	}
	e.Vectors = time.Since(begin)

	begin = time.Now()
	for i, was := range r.fibs {
		now := r.state.FIB(was.Router(), was)
		d := now.Delta(was)
		if !d.Empty() {
			e.Deltas++
			e.Groups += len(d.Classes) + len(d.Withdrawn)
			e.Prefixes += len(d.Removed.Addr4) + len(d.Removed.Addr6)
			for block := range d.Sets() {
				e.Prefixes += len(block.Addr4) + len(block.Addr6)
			}
		}
		r.fibs[i] = now
	}
	e.FIBs = time.Since(begin)
	if r.Verify {
		err = r.verify()
	}
	return e, err
}

// draw picks an event: a link goes down, comes back, or gets another cost.
func (r *run) draw() (eventlog.Event, string) {
	i := r.rng.IntN(len(r.topology.Links))
	l := *r.topology.Links[i]
	name := fmt.Sprintf("%s-%s", l.A, l.B)
	if l.Name != "" {
		name += " " + l.Name
	}
	switch {
	case l.Down:
		l.Down = false
		name = "up " + name
	case r.rng.IntN(3) == 0:
		l.CostAB = 1 + r.rng.Uint32N(min(2*l.CostAB, eventlog.MaxLinkCost))
		name = fmt.Sprintf("cost %s %d", name, l.CostAB)
	default:
		l.Down = true
		name = "down " + name
	}
	r.topology.Links[i] = &l
	return &l, name
}

// verify holds what is followed against the same from nothing.
func (r *run) verify() error {
	var b bytes.Buffer
	if err := r.state.Save(&b); err != nil {
		return err
	}
	fold, err := projector.Load(&b)
	if err != nil {
		return err
	}
	fresh := fold.State()
	for _, f := range r.fibs {
		if want := fresh.FIB(f.Router(), nil); want.Digest() != f.Digest() {
			return fmt.Errorf("the FIB of %s at revision %d: %w", f.Router(), r.revision, ErrVerify)
		}
	}
	for i, id := range r.routers {
		p := fresh.Paths(id, nil)
		for _, to := range r.topology.Routers {
			a, okA := r.paths[i].Distance(to)
			if b, okB := p.Distance(to); a != b || okA != okB {
				return fmt.Errorf("the distance from %s to %s at revision %d: %d, want %d: %w", id, to, r.revision, a, b, ErrVerify)
			}
		}
		next, stop := pull(r.state, id)
		for d := range fresh.Vector(id, netip.Prefix{}) {
			got, ok := next()
			if !ok || got.Prefix != d.Prefix || got.Metric != d.Metric || !slices.Equal(got.NextHops, d.NextHops) {
				stop()
				return fmt.Errorf("the vector of %s at %s, revision %d: %w", id, d.Prefix, r.revision, ErrVerify)
			}
		}
		_, ok := next()
		stop()
		if ok {
			return fmt.Errorf("the vector of %s at revision %d is too long: %w", id, r.revision, ErrVerify)
		}
	}
	return nil
}
