package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"dvr/controller/etcdserver"
	"dvr/controller/settings"
	"dvr/eventlog"
)

// lapse is for how long this node must have seen the entry of a node that never
// started, and does not answer, before it gives way to another that wants to
// join: one at a time learns. What is registered beside the entry does not count: it is written
// after it, by another node's clock.
const lapse = time.Minute

var nodeID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

func (c *Candidate) validate() error {
	bad := func(field, reason string) error { return &eventlog.FieldError{Field: field, Reason: reason} }
	if !nodeID.MatchString(c.NodeID) {
		return bad("node_id", "is not a letter or digit, then up to 62 letters, digits, dots, dashes or underscores")
	}
	for _, a := range []struct {
		field, value string
		needed       bool
	}{{"raft", c.Raft, !c.Observer}, {"api", c.API, c.Observer}, {"fib", c.FIB, false}, {"client", c.Client, false}} {
		if a.value == "" && !a.needed {
			continue
		}
		host, port, err := net.SplitHostPort(a.value)
		n, numErr := strconv.ParseUint(port, 10, 16)
		if err != nil || numErr != nil || n == 0 || host == "" || len(a.value) > 300 {
			return bad(a.field, "is not host:port")
		}
		if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
			return bad(a.field, "is every address and none: nobody can dial it")
		}
	}
	if len(c.Attempt) > 64 {
		return bad("attempt", "is longer than 64 bytes")
	}
	return nil
}

// Add admits a node: as a learner, which is promoted when it has caught up, or
// as an observer. A repetition of the same attempt gets the same answer. Errors:
// *eventlog.FieldError, ErrLevel, ErrFull, ErrExists, ErrBusy, ErrQuorum,
// eventlog.ErrUnavailable.
func (m *Manager) Add(ctx context.Context, c Candidate) (Admission, error) {
	if err := c.validate(); err != nil {
		return Admission{}, err
	}
	if m.o.Level != nil && c.Level > 0 && c.Level < m.o.Level() {
		return Admission{}, fmt.Errorf("%w: %s supports level %d, the log is at level %d: upgrade it", ErrLevel, c.NodeID, c.Level, m.o.Level())
	}
	if m.o.Server == nil {
		var a Admission
		_, err := m.elsewhere(ctx, http.MethodPost, "/v1/cluster/members", c, &a)
		return a, err
	}
	m.changing.Lock()
	defer m.changing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	r, err := m.read(ctx, false)
	if err != nil {
		return Admission{}, err
	}
	if c.Observer {
		return m.addObserver(ctx, &r, c)
	}
	e, found, err := m.existing(ctx, &r, c)
	if err != nil {
		return Admission{}, err
	}
	if !found {
		if e, err = m.addLearner(ctx, &r, c); err != nil {
			return Admission{}, err
		}
		m.o.Logger.Info("a node was admitted as learner", zap.String("joining", c.NodeID), zap.String("raft", c.Raft), zap.String("member_id", FormatID(e.ID)))
	}
	reg := registration{
		NodeID: c.NodeID, MemberID: FormatID(e.ID), Attempt: c.Attempt, Level: c.Level,
		Addresses: Addresses{API: c.API, Raft: c.Raft, FIB: c.FIB, Client: c.Client},
	}
	if err := m.register(ctx, reg); err != nil {
		return Admission{}, err
	}
	r.registers[c.NodeID] = reg
	return m.admission(ctx, &r, FormatID(e.ID)), nil
}

func (m *Manager) admission(ctx context.Context, r *roster, member string) Admission {
	a := Admission{ClusterID: FormatID(r.cluster), MemberID: member, LogID: m.o.LogID(), InitialCluster: r.initialCluster()}
	a.Members = m.view(ctx, r, false).Members
	return a
}

func (m *Manager) addObserver(ctx context.Context, r *roster, c Candidate) (Admission, error) {
	if e, ok := r.find(c.NodeID); ok {
		return Admission{}, fmt.Errorf("%w: %s is member %016x; remove it first, or choose another NODE_ID", ErrExists, c.NodeID, e.ID)
	}
	reg := registration{
		NodeID: c.NodeID, Observer: true, Attempt: c.Attempt, Level: c.Level,
		Addresses: Addresses{API: c.API, Raft: c.Raft, FIB: c.FIB, Client: c.Client},
	}
	if old, ok := r.registers[c.NodeID]; ok && old.Observer && old.API != c.API && m.answers(ctx, old.API) {
		return Admission{}, fmt.Errorf("%w: %s observes from %s; choose another NODE_ID", ErrExists, c.NodeID, old.API)
	}
	if err := m.register(ctx, reg); err != nil {
		return Admission{}, err
	}
	r.registers[c.NodeID] = reg
	m.o.Logger.Info("a node was admitted as observer", zap.String("joining", c.NodeID), zap.String("api", c.API))
	return m.admission(ctx, r, ""), nil
}

func (m *Manager) answers(ctx context.Context, api string) bool {
	return m.probe.ask(ctx, []question{{api: api}}, true)[0]
}

// existing finds the entry that an earlier call of the same attempt made. An
// entry that never started and belongs to no live attempt is removed; one that
// has run is in the way: its data may hold what the cluster relies on.
func (m *Manager) existing(ctx context.Context, r *roster, c Candidate) (etcdserver.Member, bool, error) {
	for _, e := range r.members {
		reg := r.of(e)
		if e.Peer != c.Raft && reg.NodeID != c.NodeID {
			continue
		}
		if len(e.Clients) > 0 || !e.Learner {
			return e, false, fmt.Errorf("%w: %s at %s is member %016x. If its data are lost: `dvr cluster remove %s`, then join again as a new member",
				ErrExists, reg.NodeID, e.Peer, e.ID, reg.NodeID)
		}
		if e.Peer == c.Raft && reg.NodeID == c.NodeID && c.Attempt != "" && reg.Attempt == c.Attempt {
			return e, true, nil
		}
		if err := m.drop(ctx, r, e); err != nil {
			return e, false, err
		}
		break
	}
	if reg, ok := r.registers[c.NodeID]; ok && reg.Observer {
		return etcdserver.Member{}, false, fmt.Errorf("%w: %s is an observer; `dvr cluster remove %s` first, or choose another NODE_ID", ErrExists, c.NodeID, c.NodeID)
	}
	return etcdserver.Member{}, false, nil
}

// drop removes the entry of a learner that never started.
func (m *Manager) drop(ctx context.Context, r *roster, e etcdserver.Member) error {
	var resp *clientv3.MemberRemoveResponse
	err := propose(ctx, func(ctx context.Context) (err error) {
		resp, err = m.o.Client.MemberRemove(ctx, e.ID)
		return err
	})
	if err != nil && !errors.Is(err, rpctypes.ErrMemberNotFound) {
		return transient(err)
	}
	m.o.Logger.Info("an admission that was not used was withdrawn", zap.String("member_id", FormatID(e.ID)), zap.String("raft", e.Peer))
	if resp != nil {
		r.members = etcdserver.MembersOf(resp.Members)
	}
	return nil
}

func (m *Manager) addLearner(ctx context.Context, r *roster, c Candidate) (etcdserver.Member, error) {
	if len(r.members) >= settings.MaxVoters {
		return etcdserver.Member{}, full()
	}
	for _, e := range r.members {
		if !e.Learner {
			continue
		}
		if len(e.Clients) > 0 || !m.lapsed(e.ID) || m.probe.ask(ctx, []question{{raft: e.Peer, cluster: r.cluster}}, true)[0] {
			reg := r.of(e)
			return etcdserver.Member{}, fmt.Errorf("%w: %s at %s, one at a time; if it is away for good, `dvr cluster remove %s`", ErrBusy, reg.NodeID, e.Peer, reg.NodeID)
		}
		if err := m.drop(ctx, r, e); err != nil {
			return etcdserver.Member{}, err
		}
		break
	}
	var resp *clientv3.MemberAddResponse
	err := propose(ctx, func(ctx context.Context) (err error) {
		resp, err = m.o.Client.MemberAddAsLearner(ctx, []string{m.http.url(c.Raft, "")})
		return err
	})
	if err != nil { // also where a late first proposal is in the second's way: the node asks again
		return etcdserver.Member{}, transient(err)
	}
	r.members = etcdserver.MembersOf(resp.Members)
	if len(r.members) > settings.MaxVoters { // two were admitted at once
		if _, err := m.o.Client.MemberRemove(ctx, resp.Member.ID); err != nil {
			return etcdserver.Member{}, transient(err)
		}
		return etcdserver.Member{}, full()
	}
	return etcdserver.Member{ID: resp.Member.ID, Peer: c.Raft, Learner: true}, nil
}

// lapsed tells whether this node has seen the unused entry for long enough. The
// caller holds changing.
func (m *Manager) lapsed(member uint64) bool {
	now := m.o.Now()
	if m.unused.member != member {
		m.unused = sighted{member, now}
	}
	return now.Sub(m.unused.since) >= lapse
}

func full() error {
	return fmt.Errorf("%w, %d: start this node with --observer (OBSERVER=true): it follows the log, serves reads and feeds data planes without a vote", ErrFull, settings.MaxVoters)
}

// transient says of etcd's errors whether they pass by themselves.
func transient(err error) error {
	switch {
	case errors.Is(err, rpctypes.ErrTooManyLearners):
		return fmt.Errorf("%w: one at a time", ErrBusy)
	case errors.Is(err, rpctypes.ErrMemberNotFound):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, rpctypes.ErrMemberLearnerNotReady):
		return ErrNotReady
	case errors.Is(err, rpctypes.ErrMemberNotLearner):
		return fmt.Errorf("%w: it votes already", ErrRole)
	case errors.Is(err, rpctypes.ErrPeerURLExist), errors.Is(err, rpctypes.ErrMemberExist):
		return fmt.Errorf("%w: %w", eventlog.ErrUnavailable, err) // of another attempt a moment ago
	}
	return fmt.Errorf("%w: %w", eventlog.ErrUnavailable, err)
}

// errUnregistered: the other members have formed or joined the cluster, and have
// not written down where their APIs are.
var errUnregistered = fmt.Errorf("no other member has registered the address of its API yet: %w", eventlog.ErrUnavailable)

// elsewhere passes a change on to another member: an observer's, or one that
// concerns this node itself. It asks again for changeTimeout as long as no
// member is known to have an API, right after a formation, or none can make the
// change now, as when leadership moves. In doubt is whether one that was asked
// made the change although it did not say so; the last answer may then be that
// there is nothing left to do.
func (m *Manager) elsewhere(ctx context.Context, method, path string, body, out any) (doubt bool, err error) {
	r, err := m.read(ctx, false)
	if err != nil {
		return false, err
	}
	asking, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	last := errUnregistered
	for pause := joinLeast; ; pause = min(2*pause, joinMost) {
		for _, e := range r.members {
			api := r.of(e).API
			if e.Learner || api == "" || api == m.o.Addresses.API {
				continue
			}
			if last = call(ctx, m.http, method, api, path, body, out); last == nil || !errors.Is(last, eventlog.ErrUnavailable) {
				return doubt, last
			}
			doubt = true
		}
		select {
		case <-asking.Done():
			return doubt, last
		case <-time.After(pause):
		}
		if next, err := m.read(asking, false); err == nil {
			r = next // else the list as it was: a node that is being removed may be cut off from it
		}
	}
}

// Enrol keeps this node's registration, and its Raft address in etcd's list, as
// they are now, trying until ctx ends or they stand. Of an observer its
// admission did.
func (m *Manager) Enrol(ctx context.Context) {
	if m.o.Server == nil {
		return
	}
	want := registration{NodeID: m.o.NodeID, MemberID: FormatID(m.o.Server.MemberID()), Addresses: m.o.Addresses, Level: eventlog.MaxLevel}
	for pause := joinLeast; ; pause = min(2*pause, joinMost) {
		err := m.moveTo(ctx, m.o.Addresses.Raft)
		var have map[string]registration
		if err == nil {
			have, err = m.registrations(ctx, false)
		}
		if err == nil {
			if old, ok := have[m.o.NodeID]; ok && old.Addresses == want.Addresses && old.MemberID == want.MemberID && old.Level == want.Level && !old.Observer {
				return
			}
			if err = m.register(ctx, want); err == nil {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// moveTo changes this member's Raft address in etcd's list, which keeps that of
// the first start otherwise.
func (m *Manager) moveTo(ctx context.Context, raft string) error {
	for _, e := range m.o.Server.Members() {
		if e.ID != m.o.Server.MemberID() || e.Peer == raft {
			continue
		}
		if _, err := m.o.Client.MemberUpdate(ctx, e.ID, []string{m.http.url(raft, "")}); err != nil {
			return transient(err)
		}
		m.o.Logger.Info("this node has another Raft address", zap.String("before", e.Peer), zap.String("now", raft))
	}
	return nil
}
