package fibstream

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dvr/controller/fibpb"
	"dvr/controller/fibstream/fibtest"
	"dvr/eventlog"
)

func TestFullThenIncremental(t *testing.T) {
	s := newSource(t, logA, 1)
	s.commit(t, manyRoutes(3000)...)
	h := start(t, s, Options{ChunkBytes: 8 << 10})
	p := fibtest.NewPlane("r1", "i1")
	h.connect(t, p, nil)
	h.synced(t, p)
	if _, fulls, chunks := p.Counts(); fulls != 1 || chunks < 4 {
		t.Fatalf("a full table of 3,000 came in %d full deltas, %d chunks", fulls, chunks)
	}
	extra := route("*", "172.16.0.0/12", "192.168.0.9", 5)
	s.commit(t, extra)
	h.synced(t, p)
	if !p.Holds(prefix("172.16.0.0/12")) {
		t.Fatal("the announced route is not there")
	}
	s.commit(t, withdraw(extra), route("r1", "10.0.0.0/24", "192.168.0.200", 1))
	h.synced(t, p)
	if p.Holds(prefix("172.16.0.0/12")) {
		t.Fatal("the withdrawn route is still there")
	}
	s.commit(t, &eventlog.KeyPut{Key: "k", Value: "v"}) // does not touch the FIB, moves the position
	h.synced(t, p)
	if _, fulls, _ := p.Counts(); fulls != 1 {
		t.Fatalf("%d full deltas, want 1", fulls)
	}
	d := h.server.List()
	if len(d) != 1 || !d[0].Connected || !d[0].DigestEqual || d[0].Instance != "i1" {
		t.Fatalf("list %+v", d)
	}
}

func TestLinkEventsMoveGroups(t *testing.T) {
	s := newSource(t, logA, 1)
	s.commit(t, link("r1", "r2", 10), link("r2", "r3", 10))
	for i := range 50 {
		s.commit(t, route("r3", prefixN(i), "192.168.3.1", uint32(i%3)))
	}
	h := start(t, s, Options{})
	p := fibtest.NewPlane("r1", "i1")
	h.connect(t, p, nil)
	h.synced(t, p)
	if p.Len() != 50 {
		t.Fatalf("r1 holds %d prefixes, want 50", p.Len())
	}
	s.commit(t, &eventlog.LinkRemoved{LinkID: eventlog.LinkID{A: "r2", B: "r3"}})
	h.synced(t, p)
	if p.Len() != 0 {
		t.Fatalf("r1 holds %d prefixes without a path", p.Len())
	}
	s.commit(t, link("r1", "r3", 7))
	h.synced(t, p)
	if p.Len() != 50 {
		t.Fatalf("r1 holds %d prefixes, want 50 again", p.Len())
	}
}

func TestMergesWithoutCredit(t *testing.T) {
	s := newSource(t, logA, 1)
	h := start(t, s, Options{})
	p := fibtest.NewPlane("r1", "i1")
	p.Credit = 1
	stream, err := p.Connect(h.ctx, h.dial(), nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.Receive() // the first delta takes the only credit
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Ack(m.GetDelta()); err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		s.commit(t, route("*", prefixN(i), "192.168.0.1", 1))
	}
	last := s.State().Position().Revision
	if err := stream.Grant(1); err != nil {
		t.Fatal(err)
	}
	if m, err = stream.Receive(); err != nil {
		t.Fatal(err)
	}
	if c := m.GetDelta(); !c.GetEnd() || c.GetPosition().GetRevision() != uint64(last) || len(c.GetSet().GetLength4()) != 500 {
		t.Fatalf("the delta has %d prefixes at %v, want 500 merged at %d", len(c.GetSet().GetLength4()), c.GetPosition(), last)
	}
	stream.Cut()
}

func TestInFlightIsBounded(t *testing.T) {
	s := newSource(t, logA, 1)
	h := start(t, s, Options{MaxInFlight: 2})
	p := fibtest.NewPlane("r1", "i1")
	stream, err := p.Connect(h.ctx, h.dial(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var last *fibpb.DeltaChunk
	receive := func(rev eventlog.Revision) {
		t.Helper()
		m, err := stream.Receive()
		if err != nil {
			t.Fatal(err)
		}
		last = m.GetDelta()
		if got := last.GetPosition().GetRevision(); got != uint64(rev) {
			t.Fatalf("delta %d takes to revision %d, want %d", last.GetDelta(), got, rev)
		}
	}
	receive(1)
	receive(s.commit(t, route("*", "10.0.0.0/8", "192.168.0.1", 1)))
	for i := range 20 {
		s.commit(t, route("*", prefixN(i), "192.168.0.1", 1))
	}
	if err := stream.Ack(last); err != nil {
		t.Fatal(err)
	}
	receive(22) // all that came while two waited, as one
	stream.Cut()
}

func TestRefusedHellos(t *testing.T) {
	s := newSource(t, logA, 1)
	h := start(t, s, Options{CatchUp: 20 * time.Millisecond})
	for _, c := range []struct {
		name string
		edit func(*fibpb.Hello)
		code codes.Code
	}{
		{"protocol", func(h *fibpb.Hello) { h.Protocol = 2 }, codes.FailedPrecondition},
		{"digest version", func(h *fibpb.Hello) { h.DigestVersions = []uint32{7} }, codes.FailedPrecondition},
		{"no digest version", func(h *fibpb.Hello) { h.DigestVersions = nil }, codes.FailedPrecondition},
		{"no router", func(h *fibpb.Hello) { h.Router = "" }, codes.InvalidArgument},
		{"router form", func(h *fibpb.Hello) { h.Router = "*" }, codes.InvalidArgument},
		{"router length", func(h *fibpb.Hello) { h.Router = string(make([]byte, 64)) }, codes.InvalidArgument},
		{"no instance", func(h *fibpb.Hello) { h.Instance = "" }, codes.InvalidArgument},
		{"digest", func(h *fibpb.Hello) { h.Digest = []byte{1} }, codes.InvalidArgument},
		{"nonce", func(h *fibpb.Hello) { h.EpochNonce = []byte{1} }, codes.InvalidArgument},
		{"buckets", func(h *fibpb.Hello) { h.Buckets = []byte{1} }, codes.InvalidArgument},
		{"sinks", func(h *fibpb.Hello) { h.Sinks = make([]string, 17) }, codes.InvalidArgument},
		{"sink name", func(h *fibpb.Hello) { h.Sinks = []string{""} }, codes.InvalidArgument},
		{"ahead", func(h *fibpb.Hello) {
			h.Position = &fibpb.Position{LogId: logA, Epoch: 1, Revision: 99}
		}, codes.Unavailable},
		{"newer epoch", func(h *fibpb.Hello) {
			h.Position = &fibpb.Position{LogId: logA, Epoch: 2, Revision: 1}
		}, codes.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := fibtest.NewPlane("r1", "i1").Connect(h.ctx, h.dial(), c.edit)
			if status.Code(err) != c.code {
				t.Fatalf("got %v, want %s", err, c.code)
			}
		})
	}
}

func TestAnotherLogNeedsAdopt(t *testing.T) {
	s := newSource(t, logA, 1)
	s.commit(t, manyRoutes(10)...)
	h := start(t, s, Options{})
	p := fibtest.NewPlane("r1", "i1")
	other := func(h *fibpb.Hello) { h.Position = &fibpb.Position{LogId: logB, Epoch: 9, Revision: 99} }
	stream, err := p.Connect(h.ctx, h.dial(), other)
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.Welcome.GetHead().GetLogId(); got != logA {
		t.Fatalf("Welcome of log %s", got)
	}
	if _, err := stream.Receive(); status.Code(err) != codes.FailedPrecondition {
		t.Fatalf("got %v, want FAILED_PRECONDITION", err)
	}
	h.gone(t, "r1")
	h.connect(t, p, func(h *fibpb.Hello) { other(h); h.Adopt = true })
	h.synced(t, p)
}

func TestWaitsUntilItHasCaughtUp(t *testing.T) {
	s := newSource(t, logA, 1)
	h := start(t, s, Options{})
	p := fibtest.NewPlane("r1", "i1")
	connected := make(chan error, 1)
	conn := h.dial()
	go func() {
		stream, err := p.Connect(h.ctx, conn, func(h *fibpb.Hello) {
			h.Position = &fibpb.Position{LogId: logA, Epoch: 1, Revision: 3}
			h.EpochNonce = make([]byte, 16)
		})
		if err == nil && stream.Welcome.GetHead().GetRevision() < 3 {
			t.Errorf("Welcome at %v, the data plane is at 3", stream.Welcome.GetHead())
		}
		connected <- err
	}()
	h.known(t, "r1")
	s.commit(t, route("*", "10.0.0.0/8", "192.168.0.1", 1))
	select {
	case err := <-connected:
		t.Fatalf("greeted at revision 2: %v", err)
	default:
	}
	s.commit(t, route("*", "11.0.0.0/8", "192.168.0.1", 1))
	if err := <-connected; err != nil {
		t.Fatal(err)
	}
}

// known waits until the router is in the registry.
func (h *harness) known(t testing.TB, router eventlog.RouterID) {
	t.Helper()
	for {
		h.server.registry.mu.Lock()
		changed := h.server.registry.changed
		_, ok := h.server.registry.planes[router]
		h.server.registry.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-h.ctx.Done():
			t.Fatal("never registered")
		}
	}
}

func TestIdentity(t *testing.T) {
	s := newSource(t, logA, 1)
	s.commit(t, manyRoutes(10)...)
	h := start(t, s, Options{})
	first := fibtest.NewPlane("r1", "i1")
	stream, err := first.Connect(h.ctx, h.dial(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stream.Run() }()
	h.synced(t, first)

	second := fibtest.NewPlane("r1", "i2")
	if _, err := second.Connect(h.ctx, h.dial(), nil); status.Code(err) != codes.AlreadyExists {
		t.Fatalf("another instance: %v, want ALREADY_EXISTS", err)
	}
	// The same instance replaces its own stream at once.
	cut := h.connect(t, first, nil)
	if err := <-ended; status.Code(err) != codes.Aborted {
		t.Fatalf("the replaced stream ended with %v, want ABORTED", err)
	}
	h.synced(t, first)
	cut()
	if _, err := second.Connect(h.ctx, h.dial(), nil); status.Code(err) != codes.AlreadyExists {
		t.Fatalf("another instance, the first just gone: %v, want ALREADY_EXISTS", err)
	}
	h.clock.advance(10 * time.Second)
	cut = h.connect(t, second, nil)
	h.synced(t, second)
	// Takeover needs no patience.
	third := fibtest.NewPlane("r1", "i3")
	h.connect(t, third, func(h *fibpb.Hello) { h.Takeover = true })
	h.synced(t, third)
	if l := h.server.List(); len(l) != 1 || l[0].Instance != "i3" {
		t.Fatalf("list %+v", l)
	}
	_ = cut
}

func TestSilentStreamIsEnded(t *testing.T) {
	h := start(t, newSource(t, logA, 1), Options{HelloWithin: 10 * time.Millisecond})
	stream, err := fibpb.NewFibClient(h.dial()).Subscribe(h.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.DeadlineExceeded {
		t.Fatalf("got %v, want DEADLINE_EXCEEDED", err)
	}
}

func TestControllersAreTold(t *testing.T) {
	h := start(t, newSource(t, logA, 1), Options{Controllers: []string{"a:1"}})
	p := fibtest.NewPlane("r1", "i1")
	stream, err := p.Connect(h.ctx, h.dial(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.Welcome.GetControllers(); len(got) != 1 || got[0] != "a:1" {
		t.Fatalf("Welcome names %v", got)
	}
	h.server.SetControllers([]string{"a:1", "b:1"})
	for {
		m, err := stream.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if c := m.GetControllers(); c != nil {
			if len(c.GetAddresses()) != 2 {
				t.Fatalf("told %v", c.GetAddresses())
			}
			break
		}
	}
	stream.Cut()
}

func TestCloseSendsDataPlanesAway(t *testing.T) {
	h := start(t, newSource(t, logA, 1), Options{})
	p := fibtest.NewPlane("r1", "i1")
	stream, err := p.Connect(h.ctx, h.dial(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stream.Run() }()
	h.synced(t, p)
	h.server.Close()
	if err := <-ended; status.Code(err) != codes.Unavailable {
		t.Fatalf("ended with %v, want UNAVAILABLE", err)
	}
}
