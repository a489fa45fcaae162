package node

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"dvr/controller/httpapi"
	"dvr/eventlog"
	"dvr/eventlog/etcdlog"
)

// health tells the API of the node. What needs a call is asked in the
// background, so that a probe never waits.
type health struct {
	n *Node
	// Of an external etcd, or of the store as a whole, asked last.
	polled atomic.Pointer[polled]
}

type polled struct {
	ok       bool
	err      error // why not ok
	size     int64
	quota    int64
	peers    int
	leader   bool
	applied  uint64
	index    uint64
	endpoint string
}

const pollEvery = 2 * time.Second

func newHealth(n *Node) *health {
	h := &health{n: n}
	h.polled.Store(&polled{ok: true})
	return h
}

// watch polls until ctx ends. Making room in the store does not hold it up.
func (h *health) watch(ctx context.Context) {
	readings := make(chan []etcdlog.MemberStatus, 1)
	var observer sync.WaitGroup
	observer.Go(func() {
		for members := range readings {
			h.n.pressure.observe(ctx, members)
		}
	})
	defer observer.Wait()
	defer close(readings)
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	quorum := true
	for {
		select {
		case readings <- h.poll(ctx):
		default: // the observer is busy: it sees a later one
		}
		if q := h.quorum(); q != quorum && ctx.Err() == nil {
			quorum = q
			if q {
				h.n.log.Info("there is a quorum again: changes are taken")
			} else {
				h.n.log.Warn("no quorum: changes are refused, reading and forwarding go on", zap.Error(h.polled.Load().err))
			}
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// poll asks the store and returns its members.
func (h *health) poll(ctx context.Context) []etcdlog.MemberStatus {
	ctx, cancel := context.WithTimeout(ctx, pollEvery)
	defer cancel()
	p := *h.polled.Load() // sizes stay known while the store is away
	if h.n.etcd == nil {
		_, p.err = h.n.store.Head(ctx) // a quorum read, before anything that one member may hold up
		p.ok = p.err == nil
	}
	list, err := h.n.store.StoreStatus(ctx)
	if h.n.etcd != nil {
		p.ok, p.err = err == nil || len(list) > 0, err
	}
	if len(list) > 0 {
		p.size, p.endpoint = 0, ""
	}
	for _, m := range list {
		p.size, p.quota = max(p.size, m.Size), m.Quota
		p.applied, p.index = max(p.applied, m.Applied), max(p.index, m.RaftIndex)
		if m.Leader {
			p.endpoint = m.Endpoint
		}
	}
	if members, err := h.n.client.MemberList(ctx); err == nil {
		p.peers = 0
		for _, m := range members.Members {
			if !m.IsLearner {
				p.peers++
			}
		}
		p.peers--
	}
	h.polled.Store(&p)
	return list
}

// errNoQuorum refuses writes that nobody could acknowledge.
var errNoQuorum = fmt.Errorf("no quorum: %w; reading goes on", eventlog.ErrUnavailable)

// quorum says whether etcd has a leader, as far as is known here: an embedded
// member at once, of an external one what the last poll found.
func (h *health) quorum() bool {
	if e := h.n.etcd; e != nil {
		return e.LeaderID() != 0
	}
	return h.polled.Load().ok
}

// quorate refuses writes at once where nobody could take them.
func (h *health) quorate() error {
	if !h.quorum() {
		return errNoQuorum
	}
	return nil
}

// errObserver refuses writes at a node that only reads the log.
var errObserver = fmt.Errorf("this node is an observer: %w here; write to a voter", eventlog.ErrUnavailable)

// writable is appender.Options.Ready: of this node's own appender. Cost: an
// atomic load or two.
func (h *health) writable() error {
	if h.n.observes() {
		return errObserver
	}
	return h.quorate()
}

// Status implements httpapi.Node.
func (h *health) Status() httpapi.NodeStatus {
	n, s, p := h.n, h.n.settings, h.polled.Load()
	out := httpapi.NodeStatus{
		NodeID: s.NodeID, Etcd: "embedded", Started: n.started, Peers: max(p.peers, 0),
		DBSize: p.size, Quota: p.quota, KVQuota: int64(n.keyQuota), Archive: n.archive.status(), Backup: n.backups.status(), Alarms: n.alarms.list(),
		API: n.advertised(s.API, n.api), FIB: n.advertised(s.FIB, n.fib), Security: n.security(),
	}
	if n.observes() {
		out.Etcd, out.RaftState, out.Quorum = "members", "Observer", h.quorum()
		out.Committed, out.Applied, out.Leader = p.index, p.applied, p.endpoint
		return out
	}
	if n.etcd == nil {
		out.Etcd, out.RaftState, out.Quorum = "external", "External", h.quorum()
		out.Committed, out.Applied, out.Client = p.index, p.applied, strings.Join(s.EtcdEndpoints, ",")
		if out.Quorum {
			out.Leader = p.endpoint
		}
		return out
	}
	out.Raft, out.Client = s.Raft.Advertise, s.Client.Advertise
	out.RaftState = n.etcd.RaftState()
	out.Quorum = h.quorum() && out.RaftState != "Shutdown"
	out.Term, out.Committed, out.Applied = n.etcd.Progress()
	if id := n.etcd.LeaderID(); id != 0 {
		out.Leader = fmt.Sprintf("%x", id)
	}
	return out
}

// upkeep cares for etcd: its history is compacted at every call, its file
// defragmented when most of it is free.
type upkeep struct{ store *etcdlog.Log }

const (
	// keepRevisions of etcd's history put back a batch that was changed, and
	// let cut watches go on.
	keepRevisions = 10000
	defragAbove   = 256 << 20 // bytes of file, of which less than half are in use
)

// Maintain implements appender.Maintainer.
func (u *upkeep) Maintain(ctx context.Context) error {
	if _, err := u.store.Compact(ctx, keepRevisions); err != nil {
		return err
	}
	list, err := u.store.StoreStatus(ctx)
	if err != nil {
		return err
	}
	for _, m := range list {
		if shrinks(m) {
			return u.store.Defragment(ctx)
		}
	}
	return nil
}

// Size implements appender.Sizer: bytes in use.
func (u *upkeep) Size(ctx context.Context) (int64, error) {
	list, err := u.store.StoreStatus(ctx)
	if err != nil {
		return 0, err
	}
	var n int64
	for _, m := range list {
		n = max(n, m.InUse)
	}
	return n, nil
}
