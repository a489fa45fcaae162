package node

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"dvr/controller/etcdserver"
	"dvr/eventlog/etcdlog"
)

// externalEtcd is a member in this process that a node reaches over the network.
func externalEtcd(t *testing.T, dir, listen string) *etcdserver.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := etcdserver.Start(ctx, etcdserver.Config{
		Name: "external", DataDir: dir, PeerListen: "127.0.0.1:0", ClientListen: listen, Writable: true, Quota: 256 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

// silentEndpoint takes connections and never says a word.
func silentEndpoint(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// TestSilentEndpoint: one endpoint of an external etcd that answers nothing
// takes neither quorum nor what the others say of themselves.
func TestSilentEndpoint(t *testing.T) {
	t.Parallel()
	e := externalEtcd(t, t.TempDir(), "127.0.0.1:0")
	n, _, _ := start(t, append(environment(t, t.TempDir()), "ETCD_ENDPOINTS="+silentEndpoint(t)+","+e.ClientAddr().String()))
	if got := n.quota(t.Context()); got != 256<<20 {
		t.Errorf("quota %d, want that of the member that answers", got)
	}
	// A poll has 2 s, which a busy machine may take from it.
	eventually(t, "the other endpoint's quorum and member", func() bool {
		members := n.health.poll(t.Context())
		return len(members) == 1 && members[0].MemberID == e.MemberID() && n.health.quorum()
	})
}

func TestLeastQuota(t *testing.T) {
	for _, test := range []struct {
		quotas []int64
		want   int64
	}{
		{nil, foreignQuota},
		{[]int64{0}, foreignQuota},
		{[]int64{4 << 30, 0, 1 << 30, 8 << 30}, 1 << 30},
	} {
		var members []etcdlog.MemberStatus
		for _, q := range test.quotas {
			members = append(members, etcdlog.MemberStatus{Quota: q})
		}
		if got := leastQuota(members); got != test.want {
			t.Errorf("%v: %d, want %d", test.quotas, got, test.want)
		}
	}
}

// TestQuorumLostAndBack: the log says once that etcd went and once that it is
// back, and what is known of the store's size stays known meanwhile.
func TestQuorumLostAndBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := externalEtcd(t, dir, "127.0.0.1:0")
	address := e.ClientAddr().String()
	n, _, logs := start(t, append(environment(t, t.TempDir()), "ETCD_ENDPOINTS="+address))
	deadline := time.Now().Add(patience)
	for n.health.Status().DBSize == 0 {
		if time.Now().After(deadline) {
			t.Fatal("the store's size is not known")
		}
		time.Sleep(time.Millisecond) // the poll has no signal
	}
	wait := func(line string) {
		t.Helper()
		for strings.Count(logs.String(), line) != 1 {
			if time.Now().After(deadline) {
				t.Fatalf("%q is not once in\n%s", line, logs.String())
			}
			time.Sleep(time.Millisecond) // the log has no signal
		}
	}
	e.Close()
	wait("no quorum: changes are refused")
	if s := n.health.Status(); s.Quorum || s.Leader != "" || s.DBSize == 0 || s.Quota != 256<<20 || s.Client != address {
		t.Errorf("without etcd: %+v", s)
	}
	externalEtcd(t, dir, address)
	wait("there is a quorum again")
	if s := n.health.Status(); !s.Quorum || s.Leader != address {
		t.Errorf("with etcd again: %+v", s)
	}
	if strings.Contains(logs.String(), "retrying of unary invoker failed") {
		t.Errorf("every failed attempt is in the log:\n%s", logs.String())
	}
}
