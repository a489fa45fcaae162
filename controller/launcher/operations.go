package launcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"go.uber.org/zap"
)

// Add configures and starts a new node, which joins the cluster by itself. It
// returns at once, also without a leader. Beyond seven voters it observes.
// Errors: ErrBadID, ErrExists, ErrNoPorts.
func (l *Launcher) Add(id string, observer bool) (Node, error) {
	return l.addWith(id, observer, "")
}

// addWith is Add of a node that joins with a token.
func (l *Launcher) addWith(id string, observer bool, token string) (Node, error) {
	if err := checkID(id); err != nil {
		return Node{}, err
	}
	err := l.store.update(func(c *Configuration) error {
		if _, ok := c.Nodes[id]; ok {
			return fmt.Errorf("node with ID %s %w", id, ErrExists)
		}
		if len(c.Nodes) >= most {
			return fmt.Errorf("%w: %d nodes are the most", ErrNoPorts, most)
		}
		if _, err := l.nodes.Lstat(id); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the directory of node %s %w: it is not touched", id, ErrExists)
		}
		ports, err := c.next(portInUse)
		if err != nil {
			return err
		}
		voting := 0
		for _, n := range c.Nodes {
			if !n.Observer {
				voting++
			}
		}
		c.Nodes[id] = Node{Ports: ports, Observer: observer || voting >= voters, JoinToken: token}
		return nil
	})
	if err != nil {
		return Node{}, err
	}
	n := l.store.get().Nodes[id]
	l.log.Info("added", zap.String("node", id), zap.Int("api_port", n.Ports.API), zap.Bool("observer", n.Observer))
	m := l.manage(id)
	m.node.Start()
	l.startPlane(m)
	l.broadcast()
	return n, nil
}

// configured is the node, ErrBadID, ErrUnknownNode or ErrLeaving.
func (l *Launcher) configured(id string) (*managed, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	n, ok := l.store.get().Nodes[id]
	m := l.find(id)
	switch {
	case !ok || m == nil:
		return nil, ErrUnknownNode
	case n.Leaving:
		return m, fmt.Errorf("node %s %w", id, ErrLeaving)
	}
	return m, nil
}

// Stop wants the node ended, and remembers it. It does not wait.
func (l *Launcher) Stop(id string) error {
	return l.steer(id, true, func(m *managed) { m.node.Stop() })
}

// Start wants the node running; one that is stopping is started when it has ended.
func (l *Launcher) Start(id string) error {
	return l.steer(id, false, func(m *managed) { m.node.Start() })
}

// Restart ends the node and starts it.
func (l *Launcher) Restart(id string) error {
	return l.steer(id, false, func(m *managed) { m.node.Restart() })
}

func (l *Launcher) steer(id string, stopped bool, do func(*managed)) error {
	m, err := l.configured(id)
	if err != nil {
		return err
	}
	if l.store.get().Nodes[id].Stopped != stopped {
		if err := l.store.setNode(id, func(n *Node) error { n.Stopped = stopped; return nil }); err != nil {
			return err
		}
	}
	do(m)
	return nil
}

// Decommission removes the node from the cluster, stops it and deletes its
// data, in this order. It returns when all is done; ctx bounds the removal
// only. Errors: ErrBadID, ErrUnknownNode, ErrQuorum, ErrNotFormed and
// ErrUnavailable, after which nothing has changed, ErrLeaving.
func (l *Launcher) Decommission(ctx context.Context, id string) error {
	m, err := l.configured(id)
	if m == nil {
		return err
	}
	if !m.leaving.TryLock() {
		return fmt.Errorf("node %s %w", id, ErrLeaving)
	}
	defer m.leaving.Unlock()
	c := l.store.get()
	n, ok := c.Nodes[id]
	if !ok {
		return ErrUnknownNode // it went while we came
	}
	if n.Leaving { // an earlier attempt got as far as that
		return l.finish(m)
	}
	if c.ClusterID == "" {
		return ErrNotFormed
	}
	if !n.Joined {
		// It may become a member at any moment: only once it has ended, what the
		// cluster says of it stays true.
		m.node.Stop()
		if err := m.node.Ended(l.ctx); err != nil {
			return fmt.Errorf("stop node %s: %w", id, err)
		}
	}
	if err := l.removeMember(ctx, id); err != nil {
		if !n.Joined && !n.Stopped {
			m.node.Start()
		}
		return err
	}
	if err := l.store.setNode(id, func(n *Node) error { n.Leaving = true; return nil }); err != nil {
		return err
	}
	l.broadcast()
	return l.finish(m)
}

// removeMember has a node that is alive remove the member. A cluster that has
// no such member is content.
func (l *Launcher) removeMember(ctx context.Context, id string) error {
	v, _ := l.view()
	errs := []error{ErrUnavailable}
	told := map[string]bool{} // all may say the same
	for _, port := range v.candidates(id) {
		known, err := l.caller.remove(ctx, port, id)
		switch {
		case err == nil:
			l.log.Info("member removed", zap.String("node", id), zap.Bool("was_member", known))
			return nil
		case errors.Is(err, ErrQuorum):
			return err // it says what would be left
		}
		if !told[err.Error()] {
			told[err.Error()] = true
			errs = append(errs, err)
		}
	}
	if len(errs) == 1 {
		errs = append(errs, errors.New("none is online"))
	}
	return errors.Join(errs...)
}

// finish ends what is left of a node that is no member any more.
func (l *Launcher) finish(m *managed) error {
	l.mu.Lock()
	m.ending = true
	l.mu.Unlock()
	supervisors := []*supervisor{m.node, m.plane}
	for _, s := range supervisors {
		s.Stop()
	}
	for _, s := range supervisors {
		if err := s.Ended(l.ctx); err != nil {
			return fmt.Errorf("stop node %s: %w", m.id, err)
		}
	}
	if err := checkID(m.id); err != nil { // a path is made of it
		return err
	}
	if err := l.nodes.RemoveAll(m.id); err != nil {
		return fmt.Errorf("delete the data of node %s: %w", m.id, err)
	}
	err := l.store.update(func(c *Configuration) error {
		delete(c.Nodes, m.id)
		c.Founders = slices.DeleteFunc(c.Founders, func(f string) bool { return f == m.id })
		return nil
	})
	if err != nil {
		return err
	}
	m.cancel()
	l.mu.Lock()
	delete(l.managed, m.id)
	l.mu.Unlock()
	l.log.Info("decommissioned", zap.String("node", m.id))
	l.broadcast()
	return nil
}
