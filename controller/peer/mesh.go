package peer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"dvr/controller/peerpb"
)

const (
	minRedial = 20 * time.Millisecond
	maxRedial = time.Second
	// protocol is what this version speaks between nodes.
	protocol = 1
)

// mesh keeps a link to every other node.
type mesh struct {
	x       *Exchange
	changed signal // a link or what is told over it

	mu    sync.Mutex
	nodes map[string]*remote
	ended bool
	owned sync.WaitGroup
}

// remote is another node.
type remote struct {
	clock       atomic.Pointer[reading] // nil: not told
	id, address string
	conn        *grpc.ClientConn
	client      peerpb.PeerClient
	cancel      context.CancelFunc
	link        atomic.Pointer[link] // nil while there is none
	told        atomic.Pointer[told]
}

// told is what a node said last, and when the link that it was said on was lost.
type told struct {
	standing *peerpb.Standing
	at       time.Time
	lost     time.Time // zero: the link stands
}

// set makes the mesh that of the nodes given, by id. A node whose address
// changed is dialled anew.
func (m *mesh) set(ctx context.Context, addresses map[string]string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return nil
	}
	for id, r := range m.nodes {
		if addresses[id] != r.address {
			r.cancel()
			delete(m.nodes, id)
		}
	}
	var errs []error
	for id, address := range addresses {
		if m.nodes[id] != nil || id == m.x.options.Node {
			continue
		}
		conn, err := grpc.NewClient("passthrough:///"+address,
			m.x.options.TLS.DialNode(id),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: minRedial, Multiplier: 1.6, Jitter: .2, MaxDelay: maxRedial},
				MinConnectTimeout: time.Second,
			}),
			grpc.WithInitialWindowSize(4<<20), grpc.WithInitialConnWindowSize(4<<20),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)),
		)
		if err != nil {
			errs = append(errs, fmt.Errorf("node %s at %s: %w", id, address, err))
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		r := &remote{id: id, address: address, conn: conn, client: peerpb.NewPeerClient(conn), cancel: cancel}
		m.nodes[id] = r
		m.owned.Go(func() {
			defer conn.Close()
			m.keep(ctx, r)
		})
	}
	m.changed.raise()
	return errors.Join(errs...)
}

// keep links to r again and again until ctx ends.
func (m *mesh) keep(ctx context.Context, r *remote) {
	pause := minRedial
	for ctx.Err() == nil {
		began := time.Now()
		err := m.connect(ctx, r)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > maxRedial {
			pause = minRedial
			m.x.options.OnLink(r.id, err)
		}
		t := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
		pause = min(2*pause, maxRedial)
	}
}

// connect opens a link and returns when it has ended.
func (m *mesh) connect(ctx context.Context, r *remote) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(deaf, func() { cancel(errDeaf) })
	defer late.Stop()
	stream, err := r.client.Link(ctx)
	if err != nil {
		return fmt.Errorf("link to node %s: %w", r.id, err)
	}
	own := &peerpb.Introduction{Protocol: protocol, Node: m.x.options.Node, LogId: m.x.logID()}
	if err := stream.Send(&peerpb.Frame{Introduction: own}); err != nil {
		return fmt.Errorf("link to node %s: %w", r.id, err)
	}
	hello, err := stream.Recv()
	if err != nil {
		return fmt.Errorf("link to node %s: %w", r.id, err)
	}
	if err := m.x.checkIntroduction(hello.GetIntroduction(), r.id); err != nil {
		return fmt.Errorf("link to node %s: %w", r.id, err)
	}
	late.Stop()
	l := &link{remote: r, pipe: newPipe(m.x.options.Now), ctx: ctx, drop: cancel}
	m.hear(r, hello.GetStanding())
	r.link.Store(l)
	m.x.options.OnLink(r.id, nil)
	m.changed.raise()
	defer func() {
		r.link.CompareAndSwap(l, nil)
		if t := r.told.Load(); t != nil {
			lost := *t
			lost.lost = time.Now()
			r.told.Store(&lost)
		}
		m.x.claims.lose(r.id)
		m.changed.raise()
	}()
	return l.run(ctx, stream, m)
}

// hear takes in what r tells of itself.
func (m *mesh) hear(r *remote, s *peerpb.Standing) {
	if s == nil {
		return
	}
	r.told.Store(&told{standing: s, at: time.Now()})
	m.x.heard(r.id, s)
	m.changed.raise()
}

// remote gives another node; nil: it is not known.
func (m *mesh) remote(node string) *remote {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.nodes[node]
}

// link gives the link to a node; nil: there is none now.
func (m *mesh) link(node string) *link {
	if r := m.remote(node); r != nil {
		return r.link.Load()
	}
	return nil
}

// remotes lists the other nodes, sorted by id.
func (m *mesh) remotes() []*remote {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Values(m.nodes), func(a, b *remote) int { return cmp.Compare(a.id, b.id) })
}

// end closes every link and waits for their goroutines.
func (m *mesh) end() {
	m.mu.Lock()
	m.ended = true
	for _, r := range m.nodes {
		r.cancel()
	}
	m.mu.Unlock()
	m.owned.Wait()
}

var errDeaf = fmt.Errorf("nothing was heard for %s", deaf)

// link is one stream to another node.
type link struct {
	remote *remote
	pipe   *pipe
	ctx    context.Context // ends with the link
	drop   context.CancelCauseFunc
}

// run sends and receives until either fails.
func (l *link) run(ctx context.Context, stream peerpb.Peer_LinkClient, m *mesh) error {
	sending := make(chan error, 1)
	go func() {
		err := l.pipe.run(ctx, stream.Send)
		l.drop(err)
		sending <- err
	}()
	silence := time.AfterFunc(deaf, func() { l.drop(errDeaf) })
	defer silence.Stop()
	var in records
	answers := answers{x: m.x, link: l}
	err := func() error {
		for {
			f, err := stream.Recv()
			if err != nil {
				return err
			}
			silence.Reset(deaf)
			m.hear(l.remote, f.GetStanding())
			l.remote.tick(f.GetClockMs(), m.x.options.Now())
			if len(f.GetRecords()) == 0 {
				continue
			}
			if err := in.feed(f.GetRecords(), answers.take); err != nil {
				return err
			}
			answers.settle()
		}
	}()
	l.drop(err)
	<-sending
	return fmt.Errorf("link to node %s: %w", l.remote.id, cmp.Or(context.Cause(ctx), err))
}
