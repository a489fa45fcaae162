package e2e

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dvr/controller/stalltest"
)

// TestEtcdAway: while an external etcd is away the node serves what it has and
// says so, refuses changes at once, and data planes forward; when etcd is back,
// changes go on. (TestStressKill starts nodes while it is away.)
func TestEtcdAway(t *testing.T) {
	n, e := store{external: true}.node(t)
	p := startPlane(t, n, "r1")
	const route = `{"destination":"10.1.0.0/16","next_hop":"192.168.1.1","metric":100}`
	must(t, n, http.StatusCreated, http.MethodPost, "/routes?wait=installed&timeout=60s", route)
	if out, code := run(t, "--endpoint", n.API, "log", "verify"); code != 0 || !strings.Contains(out, "revisions 1 to 2") {
		t.Errorf("the node does not lead to its log: exit %d: %s", code, out)
	}
	ctx := within(t, patience)
	e.Kill()
	for call(t, n, http.MethodGet, "/health", "").code == http.StatusOK { // learns it by a poll every 2 s
		if ctx.Err() != nil {
			t.Fatal("the node is healthy without its etcd")
		}
	}
	own := stalltest.Begin(t)
	refused := must(t, n, http.StatusServiceUnavailable, http.MethodPost, "/routes?timeout=60s", route)
	if took := own(); took > 10*time.Second || refused.header.Get("Retry-After") == "" {
		t.Errorf("refused after %v with %v", took, refused.header)
	}
	read := must(t, n, http.StatusOK, http.MethodGet, "/routes", "")
	if read.body["stale"] != true || read.header.Get("DVR-Stale") != "true" || !strings.Contains(read.text, "10.1.0.0/16") {
		t.Errorf("read while etcd is away: %v %s", read.header, read.text)
	}
	if got, err := p.lookup(ctx, netip.MustParseAddr("10.1.2.3")); err != nil || got.via() != "192.168.1.1" {
		t.Errorf("lookup while etcd is away: %v %v", got, err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	must(t, n, http.StatusOK, http.MethodDelete, "/routes/10.1.0.0/16?wait=installed&timeout=60s", "")
	if got, err := p.lookup(ctx, netip.MustParseAddr("10.1.2.3")); err != nil || got.found {
		t.Errorf("lookup after the deletion: %v %v", got, err)
	}
	agree(t, n, readHistory(t, e.Client), p)
	if entries, err := os.ReadDir(filepath.Join(n.Dir, "data", "etcd")); err == nil {
		t.Errorf("an embedded etcd left %d entries", len(entries))
	}
}

// TestForeignValues: what others write under /dvr/log is reported, never
// folded, and removed; a committed batch that was changed is put back.
func TestForeignValues(t *testing.T) {
	n, e := store{external: true}.node(t)
	endpoint := e.Client
	p := startPlane(t, n, "r1")
	add := func(i int) uint64 {
		t.Helper()
		return must(t, n, http.StatusCreated, http.MethodPost, "/routes?wait=installed&timeout=60s", fmt.Sprintf(`{"destination":"10.%d.0.0/16","next_hop":"192.168.1.1"}`, i)).revision()
	}
	for i := range 5 {
		add(i)
	}
	c := etcdClient(t, endpoint)
	ctx := within(t, patience)
	key := func(r uint64) string { return fmt.Sprintf("/dvr/log/b/%020d", r) }
	get := func(k string) string {
		t.Helper()
		r, err := c.Get(ctx, k)
		if err != nil || len(r.Kvs) == 0 {
			return ""
		}
		return string(r.Kvs[0].Value)
	}
	good := get(key(3))
	if !strings.Contains(good, "10.1.0.0/16") {
		t.Fatalf("the batch of revision 3 is %q", good)
	}
	forged := strings.Replace(get(key(6)), "10.4.0.0/16", "66.6.0.0/16", 1)
	for _, kv := range [][2]string{
		{key(3), "garbage"},         // a committed batch changed
		{key(7), forged},            // beyond the head, well formed as JSON
		{key(9999), "more garbage"}, // far beyond
		{"/dvr/log/b/zzz", "x"},     // no name of a batch
	} {
		if _, err := c.Put(ctx, kv[0], kv[1]); err != nil {
			t.Fatal(err)
		}
	}
	// Appending goes on, though the next batch's key was taken.
	last := uint64(0)
	for i := 5; i < 8; i++ {
		last = add(i)
	}
	if last != 9 {
		t.Errorf("revision %d after eight routes, want 9", last)
	}
	check := func(when string) {
		t.Helper()
		table := must(t, n, http.StatusOK, http.MethodGet, "/routes", "")
		if routes, _ := table.body["routes"].(map[string]any); len(routes) != 8 || strings.Contains(table.text, "66.6.0.0") {
			t.Errorf("%s: the table is %s", when, table.text)
		}
	}
	check("running")
	n.Kill()
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	check("restarted")
	if get(key(3)) != good {
		t.Errorf("the changed batch was not put back: %q", get(key(3)))
	}
	raw, err := os.ReadFile(filepath.Join(n.Dir, "node.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{key(3), key(7)} {
		if !strings.Contains(string(raw), k) {
			t.Errorf("the node's log does not name %s", k)
		}
	}
	for _, k := range []string{"/dvr/log/b/zzz", key(9999)} {
		if _, err := c.Delete(ctx, k); err != nil { // what lies beyond the head may stay until it is reached
			t.Fatal(err)
		}
	}
	agree(t, n, readHistory(t, endpoint), p)
}

// TestClientPortRefusesWrites: etcdctl reads and watches the history of an
// embedded etcd; everything that would change it is refused.
func TestClientPortRefusesWrites(t *testing.T) {
	n := startNode(t, scratch(t))
	c := etcdClient(t, n.Etcd)
	ctx := within(t, patience)
	const prefix = "/dvr/log/b/"
	seen := c.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	<-seen // the watch stands
	must(t, n, http.StatusCreated, http.MethodPost, "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.168.1.1","metric":100}`, "X-DVR-Actor", "alice")
	event := <-seen
	if len(event.Events) != 1 || !strings.Contains(string(event.Events[0].Kv.Value), `"actor":"alice"`) || !strings.Contains(string(event.Events[0].Kv.Value), `"destination":"10.1.0.0/16"`) {
		t.Errorf("watched %+v", event)
	}
	read, err := c.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil || len(read.Kvs) != 2 {
		t.Errorf("read %v %v", read, err)
	}
	for name, write := range map[string]func() error{
		"put":     func() error { _, err := c.Put(ctx, prefix+"x", "y"); return err },
		"delete":  func() error { _, err := c.Delete(ctx, prefix, clientv3.WithPrefix()); return err },
		"txn":     func() error { _, err := c.Txn(ctx).Then(clientv3.OpPut("/dvr/log/head", "{}")).Commit(); return err },
		"compact": func() error { _, err := c.Compact(ctx, 1); return err },
		"lease":   func() error { _, err := c.Grant(ctx, 10); return err },
		"member":  func() error { _, err := c.MemberAdd(ctx, []string{"http://127.0.0.1:1"}); return err },
		"auth":    func() error { _, err := c.AuthEnable(ctx); return err },
		"defrag":  func() error { _, err := c.Defragment(ctx, n.Etcd); return err },
	} {
		err := write()
		code := status.Code(err)
		if e, ok := err.(rpctypes.EtcdError); ok {
			code = e.Code()
		}
		if code != codes.PermissionDenied && code != codes.Unimplemented {
			t.Errorf("%s: %v (%v), want it refused", name, err, code)
		}
	}
	if again, err := c.Get(ctx, "/dvr/log/", clientv3.WithPrefix(), clientv3.WithCountOnly()); err != nil || again.Count != 3 {
		t.Errorf("%d keys afterwards, %v; want head and two batches", again.Count, err)
	}
}
