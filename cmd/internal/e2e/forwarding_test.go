package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"dvr/cmd/internal/client"
	"dvr/cmd/internal/testbed"
)

// startCluster runs n nodes that are ready.
func startCluster(t *testing.T, n int) []*testbed.Node {
	t.Helper()
	nodes, err := testbed.NewCluster(scratch(t), n)
	orSkip(t, err)
	for _, node := range nodes {
		if err := node.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			node.Kill()
			if t.Failed() {
				t.Logf("log of %s:\n%s", node.Dir, node.Log())
			}
		})
	}
	for _, node := range nodes {
		if err := node.Ready(within(t, patience)); err != nil {
			t.Fatal(err)
		}
	}
	return nodes
}

// leaderOf waits until one of the nodes leads.
func leaderOf(t *testing.T, nodes []*testbed.Node) (leader *testbed.Node, others []*testbed.Node) {
	t.Helper()
	ctx := within(t, patience)
	for {
		leader, others = nil, nil
		for _, n := range nodes {
			short, cancel := context.WithTimeout(ctx, 2*time.Second)
			leads, err := n.Leads(short)
			cancel()
			if err == nil && leads {
				leader = n
			} else {
				others = append(others, n)
			}
		}
		if leader != nil {
			return leader, others
		}
		if ctx.Err() != nil {
			t.Fatal("no node leads")
		}
		time.Sleep(20 * time.Millisecond) // polls other processes: nothing to wait on
	}
}

// TestLeaderKilled: kill -9 of the leader under load through all nodes, three
// times. Every acknowledged id is in the log exactly once, the state is the same
// on every node, and a data plane at one of them has it.
func TestLeaderKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes for a while")
	}
	nodes := startCluster(t, 3)
	ctx, enough := context.WithCancel(within(t, patience))
	var mu sync.Mutex
	acked := map[string]time.Time{} // id → answered at
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(acked) }
	var wg sync.WaitGroup
	for w := range 12 {
		first := nodes[w%3]
		c, err := client.New([]string{first.API, nodes[(w+1)%3].API, nodes[(w+2)%3].API}, "test")
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("%d.%d", w, i)
				call, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
				_, err := c.Do(call, client.Call{Method: http.MethodPost, Path: "/routes", IdempotencyKey: id,
					Header: http.Header{"Content-Type": {"application/json"}},
					Body:   fmt.Appendf(nil, `{"destination":"10.%d.%d.%d/32","next_hop":"192.0.2.1"}`, w, i/256%256, i%256)}, nil)
				cancel()
				if err != nil {
					t.Errorf("%s: %v", id, err)
					return
				}
				mu.Lock()
				acked[id] = time.Now()
				mu.Unlock()
			}
		})
	}
	reach := func(n int) {
		for count() < n && ctx.Err() == nil && !t.Failed() {
			time.Sleep(time.Millisecond) // what others do
		}
	}
	reach(100)
	for range 3 {
		leader, others := leaderOf(t, nodes)
		leader.Kill()
		killed := time.Now()
		reach(count() + 30) // as many as may have been answered at that moment, and more
		t.Logf("writes again %s after the leader was killed", time.Since(killed).Round(time.Millisecond))
		leaderOf(t, others)
		reach(count() + 100)
		if err := leader.Start(); err != nil {
			t.Fatal(err)
		}
		if err := leader.Ready(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		reach(count() + 100)
	}
	enough()
	wg.Wait()
	h := readHistory(t, nodes[0].Etcd)
	for id := range acked {
		if n := h.ids["test "+id]; n != 1 {
			t.Errorf("%s is in the log %d times", id, n)
		}
	}
	for id, times := range h.ids {
		if times != 1 {
			t.Errorf("%s was committed %d times", id, times)
		}
	}
	for _, n := range nodes {
		must(t, n, http.StatusOK, http.MethodGet, fmt.Sprintf("/v1/status?min_revision=%d", h.Head.Revision), "")
		agree(t, n, h)
	}
	t.Logf("%d acknowledged writes", len(acked))
}

// TestClusterDataPlane: a data plane that was told of one node goes on with the
// others when that one is killed, and every node answers for it.
func TestClusterDataPlane(t *testing.T) {
	nodes := startCluster(t, 3)
	p := startPlane(t, nodes[0], "r1")
	for i, n := range nodes {
		a := must(t, n, http.StatusCreated, http.MethodPost, "/routes?wait=installed&require=r1&timeout=60s", fmt.Sprintf(`{"destination":"10.0.%d.0/24","next_hop":"192.0.2.1"}`, i))
		for _, other := range nodes {
			if err := other.InSync(within(t, patience), "r1", a.revision()); err != nil {
				t.Error(err)
			}
			must(t, other, http.StatusOK, http.MethodGet, fmt.Sprintf("/v1/lookup?address=10.0.%d.1&router=r1&source=dataplane", i), "")
		}
	}
	nodes[0].Kill()
	_, _ = leaderOf(t, nodes[1:])
	for i, n := range nodes[1:] {
		p.inSync(t, n, 0)
		must(t, n, http.StatusCreated, http.MethodPost, "/routes?wait=installed&require=r1&timeout=60s", fmt.Sprintf(`{"destination":"10.1.%d.0/24","next_hop":"192.0.2.1"}`, i))
	}
}
