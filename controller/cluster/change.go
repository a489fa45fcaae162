package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"

	"dvr/controller/etcdserver"
	"dvr/eventlog"
)

// Remove takes a node out of the cluster for ever, also one that is offline;
// it stops when it learns of it. Errors: ErrNotFound, ErrQuorum,
// eventlog.ErrUnavailable.
func (m *Manager) Remove(ctx context.Context, node string) error {
	if m.o.Server == nil {
		r, err := m.read(ctx, false)
		if err != nil {
			return err
		}
		if _, registered := r.registers[node]; !registered {
			if _, ok := r.find(node); !ok {
				return fmt.Errorf("%w: %s", ErrNotFound, node)
			}
		}
		return m.removeElsewhere(ctx, node)
	}
	m.changing.Lock()
	defer m.changing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	r, err := m.read(ctx, false)
	if err != nil {
		return err
	}
	e, ok := r.find(node)
	if !ok {
		return m.forget(ctx, &r, node)
	}
	node = r.of(e).NodeID
	if !e.Learner {
		voters, online, target := m.majority(ctx, &r, node)
		if voters == 1 {
			return fmt.Errorf("%w: %s is the only voter; stop it instead", ErrQuorum, node)
		}
		left := online
		if target {
			left--
		}
		if left < (voters-1)/2+1 {
			return fmt.Errorf("%w: without %s it has %d voters, of which %d answer, and %d are needed. Bring one back first", ErrQuorum, node, voters-1, left, (voters-1)/2+1)
		}
	}
	if e.ID == m.o.Server.MemberID() && len(r.members) > 1 {
		// One that is removed may be cut off before it has the outcome.
		return m.removeElsewhere(ctx, node)
	}
	if e.ID == m.o.Server.LeaderID() {
		m.leaveLeadership(ctx, &r, e.ID)
	}
	if err := propose(ctx, func(ctx context.Context) error {
		_, err := m.o.Client.MemberRemove(ctx, e.ID)
		return err
	}); err != nil && !errors.Is(err, rpctypes.ErrMemberNotFound) {
		return fmt.Errorf("remove %s: %w", node, transient(err))
	}
	m.o.Logger.Info("a member was removed", zap.String("removed", node), zap.String("member_id", FormatID(e.ID)))
	if _, err := m.o.Client.Delete(ctx, registerPrefix+node); err != nil {
		// What is left is passed over, since no member has it.
		m.o.Logger.Warn("the registration of a removed member stays", zap.String("removed", node), zap.Error(err))
	}
	return nil
}

// removeElsewhere has another member remove a node that there was a moment ago.
func (m *Manager) removeElsewhere(ctx context.Context, node string) error {
	doubt, err := m.elsewhere(ctx, http.MethodDelete, "/v1/cluster/members/"+url.PathEscape(node), nil, nil)
	if doubt && errors.Is(err, ErrNotFound) {
		return nil // one that was asked before removed it
	}
	return err
}

// proposeEvery is how long one proposal of a change of etcd's list is waited for.
const proposeEvery = time.Second

// propose proposes a change of etcd's list again and again until it is answered
// or ctx ends. Raft drops a change that reaches the leader before that has
// applied the one before, and etcd then waits 7 s for what will not come.
func propose(ctx context.Context, change func(context.Context) error) error {
	for {
		short, cancel := context.WithTimeout(ctx, proposeEvery)
		err := change(short)
		late := err != nil && short.Err() != nil
		cancel()
		if !late || ctx.Err() != nil {
			return err
		}
	}
}

// forget removes what is not, or no longer, in etcd's list: an observer.
func (m *Manager) forget(ctx context.Context, r *roster, node string) error {
	if _, ok := r.registers[node]; !ok {
		return fmt.Errorf("%w: %s", ErrNotFound, node)
	}
	if _, err := m.o.Client.Delete(ctx, registerPrefix+node); err != nil {
		return fmt.Errorf("remove %s: %w: %w", node, eventlog.ErrUnavailable, err)
	}
	m.o.Logger.Info("an observer was removed", zap.String("removed", node))
	return nil
}

// majority counts the voters, those that answer now, and says whether the named
// node is one of them.
func (m *Manager) majority(ctx context.Context, r *roster, node string) (voters, online int, target bool) {
	v := m.view(ctx, r, true)
	for _, n := range v.Members {
		if n.Role != RoleVoter {
			continue
		}
		voters++
		if n.Online {
			online++
		}
		if n.NodeID == node {
			target = n.Online
		}
	}
	return voters, online, target
}

// leaveLeadership hands it to another voter before its leader is removed: 10 ms
// without writes instead of an election. It is no condition.
func (m *Manager) leaveLeadership(ctx context.Context, r *roster, leader uint64) {
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for _, n := range m.view(short, r, false).Members {
		if n.Role != RoleVoter || !n.Online || n.MemberID == FormatID(leader) {
			continue
		}
		if e, ok := r.find(n.NodeID); ok {
			if err := m.o.Server.MoveLeader(short, e.ID); err != nil {
				m.o.Logger.Info("leadership was not handed over before the removal", zap.Error(err))
			}
			return
		}
	}
}

// Promote makes a learner that has caught up a voter. Errors: ErrNotFound,
// ErrRole, ErrNotReady, ErrQuorum, eventlog.ErrUnavailable.
func (m *Manager) Promote(ctx context.Context, node string) error {
	if m.o.Server == nil {
		return m.promoteElsewhere(ctx, node)
	}
	m.changing.Lock()
	defer m.changing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	r, err := m.read(ctx, false)
	if err != nil {
		return err
	}
	e, ok := r.find(node)
	switch {
	case !ok && r.registers[node].Observer:
		return fmt.Errorf("%w: %s is an observer; to make it a voter, remove it, empty its DATA_DIR and let it join without --observer", ErrRole, node)
	case !ok:
		return fmt.Errorf("%w: %s", ErrNotFound, node)
	case !e.Learner:
		return fmt.Errorf("%w: %s votes already", ErrRole, node)
	}
	return m.promote(ctx, &r, e)
}

// promoteElsewhere has another member promote a node. That it votes already is
// a success where it was a learner before and one that was asked may have
// promoted it without saying so.
func (m *Manager) promoteElsewhere(ctx context.Context, node string) error {
	before, err := m.read(ctx, false)
	if err != nil {
		return err
	}
	doubt, err := m.elsewhere(ctx, http.MethodPost, "/v1/cluster/members/"+url.PathEscape(node)+"/promote", nil, nil)
	if e, ok := before.find(node); !doubt || !errors.Is(err, ErrRole) || !ok || !e.Learner {
		return err
	}
	after, again := m.read(ctx, false)
	if e, ok := after.find(node); again == nil && ok && !e.Learner {
		return nil
	}
	return err
}

func (m *Manager) promote(ctx context.Context, r *roster, e etcdserver.Member) error {
	voters, online, _ := m.majority(ctx, r, "")
	if online+1 < (voters+1)/2+1 {
		return fmt.Errorf("%w: with %s it has %d voters, of which %d answer", ErrQuorum, r.of(e).NodeID, voters+1, online+1)
	}
	// It was a learner when the list was read, so a second try that finds a voter
	// is the first one's success.
	if err := propose(ctx, func(ctx context.Context) error {
		_, err := m.o.Client.MemberPromote(ctx, e.ID)
		return err
	}); err != nil && !errors.Is(err, rpctypes.ErrMemberNotLearner) {
		return fmt.Errorf("promote %s: %w", r.of(e).NodeID, transient(err))
	}
	m.o.Logger.Info("a learner became a voter", zap.String("promoted", r.of(e).NodeID))
	return nil
}

// Rise promotes this node, if it is a learner, as soon as it has caught up. It
// tries until ctx ends or the node votes.
func (m *Manager) Rise(ctx context.Context) {
	if m.o.Server == nil {
		return
	}
	said := ""
	for pause := joinLeast; m.o.Server.Learner(); pause = min(2*pause, joinMost) {
		err := m.Promote(ctx, FormatID(m.o.Server.MemberID()))
		if err == nil {
			return
		}
		if text := err.Error(); text != said && pause > time.Second {
			said = text
			m.o.Logger.Info("this node waits to become a voter", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// MoveLeader makes a voter the leader. Errors: ErrNotFound, ErrRole,
// eventlog.ErrUnavailable.
func (m *Manager) MoveLeader(ctx context.Context, node string) error {
	if m.o.Server == nil {
		_, err := m.elsewhere(ctx, http.MethodPost, "/v1/cluster/leader", map[string]string{"node_id": node}, nil)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	r, err := m.read(ctx, false)
	if err != nil {
		return err
	}
	e, ok := r.find(node)
	switch {
	case !ok && r.registers[node].Observer:
		return fmt.Errorf("%w: %s is an observer", ErrRole, node)
	case !ok:
		return fmt.Errorf("%w: %s", ErrNotFound, node)
	case e.Learner:
		return fmt.Errorf("%w: %s is still a learner", ErrRole, node)
	}
	if err := m.o.Server.MoveLeader(ctx, e.ID); err != nil {
		return fmt.Errorf("%s did not take over: %w: %w", node, eventlog.ErrUnavailable, err)
	}
	return nil
}

// WasRemoved tells, after etcd has stopped by itself, whether this member was
// removed: it applied its removal, or a peer has. A peer in whose list it is
// not is no witness: that one may not know yet that it was added.
func (m *Manager) WasRemoved(ctx context.Context) bool {
	s := m.o.Server
	if s.Removed() {
		return true
	}
	client := newHTTPClient(probeTimeout, m.o.TLS)
	for _, e := range s.Members() {
		if e.ID == s.MemberID() {
			continue
		}
		if gone, err := buried(ctx, client, e.Peer, s.ClusterID(), s.MemberID()); err == nil && gone {
			return true
		}
	}
	return false
}
