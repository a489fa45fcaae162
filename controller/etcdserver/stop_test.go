package etcdserver

import (
	"sync"
	"testing"
	"time"

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
