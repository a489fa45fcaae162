package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// TestDataPlaneWithoutNode: a data plane whose node is gone answers the
// command line itself, where the way through the node says exit code 5.
func TestDataPlaneWithoutNode(t *testing.T) {
	n := startNode(t, scratch(t))
	p := startPlane(t, n, "r1")
	revision := must(t, n, http.StatusCreated, http.MethodPost, "/routes?wait=installed", `{"destination":"10.1.0.0/16","next_hop":"192.168.1.1"}`).revision()
	p.inSync(t, n, revision)
	n.Kill()
	if out, code := run(t, "dataplane", "lookup", "10.1.2.3", "--at", p.Listen); code != 0 || !strings.Contains(out, "192.168.1.1") {
		t.Errorf("exit %d: %s", code, out)
	}
	if out, code := run(t, "dataplane", "lookup", "10.2.0.1", "--at", p.Listen); code != 3 {
		t.Errorf("an address without a route: exit %d: %s", code, out)
	}
	if out, code := run(t, "dataplane", "show", "--at", p.Listen, "-o", "json"); code != 0 || !strings.Contains(out, `"router": "r1"`) {
		t.Errorf("exit %d: %s", code, out)
	}
	if out, code := run(t, "--endpoint", n.API, "dataplane", "lookup", "10.1.2.3", "--router", "r1"); code != 5 {
		t.Errorf("through the node: exit %d: %s", code, out)
	}
}
