package launcher

import (
	"slices"
	"time"
)

// NodeStatus is a node as GET /api/control/nodes tells it. The first four
// members are the seed's.
type NodeStatus struct {
	APIPort  int    `json:"api_port"`
	ID       string `json:"id"`
	IsLeader bool   `json:"is_leader"`
	Status   string `json:"status"` // online, offline
	// State of the process: starting, running, stopping, stopped, waiting (for
	// the next start after a failure), leaving.
	State     string `json:"state"`
	Role      string `json:"role,omitempty"`       // voter, learner, observer
	RaftState string `json:"raft_state,omitempty"` // as the node says
	// Joining: it was asked to join, and is not a full member yet.
	Joining  bool   `json:"joining"`
	Quorum   bool   `json:"quorum"`
	Revision uint64 `json:"revision"`
	Lag      uint64 `json:"lag"` // revisions behind the most advanced node
	PID      int    `json:"pid,omitempty"`
	// Since when the state is.
	Since     *time.Time   `json:"since,omitempty"`
	Restarts  int          `json:"restarts"` // after failures, under this launcher
	Adopted   bool         `json:"adopted"`  // started by an earlier launcher
	Addresses Addresses    `json:"addresses"`
	DataPlane *PlaneStatus `json:"data_plane,omitempty"`
	LastError string       `json:"last_error,omitempty"`
}

// Addresses of a node.
type Addresses struct {
	API  string `json:"api"`
	FIB  string `json:"fib"`
	Raft string `json:"raft"`
	Etcd string `json:"etcd"`
}

// PlaneStatus is a data plane's process.
type PlaneStatus struct {
	State string `json:"state"`
	// Status is what it says of itself: in sync, empty, or stale, and then
	// LastError says why.
	Status    string     `json:"status,omitempty"`
	PID       int        `json:"pid,omitempty"`
	Since     *time.Time `json:"since,omitempty"`
	Restarts  int        `json:"restarts"`
	Listen    string     `json:"listen"`
	LastError string     `json:"last_error,omitempty"`
}

func utc(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

// status of one node in the view.
func (v *view) status(id string, node, plane *supervised) NodeStatus {
	n, o := v.configuration.Nodes[id], v.observed[id]
	s := NodeStatus{
		APIPort: n.Ports.API, ID: id, IsLeader: v.leader() == id, Status: "offline", State: node.State,
		PID: node.PID, Since: utc(node.Since), Restarts: node.Restarts, Adopted: node.Adopted, LastError: node.LastError,
		Addresses: Addresses{API: loopback(n.Ports.API), FIB: loopback(n.Ports.FIB), Raft: loopback(n.Ports.Raft), Etcd: loopback(n.Ports.Client)},
		Joining:   !n.Joined && !slices.Contains(v.configuration.Founders, id),
	}
	if m, _, ok := v.membership(); ok {
		member, _ := m.of(id)
		s.Role = member.Role
		s.Joining = s.Joining || member.Role == "learner"
	}
	if o.online {
		s.Status, s.RaftState, s.Quorum, s.Revision = "online", o.health.RaftState, o.quorum, o.health.Revision
		s.Lag = v.head() - o.health.Revision
	}
	switch {
	case n.Leaving:
		s.State = "leaving"
	case s.State == "" && n.Stopped:
		s.State = stateStopped
	case s.State == "" || s.State == stateRunning && !o.online:
		s.State = "starting"
	}
	if node.State == stateRunning && !o.online && o.problem != "" && s.LastError == "" {
		s.LastError = o.problem
	}
	if plane != nil {
		s.DataPlane = planeStatus(plane, loopback(n.Ports.DataPlane), v.planes[id])
	}
	return s
}
