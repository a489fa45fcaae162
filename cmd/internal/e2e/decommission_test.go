package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"testing"

	"dvr/cmd/internal/testbed"
)

// TestDataPlaneSurvivesDecommission: a data plane that was only ever told of
// node-1 goes on with the others when that one is removed for ever, also when
// it is itself killed and started again, and with a node that joined later when
// all of the first three are gone.
func TestDataPlaneSurvivesDecommission(t *testing.T) {
	if testing.Short() {
		t.Skip("decommissions the first three nodes of a cluster one after the other")
	}
	nodes := members(t, 3)
	launch(t, nodes...)
	ready(t, nodes...)
	p := startPlane(t, nodes[0], "r1")
	n := 0
	installed := func(through ...*testbed.Node) {
		t.Helper()
		for _, node := range through {
			n++
			a := must(t, node, http.StatusCreated, http.MethodPost, "/routes?wait=installed&require=r1&timeout=60s", fmt.Sprintf(`{"destination":"10.0.%d.0/24","next_hop":"192.0.2.%d"}`, n, n))
			p.inSync(t, node, a.revision())
		}
	}
	installed(nodes...)
	restart := func(through *testbed.Node) {
		t.Helper()
		digest := p.digest(t)
		p.Kill()
		if err := p.Start(); err != nil { // with the address of node-1, as before
			t.Fatal(err)
		}
		p.inSync(t, through, 0)
		if now := p.digest(t); now != digest {
			t.Errorf("after its restart the digest is %s, before %s", now, digest)
		}
	}
	decommission := func(gone *testbed.Node, id string, through *testbed.Node) {
		t.Helper()
		if out, code := run(t, "--endpoint", through.API, "cluster", "remove", id); code != 0 {
			t.Fatalf("exit %d: %s", code, out)
		}
		if code, err := gone.Wait(within(t, patience)); err != nil || code != 6 {
			t.Fatalf("exit %d, %v", code, err)
		}
	}

	decommission(nodes[0], "node-1", nodes[1])
	leader(t, nodes[1:]...)
	installed(nodes[1:]...)
	restart(nodes[1])
	installed(nodes[1:]...)

	// Who joins now is learnt too, and outlives the rest.
	late := joiner(t, "node-4", "JOIN="+nodes[1].API)
	launch(t, late)
	ready(t, late)
	wantRoles(t, late, "node-2:voter node-3:voter node-4:voter")
	installed(late)
	decommission(nodes[1], "node-2", late)
	leader(t, nodes[2], late)
	decommission(nodes[2], "node-3", late)
	leader(t, late)
	installed(late)
	restart(late)
	installed(late)
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i + 1), 9})
		h, err := p.lookup(context.Background(), a)
		if want := fmt.Sprintf("192.0.2.%d", i+1); err != nil || h.via() != want {
			t.Errorf("%v leads to %s, want %s (%v)", a, h.via(), want, err)
		}
	}
}
