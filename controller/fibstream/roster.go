package fibstream

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"dvr/eventlog"
)

// Member is a router's data plane as it outlives its controller: enough to name
// it, to place its claim, and to hold its router for it.
type Member struct {
	Router      eventlog.RouterID
	Instance    string
	Version     string
	Sinks       []string // names, as it told them
	Position    eventlog.Position
	DigestEqual bool
	Connected   bool
	Since       time.Time // connected, or gone, since
	Stamp       uint64    // of its claim
	Takeover    bool
}

// Roster lists who is connected and who was within the time that is remembered,
// sorted by router: what Options.Roster of the controller's next life is made
// of. Cost: a copy of the registry.
func (s *Server) Roster() []Member {
	r := s.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.options.Now()
	out := make([]Member, 0, len(r.planes))
	for _, p := range r.planes {
		if p.session == nil && now.Sub(p.seen) > r.options.Remember || p.instance == "" {
			continue
		}
		sinks := append(slices.Collect(maps.Keys(p.sinks)), p.sinkList...)
		slices.Sort(sinks)
		out = append(out, Member{
			Router: p.router, Instance: p.instance, Version: p.version, Sinks: slices.Compact(sinks), Position: p.position, DigestEqual: p.equal,
			Connected: p.session != nil, Since: p.since, Stamp: p.stamp, Takeover: p.takeover,
		})
	}
	slices.SortFunc(out, func(a, b Member) int { return cmp.Compare(a.Router, b.Router) })
	return out
}

// enrol takes in who was known before this controller started. One that was
// connected then is gone since now: nobody saw it leave, it goes on forwarding
// and comes back, so its router is held for it as for any that has just left.
// What lies in the future of this clock is gone since now, too.
func (r *registry) enrol(list []Member) {
	now := r.options.Now()
	for _, m := range list {
		if m.Connected || m.Since.After(now) {
			m.Since = now
		}
		if m.Router == "" || m.Instance == "" || now.Sub(m.Since) > r.options.Remember || len(r.planes) >= r.options.MaxPlanes {
			continue
		}
		r.planes[m.Router] = &plane{
			router: m.Router, instance: m.Instance, version: m.Version, sinkList: slices.Clone(m.Sinks), since: m.Since, seen: m.Since,
			stamp: m.Stamp, takeover: m.Takeover, position: m.Position, equal: m.DigestEqual, sinks: map[string]*sinkState{},
		}
	}
}
