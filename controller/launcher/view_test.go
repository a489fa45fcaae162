package launcher

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLeader(t *testing.T) {
	now := time.Now()
	claim := func(age time.Duration) observation {
		return observation{online: true, quorum: true, claims: now.Add(-age)}
	}
	for _, test := range []struct {
		name     string
		observed map[string]observation
		want     string
	}{
		{"nothing is known", nil, ""},
		{"nobody says so", map[string]observation{"node1": {online: true}, "node2": {online: true}}, ""},
		{"one does", map[string]observation{"node1": {online: true}, "node2": claim(time.Second)}, "node2"},
		{"the old one has not noticed", map[string]observation{"node1": claim(time.Hour), "node2": claim(time.Second)}, "node2"},
		{"it is gone", map[string]observation{"node1": claim(time.Hour), "node2": {claims: now}}, "node1"},
	} {
		v := &view{configuration: sample(), observed: test.observed}
		if got := v.leader(); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestCandidates(t *testing.T) {
	now := time.Now()
	v := &view{configuration: sample(), observed: map[string]observation{
		"node1": {online: true, quorum: true}, "node2": {}, "node3": {online: true, quorum: true, claims: now}, "node4": {online: true, quorum: true},
	}}
	for id, want := range map[string][]int{
		"node2": {9020, 9000, 9030}, // the leader first, the offline one never
		"node3": {9000, 9030, 9020}, // the node itself last, leader or not
		"node4": {9020, 9000, 9030},
	} {
		if d := cmp.Diff(want, v.candidates(id)); d != "" {
			t.Errorf("%s: %s", id, d)
		}
	}
}

func TestStatus(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	told := membership{ClusterID: "c1", Members: []Member{{NodeID: "node1", Role: "voter"}, {NodeID: "node2", Role: "learner"}, {NodeID: "node3", Role: "observer"}}}
	online := func(revision uint64, raft string) observation {
		o := observation{online: true, quorum: true, told: true, membership: told, health: health{RaftState: raft, Revision: revision}}
		if raft == "Leader" {
			o.claims = now
		}
		return o
	}
	c := sample()
	leaving := c.Nodes["node4"]
	leaving.Leaving = true
	c.Nodes["node4"] = leaving
	v := &view{c, map[string]observation{"node1": online(9, "Leader"), "node2": online(7, "Follower"), "node3": {problem: "does not answer"}}, map[string]string{"node1": "in sync", "node2": "stale: not this log", "node3": "in sync"}}
	base := func(id string, i int) NodeStatus {
		p := c.slot(i)
		return NodeStatus{ID: id, APIPort: p.API, Since: &now, Addresses: Addresses{loopback(p.API), loopback(p.FIB), loopback(p.Raft), loopback(p.Client)}}
	}
	for _, test := range []struct {
		id    string
		i     int
		node  supervised
		plane *supervised
		want  func(*NodeStatus)
	}{
		{"node1", 0, supervised{State: stateRunning, PID: 5, Since: now, Restarts: 2, LastError: "ended with status 1"}, &supervised{State: stateRunning, PID: 6, Since: now}, func(s *NodeStatus) {
			s.IsLeader, s.Status, s.State, s.Role, s.RaftState, s.Quorum, s.Revision, s.PID, s.Restarts = true, "online", "running", "voter", "Leader", true, 9, 5, 2
			s.LastError = "ended with status 1" // what was last, though it runs
			s.DataPlane = &PlaneStatus{State: "running", Status: "in sync", PID: 6, Since: &now, Listen: "127.0.0.1:9200"}
		}},
		{"node2", 1, supervised{State: stateRunning, PID: 7, Since: now, Adopted: true}, &supervised{State: stateRunning, PID: 10, Since: now, LastError: "was ended by SIGKILL"}, func(s *NodeStatus) {
			s.DataPlane = &PlaneStatus{State: "running", Status: "stale", PID: 10, Since: &now, Listen: "127.0.0.1:9210", LastError: "not this log"}

			s.Status, s.State, s.Role, s.RaftState, s.Quorum, s.Revision, s.Lag, s.PID, s.Adopted, s.Joining = "online", "running", "learner", "Follower", true, 7, 2, 7, true, true
		}},
		{"node3", 2, supervised{State: stateRunning, PID: 8, Since: now}, nil, func(s *NodeStatus) {
			s.Status, s.State, s.Role, s.PID, s.LastError = "offline", "starting", "observer", 8, "does not answer"
		}},
		{"node3", 2, supervised{Since: now}, nil, func(s *NodeStatus) { s.Status, s.State, s.Role = "offline", "starting", "observer" }},
		{"node3", 2, supervised{State: stateStopped, Since: now}, &supervised{State: stateWaiting, Since: now, LastError: "ended with status 1"}, func(s *NodeStatus) {
			s.Status, s.State, s.Role = "offline", "stopped", "observer"
			s.DataPlane = &PlaneStatus{State: "waiting", Since: &now, Listen: "127.0.0.1:9220", LastError: "ended with status 1"}
		}},
		{"node4", 3, supervised{State: stateStopping, PID: 9, Since: now}, nil, func(s *NodeStatus) { s.Status, s.State, s.PID = "offline", "leaving", 9 }},
	} {
		want := base(test.id, test.i)
		test.want(&want)
		if d := cmp.Diff(want, v.status(test.id, &test.node, test.plane)); d != "" {
			t.Errorf("%s: %s", test.id, d)
		}
	}
	// Whom the operator stopped does not start when a launcher does.
	stopped := c.Nodes["node3"]
	stopped.Stopped = true
	c.Nodes["node3"] = stopped
	if s := v.status("node3", &supervised{}, nil); s.State != "stopped" {
		t.Errorf("stopped by the operator, shown as %s", s.State)
	}
}
