package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"dvr/controller/certs"
	"dvr/controller/etcdserver"
	"dvr/controller/settings"
	"dvr/eventlog"
)

// Role of a node in its cluster.
type Role string

// Roles.
const (
	RoleVoter    Role = "voter"
	RoleLearner  Role = "learner"
	RoleObserver Role = "observer"
)

// Node is a node of the cluster as every node shows it.
type Node struct {
	NodeID   string `json:"node_id"`
	MemberID string `json:"member_id,omitempty"` // not of an observer
	Role     Role   `json:"role"`
	Leader   bool   `json:"leader"`
	Online   bool   `json:"online"`
	API      string `json:"api"`
	Raft     string `json:"raft"`
	FIB      string `json:"fib"`
	Client   string `json:"client"`
	Level    uint32 `json:"level,omitempty"` // the highest that it registered to support; 0: not known
	// Alarms are what somebody has to care for there, as it told the others.
	Alarms []Alarm `json:"alarms,omitempty"`
}

// Alarm is something at a node that somebody has to care for, and how.
type Alarm struct {
	Name   string `json:"alarm"`
	Detail string `json:"detail"`
	Do     string `json:"do"`
}

// View is the cluster as a node sees it.
type View struct {
	ClusterID string `json:"cluster_id"`
	Members   []Node `json:"members"`
	// Stale: there is no quorum, so the list may have changed elsewhere.
	Stale bool `json:"stale,omitempty"`
}

// Options of a Manager.
type Options struct {
	NodeID    string
	Addresses Addresses
	Client    *clientv3.Client
	Server    *etcdserver.Server // nil of an observer
	ClusterID string             // of an observer
	LogID     func() string
	Level     func() uint32             // of the log; nil: whoever joins is not asked for its own
	Alarms    func() map[string][]Alarm // of the nodes, by id; nil: not known
	Logger    *zap.Logger
	TLS       *certs.Credentials // of the nodes' Raft addresses and APIs; nil: clear text
	Now       func() time.Time   // nil: time.Now
}

// Manager lists and changes the members of the cluster. All methods are safe
// for concurrent use.
type Manager struct {
	o     Options
	probe *prober
	http  *httpClient
	// changing keeps the changes made through this node from judging the same
	// list twice; other nodes' are seen by the list itself.
	changing sync.Mutex
	unused   sighted // of changing: the learner that others wait for
}

// sighted is an entry of a node that has not started, and when it was seen first.
type sighted struct {
	member uint64
	since  time.Time
}

// NewManager makes a Manager. It holds no goroutine.
func NewManager(o Options) *Manager {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Manager{o: o, probe: newProber(o.TLS), http: newHTTPClient(joinTimeout, o.TLS)}
}

const (
	// listTimeout bounds the linearizable read of the list, after which what is
	// known here is shown.
	listTimeout = 2 * time.Second
	// changeTimeout bounds one change of etcd's member list.
	changeTimeout = 7 * time.Second
)

// errNoLeader: nothing can be changed at present.
var errNoLeader = fmt.Errorf("the cluster has no leader: %w", eventlog.ErrUnavailable)

// roster is the member list with what nodes registered beside it.
type roster struct {
	cluster   uint64
	members   []etcdserver.Member
	registers map[string]registration // by node id
	stale     bool
}

// read reads the list and the registrations linearizably; failing that, where
// local is set, what this node knows.
func (m *Manager) read(ctx context.Context, local bool) (roster, error) {
	r := roster{}
	if m.o.Server != nil {
		r.cluster = m.o.Server.ClusterID()
	}
	short, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	var err error
	if m.o.Server != nil && m.o.Server.LeaderID() == 0 {
		err = errNoLeader
	} else {
		var list *clientv3.MemberListResponse
		if list, err = m.o.Client.MemberList(short); err == nil {
			r.cluster = list.Header.GetClusterId()
			r.members = etcdserver.MembersOf(list.Members)
			r.registers, err = m.registrations(short, false)
		}
	}
	if err == nil {
		if m.o.ClusterID != "" && FormatID(r.cluster) != m.o.ClusterID {
			return r, fmt.Errorf("%w: this node is of %s, %016x answers", ErrForeign, m.o.ClusterID, r.cluster)
		}
		return r, nil
	}
	if !local || m.o.Server == nil {
		return r, unlisted(err)
	}
	r.stale, r.members = true, m.o.Server.Members()
	short, cancel = context.WithTimeout(ctx, listTimeout)
	defer cancel()
	if r.registers, err = m.registrations(short, true); err != nil {
		return r, unlisted(err)
	}
	return r, nil
}

// unlisted says that the list cannot be had now, once.
func unlisted(err error) error {
	if errors.Is(err, eventlog.ErrUnavailable) {
		return fmt.Errorf("list the members: %w", err)
	}
	return fmt.Errorf("list the members: %w: %w", eventlog.ErrUnavailable, err)
}

// Members is the cluster as it is: linearizable where there is a quorum, else
// what this node knows, marked stale. Cost: a quorum read, and for the state
// of other nodes one small call each, at most one a second. Errors:
// eventlog.ErrUnavailable, ErrForeign.
func (m *Manager) Members(ctx context.Context) (View, error) {
	r, err := m.read(ctx, true)
	if err != nil {
		return View{}, err
	}
	return m.view(ctx, &r, false), nil
}

// view completes a roster by who leads and who answers; with fresh set nothing
// remembered is used.
func (m *Manager) view(ctx context.Context, r *roster, fresh bool) View {
	v := View{ClusterID: FormatID(r.cluster), Stale: r.stale, Members: []Node{}}
	var lead uint64
	if m.o.Server != nil {
		lead = m.o.Server.LeaderID()
	} else {
		lead = m.remoteLeader(ctx)
	}
	for _, e := range r.members {
		n := Node{MemberID: FormatID(e.ID), Role: RoleVoter, Raft: e.Peer, Leader: e.ID == lead}
		if e.Learner {
			n.Role = RoleLearner
		}
		if len(e.Clients) > 0 {
			n.Client = e.Clients[0]
		}
		reg := r.of(e)
		n.NodeID, n.API, n.FIB, n.Level = reg.NodeID, reg.API, reg.FIB, reg.Level
		if n.Client == "" {
			n.Client = reg.Client
		}
		v.Members = append(v.Members, n)
	}
	for _, reg := range r.registers {
		if reg.Observer && !slices.ContainsFunc(v.Members, func(n Node) bool { return n.NodeID == reg.NodeID }) {
			v.Members = append(v.Members, Node{NodeID: reg.NodeID, Role: RoleObserver, API: reg.API, Raft: reg.Raft, FIB: reg.FIB, Client: reg.Client, Level: reg.Level})
		}
	}
	var questions []question
	for i := range v.Members {
		questions = append(questions, m.question(&v.Members[i], r.cluster))
	}
	for i, ok := range m.probe.ask(ctx, questions, fresh) {
		v.Members[i].Online = ok
	}
	if m.o.Alarms != nil {
		raised := m.o.Alarms()
		for i := range v.Members {
			v.Members[i].Alarms = raised[v.Members[i].NodeID]
		}
	}
	slices.SortFunc(v.Members, func(a, b Node) int { return strings.Compare(a.NodeID, b.NodeID) })
	return v
}

// question is what says that a node is online.
func (m *Manager) question(n *Node, cluster uint64) question {
	switch {
	case n.NodeID == m.o.NodeID:
		return question{}
	case n.Role == RoleObserver:
		return question{api: n.API}
	}
	return question{raft: n.Raft, cluster: cluster}
}

// remoteLeader asks the members, as an observer does.
func (m *Manager) remoteLeader(ctx context.Context) uint64 {
	for _, e := range m.o.Client.Endpoints() {
		short, cancel := context.WithTimeout(ctx, probeTimeout)
		r, err := m.o.Client.Maintenance.Status(short, e)
		cancel()
		if err == nil {
			return r.Leader
		}
	}
	return 0
}

// of is the registration of a member; where it has none, what the list says.
func (r *roster) of(e etcdserver.Member) registration {
	if reg, ok := r.registers[e.Name]; ok && e.Name != "" {
		return reg
	}
	for _, reg := range r.registers {
		if reg.MemberID == FormatID(e.ID) || e.Name == "" && reg.Raft == e.Peer && !reg.Observer {
			return reg
		}
	}
	name := e.Name
	if name == "" {
		name = FormatID(e.ID)
	}
	return registration{NodeID: name, Addresses: Addresses{Raft: e.Peer}}
}

// find looks a member up by node id or member id.
func (r *roster) find(node string) (etcdserver.Member, bool) {
	for _, e := range r.members {
		if r.of(e).NodeID == node || FormatID(e.ID) == node {
			return e, true
		}
	}
	return etcdserver.Member{}, false
}

// initialCluster is the list that an admitted node starts with.
func (r *roster) initialCluster() string {
	list := map[string]string{}
	for _, e := range r.members {
		list[r.of(e).NodeID] = e.Peer
	}
	return settings.FormatMembers(list)
}

// parseMembers reads what FormatMembers writes.
func parseMembers(v string) (map[string]string, error) {
	out := map[string]string{}
	for pair := range strings.SplitSeq(v, ",") {
		name, address, ok := strings.Cut(pair, "=")
		if !ok || name == "" || address == "" {
			return nil, fmt.Errorf("%q is not node-id=host:port", pair)
		}
		out[name] = address
	}
	return out, nil
}

// registration is what a node tells of itself beside etcd's member list. It
// outlives the node, so that others find it again.
type registration struct {
	NodeID   string `json:"node_id"`
	MemberID string `json:"member_id,omitempty"`
	Observer bool   `json:"observer,omitempty"`
	Addresses
	Attempt string `json:"attempt,omitempty"`
	Level   uint32 `json:"level,omitempty"` // the highest that it supports
}

const registerPrefix = "/dvr/members/"

func (m *Manager) registrations(ctx context.Context, serializable bool) (map[string]registration, error) {
	options := []clientv3.OpOption{clientv3.WithPrefix()}
	if serializable {
		options = append(options, clientv3.WithSerializable())
	}
	resp, err := m.o.Client.Get(ctx, registerPrefix, options...)
	if err != nil {
		return nil, err
	}
	out := map[string]registration{}
	for _, kv := range resp.Kvs {
		var r registration
		id := strings.TrimPrefix(string(kv.Key), registerPrefix)
		if json.Unmarshal(kv.Value, &r) != nil || r.NodeID != id {
			continue // foreign: nothing depends on it
		}
		out[id] = r
	}
	return out, nil
}

func (m *Manager) register(ctx context.Context, r registration) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if _, err := m.o.Client.Put(ctx, registerPrefix+r.NodeID, string(raw)); err != nil {
		return fmt.Errorf("register %s: %w: %w", r.NodeID, eventlog.ErrUnavailable, err)
	}
	return nil
}
