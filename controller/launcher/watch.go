package launcher

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// Intervals between questions to a node: often while something is to happen.
const (
	watchSteady   = 500 * time.Millisecond
	watchStarting = 100 * time.Millisecond
)

// watch asks the node as long as its process runs, until ctx ends.
func (l *Launcher) watch(ctx context.Context, m *managed) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-m.poke:
		case <-ctx.Done():
			return
		}
		pause := watchSteady
		o := observation{problem: "its process does not run"}
		if m.node.Status().PID != 0 {
			o = l.caller.observe(ctx, m.id, l.store.get().Nodes[m.id].Ports.API, l.before(m), time.Now())
			if ctx.Err() != nil {
				return
			}
			if !o.online || l.store.get().ClusterID == "" {
				pause = watchStarting
			}
		}
		o = l.learn(m.id, o)
		l.see(m, o)
		t.Reset(pause)
	}
}

func (l *Launcher) before(m *managed) observation {
	l.mu.Lock()
	defer l.mu.Unlock()
	return m.observed
}

// learn keeps what has to outlive the launcher: the cluster's id, and that the
// node has become a member of it and so has data.
func (l *Launcher) learn(id string, o observation) observation {
	if !o.online || !o.told || o.membership.ClusterID == "" {
		return o
	}
	c := l.store.get()
	if c.ClusterID != "" && c.ClusterID != o.membership.ClusterID {
		o = observation{problem: fmt.Sprintf("it belongs to cluster %s, not to %s", o.membership.ClusterID, c.ClusterID)}
		return o
	}
	_, member := o.membership.of(id)
	n, ok := c.Nodes[id]
	if !ok || c.ClusterID != "" && (n.Joined || !member) {
		return o
	}
	err := l.store.update(func(c *Configuration) error {
		c.ClusterID = o.membership.ClusterID
		if n, ok := c.Nodes[id]; ok && member {
			n.Joined, n.JoinToken = true, ""
			c.Nodes[id] = n
		}
		return nil
	})
	if err != nil {
		l.log.Error("the configuration cannot be kept", zap.Error(err))
	} else {
		l.log.Info("member of the cluster", zap.String("node", id), zap.String("cluster_id", o.membership.ClusterID))
		l.broadcast()
	}
	return o
}

// see makes the observation known.
func (l *Launcher) see(m *managed, o observation) {
	l.mu.Lock()
	before := m.observed
	m.observed = o
	changed := !o.equal(before)
	// Online is the right node, which holds its ports; its membership is of the
	// launcher's cluster (learn), and with a quorum somebody leads.
	meets := !m.met && o.online && o.quorum && o.told
	m.met = m.met || meets
	l.mu.Unlock()
	if meets {
		l.startPlane(m)
	}
	if !changed {
		return
	}
	l.broadcast()
	if o.online != before.online {
		if o.online {
			l.log.Info("online", zap.String("node", m.id), zap.Uint64("revision", o.health.Revision))
		} else {
			l.log.Warn("offline", zap.String("node", m.id), zap.String("reason", o.problem))
		}
	}
	v, _ := l.view()
	leader := v.leader()
	l.mu.Lock()
	changed = leader != l.leader
	l.leader = leader
	l.mu.Unlock()
	if changed && leader != "" {
		l.log.Info("leads", zap.String("node", leader))
	} else if changed {
		l.log.Warn("no node leads")
	}
}
