package tracing

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"dvr/eventlog"
)

// Options of a Tracer.
type Options struct {
	// Endpoint is the collector: grpc://host:port or http://host:port[/path], grpcs and
	// https in TLS.
	Endpoint string
	// Ratio is the part of the changes that are traced, 0 to 1; a call that comes with
	// a traceparent is traced as that says.
	Ratio         float64
	Node, Version string
	// OnError is told of spans that could not be sent. It must not block.
	OnError func(error)
}

// Tracer makes spans and sends them, in the background. All methods are safe for
// concurrent use, and do nothing on nil.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	moments  moments
}

// New makes a Tracer; it connects when there is something to send.
func New(ctx context.Context, o Options) (*Tracer, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("address of the collector: %w", err)
	}
	exporter, err := otlptrace.New(ctx, client(u))
	if err != nil {
		return nil, fmt.Errorf("exporter of traces: %w", err)
	}
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(reporting{exporter, o.OnError}, sdk.WithBatchTimeout(time.Second)),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(o.Ratio))),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "dvr"), attribute.String("service.instance.id", o.Node), attribute.String("service.version", o.Version))),
	)
	return &Tracer{provider: provider, tracer: provider.Tracer("dvr"), moments: newMoments()}, nil
}

func client(u *url.URL) otlptrace.Client {
	switch u.Scheme {
	case "grpc":
		return otlptracegrpc.NewClient(otlptracegrpc.WithEndpoint(u.Host), otlptracegrpc.WithInsecure())
	case "grpcs":
		return otlptracegrpc.NewClient(otlptracegrpc.WithEndpoint(u.Host))
	}
	options := []otlptracehttp.Option{otlptracehttp.WithEndpoint(u.Host)}
	if u.Scheme == "http" {
		options = append(options, otlptracehttp.WithInsecure())
	}
	if u.Path != "" && u.Path != "/" {
		options = append(options, otlptracehttp.WithURLPath(u.Path))
	}
	return otlptracehttp.NewClient(options...)
}

// reporting tells what could not be sent; the SDK would tell a handler of the whole process.
type reporting struct {
	sdk.SpanExporter
	failed func(error)
}

func (r reporting) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if err := r.SpanExporter.ExportSpans(ctx, spans); err != nil {
		r.failed(fmt.Errorf("%d spans were not sent: %w", len(spans), err))
	}
	return nil
}

// Close sends what is left, as long as ctx allows.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// On reports whether anything is traced.
func (t *Tracer) On() bool { return t != nil }

// traceparent is the header, and the member of a forwarded change.
const traceparent = "traceparent"

// Request begins the trace of a call, or joins the one that its header names. The
// span is nil, and ctx as it was, where the call is not sampled.
func (t *Tracer) Request(ctx context.Context, h http.Header, name string) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	parent := propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(h))
	s := t.begin(trace.SpanContextFromContext(parent), name, trace.WithSpanKind(trace.SpanKindServer))
	if s == nil {
		return ctx, nil
	}
	return context.WithValue(ctx, spanKey{}, s), s
}

// Joined is a span of another process, by its traceparent; nil: it is none, or not sampled.
func (t *Tracer) Joined(parent string) *Span {
	if t == nil || parent == "" {
		return nil
	}
	c := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{traceparent: parent}))
	if !c.IsSampled() {
		return nil
	}
	return &Span{t: t, context: c}
}

// begin begins a span; nil: it is not sampled.
func (t *Tracer) begin(parent trace.SpanContext, name string, options ...trace.SpanStartOption) *Span {
	ctx := context.Background()
	if parent.IsValid() {
		ctx = trace.ContextWithSpanContext(ctx, parent)
	}
	_, span := t.tracer.Start(ctx, name, options...)
	if !span.IsRecording() {
		return nil
	}
	return &Span{t: t, context: span.SpanContext(), span: span}
}

// past makes a span of what has been.
func (t *Tracer) past(parent trace.SpanContext, name string, began, ended time.Time, attributes ...attribute.KeyValue) trace.SpanContext {
	_, span := t.tracer.Start(trace.ContextWithSpanContext(context.Background(), parent), name, trace.WithTimestamp(began), trace.WithAttributes(attributes...))
	span.End(trace.WithTimestamp(ended))
	return span.SpanContext()
}

func revision(r eventlog.Revision) attribute.KeyValue {
	return attribute.Int64("dvr.revision", int64(r))
}
