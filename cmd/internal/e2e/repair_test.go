package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/cmd/internal/testbed"
	"dvr/controller/etcdserver"
)

// besides runs the etcd of a stopped cluster without its nodes, and gives a client of it
// to change.
func besides(t *testing.T, nodes []*testbed.Node, change func(c *clientv3.Client)) {
	t.Helper()
	ctx := within(t, patience)
	servers := make([]*etcdserver.Server, len(nodes))
	errs := make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() {
			config := etcdserver.Config{Name: fmt.Sprintf("node-%d", i+1), DataDir: filepath.Join(n.Dir, "data"), PeerListen: n.Raft, ClientListen: n.Etcd}
			if servers[i], errs[i] = etcdserver.Start(ctx, config); errs[i] == nil {
				errs[i] = servers[i].WaitReady(ctx)
			}
		})
	}
	all.Wait()
	defer func() {
		for _, s := range servers {
			if s != nil {
				all.Go(s.Close)
			}
		}
		all.Wait()
	}()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	change(servers[0].Client())
}

func stopAll(t *testing.T, nodes []*testbed.Node) {
	t.Helper()
	var all sync.WaitGroup
	for _, n := range nodes {
		all.Go(func() {
			if err := n.Stop(30 * time.Second); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// TestRepairOfACluster: a cluster whose log has lost its head, with history too
// short to bring it back, stays unready and says what to do; done so, with
// ETCD_WRITABLE on all members, it goes on where it was.
func TestRepairOfACluster(t *testing.T) {
	nodes := members(t, 3)
	launch(t, nodes...)
	ready(t, nodes...)
	for i := range 5 {
		add(t, i, nodes...)
	}
	status := func(n *testbed.Node) (digest string, revision uint64) {
		t.Helper()
		a := must(t, n, http.StatusOK, http.MethodGet, "/v1/status?consistency=linearizable", "")
		digest, _ = a.body["digest"].(string)
		return digest, a.revision()
	}
	digest, revision := status(nodes[0])
	stopAll(t, nodes)
	if out, code := run(t, "log", "repair", "--data-dir", filepath.Join(nodes[1].Dir, "data")); code != 1 || !strings.Contains(out, "ETCD_WRITABLE=true") {
		t.Errorf("in one member's directory: exit %d: %s", code, out)
	}

	besides(t, nodes, func(c *clientv3.Client) {
		ctx := within(t, patience)
		r, err := c.Delete(ctx, "/dvr/log/head")
		if err == nil {
			_, err = c.Compact(ctx, r.Header.Revision, clientv3.WithCompactPhysical())
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	launch(t, nodes...)
	for _, n := range nodes {
		a := answers(t, n, http.StatusServiceUnavailable, "/readyz", "dvr log repair")
		if !strings.Contains(a.text, "head") {
			t.Errorf("unready: %s", a.text)
		}
	}
	if out, code := run(t, "log", "verify", "--etcd", nodes[2].Etcd); code != 1 || !strings.Contains(out, "/dvr/log/head") {
		t.Errorf("verify: exit %d: %s", code, out)
	}
	if out, code := run(t, "log", "repair", "--etcd", nodes[0].Etcd); code != 1 || !strings.Contains(out, "ETCD_WRITABLE") {
		t.Errorf("repair through a port that is not writable: exit %d: %s", code, out)
	}
	stopAll(t, nodes)

	usual := make([][]string, len(nodes))
	for i, n := range nodes {
		usual[i] = slices.Clone(n.Environment)
		n.Environment = append(n.Environment, "ETCD_WRITABLE=true")
	}
	launch(t, nodes...)
	answers(t, nodes[0], http.StatusServiceUnavailable, "/readyz", "dvr log repair")
	if out, code := run(t, "log", "repair", "--etcd", nodes[0].Etcd); code != 0 || !strings.Contains(out, fmt.Sprint(revision)) {
		t.Fatalf("repair: exit %d: %s", code, out)
	}
	ready(t, nodes...) // they look again by themselves
	stopAll(t, nodes)
	for i, n := range nodes {
		n.Environment = usual[i]
	}
	launch(t, nodes...)
	ready(t, nodes...)
	for _, n := range nodes {
		if d, r := status(n); d != digest || r != revision {
			t.Errorf("it came back at revision %d with %s, was %d with %s", r, d, revision, digest)
		}
	}
	add(t, 9, nodes...)
	if out, code := run(t, "log", "verify", "--etcd", nodes[1].Etcd); code != 0 || !strings.Contains(out, "The log is intact") {
		t.Errorf("verify: exit %d: %s", code, out)
	}
}

// answers waits for an answer with that code and text.
func answers(t *testing.T, n *testbed.Node, code int, path, says string) answer {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		var a answer
		if resp, err := http.Get("http://" + n.API + path); err == nil {
			resp.Body.Close()
			a = call(t, n, http.MethodGet, path, "")
		}
		if a.code == code && strings.Contains(a.text, says) {
			return a
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d %s; want %d and %q", path, a.code, a.text, code, says)
		}
		time.Sleep(20 * time.Millisecond) // polls another process
	}
}
