package e2e

import (
	"os"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdmain"

	"dvr/cmd/internal/testbed"
	"dvr/controller/etcdserver"
)

// etcdVerb makes this test binary an etcd server with the arguments after it:
// etcd's own program, so that an external etcd is what an operator would run.
const etcdVerb = "etcd"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == etcdVerb {
		etcdmain.Main(os.Args[1:])
		return
	}
	os.Exit(m.Run())
}

// stressTime is how long the tests that DVR_STRESS makes long go on at least; false
// where they run in their short form.
func stressTime(t testing.TB) (time.Duration, bool) {
	t.Helper()
	v := os.Getenv("DVR_STRESS")
	if v == "" {
		return 0, false
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		t.Fatalf("DVR_STRESS: %v", err)
	}
	return d, true
}

// store is where a test keeps its logs.
type store struct{ external bool }

// onStores runs the test with the log in etcds embedded in the node (or in this
// process, which then uses them as a node does) and in etcd servers of their own.
func onStores(t *testing.T, test func(t *testing.T, s store)) {
	t.Run("embedded", func(t *testing.T) { test(t, store{}) })
	t.Run("external", func(t *testing.T) { test(t, store{external: true}) })
}

// node runs a node on the store that is ready; etcd is nil where it is embedded.
func (s store) node(t testing.TB) (*testbed.Node, *testbed.Etcd) {
	t.Helper()
	if !s.external {
		return startNode(t, scratch(t)), nil
	}
	dir := scratch(t)
	e := startEtcd(t, dir)
	return startNodeOn(t, e, dir), e
}

// etcd is an empty one: where it can be read, a client as a node's, and the
// process, nil where it is this one.
func (s store) etcd(t *testing.T) (endpoint string, c *clientv3.Client, e *testbed.Etcd) {
	t.Helper()
	if s.external {
		e = startEtcd(t, scratch(t))
		return e.Client, etcdClient(t, e.Client), e
	}
	ctx := within(t, patience)
	server, err := etcdserver.Start(ctx, etcdserver.Config{Name: "n", DataDir: t.TempDir(), PeerListen: "127.0.0.1:0", ClientListen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	if err := server.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	return server.ClientAddr().String(), server.Client(), nil
}

// startEtcd runs an etcd server that is ready, with its data in dir.
func startEtcd(t testing.TB, dir string) *testbed.Etcd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	e, err := testbed.NewEtcd(dir, self, etcdVerb)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Kill()
		if t.Failed() {
			t.Logf("etcd's log:\n%s", e.Log())
		}
	})
	if err := e.Ready(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	return e
}

// startNodeOn runs a node with its log in e.
func startNodeOn(t testing.TB, e *testbed.Etcd, dir string) *testbed.Node {
	t.Helper()
	n, err := testbed.NewNode(dir)
	orSkip(t, err)
	n.Use(e)
	return runNode(t, n)
}
