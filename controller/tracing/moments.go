package tracing

import (
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"dvr/controller/fibstream"
	"dvr/eventlog"
)

// Bounds of what is remembered on a node.
const (
	maxTraced  = 1024 // revisions whose trace is known
	maxMoments = 4096 // folds and deliveries
)

// place is a revision of an epoch.
type place struct {
	epoch    uint64
	revision eventlog.Revision
}

// moment is what happened to the revisions after from, up to to.
type moment struct {
	epoch    uint64
	from, to eventlog.Revision
	tell     func(trace.SpanContext) // makes its spans; nil: no moment yet
}

func (m *moment) holds(p place) bool {
	return m.tell != nil && m.epoch == p.epoch && m.from < p.revision && p.revision <= m.to
}

// moments brings together which trace a revision belongs to and what happened to
// it, whichever is known first. Both are rings: the oldest are forgotten.
type moments struct {
	mu     sync.Mutex
	traced map[place]trace.SpanContext
	order  []place
	next   int
	ring   []moment
	at     int
}

func newMoments() moments {
	return moments{traced: map[place]trace.SpanContext{}, order: make([]place, maxTraced), ring: make([]moment, maxMoments)}
}

// committed notes whose trace a revision belongs to; the first to say so is heard.
func (t *Tracer) committed(epoch uint64, r eventlog.Revision, c trace.SpanContext) {
	p := place{epoch, r}
	m := &t.moments
	m.mu.Lock()
	if _, known := m.traced[p]; known {
		m.mu.Unlock()
		return
	}
	delete(m.traced, m.order[m.next])
	m.order[m.next] = p
	m.next = (m.next + 1) % maxTraced
	m.traced[p] = c
	var tell []func(trace.SpanContext)
	for i := range m.ring {
		if m.ring[i].holds(p) {
			tell = append(tell, m.ring[i].tell)
		}
	}
	m.mu.Unlock()
	for _, f := range tell {
		f(c)
	}
}

// happened notes a moment, and gives the trace of one of its revisions.
func (t *Tracer) happened(now moment) (id string) {
	m := &t.moments
	var of []trace.SpanContext
	m.mu.Lock()
	m.ring[m.at] = now
	m.at = (m.at + 1) % maxMoments
	if now.to-now.from <= maxTraced {
		for r := now.from + 1; r <= now.to; r++ {
			if c, ok := m.traced[place{now.epoch, r}]; ok {
				of = append(of, c)
			}
		}
	} else {
		for p, c := range m.traced {
			if now.holds(p) {
				of = append(of, c)
			}
		}
	}
	m.mu.Unlock()
	for _, c := range of {
		now.tell(c)
		id = c.TraceID().String()
	}
	return id
}

// Folded tells that commits which another node appended were folded here.
func (t *Tracer) Folded(epoch uint64, first, last eventlog.Revision, began, ended time.Time) {
	if t == nil {
		return
	}
	t.happened(moment{epoch: epoch, from: first - 1, to: last, tell: func(c trace.SpanContext) {
		t.past(c, "fold", began, ended)
	}})
}

// Delivered tells of a delta that a data plane has acknowledged, and gives the trace
// that it belongs to; empty: none, or not known yet.
func (t *Tracer) Delivered(d fibstream.Delivery) (id string) {
	if t == nil {
		return ""
	}
	return t.delivered(&d)
}

func (t *Tracer) delivered(acked *fibstream.Delivery) (id string) {
	d := *acked // is kept
	from := d.From
	if d.From.Epoch != d.To.Epoch || d.From.LogID != d.To.LogID {
		from.Revision = d.To.Revision - 1 // a first table is that of no commit but the last
	}
	return t.happened(moment{epoch: d.To.Epoch, from: from.Revision, to: d.To.Revision, tell: func(c trace.SpanContext) {
		whole := t.past(c, "data plane "+string(d.Router), d.Began, d.Acked,
			attribute.String("dvr.router", string(d.Router)), attribute.Bool("dvr.full", d.Full), attribute.Bool("dvr.digest_equal", d.Equal))
		t.past(whole, "compile FIB", d.Began, d.Compiled)
		t.past(whole, "stream", d.Compiled, d.Sent)
		t.past(whole, "ack", d.Sent, d.Acked)
	}})
}
