package node

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dvr/controller/etcdserver"
	"dvr/controller/porttest"
	"dvr/eventlog"
)

// sharedEtcd starts an etcd that several nodes use.
func sharedEtcd(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client := porttest.Address(t)
	e, err := etcdserver.Start(ctx, etcdserver.Config{Name: "elsewhere", DataDir: t.TempDir(), PeerListen: porttest.Address(t), ClientListen: client, Writable: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	if err := e.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	return client
}

// startExternal starts nodes on one external etcd; the first one leads.
func startExternal(t *testing.T, n int) []*Node {
	t.Helper()
	client := sharedEtcd(t)
	var list []*Node
	for i := range n {
		node, _, _ := start(t, append(environment(t, t.TempDir())[1:], fmt.Sprintf("NODE_ID=n%d", i+1), "ETCD_ENDPOINTS="+client))
		list = append(list, node)
	}
	return list
}

// TestWriteHereReadThere: what one node has answered is shown by every other at
// once, without a retry.
func TestWriteHereReadThere(t *testing.T) {
	t.Parallel()
	nodes := startExternal(t, 3)
	for i := range 200 {
		here, there := nodes[i%3], nodes[(i+1+i/3%2)%3]
		destination := fmt.Sprintf("10.%d.%d.0/24", i/256, i%256)
		eventually(t, "the etcd answers its polls", func() bool { // which have 2 s; until one is answered again, writes are refused
			code, body := call(t, here, "POST", "/routes", fmt.Sprintf(`{"destination":%q,"next_hop":"192.168.1.1","metric":%d}`, destination, i))
			if code != http.StatusCreated && code != http.StatusServiceUnavailable {
				t.Fatalf("POST %d: %d %s", i, code, body)
			}
			return code == http.StatusCreated
		})
		if code, body := call(t, there, "GET", "/routes/"+destination, ""); code != http.StatusOK || !strings.Contains(body, fmt.Sprintf(`"metric":%d`, i)) {
			t.Fatalf("GET %d: %d %s", i, code, body)
		}
	}
	appended := 0
	for _, n := range nodes {
		if n.appender.Statistics().Commits > 0 {
			appended++
		}
	}
	if appended != 1 {
		t.Errorf("%d nodes have appended, one leads", appended)
	}
}

// TestClusterServesEverywhere: three members and an observer. Each takes writes,
// shows those of all others at once, and knows everyone's data planes.
func TestClusterServesEverywhere(t *testing.T) {
	t.Parallel()
	seats := newSeats(t, 3)
	form(t, seats...)
	observer := newSeat(t, "watcher")
	if err := observer.run(within(t, patience), t, "JOIN="+seats[1].api(), "OBSERVER=true"); err != nil {
		t.Fatal(err)
	}
	var nodes []*Node
	for _, s := range append(seats, observer) {
		nodes = append(nodes, s.node)
	}
	lead := leaderOf(t, seats...)
	for i := range 1000 {
		here, there := nodes[i%4], nodes[(i+1+i/4%3)%4]
		destination := fmt.Sprintf("10.%d.%d.0/24", i/256, i%256)
		if code, body := led(t, here, "POST", "/routes", fmt.Sprintf(`{"destination":%q,"next_hop":"192.168.1.1","metric":%d}`, destination, i)); code != http.StatusCreated {
			t.Fatalf("POST %d on %s: %d %s", i, here.settings.NodeID, code, body)
		}
		if code, body := call(t, there, "GET", "/routes/"+destination, ""); code != http.StatusOK || !strings.Contains(body, fmt.Sprintf(`"metric":%d`, i)) {
			t.Fatalf("GET %d on %s: %d %s", i, there.settings.NodeID, code, body)
		}
	}
	if now := leaderOf(t, seats...); now != lead {
		t.Logf("%s took over from %s meanwhile", now.id, lead.id)
		return
	}
	for _, n := range nodes {
		if c, leads := n.appender.Statistics().Commits, n.peers.leads(); leads != (c > 0) {
			t.Errorf("%s leads: %v, and has appended %d commits", n.settings.NodeID, leads, c)
		}
	}
}

// TestDirectoryEntry: what etcdctl shows of a node: where it is, what it runs, and
// whose data planes are connected to it.
func TestDirectoryEntry(t *testing.T) {
	t.Parallel()
	n := startExternal(t, 1)[0]
	shows := func(want string) bool {
		r, err := n.client.Get(t.Context(), "/dvr/nodes/n1")
		return err == nil && len(r.Kvs) == 1 && strings.Contains(string(r.Kvs[0].Value), want)
	}
	eventually(t, "its addresses and version", func() bool { return shows(`"api":"`+n.APIAddr()+`"`) && shows(`"version":"test"`) })
	if shows("dataplanes") {
		t.Error("it has no data planes")
	}
	silentPlane(t, n)
	eventually(t, "its data plane", func() bool { return shows(`"dataplanes":["r1"]`) })
}

// TestLeaderStops: while the leader stops in order, calls through the others
// succeed, each stored once.
func TestLeaderStops(t *testing.T) {
	t.Parallel()
	seats := newSeats(t, 3)
	form(t, seats...)
	var leader *Node
	var others []*Node
	for _, s := range seats {
		if s.node.peers.leads() {
			leader = s.node
		} else {
			others = append(others, s.node)
		}
	}
	const callers, each = 8, 60
	var wg sync.WaitGroup
	var done atomic.Int64
	var slowest atomic.Int64
	for w := range callers {
		wg.Go(func() {
			n := others[w%2]
			for i := range each {
				began := time.Now()
				body := fmt.Sprintf(`{"destination":"10.%d.%d.0/24","next_hop":"192.168.1.1","metric":1}`, w, i)
				r, err := http.NewRequest("POST", "http://"+n.APIAddr()+"/routes", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Idempotency-Key", fmt.Sprintf("%d.%d", w, i))
				resp, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				answer, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusCreated {
					t.Errorf("%d/%d: %d %s", w, i, resp.StatusCode, answer)
				}
				for d := int64(time.Since(began)); ; {
					was := slowest.Load()
					if d <= was || slowest.CompareAndSwap(was, d) {
						break
					}
				}
				done.Add(1)
			}
		})
	}
	for done.Load() < callers*each/4 && !t.Failed() {
		time.Sleep(time.Millisecond)
	}
	if err := leader.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	t.Logf("the slowest call took %s", time.Duration(slowest.Load()))
	stored := map[string]int{}
	if err := others[0].store.Read(within(t, patience), 0, func(b *eventlog.Batch) error {
		for _, c := range b.Commits {
			stored[c.ID]++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for w := range callers {
		for i := range each {
			if id := fmt.Sprintf("%d.%d", w, i); stored[id] != 1 {
				t.Errorf("%s is stored %d times", id, stored[id])
			}
		}
	}
}
