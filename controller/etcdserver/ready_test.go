package etcdserver

import (
	"context"
	"errors"
	"testing"
	"time"

	"dvr/controller/porttest"
)

// TestReadyWithoutPublication: a member whose publication is lost is ready when
// it reads through its quorum, and not before.
func TestReadyWithoutPublication(t *testing.T) {
	ctx := testContext(t)
	s := start(t, loneConfig(t))
	lost := &Server{etcd: s.etcd, client: s.client, done: s.done, published: make(chan struct{})}
	if err := lost.WaitReady(ctx); err != nil {
		t.Error(err)
	}

	members := map[string]string{"n1": porttest.Address(t), "n2": porttest.Address(t), "n3": porttest.Address(t)}
	alone, err := Start(ctx, Config{Name: "n1", DataDir: t.TempDir(), PeerListen: members["n1"], ClientListen: "127.0.0.1:0", Members: members})
	if err != nil {
		t.Fatal(err)
	}
	defer alone.Close()
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if err := alone.WaitReady(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one of three is ready: %v", err)
	}
	go alone.Close()
	if err := alone.WaitReady(ctx); err == nil {
		t.Error("a closed member is ready")
	}
}

// TestReadySoonAfterASnapshot: a member that joins through a snapshot of the
// leader's that holds its publication is ready before etcd, which does not
// notice, publishes it again after 7 s.
func TestReadySoonAfterASnapshot(t *testing.T) {
	ctx := testContext(t)
	address := porttest.Address(t)
	first := start(t, Config{Name: "n1", DataDir: t.TempDir(), PeerListen: address, ClientListen: "127.0.0.1:0", Members: map[string]string{"n1": address}})
	for range snapshotCount + catchUpEntries + 200 { // what a new member needs is no longer in the raft log
		if _, err := first.Client().Put(ctx, "k", "v"); err != nil {
			t.Fatal(err)
		}
	}
	raft := porttest.Address(t)
	if _, err := first.Client().MemberAddAsLearner(ctx, []string{"http://" + raft}); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	s, err := Start(ctx, Config{Name: "n2", DataDir: t.TempDir(), PeerListen: raft, ClientListen: "127.0.0.1:0", Members: map[string]string{"n1": address, "n2": raft}, Join: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begun)
	if got, err := s.Client().Get(ctx, "k"); err != nil || len(got.Kvs) != 1 || got.Kvs[0].Version != snapshotCount+catchUpEntries+200 {
		t.Errorf("a member that is ready reads %v, %v", got, err)
	}
	select {
	case <-s.Ready():
	default:
		t.Log("its publication was lost")
	}
	if took > 5*time.Second {
		t.Errorf("ready after %v", took)
	}
}
