package fibstream

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"dvr/controller/fibpb"
	"dvr/controller/fibstream/fibtest"
	"dvr/eventlog"
	"dvr/projector"
)

const (
	logA = "0f0e0d0c-0b0a-4908-8706-050403020100"
	logB = "1f0e0d0c-0b0a-4908-8706-050403020100"
)

// source folds commits and publishes states, as the appender does.
type source struct {
	mu    sync.Mutex
	fold  *projector.Fold
	state *projector.State
	next  chan struct{}
	at    eventlog.Revision
}

func newSource(t testing.TB, logID string, nonce byte) *source {
	s := &source{fold: projector.NewFold(logID), next: make(chan struct{})}
	s.state = s.fold.State()
	s.commit(t, &eventlog.EpochStarted{Epoch: 1, LogID: logID, Nonce: eventlog.Nonce{nonce}, Cause: "created"})
	return s
}

func (s *source) commit(t testing.TB, events ...eventlog.Event) eventlog.Revision {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at++
	c := &eventlog.Commit{Revision: s.at, Epoch: 1, ID: fmt.Sprint(s.at), Actor: "test", Time: int64(s.at) * 1000, Events: events}
	if err := s.fold.Apply(c, eventlog.Hash{byte(s.at)}); err != nil {
		t.Fatalf("fold: %v", err)
	}
	s.state = s.fold.State()
	close(s.next)
	s.next = make(chan struct{})
	return s.at
}

func (s *source) State() *projector.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *source) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

// clock is a hand-moved clock.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type harness struct {
	*source
	server *Server
	clock  *clock
	dial   func() *grpc.ClientConn
	ctx    context.Context
}

func start(t testing.TB, s *source, o Options) *harness {
	t.Helper()
	c := &clock{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	if o.Now == nil {
		o.Now = c.Now
	}
	o.Node = "node-1"
	server := New(s, o)
	g := grpc.NewServer(ServerOptions()...)
	server.Register(g)
	listener := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- g.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		g.Stop()
		<-served
	})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return &harness{source: s, server: server, clock: c, ctx: ctx, dial: func() *grpc.ClientConn {
		conn, err := grpc.NewClient("passthrough:///bufconn",
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
			grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}}
}

// connect connects p and runs it until cut; cut waits for the server to know.
func (h *harness) connect(t testing.TB, p *fibtest.Plane, edit func(*fibpb.Hello)) (cut func()) {
	t.Helper()
	stream, err := p.Connect(h.ctx, h.dial(), edit)
	if err != nil {
		t.Fatalf("connect %s: %v", p.Router, err)
	}
	done := make(chan error, 1)
	go func() {
		err := stream.Run()
		if status.Code(err) == codes.Unknown {
			t.Errorf("%s: %v", p.Router, err) // not gRPC's but the data plane's own
		}
		done <- err
	}()
	return func() {
		stream.Cut()
		<-done
		h.gone(t, p.Router)
	}
}

// gone waits until the router's data plane is known to be gone.
func (h *harness) gone(t testing.TB, router string) {
	t.Helper()
	for {
		h.server.registry.mu.Lock()
		p := h.server.registry.planes[eventlog.RouterID(router)]
		connected := p != nil && p.session != nil
		changed := h.server.registry.changed
		h.server.registry.mu.Unlock()
		if !connected {
			return
		}
		select {
		case <-changed:
		case <-h.ctx.Done():
			t.Fatalf("router %s stays connected", router)
		}
	}
}

// synced waits until p has acked the newest state, and compares digests.
func (h *harness) synced(t testing.TB, p *fibtest.Plane) {
	t.Helper()
	want := h.State().FIB(eventlog.RouterID(p.Router), nil)
	rev := uint64(want.Position().Revision)
	if err := p.Await(h.ctx, func() bool { return p.Revision() >= rev }); err != nil {
		t.Fatalf("%s is at revision %d, want %d: %v", p.Router, p.Revision(), rev, err)
	}
	if got := p.Digest(); string(got.Bytes()) != string(want.Digest().Bytes()) {
		v4, v6 := want.Len()
		t.Fatalf("%s: digest %x at %d (%d prefixes), want %s (%d)", p.Router, got.Bytes(), rev, p.Len(), want.Digest(), v4+v6)
	}
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func route(router, destination, nextHop string, metric uint32) *eventlog.RouteAnnounced {
	return &eventlog.RouteAnnounced{
		RouteID: eventlog.RouteID{
			Router: eventlog.RouterID(router), Destination: prefix(destination),
			NextHop: netip.MustParseAddr(nextHop), Origin: eventlog.DefaultOrigin,
		},
		Metric: metric, Preference: eventlog.DefaultPreference, Weight: eventlog.DefaultWeight,
	}
}

func withdraw(r *eventlog.RouteAnnounced) *eventlog.RouteWithdrawn {
	return &eventlog.RouteWithdrawn{RouteID: r.RouteID}
}

func link(a, b string, cost uint32) *eventlog.LinkSet {
	return &eventlog.LinkSet{
		LinkID: eventlog.LinkID{A: eventlog.RouterID(a), B: eventlog.RouterID(b)},
		CostAB: cost, CostBA: cost,
		AddressA: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, AddressB: []netip.Addr{netip.MustParseAddr("192.0.2.2")},
	}
}

// manyRoutes is n routes of the all-routers kind, IPv4 and IPv6 in turn.
func manyRoutes(n int) []eventlog.Event {
	events := make([]eventlog.Event, n)
	for i := range events {
		hop := fmt.Sprintf("192.168.0.%d", 1+i%8)
		if i%2 == 0 {
			events[i] = route("*", fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255), hop, 10)
		} else {
			events[i] = route("*", fmt.Sprintf("2001:db8:%x::/48", i), fmt.Sprintf("2001:db8:ffff::%d", 1+i%8), 10)
		}
	}
	return events
}
