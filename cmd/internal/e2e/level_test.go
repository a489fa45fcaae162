package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/cmd/internal/client"
	"dvr/cmd/internal/testbed"
)

// nextLevel builds a dvr that supports one level more than this one.
func nextLevel(t *testing.T) string {
	t.Helper()
	path := filepath.Join(scratch(t), "dvr")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-tags", "nextlevel", "-ldflags", "-s -w", "-o", path, "dvr/cmd/dvr")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// raisedAt is the revision that raised the log's level, with the line of its
// batch; 0: it was not raised.
func raisedAt(t *testing.T, n *testbed.Node) (revision uint64, batch string) {
	t.Helper()
	r, err := etcdClient(t, n.Etcd).Get(within(t, patience), "/dvr/log/b/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range r.Kvs {
		if strings.Contains(string(kv.Value), `"kind":"level.raised"`) {
			if revision != 0 {
				t.Error("the level was raised twice")
			}
			if _, err := fmt.Sscanf(string(kv.Key), "/dvr/log/b/%d", &revision); err != nil {
				t.Fatal(err)
			}
			batch, _, _ = strings.Cut(string(kv.Value), "\n")
		}
	}
	return revision, batch
}

func level(t *testing.T, n *testbed.Node) int {
	t.Helper()
	l, _ := must(t, n, http.StatusOK, http.MethodGet, "/v1/status", "").body["level"].(float64)
	return int(l)
}

// routeBody is the body that announces the i-th route.
func routeBody(i int) string {
	return fmt.Sprintf(`{"destination":"10.%d.%d.0/24","next_hop":"192.168.1.1"}`, i/256, i%256)
}

// TestRollingUpgrade: three nodes are replaced one by one by a program of the
// next level. Every node takes changes all the time, the level rises when the
// last is up and not before; a node that is put back to the old program then
// stops right there, says so, does not lead, and its data plane forwards on.
func TestRollingUpgrade(t *testing.T) {
	if testing.Short() {
		t.Skip("builds another program")
	}
	next := nextLevel(t)
	old, err := testbed.Binary("dvr")
	orSkip(t, err)
	nodes := members(t, 3)
	launch(t, nodes...)
	ready(t, nodes...)
	p := startPlane(t, nodes[2], "r1")

	// Changes through all nodes, all the time; none may fail.
	ctx, enough := context.WithCancel(within(t, patience))
	defer enough()
	var writers sync.WaitGroup
	for w := range 3 {
		c, err := client.New([]string{nodes[w].API, nodes[(w+1)%3].API, nodes[(w+2)%3].API}, "test")
		if err != nil {
			t.Fatal(err)
		}
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				call, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
				_, err := c.Do(call, client.Call{Method: http.MethodPost, Path: "/routes", Body: []byte(routeBody(1024*(w+1) + i%1024))}, nil)
				cancel()
				if err != nil {
					t.Errorf("a change through node-%d: %v", w+1, err)
					return
				}
				time.Sleep(2 * time.Millisecond) // some load, not all there is
			}
		})
	}
	upgrade := func(n *testbed.Node, binary string) {
		t.Helper()
		if err := n.Stop(15 * time.Second); err != nil {
			t.Errorf("SIGTERM: %v", err)
		}
		n.Upgrade(binary)
	}
	var before uint64 // acknowledged while the last old node was stopped already
	for i, n := range nodes {
		upgrade(n, next)
		if i == len(nodes)-1 {
			_, rest := leader(t, nodes[:2]...)
			before = must(t, rest[0], http.StatusCreated, http.MethodPost, "/routes", routeBody(1)).revision()
		}
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		ready(t, n)
		if i < len(nodes)-1 {
			leader(t, nodes...)
			for k, m := range nodes { // of both programs
				must(t, m, http.StatusCreated, http.MethodPost, "/routes", routeBody(10*(i+1)+k))
				if l := level(t, m); l != 1 {
					t.Errorf("the level is %d when %d of 3 nodes were upgraded", l, i+1)
				}
			}
		}
	}
	for _, n := range nodes {
		for level(t, n) != 2 {
			if ctx.Err() != nil {
				t.Fatal("the level does not rise")
			}
			time.Sleep(20 * time.Millisecond) // polls another process
		}
	}
	enough()
	writers.Wait()
	raised, batch := raisedAt(t, nodes[0])
	if raised <= before || !strings.Contains(batch, `"commits":1,`) {
		t.Errorf("raised at revision %d in %s; the last old node was stopped before %d", raised, batch, before)
	}
	must(t, nodes[0], http.StatusCreated, http.MethodPost, "/routes?wait=installed&require=r1&timeout=60s", routeBody(100))
	sameDigests(t, nodes...)

	// The old program on data of the new level.
	outdated := nodes[2]
	upgrade(outdated, old)
	launch(t, outdated)
	sentence := fmt.Sprintf("this node supports level 1, the log is at level 2 from revision %d: upgrade it", raised)
	for limit := time.Now().Add(patience); ; {
		if a := probe(outdated); a.code == http.StatusServiceUnavailable && strings.Contains(a.text, sentence) {
			break
		} else if a.code == http.StatusOK || time.Now().After(limit) {
			t.Fatalf("below the level /readyz says %d %s", a.code, a.text)
		}
		time.Sleep(5 * time.Millisecond) // polls another process
	}
	status := must(t, outdated, http.StatusOK, http.MethodGet, "/v1/status", "")
	if status.body["fault"] != sentence || status.revision() != raised-1 {
		t.Errorf("the status below the level: %s", status.text)
	}
	if out, _ := run(t, "--endpoint", outdated.API, "status"); !strings.Contains(out, "needs attention") || !strings.Contains(out, sentence) {
		t.Errorf("dvr status: %s", out)
	}
	if a := must(t, outdated, http.StatusServiceUnavailable, http.MethodPost, "/routes", routeBody(101)); !strings.Contains(a.text, sentence) {
		t.Errorf("a change: %s", a.text)
	}
	if a := must(t, outdated, http.StatusOK, http.MethodGet, "/routes/10.0.1.0/24", ""); a.header.Get("DVR-Stale") != "true" {
		t.Errorf("a read is not marked stale: %v", a.header)
	}
	must(t, outdated, http.StatusServiceUnavailable, http.MethodGet, "/routes/10.0.1.0/24?consistency=linearizable", "")
	if got, err := p.lookup(within(t, patience), netip.MustParseAddr("10.0.1.1")); err != nil || got.via() != "192.168.1.1" {
		t.Errorf("the data plane: %v %v", got, err)
	}
	for limit := time.Now().Add(patience); !strings.Contains(outdated.Log(), sentence); {
		if time.Now().After(limit) {
			t.Fatalf("the log does not say it:\n%s", outdated.Log())
		}
		time.Sleep(5 * time.Millisecond) // polls another process
	}

	// It does not keep leadership, and its data plane goes on with another node.
	move := call(t, nodes[0], http.MethodPost, "/v1/cluster/leader", `{"node_id":"node-3"}`)
	began := time.Now()
	for state(outdated) == "Leader" {
		if time.Since(began) > patience {
			t.Fatal("it leads below the level")
		}
		time.Sleep(5 * time.Millisecond) // polls another process
	}
	t.Logf("asked to lead (%d), it led for %v at most", move.code, time.Since(began))
	add(t, 102, nodes[0], nodes[1])
	must(t, nodes[1], http.StatusCreated, http.MethodPost, "/routes?wait=installed&require=r1&timeout=60s", routeBody(103))
	if at := must(t, outdated, http.StatusOK, http.MethodGet, "/v1/status", "").revision(); at != raised-1 {
		t.Errorf("it folded on to %d", at)
	}

	// Upgraded on the same data it goes on.
	upgrade(outdated, next)
	launch(t, outdated)
	ready(t, outdated)
	must(t, outdated, http.StatusCreated, http.MethodPost, "/routes", routeBody(104))
	must(t, nodes[0], http.StatusCreated, http.MethodPost, "/routes?wait=installed&require=r1&timeout=60s", routeBody(105))
	sameDigests(t, nodes...)
}

// probe is /readyz of a node that may not listen yet.
func probe(n *testbed.Node) (a answer) {
	c := http.Client{Timeout: 2 * time.Second}
	resp, err := c.Get("http://" + n.API + "/readyz")
	if err != nil {
		return a
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return answer{code: resp.StatusCode, text: string(b)}
}

// sameDigests compares the state of all nodes at one revision.
func sameDigests(t *testing.T, nodes ...*testbed.Node) {
	t.Helper()
	first := must(t, nodes[0], http.StatusOK, http.MethodGet, "/v1/status", "")
	for _, n := range nodes[1:] {
		a := must(t, n, http.StatusOK, http.MethodGet, fmt.Sprintf("/v1/status?min_revision=%d", first.revision()), "")
		if a.revision() != first.revision() || a.body["digest"] != first.body["digest"] || a.body["hash"] != first.body["hash"] {
			t.Errorf("states differ:\n%s\n%s", first.text, a.text)
		}
	}
}
