package node

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"dvr/controller/certs"
	"dvr/controller/certs/certstest"
	"dvr/controller/etcdserver"
	"dvr/controller/settings"
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

// TestExternalEtcdInTLS: a node's log is in an etcd that it trusts and that asks
// for its certificate; one that it does not trust, or that does not know it, holds
// nothing, and says why.
func TestExternalEtcdInTLS(t *testing.T) {
	t.Parallel()
	ca, other := certstest.New(t), certstest.New(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	e, err := etcdserver.Start(ctx, etcdserver.Config{
		Name: "external", DataDir: t.TempDir(), PeerListen: "127.0.0.1:0", ClientListen: "127.0.0.1:0", Writable: true, Quota: 256 << 20, TLS: ca.Load(certs.Node, "external"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	if err := e.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	endpoint := "ETCD_ENDPOINTS=https://" + e.ClientAddr().String()
	own, theirs := ca.Make(certs.Node, "node-1"), other.Make(certs.Node, "node-1")
	n, _, _ := start(t, append(environment(t, t.TempDir()), endpoint, "ETCD_CA_FILE="+own.CA, "ETCD_CERT_FILE="+own.Cert, "ETCD_KEY_FILE="+own.Key))
	if code, body := call(t, n, "POST", "/routes", aRoute); code != 201 {
		t.Errorf("a change: %d %s", code, body)
	}
	if code, body := call(t, n, "GET", "/v1/status", ""); code != 200 || !strings.Contains(body, "https://"+e.ClientAddr().String()) {
		t.Errorf("status: %d %s", code, body)
	}
	for what, f := range map[string]certs.Files{
		"an etcd of another authority": {CA: theirs.CA, Cert: own.Cert, Key: own.Key}, "a certificate of another authority": {CA: own.CA, Cert: theirs.Cert, Key: theirs.Key},
		"no certificate": {CA: own.CA}, "the system's authorities": {},
	} {
		c, err := dialExternal(&settings.Settings{EtcdEndpoints: []string{"https://" + e.ClientAddr().String()}, EtcdTLS: f}, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		if r, err := c.Get(short, "/dvr/log/head"); err == nil {
			t.Errorf("%s: %+v", what, r)
		}
		cancel()
		_ = c.Close()
	}
	plain, err := dialExternal(&settings.Settings{EtcdEndpoints: []string{e.ClientAddr().String()}}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	short, cancel2 := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel2()
	if r, err := plain.Get(short, "/dvr/log/head"); err == nil {
		t.Errorf("in clear text: %+v", r)
	}
	if err := Check(&settings.Settings{EtcdEndpoints: []string{"https://127.0.0.1:1"}, EtcdTLS: certs.Files{CA: "/nowhere"}}); err == nil || !strings.Contains(err.Error(), "ETCD_CA_FILE") {
		t.Errorf("a file that is not there: %v", err)
	}
}
