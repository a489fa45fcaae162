package peer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"dvr/controller/fibstream"
	"dvr/controller/peerpb"
	"dvr/controller/service"
	"dvr/controller/tracing"
	"dvr/eventlog"
)

const (
	// surveyPatience is how long another node may take to list its data planes.
	surveyPatience = time.Second
	// askAgain is the pause before a node that did not answer is asked again.
	askAgain = 100 * time.Millisecond
	// answerTime is what a node that waits for its data planes keeps for its answer.
	answerTime = 20 * time.Millisecond
	maxNames   = 1 << 16
)

// DataPlanes are those of all nodes. Attach must have been called.
func (x *Exchange) DataPlanes() service.DataPlanes { return &planes{x.here.Load().planes, x} }

// planes implements service.DataPlanes over all nodes.
type planes struct {
	service.LocalPlanes
	x *Exchange
}

// Known implements service.DataPlanes.
func (p *planes) Known(router eventlog.RouterID) bool {
	if p.LocalPlanes.Known(router) {
		return true
	}
	_, _, ok := p.x.Claim(router)
	return ok
}

// Subscribed implements service.DataPlanes.
func (p *planes) Subscribed() []eventlog.RouterID {
	out := p.LocalPlanes.Subscribed()
	for r := range p.x.connections() {
		out = append(out, r)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Survey implements service.DataPlanes.
func (p *planes) Survey(ctx context.Context) []service.DataPlane {
	ctx, cancel := context.WithTimeout(ctx, surveyPatience)
	defer cancel()
	all := map[eventlog.RouterID]service.DataPlane{}
	take := func(d service.DataPlane) {
		was, ok := all[d.Router]
		if !ok || d.Connected != was.Connected && d.Connected || d.Connected == was.Connected && d.Since.After(was.Since) {
			all[d.Router] = d
		}
	}
	for _, d := range p.LocalPlanes.List() {
		take(d)
	}
	var mu sync.Mutex
	var asked sync.WaitGroup
	answered := map[string]bool{}
	for _, r := range p.x.mesh.remotes() {
		if r.link.Load() == nil {
			continue
		}
		asked.Go(func() {
			reply, err := r.client.DataPlanes(ctx, &peerpb.DataPlanesRequest{})
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			answered[r.id] = true
			for _, d := range reply.GetDataplanes() {
				take(fromWire(d, r.id))
			}
		})
	}
	asked.Wait()
	for router, c := range p.x.connections() {
		if _, ok := all[router]; !ok && !answered[c.node] {
			take(service.DataPlane{Router: router, Instance: c.claim.Instance, Node: c.node, Connected: c.claim.Connected, Since: time.Now().Add(-c.claim.Gone)})
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b service.DataPlane) int { return cmp.Compare(a.Router, b.Router) })
}

// listHere is the list of this node alone.
func (x *Exchange) listHere() []*peerpb.DataPlane {
	h := x.here.Load()
	if h == nil {
		return nil
	}
	var out []*peerpb.DataPlane
	for _, d := range h.planes.List() {
		out = append(out, &peerpb.DataPlane{
			Router: string(d.Router), Instance: d.Instance, Version: d.Version, Sinks: d.Sinks, Connected: d.Connected,
			Position: wirePosition(d.Position), Lag: d.Lag, DigestEqual: d.DigestEqual, Deviates: d.Deviates, Failed: d.Failed,
			SinceMs: d.Since.UnixMilli(), Counters: d.Counters, SinkStates: wireSinks(d.SinkStates), Down: wireDown(d.Down), Repairs: wireRepairs(d.Repairs), Undone: wireUndone(d.Undone),
		})
	}
	return out
}

func wireSinks(sinks []fibstream.Sink) []*peerpb.SinkState {
	out := make([]*peerpb.SinkState, len(sinks))
	for i, k := range sinks {
		out[i] = &peerpb.SinkState{Name: k.Name, Installed: k.Installed, Entries: k.Entries, Failed: k.Failed, Repaired: k.Repaired, Deviates: k.Deviates}
		for _, f := range k.Failures {
			out[i].Failures = append(out[i].Failures, &peerpb.Failure{Prefix: f.Prefix, Reason: f.Reason})
		}
	}
	return out
}

func sinksOf(states []*peerpb.SinkState) []fibstream.Sink {
	out := make([]fibstream.Sink, len(states))
	for i, k := range states {
		out[i] = fibstream.Sink{Name: k.GetName(), Installed: k.GetInstalled(), Entries: k.GetEntries(), Failed: k.GetFailed(), Repaired: k.GetRepaired(), Deviates: k.GetDeviates()}
		for _, f := range k.GetFailures() {
			out[i].Failures = append(out[i].Failures, fibstream.Failure{Prefix: f.GetPrefix(), Reason: f.GetReason()})
		}
	}
	return out
}

func fromWire(d *peerpb.DataPlane, node string) service.DataPlane {
	return service.DataPlane{
		Router: eventlog.RouterID(d.GetRouter()), Instance: d.GetInstance(), Node: node, Version: d.GetVersion(), Sinks: d.GetSinks(),
		Connected: d.GetConnected(), Position: position(d.GetPosition()), Lag: d.GetLag(), DigestEqual: d.GetDigestEqual(),
		Deviates: d.GetDeviates(), Failed: d.GetFailed(), Since: time.UnixMilli(d.GetSinceMs()), Counters: d.GetCounters(),
		SinkStates: sinksOf(d.GetSinkStates()), Down: downOf(d.GetDown()), Repairs: repairsOf(d.GetRepairs()), Undone: undoneOf(d.GetUndone()),
	}
}

func wireUndone(list []fibstream.Undone) []*peerpb.Undone {
	out := make([]*peerpb.Undone, len(list))
	for i, u := range list {
		out[i] = &peerpb.Undone{TimeMs: u.Time.UnixMilli(), Revision: uint64(u.Revision)}
	}
	return out
}

func undoneOf(list []*peerpb.Undone) []fibstream.Undone {
	out := make([]fibstream.Undone, len(list))
	for i, u := range list {
		out[i] = fibstream.Undone{Time: time.UnixMilli(u.GetTimeMs()), Revision: eventlog.Revision(u.GetRevision())}
	}
	return out
}

func wireRepairs(list []fibstream.Repair) []*peerpb.Repair {
	out := make([]*peerpb.Repair, len(list))
	for i, r := range list {
		out[i] = &peerpb.Repair{TimeMs: r.Time.UnixMilli(), Prefix: r.Prefix, Cause: r.Cause, Count: r.Count}
	}
	return out
}

func repairsOf(list []*peerpb.Repair) []fibstream.Repair {
	out := make([]fibstream.Repair, len(list))
	for i, r := range list {
		out[i] = fibstream.Repair{Time: time.UnixMilli(r.GetTimeMs()), Prefix: r.GetPrefix(), Cause: r.GetCause(), Count: r.GetCount()}
	}
	return out
}

func wireDown(list []fibstream.Down) []*peerpb.Down {
	out := make([]*peerpb.Down, len(list))
	for i, d := range list {
		out[i] = &peerpb.Down{Interface: d.Interface, NextHop: d.NextHop.AsSlice(), SinceMs: d.Since.UnixMilli()}
	}
	return out
}

func downOf(list []*peerpb.Down) []fibstream.Down {
	out := make([]fibstream.Down, len(list))
	for i, d := range list {
		address, _ := netip.AddrFromSlice(d.GetNextHop()) // none: the interface itself
		out[i] = fibstream.Down{Interface: d.GetInterface(), NextHop: address, Since: time.UnixMilli(d.GetSinceMs())}
	}
	return out
}

func wirePosition(p eventlog.Position) *peerpb.Position {
	return &peerpb.Position{LogId: p.LogID, Epoch: p.Epoch, Revision: uint64(p.Revision)}
}

func position(p *peerpb.Position) eventlog.Position {
	return eventlog.Position{LogID: p.GetLogId(), Epoch: p.GetEpoch(), Revision: eventlog.Revision(p.GetRevision())}
}

// Lookup implements service.DataPlanes: the node that the data plane is
// connected to asks it.
func (p *planes) Lookup(ctx context.Context, router eventlog.RouterID, a netip.Addr) (service.Lookup, error) {
	out, err := p.LocalPlanes.Lookup(ctx, router, a)
	if !errors.Is(err, service.ErrNoDataPlane) {
		return out, err
	}
	c, node, ok := p.x.Claim(router)
	r := p.x.mesh.remote(node)
	if !ok || !c.Connected || r == nil {
		return out, err
	}
	reply, callErr := r.client.Lookup(ctx, &peerpb.LookupRequest{Router: string(router), Address: a.AsSlice()})
	if callErr != nil {
		return out, fmt.Errorf("%w: node %s, to which the data plane is connected, does not answer: %w", service.ErrUnavailable, p.x.place(node), callErr)
	}
	return lookupOf(reply)
}

func lookupOf(r *peerpb.LookupReply) (service.Lookup, error) {
	out := service.Lookup{Position: position(r.GetPosition())}
	if len(r.GetError()) > 0 {
		return out, service.ReadError(r.GetError())
	}
	var err error
	if out.Prefix, err = netip.ParsePrefix(r.GetPrefix()); err != nil || len(r.GetClassId()) != len(out.Class) {
		return out, fmt.Errorf("look up: the other node's answer is malformed")
	}
	copy(out.Class[:], r.GetClassId())
	for _, h := range r.GetNextHops() {
		n, err := nextHop(h)
		if err != nil {
			return out, err
		}
		out.NextHops = append(out.NextHops, n)
	}
	return out, nil
}

// WaitInstalled implements service.DataPlanes. Every node is asked about the
// data planes connected to it, at once, and again when one has moved meanwhile.
func (p *planes) WaitInstalled(ctx context.Context, first, last eventlog.Revision, prefixes []netip.Prefix, require []eventlog.RouterID) service.Installation {
	request := &peerpb.InstalledRequest{First: uint64(first), Last: uint64(last)}
	for _, q := range prefixes {
		request.Prefixes = append(request.Prefixes, q.String())
	}
	for _, r := range require {
		request.Require = append(request.Require, string(r))
	}
	if parent := tracing.FromContext(ctx).Traceparent(); parent != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, traceparent, parent)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	closing := p.x.here.Load().fib.Closing()
	go func() {
		select {
		case <-closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		changed := p.x.mesh.changed.wait()
		m := merger{require: require, at: map[eventlog.RouterID]string{}, before: p.places()}
		var asked sync.WaitGroup
		asked.Go(func() {
			m.add(p.x.options.Node, p.WaitHere(ctx, first, last, prefixes, require))
		})
		for _, r := range p.x.mesh.remotes() {
			asked.Go(func() {
				if reply, err := r.waitInstalled(ctx, request); err == nil {
					m.add(r.id, installation(reply))
				}
			})
		}
		asked.Wait()
		out, settled := m.result(p.places(), p.x.connections())
		if settled {
			return out
		}
		select {
		case <-ctx.Done():
			return out
		case <-changed:
		case <-time.After(askAgain):
		}
	}
}

// places tells at which node each data plane is connected that is at one.
func (p *planes) places() map[eventlog.RouterID]string {
	out := map[eventlog.RouterID]string{}
	for router, c := range p.x.connections() {
		if c.claim.Connected {
			out[router] = c.node
		}
	}
	for _, one := range p.x.here.Load().fib.Claims() {
		if one.Connected {
			out[one.Router] = p.x.options.Node
		}
	}
	return out
}

// waitInstalled asks the node as long as it is linked to.
func (r *remote) waitInstalled(ctx context.Context, request *peerpb.InstalledRequest) (*peerpb.Installation, error) {
	l := r.link.Load()
	if l == nil {
		return nil, errNotLinked
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	return r.client.WaitInstalled(ctx, request)
}

var errNotLinked = status.Error(codes.Unavailable, "the node is not linked to")

// merger puts together what the nodes say of a commit.
type merger struct {
	require []eventlog.RouterID
	before  map[eventlog.RouterID]string // where data planes were connected when the nodes were asked

	mu    sync.Mutex
	out   service.Installation
	at    map[eventlog.RouterID]string // node at which a router was found installed or failed
	asked []string                     // and have answered
}

func (m *merger) add(node string, i service.Installation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, node)
	m.out.Installed = append(m.out.Installed, i.Installed...)
	m.out.Disconnected = append(m.out.Disconnected, i.Disconnected...)
	m.out.Pending = append(m.out.Pending, i.Pending...)
	m.out.Failed = append(m.out.Failed, i.Failed...)
	for _, r := range i.Installed {
		m.at[r] = node
	}
	for _, f := range i.Failed {
		m.at[f.Router] = node
	}
}

// result is what is known when all were asked, of data planes that are connected
// at places now, or claimed by other nodes. Each that is known and nobody has
// answered for is pending or disconnected: also one whose node is gone, and that
// has not come to another yet. settled: nothing is left to wait for.
func (m *merger) result(places map[eventlog.RouterID]string, elsewhere map[eventlog.RouterID]connection) (out service.Installation, settled bool) {
	out = m.out
	out.Installed, out.Pending, out.Disconnected = distinct(out.Installed), distinct(out.Pending), distinct(out.Disconnected)
	for router, c := range elsewhere {
		_, answered := m.at[router]
		_, connected := places[router]
		switch { // whether it is concerned, a node that did not answer does not say
		case answered || slices.Contains(m.asked, c.node):
		case c.claim.Connected:
			out.Pending = append(out.Pending, router)
		case !connected: // it had left before its node did
			out.Disconnected = append(out.Disconnected, router)
		}
	}
	out.Disconnected = slices.DeleteFunc(out.Disconnected, func(r eventlog.RouterID) bool {
		_, answered := m.at[r]
		_, connected := places[r]
		return answered || connected
	})
	for _, r := range m.require {
		if _, answered := m.at[r]; !answered {
			out.Pending = append(out.Pending, r)
			if _, connected := places[r]; !connected {
				out.Disconnected = append(out.Disconnected, r)
			}
		}
	}
	out.Pending, out.Disconnected = distinct(out.Pending), distinct(out.Disconnected)
	// One that came to a node after that was asked, it may have said nothing of.
	moved := false
	for r, node := range places {
		if _, answered := m.at[r]; !answered {
			moved = moved || m.before[r] != node
		}
	}
	return out, len(out.Pending) == 0 && !moved
}

func distinct(list []eventlog.RouterID) []eventlog.RouterID {
	slices.Sort(list)
	return slices.Compact(list)
}

func installation(i *peerpb.Installation) service.Installation {
	out := service.Installation{Installed: routers(i.GetInstalled()), Disconnected: routers(i.GetDisconnected()), Pending: routers(i.GetPending())}
	for _, f := range i.GetFailed() {
		out.Failed = append(out.Failed, service.InstallFailure{Router: eventlog.RouterID(f.GetRouter()), Sink: f.GetSink(), Prefix: f.GetPrefix(), Reason: f.GetReason()})
	}
	return out
}

func routers(list []string) []eventlog.RouterID {
	var out []eventlog.RouterID
	for _, r := range list {
		out = append(out, eventlog.RouterID(r))
	}
	return out
}

func names(list []eventlog.RouterID) []string {
	var out []string
	for _, r := range list {
		out = append(out, string(r))
	}
	return out
}

// errNoPlanes answers while a node is starting.
var errNoPlanes = status.Error(codes.Unavailable, "the node is starting")
