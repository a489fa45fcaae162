package node

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"dvr/controller/cluster"
)

// TestNodesJoin: three form, four join, two at once through different members,
// which makes seven voters; the eighth is told to observe, and two observers
// follow, serve reads, and survive a restart without the member that they knew:
// nine nodes.
func TestNodesJoin(t *testing.T) {
	t.Parallel()
	const voters = 7
	seats := newSeats(t, voters+2)
	form(t, seats[:3]...)
	put(t, seats[0].node, 1)
	for first := 3; first < voters; first += 2 {
		var joining sync.WaitGroup
		for i, s := range seats[first : first+2] {
			joining.Go(func() {
				if err := s.run(within(t, patience), t, "JOIN="+seats[i].api()); err != nil {
					t.Error(err)
				}
			})
		}
		joining.Wait()
	}
	if t.Failed() {
		return
	}
	eventually(t, "all vote", func() bool { return strings.Count(roles(view(t, seats[0].node)), ":voter") == voters })
	known := seats[voters-1]
	if text := seats[7].refuses(t, cluster.ErrRefused, "JOIN="+known.api()); !strings.Contains(text, "--observer") {
		t.Errorf("the eighth is told %s", text)
	}
	for _, s := range seats[voters:] {
		if err := s.run(within(t, patience), t, "OBSERVER=true", "JOIN="+known.api()); err != nil {
			t.Fatal(err)
		}
		if !has(t, s.node, 1) {
			t.Errorf("%s lacks what was there", s.id)
		}
	}
	put(t, seats[4].node, 2)
	for _, s := range seats {
		eventually(t, s.id+" follows", func() bool { return has(t, s.node, 2) })
	}
	last := seats[voters+1]
	v := view(t, last.node)
	if got := roles(v); strings.Count(got, ":voter") != voters || !strings.HasSuffix(got, fmt.Sprintf("node-%d:observer node-%d:observer", voters+1, voters+2)) {
		t.Errorf("an observer shows %s", got)
	}
	leaders := 0
	for _, m := range v.Members {
		if m.Leader {
			leaders++
		}
	}
	if leaders != 1 {
		t.Errorf("an observer shows %d leaders", leaders)
	}
	if code, body := call(t, last.node, "GET", "/health", ""); code != 200 || !strings.Contains(body, "Observer") {
		t.Errorf("%d %s", code, body)
	}
	// The member that it joined through goes away for ever; it goes on, and
	// passes changes of the cluster on to members.
	last.stop(t)
	if err := last.run(within(t, patience), t, "OBSERVER=true", "JOIN="+known.api()); err != nil {
		t.Fatal(err)
	}
	remove(t, last.node, known.id)
	if err := <-known.node.Failed(); !errors.Is(err, cluster.ErrRemoved) {
		t.Error(err)
	}
	known.stop(t)
	last.stop(t)
	if err := last.run(within(t, patience), t, "OBSERVER=true", "JOIN="+known.api()); err != nil {
		t.Fatal(err)
	}
	put(t, seats[0].node, 3)
	eventually(t, "it follows without the member that it knew", func() bool { return has(t, last.node, 3) })
	// A removed observer stops and stays stopped.
	remove(t, seats[0].node, last.id)
	select {
	case err := <-last.node.Failed():
		if !errors.Is(err, cluster.ErrRemoved) {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("a removed observer runs on")
	}
	last.stop(t)
	last.refuses(t, cluster.ErrRemoved, "OBSERVER=true", "JOIN="+seats[0].api())
}

// TestRolesAreNotMixed: an observer does not become a voter by a changed
// setting, nor a voter an observer, nor does a node id serve twice.
func TestRolesAreNotMixed(t *testing.T) {
	t.Parallel()
	a, b := newSeat(t, "node-1"), newSeat(t, "node-2")
	if err := a.run(within(t, patience), t); err != nil {
		t.Fatal(err)
	}
	if err := b.run(within(t, patience), t, "OBSERVER=true", "JOIN="+a.api()); err != nil {
		t.Fatal(err)
	}
	if code, body := call(t, a.node, "POST", "/v1/cluster/members/node-2/promote", ""); code != 409 || !strings.Contains(body, "observer") {
		t.Errorf("%d %s", code, body)
	}
	if code, body := call(t, b.node, "POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.168.1.1"}`); code != 503 && code != 201 {
		t.Errorf("a write at an observer: %d %s", code, body)
	}
	b.stop(t)
	b.refuses(t, cluster.ErrRefused)
	b.refuses(t, cluster.ErrRefused, "JOIN="+a.api())
	b.empty(t)
	if text := b.refuses(t, cluster.ErrRefused, "JOIN="+a.api()); !strings.Contains(text, "observer") {
		t.Errorf("the same id as a voter: %s", text)
	}
	twin := newSeat(t, "node-1")
	if text := twin.refuses(t, cluster.ErrRefused, "JOIN="+a.api()); !strings.Contains(text, "node-1") {
		t.Errorf("the id of another member: %s", text)
	}
	twin.empty(t)
	if text := twin.refuses(t, cluster.ErrRefused, "OBSERVER=true", "JOIN="+a.api()); !strings.Contains(text, "node-1") {
		t.Errorf("the id of another member: %s", text)
	}
}
