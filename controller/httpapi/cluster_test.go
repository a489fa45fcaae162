package httpapi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"dvr/controller/cluster"
	"dvr/eventlog"
)

// fakeCluster is a Cluster that remembers what it was asked and fails as told.
type fakeCluster struct {
	view  cluster.View
	err   error
	asked []string
}

func (f *fakeCluster) note(format string, args ...any) error {
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
	return f.err
}

func (f *fakeCluster) Members(context.Context) (cluster.View, error) {
	return f.view, f.note("members")
}

func (f *fakeCluster) Add(_ context.Context, c cluster.Candidate) (cluster.Admission, error) {
	return cluster.Admission{ClusterID: "00000000000000c1", MemberID: "00000000000000d1", LogID: testLog, InitialCluster: "node-1=a:1,node-4=b:2"}, f.note("add %+v", c)
}

func (f *fakeCluster) Remove(_ context.Context, node string) error { return f.note("remove %s", node) }
func (f *fakeCluster) Promote(_ context.Context, node string) error {
	return f.note("promote %s", node)
}
func (f *fakeCluster) MoveLeader(_ context.Context, node string) error {
	return f.note("lead %s", node)
}

// TestMembersShape holds the contract with the launcher and joining nodes.
func TestMembersShape(t *testing.T) {
	a := newAPI(t)
	a.nodes.view = cluster.View{ClusterID: "00000000000000c1", Members: []cluster.Node{
		{NodeID: "node-1", MemberID: "00000000000000d1", Role: cluster.RoleVoter, Leader: true, Online: true, API: "127.0.0.1:9091", Raft: "127.0.0.1:8301", FIB: "127.0.0.1:9191", Client: "127.0.0.1:2380", Alarms: []Alarm{{Name: AlarmDiskFull, Detail: "3 MiB are free", Do: "free some"}}},
		{NodeID: "node-9", Role: cluster.RoleObserver, API: "127.0.0.1:9099"},
	}}
	r := a.must("GET", "/v1/cluster/members", "")
	const want = `{"cluster_id":"00000000000000c1","members":[` +
		`{"node_id":"node-1","member_id":"00000000000000d1","role":"voter","leader":true,"online":true,"api":"127.0.0.1:9091","raft":"127.0.0.1:8301","fib":"127.0.0.1:9191","client":"127.0.0.1:2380","alarms":[{"alarm":"disk_full","detail":"3 MiB are free","do":"free some"}]},` +
		`{"node_id":"node-9","role":"observer","leader":false,"online":false,"api":"127.0.0.1:9099","raft":"","fib":"","client":""}],"revision":1}` + "\n"
	if r.Body != want || r.Header.Get("DVR-Stale") != "" {
		t.Errorf("got  %s\nwant %s", r.Body, want)
	}
	a.nodes.view.Stale = true
	if r := a.must("GET", "/v1/cluster/members", ""); r.Header.Get("DVR-Stale") != "true" || r.json(t)["stale"] != true {
		t.Errorf("without a quorum: %v %s", r.Header, r.Body)
	}
}

func TestClusterChanges(t *testing.T) {
	a := newAPI(t)
	for _, c := range []struct{ method, target, body, asked, answer string }{
		{"POST", "/v1/cluster/members", `{"node_id":"node-4","raft":"b:2","api":"b:3","fib":"b:4","client":"b:5","observer":true,"attempt":"x"}`,
			"add {NodeID:node-4 Raft:b:2 API:b:3 FIB:b:4 Client:b:5 Observer:true Attempt:x Level:0}", `"initial_cluster":"node-1=a:1,node-4=b:2"`},
		{"DELETE", "/v1/cluster/members/node-4", "", "remove node-4", `{"node_id":"node-4","status":"member removed","revision":1}`},
		{"POST", "/v1/cluster/members/node-4/promote", "", "promote node-4", `"status":"member promoted"`},
		{"POST", "/v1/cluster/leader", `{"node_id":"node-2"}`, "lead node-2", `"status":"leader moved"`},
	} {
		a.nodes.asked, a.nodes.err = nil, nil
		r := a.must(c.method, c.target, c.body)
		if len(a.nodes.asked) != 1 || a.nodes.asked[0] != c.asked || !strings.Contains(r.Body, c.answer) {
			t.Errorf("%s %s asked %q and answered %s", c.method, c.target, a.nodes.asked, r.Body)
		}
		for _, e := range []struct {
			err  error
			code int
			slug string
		}{
			{cluster.ErrNotFound, 404, "no-such-member"}, {cluster.ErrQuorum, 409, "would-lose-quorum"}, {cluster.ErrFull, 409, "too-many-voters"},
			{cluster.ErrExists, 409, "member-exists"}, {cluster.ErrRole, 409, "role"}, {cluster.ErrLevel, 409, "below-level"}, {cluster.ErrNotReady, 503, "not-ready"},
			{cluster.ErrBusy, 503, "joining"}, {eventlog.ErrUnavailable, 503, "unavailable"}, {errors.New("other"), 500, "internal"},
		} {
			a.nodes.err = fmt.Errorf("about a member: %w", e.err)
			r := a.do(c.method, c.target, c.body)
			if r.Code != e.code || r.json(t)["type"] != "/problems/"+e.slug {
				t.Errorf("%s %s with %v: %d %s", c.method, c.target, e.err, r.Code, r.Body)
			}
			if slug := cluster.Slug(e.err); slug != "" && slug != e.slug {
				t.Errorf("%v is read back as %s", e.err, slug)
			}
		}
	}
	a.nodes.asked = nil
	for _, bad := range []struct{ method, target, body, field string }{
		{"POST", "/v1/cluster/members", `{"node_id":"n","rafts":"x"}`, "rafts"},
		{"POST", "/v1/cluster/leader", `{}`, "node_id"},
		{"POST", "/v1/cluster/leader", `{"node_id":"a","node_id":"b"}`, "node_id"},
	} {
		if r := a.do(bad.method, bad.target, bad.body); r.Code != 400 || r.json(t)["field"] != bad.field {
			t.Errorf("%s %s %s: %d %s", bad.method, bad.target, bad.body, r.Code, r.Body)
		}
	}
	if len(a.nodes.asked) != 0 {
		t.Errorf("bad input reached the cluster: %q", a.nodes.asked)
	}
}

// TestExternalEtcdHasNoMembersHere: nothing pretends to be able to change them.
func TestExternalEtcdHasNoMembersHere(t *testing.T) {
	a := newAPI(t)
	a.server.cluster = nil
	if r := a.do("GET", "/v1/cluster/members", ""); r.Code != 409 || !strings.Contains(r.Body, "etcdctl") {
		t.Errorf("%d %s", r.Code, r.Body)
	}
}
