// Package tracingtest has a collector of traces for tests: it takes in what comes by
// OTLP, over gRPC and HTTP, and keeps it.
package tracingtest

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// Span is a span as it came.
type Span struct {
	Node              string // service.instance.id
	Name              string
	Trace, ID, Parent string // hex; Parent is empty for a root
	Began, Ended      time.Time
	Attributes        map[string]string
}

// Collector keeps the spans that come. All methods are safe for concurrent use.
type Collector struct {
	collector.UnimplementedTraceServiceServer
	GRPC, HTTP string // endpoints, as TRACE_ENDPOINT wants them

	mu      sync.Mutex
	spans   []Span
	changed chan struct{}
}

// Start listens on loopback until the test ends.
func Start(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{changed: make(chan struct{})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	collector.RegisterTraceServiceServer(g, c)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	h := httptest.NewServer(c)
	t.Cleanup(func() {
		g.Stop()
		<-served
		h.Close()
	})
	c.GRPC, c.HTTP = "grpc://"+l.Addr().String(), h.URL
	return c
}

// Export implements the OTLP service.
func (c *Collector) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range r.GetResourceSpans() {
		node := ""
		for _, a := range of.GetResource().GetAttributes() {
			if a.GetKey() == "service.instance.id" {
				node = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				span := Span{
					Node: node, Name: s.GetName(), Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
					Began: time.Unix(0, int64(s.GetStartTimeUnixNano())), Ended: time.Unix(0, int64(s.GetEndTimeUnixNano())), Attributes: map[string]string{},
				}
				for _, a := range s.GetAttributes() {
					v := a.GetValue()
					switch {
					case v.GetStringValue() != "":
						span.Attributes[a.GetKey()] = v.GetStringValue()
					case v.GetIntValue() != 0:
						span.Attributes[a.GetKey()] = fmt.Sprint(v.GetIntValue())
					default:
						span.Attributes[a.GetKey()] = fmt.Sprint(v.GetBoolValue())
					}
				}
				c.spans = append(c.spans, span)
			}
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
	return &collector.ExportTraceServiceResponse{}, nil
}

// ServeHTTP takes OTLP over HTTP.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	var request collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(raw, &request)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, fmt.Sprint(r.URL.Path, " ", err), http.StatusBadRequest)
		return
	}
	_, _ = c.Export(r.Context(), &request) // cannot fail
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// Spans are those of a trace, in the order in which they came; "": of all.
func (c *Collector) Spans(trace string) (out []Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if trace == "" || s.Trace == trace {
			out = append(out, s)
		}
	}
	return out
}

// Await waits until the spans of a trace are as ok wants them, or ctx ends.
func (c *Collector) Await(ctx context.Context, trace string, ok func([]Span) bool) ([]Span, error) {
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		spans := c.Spans(trace)
		if ok(spans) {
			return spans, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return spans, ctx.Err()
		}
	}
}
