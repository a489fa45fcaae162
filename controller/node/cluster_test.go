package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"dvr/controller/cluster"
	"dvr/controller/porttest"
)

// seat is a node of a test cluster: its ports and directory stay over restarts.
type seat struct {
	id   string
	dir  string
	env  []string
	raft string
	node *Node
	logs *output
}

func newSeat(t *testing.T, id string) *seat {
	t.Helper()
	s := &seat{id: id, dir: t.TempDir(), raft: porttest.Address(t)}
	s.env = []string{
		"NODE_ID=" + id, "DATA_DIR=" + s.dir, "API_ADDR=" + porttest.Address(t), "FIB_ADDR=" + porttest.Address(t), "LOG_FORMAT=json",
		"RAFT_ADDR=" + s.raft, "CLIENT_ADDR=" + porttest.Address(t), "MEMORY_LIMIT=1GiB",
	}
	return s
}

func (s *seat) api() string {
	for _, e := range s.env {
		if a, ok := strings.CutPrefix(e, "API_ADDR="); ok {
			return a
		}
	}
	return ""
}

// run starts the node with further settings.
func (s *seat) run(ctx context.Context, t *testing.T, more ...string) error {
	t.Helper()
	s.logs = new(output)
	n, err := Start(ctx, load(t, append(append([]string(nil), s.env...), more...)...), Options{Version: "test", Logs: s.logs})
	if err != nil {
		return err
	}
	s.node = n
	t.Cleanup(func() { _ = n.Close() })
	return nil
}

// patience bounds what a test waits for.
const patience = 2 * time.Minute

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// form starts seats with one INITIAL_CLUSTER and waits for all.
func form(t *testing.T, seats ...*seat) {
	t.Helper()
	list := initialCluster(seats...)
	errs := make([]error, len(seats))
	var starting sync.WaitGroup
	for i, s := range seats {
		starting.Go(func() { errs[i] = s.run(within(t, patience), t, list) })
	}
	starting.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func initialCluster(seats ...*seat) string {
	var parts []string
	for _, s := range seats {
		parts = append(parts, s.id+"="+s.raft)
	}
	return "INITIAL_CLUSTER=" + strings.Join(parts, ",")
}

func newSeats(t *testing.T, n int) []*seat {
	t.Helper()
	var out []*seat
	for i := range n {
		out = append(out, newSeat(t, fmt.Sprintf("node-%d", i+1)))
	}
	return out
}

// led is call, again as long as the answer is that nobody leads: on a machine
// that stands still for a second followers elect another leader.
func led(t *testing.T, n *Node, method, path, body string) (code int, answer string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if code, answer = call(t, n, method, path, body); code != http.StatusServiceUnavailable || time.Now().After(end) {
			return code, answer
		}
	}
}

// remove removes a member, through n.
func remove(t *testing.T, n *Node, id string) {
	t.Helper()
	if code, body := led(t, n, "DELETE", "/v1/cluster/members/"+id, ""); code != http.StatusOK {
		t.Fatalf("removing %s: %d %s", id, code, body)
	}
}

// view is what a node tells of the cluster.
func view(t *testing.T, n *Node) cluster.View {
	t.Helper()
	code, body := led(t, n, "GET", "/v1/cluster/members", "")
	var v cluster.View
	if err := json.Unmarshal([]byte(body), &v); code != 200 || err != nil {
		t.Fatalf("members: %d %s", code, body)
	}
	return v
}

// roles are "node-1:voter node-2:learner", of those that are online.
func roles(v cluster.View) string {
	var parts []string
	for _, m := range v.Members {
		if m.Online {
			parts = append(parts, m.NodeID+":"+string(m.Role))
		}
	}
	return strings.Join(parts, " ")
}

// eventually polls what another process or etcd's own timers bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

const routeBody = `{"destination":"10.%d.0.0/16","next_hop":"192.168.1.1","metric":100}`

func put(t *testing.T, n *Node, i int) {
	t.Helper()
	if code, body := led(t, n, "POST", "/routes", fmt.Sprintf(routeBody, i)); code != 201 {
		t.Fatalf("POST: %d %s", code, body)
	}
}

func has(t *testing.T, n *Node, i int) bool {
	t.Helper()
	code, _ := call(t, n, "GET", fmt.Sprintf("/routes/10.%d.0.0%%2F16", i), "")
	return code == 200
}

// TestThreeFormAndAFourthJoins: INITIAL_CLUSTER makes one cluster of three; a
// fourth node joins it through a follower, and becomes a voter.
func TestThreeFormAndAFourthJoins(t *testing.T) {
	t.Parallel()
	seats := newSeats(t, 3)
	form(t, seats...)
	put(t, seats[0].node, 1)
	for _, s := range seats {
		eventually(t, s.id+" has the route", func() bool { return has(t, s.node, 1) })
		v := view(t, s.node)
		if got := roles(v); got != "node-1:voter node-2:voter node-3:voter" {
			t.Errorf("%s shows %s", s.id, got)
		}
		leaders := 0
		for _, m := range v.Members {
			if m.Leader {
				leaders++
			}
			if m.API == "" || m.FIB == "" || m.Raft == "" || m.Client == "" {
				eventually(t, "addresses of "+m.NodeID, func() bool {
					for _, m := range view(t, s.node).Members {
						if m.API == "" || m.FIB == "" {
							return false
						}
					}
					return true
				})
			}
		}
		if leaders != 1 || v.ClusterID != view(t, seats[0].node).ClusterID {
			t.Errorf("%s: %d leaders, cluster %s", s.id, leaders, v.ClusterID)
		}
	}
	fourth := newSeat(t, "node-4")
	follower := seats[0]
	if follower.node.etcd.Leader() {
		follower = seats[1]
	}
	if err := fourth.run(within(t, patience), t, "JOIN="+follower.api()); err != nil {
		t.Fatal(err)
	}
	if !has(t, fourth.node, 1) {
		t.Error("the joined node lacks the route")
	}
	eventually(t, "node-4 votes", func() bool {
		return roles(view(t, seats[2].node)) == "node-1:voter node-2:voter node-3:voter node-4:voter"
	})
	put(t, fourth.node, 2)
	eventually(t, "its write arrives", func() bool { return has(t, seats[0].node, 2) })
}
