package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestProbes: a router's probes are set by the command line and reach its data
// plane while it runs; one that does not answer leaves its group, and its link
// counts as down; it is so, too, after a restart without any node.
func TestProbes(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for _, name := range []string{"w0", "w1"} { // the kernel gives up after three unanswered questions
		if err := os.WriteFile("/proc/sys/net/ipv4/neigh/"+name+"/retrans_time_ms", []byte("20"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const there, silent = "nud permanent", "nud stale"
	neighbour := func(state string) {
		ip(t, "neigh replace 10.0.0.2 dev w0 lladdr 02:00:00:00:00:02 "+state)
	}
	neighbour(silent) // nobody is there, and nothing is sent to it
	ip(t, "neigh replace 10.0.1.2 dev w1 lladdr 02:00:00:00:00:02 nud stale")

	n := startNode(t, scratch(t))
	p := startPlaneOf(t, n, "r1", "kernel")
	must(t, n, http.StatusOK, http.MethodPut, "/v1/links/r1/r2", `{"interface_a":"w0","address_a":["10.0.0.1"],"address_b":["10.0.0.2"]}`)
	for _, hop := range []string{"10.0.0.2", "10.0.1.2"} {
		must(t, n, http.StatusCreated, http.MethodPost, "/routes?wait=installed&require=r1&timeout=60s", `{"router":"r1","destination":"192.0.2.0/24","next_hop":"`+hop+`"}`)
	}
	both := func() bool { return hasAll(ip(t, "route show 192.0.2.0/24 proto 68"), "10.0.0.2", "10.0.1.2") }
	alone := func() bool {
		out := ip(t, "route show 192.0.2.0/24 proto 68")
		return strings.Contains(out, "10.0.1.2") && !strings.Contains(out, "10.0.0.2")
	}
	observed := func() string {
		var body struct{ Observed map[string]string }
		if err := json.Unmarshal([]byte(must(t, n, http.StatusOK, http.MethodGet, "/v1/links/r1/r2", "").text), &body); err != nil {
			t.Fatal(err)
		}
		return body.Observed["r1"]
	}
	if !both() {
		t.Fatal(ours(t))
	}

	// Of those on w0 alone: 10.0.1.2 is as silent.
	began := time.Now()
	dvr(t, n, p, "router", "set", "r1", "--probe", "%w0=100ms")
	eventually(t, "the group without the next hop that does not answer", alone)
	eventually(t, "the link to be seen down", func() bool { return observed() == "down" })
	t.Logf("out of its group, and its link down, %v after the probe was set", time.Since(began).Round(time.Millisecond))
	if out := dvr(t, n, p, "router", "get", "r1"); !hasAll(out, "probes", "w0", "100") {
		t.Error(out)
	}
	eventually(t, "what is down, in the list of data planes", func() bool {
		return hasAll(must(t, n, http.StatusOK, http.MethodGet, "/v1/dataplanes", "").text, `{"interface":"w0","next_hop":"10.0.0.2"`)
	})
	eventually(t, "the counter", func() bool { return stateOf(t, n).Counters["kernel_probes"] > 0 })
	neighbour(there)
	eventually(t, "the group as it was", both)
	eventually(t, "the link to be seen up", func() bool { return observed() == "up" })

	// Without a node, and begun anew.
	n.Kill()
	p.Kill()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the data plane", func() bool { return strings.Contains(p.Log(), "next hops are probed") })
	if !both() {
		t.Error(ours(t))
	}
	neighbour(silent)
	eventually(t, "the group without the next hop, by the probes that are kept", alone)
	neighbour(there)
	eventually(t, "the group as it was", both)

	// Taken away: the silent one stays, since nobody asks.
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node", func() bool { return n.Ready(within(t, patience)) == nil })
	dvr(t, n, p, "router", "set", "r1")
	eventually(t, "probes to end", func() bool { return strings.Contains(p.Log(), "next hops are not probed any more") })
	neighbour(silent)
	for until := time.Now().Add(time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) { // for what must not happen there is nothing to wait on
		if !both() {
			t.Fatalf("it left without a probe: %s", ours(t))
		}
	}
}
