package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"dvr/controller/appender"
	"dvr/controller/cluster"
	"dvr/controller/peer"
	"dvr/eventlog"
	"dvr/projector"
)

// raise decides to which level the log is raised: the next one, where every node
// of the cluster supports it. Else to is 0 and held names who keeps it down.
// Nobody at all supports nothing.
func raise(inForce uint32, nodes []cluster.Support) (to uint32, held []cluster.Support) {
	for _, n := range nodes {
		if n.Level <= inForce {
			held = append(held, n)
		}
	}
	if len(held) > 0 || len(nodes) == 0 {
		return 0, held
	}
	return inForce + 1, nil
}

// supported merges what members registered with what the directory tells: of an
// observer, which cannot register anew, the directory's word counts; of a member
// the lower one. Without registrations, on an external etcd, the nodes are those
// of the directory; those that went count with what they supported, for they may
// come back as they were.
func supported(registered []cluster.Support, present, gone []peer.Node) []cluster.Support {
	if registered == nil {
		var out []cluster.Support
		for _, n := range slices.Concat(present, gone) {
			out = append(out, cluster.Support{Node: n.ID, Level: n.Level})
		}
		return out
	}
	out := slices.Clone(registered)
	for i := range out {
		at := slices.IndexFunc(present, func(n peer.Node) bool { return n.ID == out[i].Node })
		switch {
		case at < 0:
		case out[i].Observer:
			out[i].Level = present[at].Level
		default:
			out[i].Level = min(out[i].Level, present[at].Level)
		}
	}
	return out
}

// levelEvery is how often it is looked whether the level may rise, and whether
// this node leads though it is below it.
const levelEvery = 500 * time.Millisecond

// levels raises the log's level where this node leads, and takes the node out of
// the way where the log is above what it supports.
type levels struct {
	n       *Node
	serving atomic.Bool // the node's parts are there
	wake    chan struct{}
	held    string // who keeps the level down, as logged last
}

func newLevels(n *Node) *levels { return &levels{n: n, wake: make(chan struct{}, 1)} }

// hurry makes run look at once.
func (l *levels) hurry() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// serve tells that the node's parts are there.
func (l *levels) serve() {
	l.serving.Store(true)
	l.hurry()
}

// below is eventlog.ErrLevel where this node supports less than the log needs.
// Cost: an atomic load or two.
func (l *levels) below() error {
	err := l.n.startup.failed()
	if l.serving.Load() {
		err = l.n.appender.Fault()
	}
	if errors.Is(err, eventlog.ErrLevel) {
		return err
	}
	return nil
}

// inForce is the log's level as folded here; 0: not known yet.
func (l *levels) inForce() uint32 {
	if !l.serving.Load() {
		return 0
	}
	return l.n.appender.Head().Level
}

// run looks until ctx ends.
func (l *levels) run(ctx context.Context) {
	t := time.NewTicker(levelEvery)
	defer t.Stop()
	out := false // data planes were sent to other nodes
	for {
		err := l.below()
		serving := l.serving.Load()
		switch {
		case err != nil:
			if serving && !out {
				out = true
				l.n.log.Error("this node folds nothing on, refuses changes and sends data planes to other nodes", zap.Error(err))
				l.n.planes.Close()
				l.n.peers.retire()
			}
			l.handOver(ctx)
		case serving && eventlog.MaxLevel > l.n.appender.Head().Level && !l.n.settings.HoldLevel && l.n.peers.leads():
			if err := l.attempt(ctx); err != nil && ctx.Err() == nil {
				l.n.log.Warn("the log's level was not raised; it is tried again", zap.Error(err))
			}
		}
		select {
		case <-t.C:
		case <-l.wake:
		case <-ctx.Done():
			return
		}
	}
}

// attempt raises the level by one where it may.
func (l *levels) attempt(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var registered []cluster.Support
	if l.n.cluster != nil {
		var err error
		if registered, err = l.n.cluster.Supports(ctx); err != nil {
			return err
		}
	}
	present, gone := l.n.peers.directory.Nodes()
	inForce := l.n.appender.Head().Level
	to, held := raise(inForce, supported(registered, present, gone))
	if to == 0 {
		var names []string
		for _, h := range held {
			what := fmt.Sprintf("%s (supports %d)", h.Node, h.Level)
			if h.Level == 0 {
				what = h.Node + " (not known)"
			}
			names = append(names, what)
		}
		if list := strings.Join(names, ", "); list != l.held {
			l.held = list
			l.n.log.Info("the log's level stays until every node supports the next", zap.Uint32("level", inForce), zap.String("waiting_for", list))
		}
		return nil
	}
	r, err := l.n.appender.Append(ctx, appender.Request{
		Generated: true, Actor: "system", Reason: fmt.Sprintf("every node supports level %d", to),
		Prepare: func(s *projector.State) ([]eventlog.Event, error) {
			if s.Head().Level >= to {
				return nil, nil // another node that led has done it
			}
			return []eventlog.Event{&eventlog.LevelRaised{Level: to}}, nil
		},
	})
	if err == nil && !r.NoChange {
		l.n.log.Info("the log's level was raised", zap.Uint32("level", to), zap.Uint64("revision", uint64(r.Revision)))
	}
	return err
}

// handOver makes a voter lead that supports more than this node, where this one
// leads. On an external etcd the directory says who does not.
func (l *levels) handOver(ctx context.Context) {
	n := l.n
	if n.etcd == nil || n.cluster == nil || !n.etcd.Leader() {
		return
	}
	list, err := n.cluster.Supports(ctx)
	if err != nil {
		return // in a moment again
	}
	for _, s := range list {
		if s.Level <= eventlog.MaxLevel || s.Observer {
			continue
		}
		if err = n.cluster.MoveLeader(ctx, s.Node); err == nil {
			n.log.Info("leadership was handed over to a node that supports the log's level", zap.String("to", s.Node))
			return
		}
	}
	if ctx.Err() != nil {
		return
	}
	n.log.Warn("this node leads below the log's level, and no other voter takes over: nothing can be changed", zap.Error(err))
}
