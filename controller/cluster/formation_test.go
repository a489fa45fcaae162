package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dvr/controller/porttest"
)

// founder is a node that forms a cluster; its etcd is a fake that answers as
// etcd's peer port does.
type founder struct {
	Config
	cluster string // the id of the cluster that it formed
}

func founders(t *testing.T, n int) []*founder {
	t.Helper()
	list := map[string]string{}
	for i := range n {
		list[fmt.Sprintf("node-%d", i+1)] = porttest.Address(t)
	}
	var out []*founder
	for name, address := range list {
		out = append(out, &founder{Config: Config{NodeID: name, DataDir: t.TempDir(), RaftListen: address, Addresses: Addresses{Raft: address}, InitialCluster: list}})
	}
	return out
}

// patience bounds what a test waits for: a machine may run much else at the same
// time.
const patience = 2 * time.Minute

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// fakeEtcd answers on a Raft address as a member of a cluster.
func fakeEtcd(t *testing.T, address, cluster string) {
	t.Helper()
	var l net.Listener
	var err error
	for range 100 { // the handshake's listener may be closing
		if l, err = net.Listen("tcp", address); err == nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err != nil {
		t.Error(err)
		return
	}
	id, _ := strconv.ParseUint(cluster, 16, 64)
	mux := http.NewServeMux()
	mux.HandleFunc(membersPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(clusterHeader, strconv.FormatUint(id, 16)) // etcd's has no leading zeros
		fmt.Fprint(w, `[{"id":1,"peerURLs":["http://x"],"name":"n"}]`)
	})
	s := &http.Server{Handler: mux}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
}

// TestFormationAgrees: founders that are killed and started again at any moment
// until they are through end up in one cluster, whatever the order.
func TestFormationAgrees(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 7} {
		for round := range 4 {
			t.Run(fmt.Sprintf("%d nodes, round %d", n, round), func(t *testing.T) {
				t.Parallel()
				all := founders(t, n)
				var forming sync.WaitGroup
				for _, f := range all {
					kills := rand.IntN(4)
					forming.Go(func() {
						for k := 0; ; k++ {
							life := 20 * time.Second
							if k < kills {
								life = time.Duration(rand.IntN(120)) * time.Millisecond
							}
							c := f.Config
							p, err := Prepare(within(t, life), &c)
							switch {
							case err == nil:
								f.cluster = p.Identity.ClusterID
								fakeEtcd(t, f.RaftListen, f.cluster)
								return
							case k >= kills || !errors.Is(err, context.DeadlineExceeded):
								t.Errorf("%s: %v", f.NodeID, err)
								return
							}
						}
					})
				}
				forming.Wait()
				for _, f := range all {
					if f.cluster == "" || f.cluster != all[0].cluster {
						t.Errorf("%s formed %q, %s %q", f.NodeID, f.cluster, all[0].NodeID, all[0].cluster)
					}
				}
				if t.Failed() || n == 1 {
					return
				}
				// Killed before its etcd wrote anything, a founder goes on where it
				// was; without its data directory it is refused.
				f := all[0]
				again := f.Config
				again.RaftListen, again.InitialCluster = porttest.Address(t), f.InitialCluster
				p, err := Prepare(within(t, patience), &again)
				if err != nil || p.Identity.ClusterID != f.cluster || p.Token == "" {
					t.Errorf("a founder that goes on: %+v %v", p, err)
				}
				again.DataDir = t.TempDir()
				if _, err := Prepare(within(t, patience), &again); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), f.cluster) {
					t.Errorf("a founder without its data: %v", err)
				}
			})
		}
	}
}

// TestFormationSaysWhatItWaitsFor and forms nothing meanwhile.
func TestFormationSaysWhatItWaitsFor(t *testing.T) {
	stranger := porttest.Address(t)
	l, err := net.Listen("tcp", stranger)
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: http.NotFoundHandler()}
	go func() { _ = web.Serve(l) }()
	defer web.Close()

	pair := founders(t, 2)
	other := pair[1].Config
	for name, c := range map[string]struct {
		change func(c *Config) // of the first
		beside func(o *Config) // of the second; nil: it does not run
		says   string
	}{
		"nobody there": {func(c *Config) {}, nil, "connection refused"},
		"a stranger": {func(c *Config) {
			c.InitialCluster = map[string]string{pair[0].NodeID: pair[0].RaftListen, "other": stranger}
		}, nil, "no DVR node"},
		"another list":   {func(c *Config) {}, func(o *Config) { o.InitialCluster = map[string]string{o.NodeID: o.RaftListen, "third": stranger} }, "has another INITIAL_CLUSTER"},
		"under one name": {func(c *Config) {}, func(o *Config) { o.NodeID = "somebody" }, "answers as somebody"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			var running sync.WaitGroup
			defer running.Wait()
			defer cancel()
			if c.beside != nil {
				o := other
				o.DataDir = t.TempDir()
				c.beside(&o)
				running.Go(func() { _, _ = Prepare(ctx, &o) })
			}
			said := make(chan string, 1000)
			first := pair[0].Config
			first.DataDir = t.TempDir()
			first.Await = func(what string) { said <- what }
			c.change(&first)
			ended := make(chan error, 1)
			running.Go(func() {
				_, err := Prepare(ctx, &first)
				ended <- err
			})
			for {
				select {
				case what := <-said:
					if strings.Contains(what, c.says) {
						return
					}
				case err := <-ended:
					t.Fatalf("ended: %v", err)
				}
			}
		})
	}
}

// TestANewFormationIsAnotherCluster, even of the same nodes on the same addresses.
func TestANewFormationIsAnotherCluster(t *testing.T) {
	one := founders(t, 1)[0]
	seen := map[string]bool{}
	for range 3 {
		one.DataDir = t.TempDir()
		c := one.Config
		p, err := Prepare(t.Context(), &c)
		if err != nil || seen[p.Identity.ClusterID] {
			t.Fatalf("%+v %v", p, err)
		}
		seen[p.Identity.ClusterID] = true
	}
}

func TestIdentityFile(t *testing.T) {
	dir := t.TempDir()
	if id, err := LoadIdentity(dir); id != nil || err != nil {
		t.Errorf("of a blank directory: %+v %v", id, err)
	}
	want := Identity{NodeID: "node-1", State: Member, ClusterID: "c1", MemberID: "d1", LogID: "l"}
	if err := want.Save(dir); err != nil {
		t.Fatal(err)
	}
	// A crash in the middle of the next Save leaves this beside the file.
	if err := os.WriteFile(filepath.Join(dir, identityFile+".new"), []byte(`{"form`), 0o600); err != nil {
		t.Fatal(err)
	}
	id, err := LoadIdentity(dir)
	if err != nil || id.NodeID != "node-1" || id.State != Member || id.ClusterID != "c1" || id.LogID != "l" {
		t.Errorf("%+v %v", id, err)
	}
	if err := id.Save(dir); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "{", `{"format":2,"node_id":"n","state":"member"}`, `{"format":1,"node_id":"n","state":"king"}`, `[]`} {
		if err := os.WriteFile(filepath.Join(dir, identityFile), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if id, err := LoadIdentity(dir); !errors.Is(err, ErrRefused) {
			t.Errorf("%q: %+v %v", bad, id, err)
		}
	}
	if err := want.Save(filepath.Join(dir, "absent")); err == nil {
		t.Error("saved into a directory that is not there")
	}
}
