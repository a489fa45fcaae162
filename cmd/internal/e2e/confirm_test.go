package e2e

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dvr/cmd/internal/testbed"
	"dvr/eventlog"
)

// undoings counts the commits that undid commit r.
func undoings(t testing.TB, n *testbed.Node, r uint64) int {
	t.Helper()
	return strings.Count(must(t, n, http.StatusOK, http.MethodGet, "/v1/commits?after=0&limit=1000", "").text, fmt.Sprintf(`{"kind":"confirmation.undone","revision":%d}`, r))
}

// TestUnconfirmedCommitIsUndoneThoughTheLeaderDied: a bad commit is previewed,
// committed with confirm_within, and undone once by whoever leads then; the data
// plane forwards as before.
func TestUnconfirmedCommitIsUndoneThoughTheLeaderDied(t *testing.T) {
	nodes := members(t, 3)
	launch(t, nodes...)
	ready(t, nodes...)
	lead, rest := leader(t, nodes...)
	must(t, rest[0], http.StatusCreated, http.MethodPost, "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.168.1.1"}`)
	p := startPlane(t, rest[0], "edge")
	before := p.digest(t)
	const change = `{"events":[{"kind":"route.withdrawn","destination":"10.1.0.0/16","next_hop":"192.168.1.1"},{"kind":"route.announced","destination":"10.2.0.0/16","next_hop":"192.168.1.9"}]}`
	preview := must(t, rest[0], http.StatusOK, http.MethodPost, "/v1/commits?dry_run=true", change)
	if !strings.Contains(preview.text, "prefix-lost") {
		t.Errorf("no warning: %s", preview.text)
	}
	a := must(t, rest[0], http.StatusCreated, http.MethodPost, "/v1/commits?confirm_within=4s&wait=installed&require=edge", change)
	r := a.revision()
	if p.digest(t) == before {
		t.Fatal("the commit did not reach the data plane")
	}
	lead.Kill()
	began := time.Now()
	for deadline := began.Add(patience); p.digest(t) != before; {
		if time.Now().After(deadline) {
			t.Fatalf("not undone; the leader's death was %v ago", time.Since(began))
		}
		time.Sleep(20 * time.Millisecond) // polls another process
	}
	t.Logf("undone %v after the leader was killed, asked for 4 s", time.Since(began).Round(time.Millisecond))
	launch(t, lead)
	ready(t, lead)
	for _, n := range nodes {
		if got := undoings(t, n, r); got != 1 {
			t.Errorf("undone %d times", got)
		}
	}
	h := readHistory(t, rest[0].Etcd)
	agree(t, rest[0], h, p)
	if got := call(t, rest[0], http.MethodPost, fmt.Sprintf("/v1/commits/%d/confirm", r), ""); got.code != http.StatusConflict {
		t.Errorf("confirmed afterwards: %d %s", got.code, got.text)
	}
}

// TestCutOffDataPlaneUndoesByItself: without any controller the data plane takes
// the unconfirmed commit back at its deadline; when controllers are back, all agree.
func TestCutOffDataPlaneUndoesByItself(t *testing.T) {
	n := startNode(t, scratch(t))
	must(t, n, http.StatusCreated, http.MethodPost, "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.168.1.1"}`)
	p := startPlane(t, n, "edge")
	before := p.digest(t)
	must(t, n, http.StatusCreated, http.MethodPost, "/routes?confirm_within=3s&wait=installed&require=edge", `{"destination":"10.1.0.0/16","next_hop":"192.168.1.1","metric":5}`)
	a := must(t, n, http.StatusCreated, http.MethodPost, "/routes?confirm_within=3s&wait=installed&require=edge", `{"destination":"10.2.0.0/16","next_hop":"192.168.1.9"}`)
	n.Kill()
	for deadline := time.Now().Add(patience); p.digest(t) != before; {
		if time.Now().After(deadline) {
			t.Fatal("the data plane undid nothing")
		}
		time.Sleep(20 * time.Millisecond) // polls another process
	}
	if got, err := p.lookup(within(t, patience), netip.MustParseAddr("10.1.2.3")); err != nil || got.via() != "192.168.1.1" {
		t.Errorf("%v, %v", got, err)
	}
	runNode(t, n)
	p.inSync(t, n, 0)
	for deadline := time.Now().Add(patience); undoings(t, n, a.revision()) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the controller undid nothing")
		}
		time.Sleep(20 * time.Millisecond) // polls another process
	}
	h := readHistory(t, n.Etcd)
	agree(t, n, h, p)
	if p.digest(t) != before || h.state.FIB(eventlog.RouterID("edge"), nil).Digest().String() != before {
		t.Error("the table is another one than before")
	}
	if !strings.Contains(n.Log(), "undid an unconfirmed commit by itself") {
		t.Error("the node was not told")
	}
	told := fmt.Sprintf(`"revision":%d}`, a.revision())
	if got := must(t, n, http.StatusOK, http.MethodGet, "/v1/dataplanes", "").text; !strings.Contains(got, `"undone":[`) || !strings.Contains(got, told) {
		t.Errorf("the node does not tell: %s", got)
	}
}
