package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dvr/controller/cluster"
	"dvr/controller/porttest"
	"dvr/controller/stalltest"
)

// leaderOf is the seat that leads, as the first running one knows.
func leaderOf(t *testing.T, seats ...*seat) *seat {
	t.Helper()
	var leader *seat
	eventually(t, "a leader", func() bool {
		for _, s := range seats {
			if s.node != nil && s.node.etcd != nil && s.node.etcd.Leader() {
				leader = s
				return true
			}
		}
		return false
	})
	return leader
}

// others are the seats without s.
func others(s *seat, seats []*seat) []*seat {
	var out []*seat
	for _, o := range seats {
		if o != s {
			out = append(out, o)
		}
	}
	return out
}

func (s *seat) stop(t *testing.T) {
	t.Helper()
	if err := s.node.Close(); err != nil {
		t.Error(err)
	}
	s.node = nil
}

// refuses starts a seat that must refuse, and gives the error.
func (s *seat) refuses(t *testing.T, want error, more ...string) string {
	t.Helper()
	err := s.run(within(t, patience), t, more...)
	if !errors.Is(err, want) {
		t.Fatalf("%s with %q: %v, want %v\n%s", s.id, more, err, want, s.logs.String())
	}
	return err.Error()
}

// empty removes the data of a stopped node.
func (s *seat) empty(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
}

// TestRemovedMemberStaysStopped: a running member that is removed ends with a
// reason of its own, and does not start again on its data; the same for one
// that was offline when it was removed. Emptied, it joins as a new member.
func TestRemovedMemberStaysStopped(t *testing.T) {
	t.Parallel()
	seats := newSeats(t, 3)
	form(t, seats...)
	leader := leaderOf(t, seats...)
	removed := others(leader, seats)[0]
	stays := others(leader, seats)[1]
	remove(t, stays.node, removed.id)
	select {
	case err := <-removed.node.Failed():
		if !errors.Is(err, cluster.ErrRemoved) {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("a removed member runs on")
	}
	removed.stop(t)
	removed.refuses(t, cluster.ErrRemoved)
	removed.refuses(t, cluster.ErrRemoved, initialCluster(seats...))
	if code, body := led(t, stays.node, "DELETE", "/v1/cluster/members/"+removed.id, ""); code != 404 {
		t.Errorf("removed again: %d %s", code, body)
	}
	removed.empty(t)
	if err := removed.run(within(t, patience), t, "JOIN="+stays.api()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it votes again", func() bool { return roles(view(t, leader.node)) == "node-1:voter node-2:voter node-3:voter" })

	offline := stays
	offline.stop(t)
	remove(t, removed.node, offline.id)
	put(t, removed.node, 1)
	if text := offline.refuses(t, cluster.ErrRemoved); !strings.Contains(text, "JOIN=") {
		t.Errorf("it does not say what to do: %s", text)
	}
	offline.refuses(t, cluster.ErrRemoved) // by its marker
}

// TestRemovalThatWouldLoseQuorumIsRefused names what is missing; the only
// voter cannot be removed at all. A member that lost its data and formed a
// cluster of its own at the same address is away, whatever answers there.
func TestRemovalThatWouldLoseQuorumIsRefused(t *testing.T) {
	t.Parallel()
	seats := newSeats(t, 3)
	form(t, seats...)
	leader := leaderOf(t, seats...)
	rest := others(leader, seats)
	rest[0].stop(t)
	for _, target := range []*seat{leader, rest[1]} {
		if code, body := led(t, leader.node, "DELETE", "/v1/cluster/members/"+target.id, ""); code != 409 || !strings.Contains(body, "would-lose-quorum") {
			t.Errorf("removing %s with %s away: %d %s", target.id, rest[0].id, code, body)
		}
	}
	rest[0].empty(t)
	if err := rest[0].run(within(t, patience), t); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a stranger at the address of a member is not taken for it", func() bool {
		return !strings.Contains(roles(view(t, leader.node)), rest[0].id)
	})
	if code, body := led(t, leader.node, "DELETE", "/v1/cluster/members/"+rest[1].id, ""); code != 409 || !strings.Contains(body, "would-lose-quorum") {
		t.Errorf("removing %s with a stranger in the place of %s: %d %s", rest[1].id, rest[0].id, code, body)
	}
	put(t, leader.node, 1)
	remove(t, leader.node, rest[0].id)
	remove(t, leader.node, rest[1].id)
	put(t, leader.node, 2)
	if code, body := led(t, leader.node, "DELETE", "/v1/cluster/members/"+leader.id, ""); code != 409 {
		t.Errorf("removing the only voter: %d %s", code, body)
	}
}

// TestRemovingTheLeader: it hands leadership on, leaves, and writes go on.
func TestRemovingTheLeader(t *testing.T) {
	t.Parallel()
	seats := newSeats(t, 3)
	form(t, seats...)
	leader := leaderOf(t, seats...)
	rest := others(leader, seats)
	remove(t, leader.node, leader.id)
	put(t, rest[0].node, 1)
	if err := <-leader.node.Failed(); !errors.Is(err, cluster.ErrRemoved) {
		t.Error(err)
	}
	if v := view(t, rest[1].node); len(v.Members) != 2 {
		t.Errorf("%+v", v)
	}
}

// TestLostData: a member whose etcd data are gone refuses at once; with its
// whole DATA_DIR gone it waits, saying why, until it reaches a peer, and
// refuses then; removed and emptied it joins anew.
func TestLostData(t *testing.T) {
	t.Parallel()
	seats := newSeats(t, 3)
	form(t, seats...)
	put(t, seats[0].node, 1)
	leader := leaderOf(t, seats...)
	lost, stays := leader, others(leader, seats)
	list := initialCluster(seats...)
	id := view(t, lost.node).ClusterID
	lost.stop(t)
	if err := os.RemoveAll(filepath.Join(lost.dir, "etcd")); err != nil {
		t.Fatal(err)
	}
	for _, more := range [][]string{nil, {list}, {"JOIN=" + stays[0].api()}} {
		if text := lost.refuses(t, cluster.ErrDataLost, more...); !strings.Contains(text, "dvr cluster remove "+lost.id) {
			t.Errorf("it does not say what to do: %s", text)
		}
	}
	lost.empty(t)
	if text := lost.refuses(t, cluster.ErrDataLost, list, "CLUSTER_ID="+id); !strings.Contains(text, id) {
		t.Errorf("with CLUSTER_ID: %s", text)
	}
	if text := lost.refuses(t, cluster.ErrRefused, list); !strings.Contains(text, id) || !strings.Contains(text, "dvr cluster remove") {
		t.Errorf("with peers that answer: %s", text)
	}
	lost.empty(t)
	if text := lost.refuses(t, cluster.ErrRefused, "JOIN="+stays[0].api()); !strings.Contains(text, "dvr cluster remove "+lost.id) {
		t.Errorf("by JOIN: %s", text)
	}
	for _, s := range stays {
		s.stop(t)
	}
	lost.empty(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	logs := new(output)
	go func() {
		_, err := Start(ctx, load(t, append(append([]string(nil), lost.env...), list)...), Options{Logs: logs})
		ended <- err
	}()
	eventually(t, "it says what it waits for", func() bool { return strings.Contains(logs.String(), stays[0].id+" at ") })
	select {
	case err := <-ended:
		t.Fatalf("with no peer in reach it ended: %v", err)
	default:
	}
	var starting sync.WaitGroup
	for _, s := range stays {
		starting.Go(func() {
			if err := s.run(within(t, patience), t, list); err != nil {
				t.Error(err)
			}
		})
	}
	if err := <-ended; !errors.Is(err, cluster.ErrRefused) {
		t.Errorf("with a peer in reach: %v", err)
	}
	cancel()
	starting.Wait()
	remove(t, stays[0].node, lost.id)
	lost.empty(t)
	if err := lost.run(within(t, patience), t, "JOIN="+stays[0].api()); err != nil {
		t.Fatal(err)
	}
	if !has(t, lost.node, 1) {
		t.Error("the data did not come back")
	}
}

// TestRestartOfAllIsTheSameCluster, with or without the settings of its start.
func TestRestartOfAllIsTheSameCluster(t *testing.T) {
	t.Parallel()
	seats := newSeats(t, 3)
	form(t, seats...)
	put(t, seats[1].node, 1)
	id := view(t, seats[0].node).ClusterID
	for _, s := range seats {
		s.stop(t)
	}
	more := [][]string{{initialCluster(seats...)}, {"CLUSTER_ID=" + id}, nil}
	var starting sync.WaitGroup
	for i, s := range seats {
		starting.Go(func() {
			if err := s.run(within(t, patience), t, more[i]...); err != nil {
				t.Error(err)
			}
		})
	}
	starting.Wait()
	if t.Failed() {
		return
	}
	if v := view(t, seats[2].node); v.ClusterID != id || !has(t, seats[2].node, 1) {
		t.Errorf("%+v", v)
	}
}

// TestForeignCluster: data of one cluster and neighbours, settings or etcd data
// of another are told apart before anything is touched.
func TestForeignCluster(t *testing.T) {
	t.Parallel()
	a, b := newSeat(t, "node-1"), newSeat(t, "node-2")
	for _, s := range []*seat{a, b} {
		if err := s.run(within(t, patience), t); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(s.logs.String(), "made a new cluster") || !strings.Contains(s.logs.String(), "set JOIN=") {
			t.Errorf("a new cluster is not told:\n%s", s.logs.String())
		}
	}
	idA, idB := view(t, a.node).ClusterID, view(t, b.node).ClusterID
	if idA == idB {
		t.Fatal("two clusters have one id")
	}
	b.stop(t)
	for _, more := range [][]string{{"CLUSTER_ID=" + idA}, {"JOIN=" + a.api()}, {initialCluster(a, b)}} {
		if text := b.refuses(t, cluster.ErrForeign, more...); !strings.Contains(text, idA) || !strings.Contains(text, idB) {
			t.Errorf("%q: %s", more, text)
		}
	}
	a.stop(t)
	if err := os.RemoveAll(filepath.Join(b.dir, "etcd")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(b.dir, "etcd"), os.DirFS(filepath.Join(a.dir, "etcd"))); err != nil {
		t.Fatal(err)
	}
	if text := b.refuses(t, cluster.ErrForeign); !strings.Contains(text, idA) {
		t.Errorf("etcd data of another cluster: %s", text)
	}
	b.env[0] = "NODE_ID=node-7" // the directory of another node
	b.refuses(t, cluster.ErrRefused)
	// The other log under the same cluster id.
	id, err := cluster.LoadIdentity(a.dir)
	if err != nil {
		t.Fatal(err)
	}
	id.LogID = "00000000-0000-4000-8000-000000000000"
	if err := id.Save(a.dir); err != nil {
		t.Fatal(err)
	}
	if text := a.refuses(t, cluster.ErrForeign); !strings.Contains(text, id.LogID) {
		t.Errorf("another log: %s", text)
	}
}

// TestDataOfAnOlderVersion: a directory without an identity file gets one.
func TestDataOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	s := newSeat(t, "node-1")
	if err := s.run(within(t, patience), t); err != nil {
		t.Fatal(err)
	}
	put(t, s.node, 1)
	before := view(t, s.node)
	s.stop(t)
	if err := os.Remove(filepath.Join(s.dir, "identity.json")); err != nil {
		t.Fatal(err)
	}
	if err := s.run(within(t, patience), t); err != nil {
		t.Fatal(err)
	}
	if id, err := cluster.LoadIdentity(s.dir); err != nil || id == nil || id.State != cluster.Member || id.ClusterID != before.ClusterID || id.LogID == "" {
		t.Errorf("%+v %v", id, err)
	}
	if !has(t, s.node, 1) {
		t.Error("the route is gone")
	}
}

// TestMoveLeader: to a voter that is named, through any node; an ordinary stop
// of the leader hands leadership on, so that writes hardly wait.
func TestMoveLeader(t *testing.T) { // not beside the others: it looks at a time
	seats := newSeats(t, 3)
	form(t, seats...)
	leader := leaderOf(t, seats...)
	to, through := others(leader, seats)[0], others(leader, seats)[1]
	if code, body := led(t, through.node, "POST", "/v1/cluster/leader", `{"node_id":"`+to.id+`"}`); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	eventually(t, to.id+" leads", to.node.etcd.Leader)
	if code, body := led(t, through.node, "POST", "/v1/cluster/leader", `{"node_id":"nobody"}`); code != 404 {
		t.Errorf("%d %s", code, body)
	}
	// Writes through a member that stays, while the leader stops.
	put(t, through.node, 1)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		if err := to.node.Close(); err != nil {
			t.Error(err)
		}
	}()
	var longest time.Duration
	for i := 2; ; i++ {
		took := stalltest.Begin(t)
		for {
			code, body := call(t, through.node, "POST", "/routes", fmt.Sprintf(routeBody, i%250))
			if code == 201 {
				break
			}
			if code != http.StatusServiceUnavailable {
				t.Fatalf("%d %s", code, body)
			}
		}
		longest = max(longest, took())
		select {
		case <-stopped:
			if longest > 700*time.Millisecond { // an election takes a second at least
				t.Errorf("a write took %v while the leader stopped", longest)
			}
			return
		default:
		}
	}
}

// TestChangedRaftAddress: a member that starts with another one tells the
// others, so that new nodes find it.
func TestChangedRaftAddress(t *testing.T) {
	t.Parallel()
	a, b := newSeat(t, "node-1"), newSeat(t, "node-2")
	if err := a.run(within(t, patience), t); err != nil {
		t.Fatal(err)
	}
	before := a.raft
	a.stop(t)
	a.raft = porttest.Address(t)
	for i, e := range a.env {
		if e == "RAFT_ADDR="+before {
			a.env[i] = "RAFT_ADDR=" + a.raft
		}
	}
	if err := a.run(within(t, patience), t); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the list has the new address", func() bool { v := view(t, a.node); return v.Members[0].Raft == a.raft })
	if err := b.run(within(t, patience), t, "JOIN="+a.api()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both vote", func() bool { return roles(view(t, b.node)) == "node-1:voter node-2:voter" })
}
