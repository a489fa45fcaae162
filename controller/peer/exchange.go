package peer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dvr/controller/certs"
	"dvr/controller/cluster"
	"dvr/controller/fibstream"
	"dvr/controller/peerpb"
	"dvr/controller/service"
	"dvr/controller/tracing"
)

// Options of an Exchange.
type Options struct {
	Node string // this node's id; required
	// Leadership is what this node knows of who leads; nil: what the others say.
	Leadership Leadership
	// Term tells how new that knowledge is; nil: it has no age.
	Term func() uint64
	// Announce puts an entry into the directory for a node that cannot do so
	// itself; nil: this node cannot either.
	Announce func(ctx context.Context, node string, value []byte) error
	// Ready says whether the log can be written to at present, as far as is known
	// here; its error refuses writes at once. It must not wait.
	Ready func() error
	// Now is this node's wall clock; nil: time.Now.
	Now func() time.Time
	// OnLink is told of links that come (nil) and go. It must not block.
	OnLink func(node string, err error)
	// Trace makes the spans of changes; nil: tracing is off.
	Trace *tracing.Tracer
	// TLS of the links; nil: clear text.
	TLS *certs.Credentials
	// Admit says whether a caller is the node that it says; nil: it is.
	Admit func(ctx context.Context, node string) error
}

// Node is another node, or this one, as the directory has it.
type Node struct {
	ID         string   `json:"node"`
	API        string   `json:"api"`
	FIB        string   `json:"fib"`
	Raft       string   `json:"raft,omitempty"`
	Client     string   `json:"client,omitempty"`
	Observer   bool     `json:"observer,omitempty"`
	Version    string   `json:"version,omitempty"`
	DataPlanes []string `json:"dataplanes,omitempty"` // routers connected there
	Level      uint32   `json:"level,omitempty"`      // the highest that it supports; 0: not known
	Below      bool     `json:"below,omitempty"`      // the log is above that level: the node does not append
	// Alarms are what somebody has to care for at the node.
	Alarms []cluster.Alarm `json:"alarms,omitempty"`
}

// Exchange is what one node has with the others. All methods are safe for
// concurrent use.
type Exchange struct {
	options   Options
	forwarder *forwarder
	mesh      *mesh
	links     callers

	claims claims
	news   chan struct{} // this node's claims have changed
	here   atomic.Pointer[premises]

	lastLeader atomic.Pointer[string]
	unledSince atomic.Pointer[time.Time] // nil while a node leads

	mu    sync.Mutex
	nodes map[string]Node // as last set, and those that went, by id
	there map[string]bool // those last set

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	owned  sync.WaitGroup
	once   sync.Once
}

// New makes the exchange of a node whose own appender is local, and starts it.
// Register it, and tell it of the others with SetNodes.
func New(local service.Outlets, o Options) *Exchange {
	if o.Ready == nil {
		o.Ready = func() error { return nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OnLink == nil {
		o.OnLink = func(string, error) {}
	}
	x := &Exchange{options: o, nodes: map[string]Node{}, claims: claims{of: map[string]*claimed{}}, news: make(chan struct{}, 1)}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	x.forwarder = newForwarder(x, local)
	x.mesh = &mesh{x: x, nodes: map[string]*remote{}}
	x.links.list = map[*caller]struct{}{}
	if o.Leadership == nil {
		x.options.Leadership = &hearsay{x}
	}
	x.owned.Go(func() { x.forwarder.run(x.ctx) })
	x.owned.Go(x.proclaim)
	return x
}

// FIB is the server of this node's data planes.
type FIB interface {
	Claims() []fibstream.Claim
	Yield(other fibstream.Claim, node string)
	// Closing is closed when nothing is waited for any more.
	Closing() <-chan struct{}
}

// premises are the data planes of this node.
type premises struct {
	fib    FIB
	planes service.LocalPlanes
}

// Attach gives the exchange this node's data planes; before, it has none.
func (x *Exchange) Attach(fib FIB, planes service.LocalPlanes) {
	x.here.Store(&premises{fib, planes})
	x.Changed()
}

// Register registers the service, on the server of the FIB stream.
func (x *Exchange) Register(r grpc.ServiceRegistrar) { peerpb.RegisterPeerServer(r, server{x: x}) }

// server is what other nodes call, apart from what this one does.
type server struct {
	peerpb.UnimplementedPeerServer
	x *Exchange
}

// Appender appends at whichever node leads, and is this node's otherwise.
func (x *Exchange) Appender() service.LocalAppender { return x.forwarder }

// Leadership is that of the options, or what the others say.
func (x *Exchange) Leadership() Leadership { return x.options.Leadership }

// SetNodes tells who is there, this node included or not. The error names nodes
// whose address cannot be dialled at all; the others are linked to.
func (x *Exchange) SetNodes(nodes []Node) error {
	addresses := map[string]string{}
	x.mu.Lock()
	x.there = map[string]bool{}
	for id := range x.nodes { // of those that went the addresses are kept as long as there is room
		if len(x.nodes)+len(nodes) <= 2*maxNodes {
			break
		}
		delete(x.nodes, id)
	}
	for _, n := range nodes {
		x.nodes[n.ID] = n
		x.there[n.ID] = true
		addresses[n.ID] = n.FIB
	}
	x.mu.Unlock()
	return x.mesh.set(x.ctx, addresses)
}

// Close ends every link. Calls that wait end with errors that say whether they
// may have been stored; later ones are the local appender's.
func (x *Exchange) Close() {
	x.once.Do(func() {
		x.cancel()
		x.links.end()
		x.mesh.end()
		x.owned.Wait()
	})
}

// leads reports whether this node is the one to append.
func (x *Exchange) leads() bool {
	node, ok := x.options.Leadership.Leader()
	return ok && node == x.options.Node
}

func (x *Exchange) logID() string { return x.forwarder.State().Position().LogID }

// api is the address of a node's API, host:port; empty: not known.
func (x *Exchange) api(node string) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.nodes[node].API
}

// place names a node with the address of its API where that is known.
func (x *Exchange) place(node string) string {
	if api := x.api(node); api != "" {
		return fmt.Sprintf("%s (http://%s)", node, api)
	}
	return node
}

// led reports whether any node leads.
func (x *Exchange) led() bool {
	_, ok := x.options.Leadership.Leader()
	return ok
}

// unavailable is the refusal of a write that nobody can take now; cause may be nil.
func (x *Exchange) unavailable(cause error) error {
	out := x.leadership()
	last := ""
	if p := x.lastLeader.Load(); p != nil {
		last = fmt.Sprintf("; node %s led last", x.place(*p))
	}
	switch {
	case cause != nil:
		out.Leads = false // it does not help
		out.Err = fmt.Errorf("%w: %w%s", service.ErrUnavailable, cause, last)
	case out.Leads:
		out.Err = fmt.Errorf("%w: node %s leads and cannot be reached from here; reading goes on", service.ErrUnavailable, x.place(out.Node))
	default:
		out.Err = fmt.Errorf("%w: no quorum: no node leads at present; reading goes on%s", service.ErrUnavailable, last)
	}
	return out
}

// leadership is an error that names who leads, or led last.
func (x *Exchange) leadership() *service.UnledError {
	out := &service.UnledError{}
	if out.Node, out.Leads = x.options.Leadership.Leader(); !out.Leads {
		if p := x.lastLeader.Load(); p != nil {
			out.Node = *p
		}
	}
	out.API = x.api(out.Node)
	return out
}

// named is err, as one that names who led last where it is a refusal for want of
// a leader. A node that leads no longer may refuse by itself before it is aimed
// elsewhere.
func (x *Exchange) named(err error) error {
	var u *service.UnledError
	if !errors.Is(err, service.ErrUnavailable) || errors.As(err, &u) || x.led() {
		return err
	}
	u = x.leadership()
	u.Err = err
	return u
}

// unled implements service.Unled, for the node's Appender.
func (x *Exchange) unled() (since time.Time, why error) {
	if err := x.options.Ready(); err != nil {
		return time.Time{}, x.unavailable(err)
	}
	if x.led() {
		if x.unledSince.Load() != nil {
			x.unledSince.Store(nil)
		}
		return time.Time{}, nil
	}
	// Nobody tells when a leader is lost, only when there is another: the first
	// who asks finds out.
	now := time.Now()
	x.unledSince.CompareAndSwap(nil, &now)
	if known := x.unledSince.Load(); known != nil {
		now = *known
	}
	return now, x.unavailable(nil)
}

// windowSafe is how many commits the idempotency window surely holds, the most
// that may be waiting to be appended taken off.
const windowSafe = 900_000

// remembers reports whether a change that was sent when the log was at floor-1
// would be found in the idempotency window if it was stored. The window's other
// limit, ten minutes, is longer than any call lasts.
func (x *Exchange) remembers(floor uint64) bool {
	st := x.forwarder.State()
	return floor == 0 || st.Window().Commits < windowSafe || floor+windowSafe > uint64(st.Position().Revision)
}

// Announce implements the service, for nodes that cannot write to etcd.
func (s server) Announce(ctx context.Context, a *peerpb.Announcement) (*peerpb.Announced, error) {
	if s.x.options.Announce == nil {
		return nil, status.Errorf(codes.FailedPrecondition, "node %s cannot write to etcd", s.x.options.Node)
	}
	if admit := s.x.options.Admit; admit != nil {
		if err := admit(ctx, a.GetNode()); err != nil {
			return nil, err
		}
	}
	if err := s.x.options.Announce(ctx, a.GetNode(), a.GetValue()); err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return &peerpb.Announced{}, nil
}

// AnnounceThrough has another node put this one's entry into the directory, the
// leading one where it is linked to.
func (x *Exchange) AnnounceThrough(ctx context.Context, node string, value []byte) error {
	leader, _ := x.options.Leadership.Leader()
	list := x.mesh.remotes()
	slices.SortStableFunc(list, func(a, b *remote) int {
		return cmp.Compare(btoi(b.id == leader), btoi(a.id == leader))
	})
	err := fmt.Errorf("announce node %s: %w: no other node is linked to", node, service.ErrUnavailable)
	for _, r := range list {
		if r.link.Load() == nil {
			continue
		}
		if _, err = r.client.Announce(ctx, &peerpb.Announcement{Node: node, Value: value}); err == nil {
			return nil
		}
	}
	return err
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// checkIntroduction refuses who is not of this cluster.
func (x *Exchange) checkIntroduction(i *peerpb.Introduction, want string) error {
	switch {
	case i == nil:
		return status.Error(codes.InvalidArgument, "the first frame must introduce the node")
	case i.GetProtocol() != protocol:
		return status.Errorf(codes.FailedPrecondition, "node %s speaks protocol %d between nodes, this one %d", i.GetNode(), i.GetProtocol(), protocol)
	case i.GetLogId() != x.logID():
		return status.Errorf(codes.FailedPrecondition, "node %s has log %s, node %s has log %s", i.GetNode(), i.GetLogId(), x.options.Node, x.logID())
	case i.GetNode() == x.options.Node:
		return status.Errorf(codes.FailedPrecondition, "two nodes have the id %s", i.GetNode())
	case want != "" && i.GetNode() != want:
		return status.Errorf(codes.FailedPrecondition, "node %s answers at the address of %s", i.GetNode(), want)
	}
	return nil
}

// heard takes in what another node tells of itself. Where its claim to a router
// prevails over this node's, this one gives way.
func (x *Exchange) heard(node string, s *peerpb.Standing) {
	connected := x.claims.hear(node, s.GetClaims())
	if h := x.here.Load(); h != nil {
		for _, c := range connected {
			h.fib.Yield(c, node)
		}
	}
}

// standing is what this node tells the others.
func (x *Exchange) standing() *peerpb.Standing {
	s := &peerpb.Standing{}
	s.Leader, _ = x.options.Leadership.Leader()
	if x.options.Term != nil {
		s.Term = x.options.Term()
	}
	if h := x.here.Load(); h != nil {
		s.Claims = wireClaims(h.fib.Claims())
	}
	return s
}

// proclaim tells every caller when the standing changes.
func (x *Exchange) proclaim() {
	for {
		changed := x.options.Leadership.Changed()
		if node, ok := x.options.Leadership.Leader(); ok {
			x.lastLeader.Store(&node)
			x.unledSince.Store(nil)
		}
		x.links.tell(x.standing())
		select {
		case <-changed:
		case <-x.news:
		case <-x.ctx.Done():
			return
		}
	}
}

var _ service.LocalAppender = (*forwarder)(nil)

var errEnding = status.Error(codes.Unavailable, "the node is stopping")
