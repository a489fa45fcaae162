package httpapi

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"dvr/controller/service"
)

// sample is what something that is not in the log is like, by name. Immutable.
type sample struct {
	taken time.Time
	names []string
	items map[string]string // JSON objects
}

// sampler takes samples, for all watchers together, no more often than they are
// looked at.
type sampler struct {
	turn sync.Mutex
	last *sample
}

// get is a sample that is fresh enough. An error leaves the last.
func (s *sampler) get(ctx context.Context, take func(ctx context.Context) (*sample, error)) *sample {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.last != nil && time.Since(s.last.taken) < statusPace*9/10 {
		return s.last
	}
	if got, err := take(ctx); err == nil {
		got.taken = time.Now()
		slices.Sort(got.names)
		s.last = got
	}
	return s.last
}

// status is what one watcher was told of a sampler's things.
type status struct{ told *sample }

// changes writes an event for each thing that is new or has changed, and one
// for each that is gone; behind the first sample one that says so: who watches
// again drops what it was told by another stream and was not told by this.
func (t *status) changes(b *buffer, kind, name string, now *sample) {
	if now == nil || now == t.told {
		return
	}
	event := func(kind string, put func()) {
		b.b = append(append(append(b.b, "event: "...), kind...), "\ndata: "...)
		put()
		b.b = append(b.b, '\n', '\n')
	}
	for _, id := range now.names {
		if t.told == nil || t.told.items[id] != now.items[id] {
			event(kind, func() { b.b = append(b.b, now.items[id]...) })
		}
	}
	if t.told != nil {
		for _, id := range t.told.names {
			if _, there := now.items[id]; !there {
				event(kind, func() {
					o := b.object()
					o.str(name, id)
					o.bool("gone", true)
					o.end()
				})
			}
		}
	} else {
		event("told", func() {
			o := b.object()
			o.str("kind", kind)
			o.end()
		})
	}
	t.told = now
}

// statuses writes what has changed of data planes and nodes.
func (p *watchPump) statuses(ctx context.Context, b *buffer) {
	s := p.server
	if p.query.dataplanes {
		p.planes.changes(b, "dataplanes", "router", p.concerned(s.planesSeen.get(ctx, s.samplePlanes)))
	}
	if p.query.nodes {
		p.nodes.changes(b, "nodes", "node_id", s.nodesSeen.get(ctx, s.sampleNodes))
	}
}

// concerned is a sample of data planes as far as the watch is about it.
func (p *watchPump) concerned(all *sample) *sample {
	r := string(p.query.Router)
	if all == nil || r == "" {
		return all
	}
	if t := p.planes.told; t != nil && t.taken.Equal(all.taken) {
		return t
	}
	one := &sample{taken: all.taken, items: map[string]string{}}
	if item, ok := all.items[r]; ok {
		one.names, one.items[r] = []string{r}, item
	}
	return one
}

func (s *Server) samplePlanes(ctx context.Context) (*sample, error) {
	out := &sample{items: map[string]string{}}
	b := getBuffer()
	defer putBuffer(b)
	for _, d := range s.service.AllDataPlanes(ctx) {
		b.b = b.b[:0]
		planeStatus(b, &d)
		out.names = append(out.names, string(d.Router))
		out.items[string(d.Router)] = string(b.b)
	}
	return out, nil
}

// forwarded are the counters that are told with each change of theirs, which data planes
// report every few seconds.
var forwarded = []string{"lookups", "packets", "bytes"}

// planeStatus puts what of a data plane is worth to be told when it changes:
// of its counters what it forwards.
func planeStatus(b *buffer, d *service.DataPlane) {
	o := b.object()
	o.str("router", string(d.Router))
	o.str("instance", d.Instance)
	o.str("node", d.Node)
	strs(o, "sinks", d.Sinks)
	o.bool("connected", d.Connected)
	position(o, "position", d.Position)
	o.bool("digest_equal", d.DigestEqual)
	o.bool("deviates", d.Deviates)
	o.uint("failed", d.Failed)
	o.time("since", d.Since)
	o.optional("version", d.Version)
	for _, name := range forwarded {
		if n := d.Counters[name]; n > 0 {
			o.uint(name, n)
		}
	}
	o.end()
}

func (s *Server) sampleNodes(ctx context.Context) (*sample, error) {
	out := &sample{items: map[string]string{}}
	if s.cluster == nil { // an external etcd: this node alone is known here
		n := s.node.Status()
		raw, err := json.Marshal(map[string]any{"node_id": n.NodeID, "state": n.RaftState, "quorum": n.Quorum, "leader": n.Leader, "alarms": n.Alarms})
		out.names, out.items[n.NodeID] = []string{n.NodeID}, string(raw)
		return out, err
	}
	v, err := s.cluster.Members(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range v.Members {
		raw, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		out.names = append(out.names, m.NodeID)
		out.items[m.NodeID] = string(raw)
	}
	return out, nil
}
