package tracing

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"dvr/controller/appender"
	"dvr/controller/fibstream"
	"dvr/controller/tracing/tracingtest"
	"dvr/eventlog"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

const parentTrace = "0af7651916cd43dd8448eb211c80319c"

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func newTracer(t *testing.T, endpoint string, ratio float64) *Tracer {
	t.Helper()
	tracer, err := New(testContext(t), Options{Endpoint: endpoint, Ratio: ratio, Node: "node-1", OnError: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

// sent closes the tracer and gives the spans by name, with the chain of their parents.
func sent(t *testing.T, tracer *Tracer, c *tracingtest.Collector) map[string]tracingtest.Span {
	t.Helper()
	if err := tracer.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	ids, out := map[string]tracingtest.Span{}, map[string]tracingtest.Span{}
	for _, s := range c.Spans("") {
		ids[s.ID] = s
	}
	for _, s := range ids {
		path := s.Name
		for up, ok := ids[s.Parent]; ok; up, ok = ids[up.Parent] {
			path = up.Name + "/" + path
		}
		out[path] = s
	}
	return out
}

func at(ms int) time.Time { return time.UnixMilli(1_800_000_000_000 + int64(ms)) }

func stages(r eventlog.Revision) *appender.Stages {
	return &appender.Stages{Epoch: 1, Revision: r, Commits: 3, Bytes: 300, Queued: at(1), Judged: at(2), Folded: at(3), Left: at(4), Landed: at(9)}
}

func delivery(router eventlog.RouterID, from, to eventlog.Revision) fibstream.Delivery {
	p := func(r eventlog.Revision) eventlog.Position {
		return eventlog.Position{LogID: "log", Epoch: 1, Revision: r}
	}
	return fibstream.Delivery{Router: router, From: p(from), To: p(to), Equal: true, Began: at(10), Compiled: at(11), Sent: at(12), Acked: at(15)}
}

var wholeTrace = []string{
	"POST /routes", "POST /routes/append", "POST /routes/append/queue", "POST /routes/append/fold", "POST /routes/append/batch", "POST /routes/append/etcd transaction",
	"POST /routes/append/data plane r1", "POST /routes/append/data plane r1/compile FIB", "POST /routes/append/data plane r1/stream", "POST /routes/append/data plane r1/ack",
}

// A change of one node, over both transports: what is told before and after it is
// known whose revision it is comes out the same.
func TestOneNode(t *testing.T) {
	for _, transport := range []string{"grpc", "http"} {
		for _, early := range []bool{false, true} {
			c := tracingtest.Start(t)
			endpoint := c.GRPC
			if transport == "http" {
				endpoint = c.HTTP
			}
			tracer := newTracer(t, endpoint, 1)
			ctx, span := tracer.Request(context.Background(), http.Header{}, "POST /routes")
			if FromContext(ctx) != span || span == nil {
				t.Fatal("the context does not carry the span")
			}
			if early {
				if id := tracer.Delivered(delivery("r1", 6, 8)); id != "" {
					t.Errorf("a trace %s before it is known", id)
				}
			}
			span.Append().Stored(stages(7))
			if !early {
				if id := tracer.Delivered(delivery("r1", 6, 8)); id != span.TraceID() {
					t.Errorf("trace %q of the delivery, want %s", id, span.TraceID())
				}
			}
			tracer.Delivered(delivery("r2", 7, 8)) // of others
			span.Answer(201)
			got := sent(t, tracer, c)
			for _, path := range wholeTrace {
				if _, ok := got[path]; !ok {
					t.Errorf("%s, early %v: no span %s", transport, early, path)
				}
			}
			if len(got) != len(wholeTrace) {
				t.Errorf("%d spans: %v", len(got), got)
			}
			if s := got["POST /routes/append/etcd transaction"]; !s.Began.Equal(at(4)) || !s.Ended.Equal(at(9)) {
				t.Errorf("the transaction: %v to %v", s.Began, s.Ended)
			}
			if s := got["POST /routes/append"]; s.Attributes["dvr.revision"] != "7" || s.Attributes["dvr.batch.commits"] != "3" || s.Node != "node-1" {
				t.Errorf("append: %+v", s)
			}
			if s := got["POST /routes"]; s.Attributes["http.response.status_code"] != "201" || s.Parent != "" {
				t.Errorf("the call: %+v", s)
			}
		}
	}
}

// Another process joins by the traceparent; the call joins that of its header.
func TestJoined(t *testing.T) {
	c := tracingtest.Start(t)
	tracer := newTracer(t, c.GRPC, 0) // a call that comes sampled is traced whatever the ratio
	_, span := tracer.Request(context.Background(), http.Header{"Traceparent": {parent}}, "POST /routes")
	forward := span.Child("forward to the leader")
	tracer.Joined(forward.Traceparent()).Append().Stored(stages(7))
	forward.End(nil)
	span.End(nil)
	got := sent(t, tracer, c)
	for _, path := range []string{"POST /routes", "POST /routes/forward to the leader", "POST /routes/forward to the leader/append"} {
		if s, ok := got[path]; !ok || s.Trace != parentTrace {
			t.Errorf("%s: %+v", path, s)
		}
	}
	if s := got["POST /routes"]; s.Parent != "b7ad6b7169203331" {
		t.Errorf("the call's parent is %q", s.Parent)
	}
}

// What is not sampled, malformed or off makes no span and costs no allocation.
func TestOff(t *testing.T) {
	c := tracingtest.Start(t)
	never := newTracer(t, c.GRPC, 0)
	ctx, span := never.Request(context.Background(), http.Header{}, "POST /routes")
	if span != nil || FromContext(ctx) != nil {
		t.Error("a call that is not sampled has a span")
	}
	for _, bad := range []string{"", "nonsense", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", parent + "x", strings.Repeat("f", 1<<16)} {
		if never.Joined(bad) != nil {
			t.Errorf("joined %.80q", bad)
		}
	}
	if got := sent(t, never, c); len(got) != 0 {
		t.Errorf("%d spans", len(got))
	}
	var off *Tracer
	background, header := context.Background(), http.Header{}
	if n := testing.AllocsPerRun(1000, func() {
		ctx, span := off.Request(background, header, "POST /routes")
		if off.On() || FromContext(ctx) != nil || span.Append() != nil || span.Child("x") != nil || span.Traceparent() != "" || span.TraceID() != "" {
			t.Fatal("something is traced")
		}
		if Carry(background, ctx) != ctx || off.Joined(parent) != nil {
			t.Fatal("something is traced")
		}
		off.Folded(1, 1, 2, time.Time{}, time.Time{})
		off.Delivered(fibstream.Delivery{})
		span.Commits(1, 1, 2)
		span.Answer(200)
		span.End(nil)
	}); n != 0 {
		t.Errorf("%v allocations where tracing is off", n)
	}
}

// Only so many revisions and moments are kept, and the first trace of a revision counts.
func TestMomentsAreBounded(t *testing.T) {
	c := tracingtest.Start(t)
	tracer := newTracer(t, c.GRPC, 1)
	_, first := tracer.Request(context.Background(), http.Header{}, "first")
	_, second := tracer.Request(context.Background(), http.Header{}, "second")
	first.Commits(1, 7, 7)
	second.Commits(1, 7, 8)
	if id := tracer.Delivered(delivery("r1", 6, 7)); id != first.TraceID() {
		t.Error("the second trace took the revision over")
	}
	if id := tracer.Delivered(delivery("r1", 7, 8)); id != second.TraceID() {
		t.Error("a revision has no trace")
	}
	for r := range eventlog.Revision(maxTraced / maxCommits) {
		first.Commits(1, 100+r*maxCommits, 100+(r+1)*maxCommits) // more than it may claim
	}
	if id := tracer.Delivered(delivery("r1", 6, 7)); id != "" {
		t.Error("a revision of long ago is remembered")
	}
	if n := len(tracer.moments.traced); n != maxTraced {
		t.Errorf("%d revisions are remembered", n)
	}
	for range maxMoments {
		tracer.Delivered(delivery("r2", 5000, 9000)) // a range larger than what is remembered
	}
	first.End(nil)
	second.End(nil)
	sent(t, tracer, c)
}

// A collector that is away is told, and holds nobody up.
func TestCollectorAway(t *testing.T) {
	told := make(chan error, 16)
	tracer, err := New(testContext(t), Options{Endpoint: "http://127.0.0.1:1", Ratio: 1, Node: "node-1", OnError: func(err error) {
		select {
		case told <- err:
		default:
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, span := tracer.Request(context.Background(), http.Header{}, "POST /routes")
	span.End(nil)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_ = tracer.Close(ctx) // whether the SDK says so as well is its matter
	select {
	case err := <-told:
		if !strings.Contains(err.Error(), "1 spans were not sent") {
			t.Errorf("told %v", err)
		}
	case <-testContext(t).Done():
		t.Error("nobody was told")
	}
}
