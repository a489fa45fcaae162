package etcdserver

import (
	"context"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/controller/porttest"
	"dvr/controller/stalltest"
)

// threeMembers forms a cluster in this process.
func threeMembers(t *testing.T) []*Server {
	t.Helper()
	ctx, members := testContext(t), map[string]string{}
	names := []string{"n1", "n2", "n3"}
	for _, n := range names {
		members[n] = porttest.Address(t)
	}
	var out []*Server
	for _, n := range names {
		s, err := Start(ctx, Config{Name: n, DataDir: t.TempDir(), PeerListen: members[n], ClientListen: "127.0.0.1:0", Members: members})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		out = append(out, s)
	}
	for _, s := range out {
		if err := s.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// stopsTogether is what a stop of them may cost on a loaded machine: etcd's own
// search for a successor, which it stands against, takes 7 s.
const stopsTogether = 4 * time.Second

// TestMembersThatStopTogether: nobody waits for a successor that stops as well.
func TestMembersThatStopTogether(t *testing.T) {
	servers := threeMembers(t)
	took := stalltest.Begin(t)
	var all sync.WaitGroup
	for _, s := range servers {
		all.Go(func() {
			_ = s.HandOver() // fails where the others were faster
			s.Close()
		})
	}
	all.Wait()
	if d := took(); d > stopsTogether {
		t.Errorf("took %v", d)
	}
}

// TestLeaderThatStopsLast: without followers that answer, the leader ends at once too.
func TestLeaderThatStopsLast(t *testing.T) {
	servers := threeMembers(t)
	var leader *Server
	for leader == nil {
		for _, s := range servers {
			if s.Leader() {
				leader = s
			}
		}
	}
	for _, s := range servers {
		if s != leader {
			s.Close()
		}
	}
	took := stalltest.Begin(t)
	err := leader.HandOver()
	if d := took(); d > 2*handOverLimit || err == nil && leader.Leader() {
		t.Errorf("handing over to nobody took %v: %v", d, err)
	}
	took = stalltest.Begin(t)
	leader.Close()
	if d := took(); d > stopsTogether {
		t.Errorf("took %v", d)
	}
}

// TestCallsWhileItStops: calls from outside that read the database are waited for
// before it is closed (one that is not panics, on a machine that is loaded well),
// and neither they nor a watch hold the end up.
func TestCallsWhileItStops(t *testing.T) {
	ctx, cancel := context.WithCancel(testContext(t))
	s := start(t, loneConfig(t))
	watch := dial(t, s).Watch(ctx, "/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	if r := <-watch; !r.Created {
		t.Fatalf("the watch began with %+v", r)
	}
	var callers sync.WaitGroup
	var first sync.WaitGroup
	c := pb.NewMaintenanceClient(dial(t, s).ActiveConnection())
	for range 256 {
		first.Add(1)
		callers.Go(func() {
			answered := sync.OnceFunc(first.Done)
			defer answered()
			for {
				if _, err := c.Status(ctx, &pb.StatusRequest{}); err != nil {
					return
				}
				answered()
			}
		})
	}
	first.Wait()
	took := stalltest.Begin(t)
	s.Close()
	if d := took(); d > stopsTogether {
		t.Errorf("took %v", d)
	}
	cancel()
	callers.Wait()
}
