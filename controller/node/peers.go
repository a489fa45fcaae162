package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"dvr/controller/cluster"
	"dvr/controller/etcdserver"
	"dvr/controller/peer"
	"dvr/controller/service"
	"dvr/eventlog"
)

// peers is what the node has with the other nodes of its cluster.
type peers struct {
	n         *Node
	directory *peer.Directory
	exchange  *peer.Exchange
	lead      peer.Leadership
	self      peer.Node // set by run
	below     atomic.Bool
	telling   sync.Mutex // so that what is told last is what is so
}

// newPeers makes the exchange; attach completes it.
func newPeers(n *Node) *peers {
	p := &peers{n: n, directory: peer.NewDirectory(n.client, n.settings.NodeID)}
	n.alarms.directory.Store(p.directory)
	o := peer.Options{
		Node: n.settings.NodeID, Announce: p.directory.Announce, Now: n.now, TLS: n.tls, Admit: n.admitPeer(), Trace: n.trace,
		OnLink: func(node string, err error) {
			if err != nil {
				n.log.Info("the link to another node is lost", zap.String("peer", node), zap.Error(err))
			} else {
				n.log.Info("linked to another node", zap.String("peer", node))
			}
		},
	}
	switch {
	case n.etcd != nil:
		o.Leadership = &raftLeader{server: n.etcd}
		o.Term = func() uint64 { term, _, _ := n.etcd.Progress(); return term }
	case n.observes(): // it cannot write to etcd and hears from others who leads
		o.Announce = nil
	default:
		o.Leadership, o.Ready = p.directory, n.health.quorate
	}
	p.exchange = peer.New(service.AuthenticatingWriter(n.appender, n.auth), o)
	p.lead = p.exchange.Leadership()
	return p
}

// attach gives the exchange the node's data planes and registers it beside their
// stream. It returns those of all nodes.
func (p *peers) attach() service.DataPlanes {
	p.exchange.Attach(p.n.planes, service.Planes(p.n.planes, p.n.settings.NodeID))
	p.exchange.Register(p.n.grpc)
	return p.exchange.DataPlanes()
}

// firstLeader is how long a start waits until it is known who leads.
const firstLeader = 3 * time.Second

// run keeps the directory, and the links to whom it names, until ctx ends. It
// returns when it is known who leads, or after a while.
func (p *peers) run(ctx context.Context) {
	n := p.n
	self := peer.Node{
		ID: n.settings.NodeID, API: n.advertised(n.settings.API, n.api), FIB: n.advertised(n.settings.FIB, n.fib),
		Level: eventlog.MaxLevel, Version: n.version,
	}
	p.below.Store(errors.Is(n.appender.Fault(), eventlog.ErrLevel))
	if n.etcd != nil {
		self.Raft, self.Client = n.settings.Raft.Advertise, n.settings.Client.Advertise
	}
	n.run(func() { p.directory.Follow(ctx) })
	announce := p.directory.Announce
	if n.observes() {
		announce, self.Observer = p.exchange.AnnounceThrough, true
	}
	p.self = self
	p.tell()
	n.run(func() { p.tellNews(ctx) })
	n.run(func() { p.directory.Keep(ctx, announce) })
	n.run(func() {
		for {
			changed := p.directory.Changed()
			p.introduce(self)
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	})
	limit := time.NewTimer(firstLeader)
	defer limit.Stop()
	for {
		changed := p.lead.Changed()
		if _, ok := p.lead.Leader(); ok {
			return
		}
		select {
		case <-changed:
		case <-limit.C:
			return
		}
	}
}

// retire tells the others that this node does not append, being below the log's
// level. It follows run.
func (p *peers) retire() {
	p.below.Store(true)
	p.tell()
}

// tell puts this node's entry into the directory as it is now.
func (p *peers) tell() {
	p.telling.Lock()
	defer p.telling.Unlock()
	self := p.self
	self.Below, self.DataPlanes, self.Alarms = p.below.Load(), p.planes(), p.n.alarms.list()
	if err := p.directory.Set(self); err != nil {
		p.n.log.Error("this node cannot be announced to the others", zap.Error(err))
	}
}

// maxTold bounds the data planes of an entry, whose length is limited.
const maxTold = 256

// planes are the routers whose data planes are connected here, sorted, as far as
// the directory shows them. Nodes do not rely on it: they tell each other at once.
func (p *peers) planes() []string {
	var out []string
	for _, c := range p.n.planes.Claims() {
		if c.Connected {
			out = append(out, string(c.Router))
		}
	}
	slices.Sort(out)
	return out[:min(len(out), maxTold)]
}

// figuresEvery is how old the figures of an alarm in the directory may be.
const figuresEvery = time.Minute

// tellNews keeps the entry's data planes and alarms right, a second late, until ctx
// ends. What an alarm says changes with every look: that alone is told rarely.
func (p *peers) tellNews(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	planes, alarms, told := p.planes(), p.n.alarms.list(), time.Duration(0)
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		nowPlanes, nowAlarms, running := p.planes(), p.n.alarms.list(), time.Since(p.n.started)
		others := !slices.EqualFunc(nowAlarms, alarms, func(a, b cluster.Alarm) bool { return a.Name == b.Name })
		figures := !slices.Equal(nowAlarms, alarms) && running-told >= figuresEvery
		if others || figures || !slices.Equal(nowPlanes, planes) {
			planes, alarms, told = nowPlanes, nowAlarms, running
			p.tell()
		}
	}
}

// introduce takes over what the directory says.
func (p *peers) introduce(self peer.Node) {
	present, gone := p.directory.Nodes()
	if err := p.exchange.SetNodes(present); err != nil {
		p.n.log.Warn("a node cannot be linked to", zap.Error(err))
	}
	addresses := []string{self.FIB}
	for _, n := range append(present, gone...) {
		if n.ID != self.ID && n.FIB != "" {
			addresses = append(addresses, n.FIB)
		}
	}
	p.n.planes.SetControllers(addresses)
}

// leads reports whether this node is the one that appends.
func (p *peers) leads() bool {
	node, ok := p.lead.Leader()
	return ok && node == p.n.settings.NodeID
}

// raftLeader is the embedded etcd's leader by node id.
type raftLeader struct {
	server *etcdserver.Server
	known  atomic.Pointer[knownMember]
}

type knownMember struct {
	id   uint64
	name string
}

// Leader implements peer.Leadership. Cost: two atomic loads.
func (l *raftLeader) Leader() (string, bool) {
	id := l.server.LeaderID()
	if id == 0 {
		return "", false
	}
	if k := l.known.Load(); k != nil && k.id == id {
		return k.name, true
	}
	name := l.server.MemberName(id)
	if name == "" {
		return "", false
	}
	l.known.Store(&knownMember{id, name})
	return name, true
}

// Changed implements peer.Leadership.
func (l *raftLeader) Changed() <-chan struct{} { return l.server.LeaderChanged() }
