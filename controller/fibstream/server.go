package fibstream

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"dvr/controller/fibpb"
	"dvr/eventlog"
	"dvr/projector"
)

// Source publishes states; the appender implements it.
type Source interface {
	// State is the newest published state; it never blocks.
	State() *projector.State
	// Changed is closed when a newer state than the present one is published.
	Changed() <-chan struct{}
}

// Options of a Server. The zero value of each field has the default named.
type Options struct {
	Node        string   // this controller's name, told in Welcome
	Controllers []string // FIB addresses of every controller; see SetControllers
	Now         func() time.Time
	// GoneFor is how long an instance must be gone before another may serve
	// its router: 10 s.
	GoneFor time.Duration
	// CatchUp is how long a data plane that is ahead of this controller waits
	// for it: 10 s.
	CatchUp time.Duration
	// HelloWithin is how long a stream may be silent before its Hello: 10 s.
	HelloWithin time.Duration
	// Keep is how long the FIB that a gone instance acked last is kept for a
	// cheap resume: 60 s.
	Keep time.Duration
	// Remember is how long a gone data plane stays listed: 24 h.
	Remember time.Duration
	// MaxInFlight is how many deltas wait for their acks at most: 4.
	MaxInFlight int
	// ChunkBytes bounds an encoded chunk: 32 KiB.
	ChunkBytes int
	// FullTables is how many data planes are sent a full table at a time: 8. The
	// others wait for their turn, so that a thousand that come at once do not keep
	// each other, the log and the keepalive of all from the processors. Who waits is
	// asked and told all else meanwhile, and is sent what changes where it has a table.
	FullTables int
	// Turn is when one that is slow to take its full table is no longer counted: 1 s.
	Turn time.Duration
	// ReconcilePause is the time between two repairs of a FIB whose digest
	// differs; it doubles up to a minute while they do not help: 1 s.
	ReconcilePause time.Duration
	// MaxPlanes bounds the registry, connected and remembered: 16,384.
	MaxPlanes int
	// Roster is who was known when this controller stopped, however it did; those
	// beyond Remember and MaxPlanes are forgotten.
	Roster []Member
	// Elsewhere tells of the other controllers; nil: there are none.
	Elsewhere Elsewhere
	// OnObservation is given what data planes observe, in the order of each
	// one. It must not block.
	OnObservation func(eventlog.RouterID, *fibpb.Observation)
	// OnStream is told when a router's data plane has a stream from now on (true), before
	// anything that it observes, and when it has none any more. It must not block.
	OnStream func(eventlog.RouterID, bool)
	// OnDelivered is told of each delta that a data plane has acknowledged, and gives
	// the trace that it is of, or nothing; nil: nobody asks. It must not block.
	OnDelivered func(Delivery) (trace string)
	// Admit says whether the caller of a stream may subscribe as the router, with
	// a gRPC status where not; nil: everybody may.
	Admit func(ctx context.Context, router string) error
}

func (o Options) withDefaults() Options {
	duration := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	duration(&o.GoneFor, 10*time.Second)
	duration(&o.CatchUp, 10*time.Second)
	duration(&o.HelloWithin, 10*time.Second)
	duration(&o.Keep, time.Minute)
	duration(&o.Remember, 24*time.Hour)
	duration(&o.ReconcilePause, time.Second)
	duration(&o.Turn, time.Second)
	if o.FullTables <= 0 {
		o.FullTables = 8
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = 4
	}
	if o.ChunkBytes <= 0 {
		o.ChunkBytes = defaultChunk
	}
	if o.MaxPlanes <= 0 {
		o.MaxPlanes = 1 << 14
	}
	if o.Elsewhere == nil {
		o.Elsewhere = nowhere{}
	}
	if o.OnStream == nil {
		o.OnStream = func(eventlog.RouterID, bool) {}
	}
	if o.OnObservation == nil {
		o.OnObservation = func(eventlog.RouterID, *fibpb.Observation) {}
	}
	return o
}

// Server serves the FIB stream. All methods are safe for concurrent use.
type Server struct {
	fibpb.UnimplementedFibServer
	states   Source
	options  Options
	registry *registry
	measures measures
	tables   tables
	encoders sync.Pool // of *encoder, while nothing is being sent
	turns    *turns    // of who is sent a full table

	controllers atomic.Pointer[[]string]
	questions   atomic.Uint64 // ids of lookups and audits

	closing chan struct{}
	once    sync.Once
}

// New makes a server of what states publishes. It starts nothing: register it
// on a grpc.Server that was made with ServerOptions.
func New(states Source, options Options) *Server {
	options = options.withDefaults()
	s := &Server{
		states: states, options: options,
		registry: newRegistry(options),
		measures: newMeasures(),
		tables:   tables{of: map[eventlog.RouterID]*table{}},
		closing:  make(chan struct{}),
	}
	s.turns = newTurns(options.FullTables, options.Turn, s.measures.waiting)
	list := slices.Clone(options.Controllers)
	s.controllers.Store(&list)
	s.encoders.New = func() any { return &encoder{limit: max(options.ChunkBytes, 8<<10)} }
	return s
}

// Register registers the service.
func (s *Server) Register(r grpc.ServiceRegistrar) { fibpb.RegisterFibServer(r, s) }

// maxMessage bounds what a data plane may send at once: a Hello with buckets
// has 16 KiB, an ack with 100 failures of 16 sinks less than this.
const maxMessage = 1 << 20

const (
	// idleFor is how long a connection without a stream stands: a data plane and a
	// node have one as long as they are connected.
	idleFor = time.Minute
	// maxStreams bounds the streams of one connection.
	maxStreams = 4096
	// A dead peer is found within quiet and silence. gRPC looks quiet apart whether
	// anything came, silence/quiet times in a row: a node that stood still, however
	// long, comes late to one look, and has read by the next what had come meanwhile.
	quiet   = 3 * time.Second
	silence = 12 * time.Second
)

// ServerOptions are the gRPC settings that the stream needs: a dead peer is
// found by keepalive, a message is bounded, a full FIB fits the flow control
// window, and a connection that is idle holds no buffer and ends. (gRPC sets
// TCP_NODELAY by default.)
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.InitialWindowSize(4 << 20),
		grpc.InitialConnWindowSize(4 << 20),
		grpc.WriteBufferSize(64 << 10),
		grpc.SharedWriteBuffer(true),
		grpc.ReadBufferSize(8 << 10),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleFor, Time: quiet, Timeout: silence}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 2 * time.Second, PermitWithoutStream: true}),
	}
}

// SetControllers tells every data plane, present and to come, where the
// controllers are.
func (s *Server) SetControllers(addresses []string) {
	list := slices.Clone(addresses)
	s.controllers.Store(&list)
	s.registry.each(func(x *session) {
		x.control(&fibpb.ControllerMessage{Kind: &fibpb.ControllerMessage_Controllers{
			Controllers: &fibpb.Controllers{Addresses: list},
		}})
	})
}

// Close ends every stream with UNAVAILABLE, so that data planes go to another
// controller, and refuses new ones.
func (s *Server) Close() {
	s.once.Do(func() { close(s.closing) })
}

// Closing is closed when Close is called.
func (s *Server) Closing() <-chan struct{} { return s.closing }

// Subscribe serves one data plane; gRPC calls it.
func (s *Server) Subscribe(stream fibpb.Fib_SubscribeServer) error {
	x := newSession(s, stream)
	hello := make(chan *fibpb.Hello, 1)
	failed := make(chan error, 1)
	go x.receive(hello, failed)
	defer x.leave()

	timer := time.NewTimer(s.options.HelloWithin)
	defer timer.Stop()
	select {
	case h := <-hello:
		if err := x.greet(h); err != nil {
			return err
		}
	case err := <-failed:
		return err
	case <-timer.C:
		return status.Error(codes.DeadlineExceeded, "no Hello was sent")
	case <-s.closing:
		return errClosing
	}
	return x.run(failed)
}

var errClosing = status.Error(codes.Unavailable, "the controller is stopping: connect to another one")

func invalid(format string, args ...any) error {
	return status.Error(codes.InvalidArgument, fmt.Sprintf(format, args...))
}
