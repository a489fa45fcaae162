package cluster

import (
	"errors"
	"net/http"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/controller/etcdserver"
)

// TestAPromotionWhoseAnswerWasLost: an observer passes a promotion on. Who was a
// learner, and votes when the next member is asked, was promoted; who voted
// before, or whose promotion nobody doubts, was not promoted by this call.
func TestAPromotionWhoseAnswerWasLost(t *testing.T) {
	m, _ := loneMember(t)
	c := candidate(t, "node-2", "one")
	a, err := m.Add(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	members, err := parseMembers(a.InitialCluster)
	if err != nil {
		t.Fatal(err)
	}
	learner, err := etcdserver.Start(t.Context(), etcdserver.Config{
		Name: "node-2", DataDir: t.TempDir(), PeerListen: c.Raft, ClientListen: "127.0.0.1:0", Members: members, Join: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(learner.Close)
	if err := learner.WaitReady(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{m.o.Server.ClientAddr().String()}, DialTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	watcher := NewManager(Options{NodeID: "watcher", Client: client, ClusterID: FormatID(m.o.Server.ClusterID())})

	lost, votes := problem(http.StatusServiceUnavailable, "unavailable"), problem(http.StatusConflict, "role")
	asks := func(answers ...func(http.ResponseWriter, Candidate)) error {
		t.Helper()
		api, calls := memberAPI(t, answers...)
		if err := m.register(t.Context(), registration{NodeID: "node-1", MemberID: FormatID(m.o.Server.MemberID()), Addresses: Addresses{API: api}}); err != nil {
			t.Fatal(err)
		}
		err := watcher.Promote(within(t, patience), "node-2")
		if int(calls.Load()) != len(answers) {
			t.Errorf("%d calls, want %d", calls.Load(), len(answers))
		}
		return err
	}
	if err := asks(lost, votes); !errors.Is(err, ErrRole) {
		t.Errorf("still a learner: %v", err)
	}
	promotes := func(w http.ResponseWriter, c Candidate) {
		for m.Promote(t.Context(), "node-2") != nil { // until it has caught up
			if t.Context().Err() != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
		lost(w, c)
	}
	if err := asks(promotes, votes); err != nil {
		t.Errorf("promoted by the call whose answer was lost: %v", err)
	}
	if err := asks(lost, votes); !errors.Is(err, ErrRole) {
		t.Errorf("a voter before: %v", err)
	}
}
