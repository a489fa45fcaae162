package tracing

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"dvr/controller/appender"
	"dvr/eventlog"
)

// Span is a span of a change that is traced. nil: it is not. Methods do nothing on nil.
type Span struct {
	t       *Tracer
	context trace.SpanContext
	span    trace.Span // nil: of another process
}

type spanKey struct{}

// FromContext is the span that ctx carries; nil: none.
func FromContext(ctx context.Context) *Span {
	s, _ := ctx.Value(spanKey{}).(*Span)
	return s
}

// Carry gives to the span that from carries.
func Carry(from, to context.Context) context.Context {
	if s := FromContext(from); s != nil {
		return context.WithValue(to, spanKey{}, s)
	}
	return to
}

// Child begins a span within s.
func (s *Span) Child(name string) *Span {
	if s == nil {
		return nil
	}
	return s.t.begin(s.context, name)
}

// End ends the span; err, where there is one, is why it failed.
func (s *Span) End(err error) {
	if s == nil || s.span == nil {
		return
	}
	if err != nil {
		s.span.SetStatus(codes.Error, err.Error())
	}
	s.span.End()
}

// Answer ends the span of an HTTP call with its status code.
func (s *Span) Answer(code int) {
	if s == nil {
		return
	}
	s.span.SetAttributes(attribute.Int("http.response.status_code", code))
	if code >= 500 {
		s.span.SetStatus(codes.Error, fmt.Sprintf("status %d", code))
	}
	s.span.End()
}

// Traceparent is how another process joins; empty: not.
func (s *Span) Traceparent() string {
	if s == nil {
		return ""
	}
	return fmt.Sprintf("00-%s-%s-%s", s.context.TraceID(), s.context.SpanID(), s.context.TraceFlags())
}

// TraceID names the trace, as an exemplar does; empty: none.
func (s *Span) TraceID() string {
	if s == nil {
		return ""
	}
	return s.context.TraceID().String()
}

// Commits says that the revisions from first to last of the epoch are of the trace:
// what happens to them on this node becomes spans within s.
func (s *Span) Commits(epoch uint64, first, last eventlog.Revision) {
	if s == nil {
		return
	}
	for r := first; r <= last && r-first < maxCommits; r++ {
		s.t.committed(epoch, r, s.context)
	}
}

// maxCommits bounds the revisions that one call can claim.
const maxCommits = 64

// Append is what the appender tells of a change within s; nil: nobody asks.
func (s *Span) Append() appender.Trace {
	if s == nil {
		return nil // no interface that holds one
	}
	return appending{s}
}

type appending struct{ *Span }

// Stored implements appender.Trace.
func (a appending) Stored(e *appender.Stages) {
	t := a.t
	whole := t.past(a.context, "append", e.Queued, e.Landed, revision(e.Revision), attribute.Int("dvr.batch.commits", e.Commits), attribute.Int("dvr.batch.bytes", e.Bytes))
	t.past(whole, "queue", e.Queued, e.Judged)
	t.past(whole, "fold", e.Judged, e.Folded)
	t.past(whole, "batch", e.Folded, e.Left)
	t.past(whole, "etcd transaction", e.Left, e.Landed)
	t.committed(e.Epoch, e.Revision, whole)
}
