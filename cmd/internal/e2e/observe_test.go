package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestObservedLink: a dead interface's next hop leaves its groups without a
// controller; with one the link counts as down, until it is back.
func TestObservedLink(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	n := startNode(t, scratch(t))
	p := startPlaneOf(t, n, "r1", "kernel")                               // without --tune-kernel: then `ip` shows where routes lead
	for _, line := range []string{"10.0.0.2 dev w0", "10.0.1.2 dev w1"} { // nobody is there to answer
		ip(t, "neigh replace "+line+" lladdr 02:00:00:00:00:02 nud permanent")
	}
	must(t, n, http.StatusOK, http.MethodPut, "/v1/links/r1/r2", `{"cost_ab":10,"cost_ba":10,"interface_a":"w0","address_a":["10.0.0.1"],"address_b":["10.0.0.2"]}`)
	must(t, n, http.StatusOK, http.MethodPut, "/v1/links/r1/r3", `{"cost_ab":20,"cost_ba":20,"interface_a":"w1","address_a":["10.0.1.1"],"address_b":["10.0.1.2"]}`)
	for _, route := range []string{
		`{"router":"r1","destination":"192.0.2.0/24","next_hop":"10.0.0.2"}`,
		`{"router":"r1","destination":"192.0.2.0/24","next_hop":"10.0.1.2"}`,
		`{"router":"r2","destination":"198.51.100.0/24","next_hop":"10.9.0.1"}`,
		`{"router":"r3","destination":"198.51.100.0/24","next_hop":"10.9.0.2"}`,
	} {
		must(t, n, http.StatusCreated, http.MethodPost, "/routes?wait=installed&require=r1&timeout=60s", route)
	}
	shows := func(prefix string, parts ...string) bool {
		return hasAll(ip(t, "route show "+prefix+" proto 68"), parts...)
	}
	if !shows("192.0.2.0/24", "via 10.0.0.2 dev w0", "via 10.0.1.2 dev w1") || !shows("198.51.100.0/24", "via 10.0.0.2 dev w0") {
		t.Fatal(ours(t))
	}
	observed := func() string {
		var body struct{ Observed map[string]string }
		a := must(t, n, http.StatusOK, http.MethodGet, "/v1/links/r1/r2", "")
		if err := json.Unmarshal([]byte(a.text), &body); err != nil {
			t.Fatal(err)
		}
		return body.Observed["r1"]
	}

	n.Kill()
	best := time.Hour
	for range 3 { // the machine may be busy: the best counts
		ip(t, "link set p0 down")
		took := eventually(t, "the group without its dead next hop", func() bool {
			return shows("192.0.2.0/24", "10.0.1.2") && !shows("192.0.2.0/24", "10.0.0.2")
		})
		best = min(best, took)
		eventually(t, "its log", func() bool { return strings.Contains(p.Log(), "a next hop is dead") })
		ip(t, "link set p0 up")
		eventually(t, "the group as it was", func() bool { return shows("192.0.2.0/24", "via 10.0.0.2 dev w0", "via 10.0.1.2 dev w1") })
	}
	t.Logf("a dead next hop left its group after %v", best.Round(time.Millisecond))
	if best > 100*time.Millisecond {
		t.Errorf("it took %v", best)
	}

	// What went on without a node is told to the next one.
	ip(t, "link set p0 down")
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node", func() bool { return n.Ready(within(t, patience)) == nil })
	eventually(t, "the link to be seen down", func() bool { return observed() == "down" })
	eventually(t, "the way by r3", func() bool { return shows("198.51.100.0/24", "via 10.0.1.2 dev w1") })
	if out := dvr(t, n, p, "log", "list"); !strings.Contains(out, "link.observed") {
		t.Error(out)
	}
	// As often as one fails it is held for longer: the others of this test are held in the data plane.
	ip(t, "link set p0 up")
	eventually(t, "the link to be seen up", func() bool { return observed() == "up" })
	eventually(t, "the way by r2", func() bool { return shows("198.51.100.0/24", "via 10.0.0.2 dev w0") })
	ip(t, "link set p0 down")
	began := time.Now()
	eventually(t, "the link to be seen down", func() bool { return observed() == "down" })
	t.Logf("the link counted as down after %v", time.Since(began).Round(time.Millisecond))
	eventually(t, "what is down, in the list of data planes", func() bool {
		return hasAll(must(t, n, http.StatusOK, http.MethodGet, "/v1/dataplanes", "").text, `"down":[`, `{"interface":"w0","since"`, `{"interface":"w0","next_hop":"10.0.0.2"`)
	})
	ip(t, "link set p0 up")
	eventually(t, "the way by r2", func() bool { return shows("198.51.100.0/24", "via 10.0.0.2 dev w0") })
	eventually(t, "all as it was", func() bool {
		return stateOf(t, n).DigestEqual && !stateOf(t, n).Deviates && stateOf(t, n).kernel().Failed == 0
	})

	// No link names w2: only the data plane's state tells of it.
	ip(t, "link add w2 type veth peer name p2")
	ip(t, "link set w2 up")
	ip(t, "link set p2 up")
	ip(t, "addr add 10.0.2.1/24 dev w2")
	add := must(t, n, http.StatusCreated, http.MethodPost, "/routes?wait=installed&require=r1&timeout=60s", `{"router":"r1","destination":"203.0.113.0/24","next_hop":"10.0.2.2"}`)
	ip(t, "link set p2 down")
	eventually(t, "the interface at the node", func() bool {
		return hasAll(must(t, n, http.StatusOK, http.MethodGet, "/v1/dataplanes", "").text, `{"interface":"w2","since"`)
	})
	if a := must(t, n, http.StatusOK, http.MethodGet, "/v1/commits?after="+fmt.Sprint(add.revision()), ""); strings.Contains(a.text, "link.observed") {
		t.Errorf("something was appended: %s", a.text)
	}
}
