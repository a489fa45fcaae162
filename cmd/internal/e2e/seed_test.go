package e2e

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dvr/cmd/internal/testbed"
)

// seedBinary is built as the README's first line says, with Go alone.
func seedBinary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dvr-control-plane")
	cmd := exec.CommandContext(within(t, 3*time.Minute), "go", "build", "-o", path, "./cmd")
	cmd.Dir = "../../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build -o dvr-control-plane ./cmd: %v\n%s", err, out)
	}
	return path
}

// TestSeedLines: build and run as the seed's readers do, and its three calls. With
// the defaults it has the machine's ports to itself in a network namespace; where
// none can be made, it takes those of the machine, which must be free then.
func TestSeedLines(t *testing.T) {
	if namespaced(t) {
		seedDefaults(t, os.Getenv("DVR_E2E_SEED"))
		return
	}
	if testing.Short() {
		t.Skip("builds a binary")
	}
	binary := seedBinary(t)
	unable := isolate(t, "DVR_E2E_SEED="+binary)
	t.Run("ports from the environment", func(t *testing.T) {
		n, err := testbed.NewNodeOf(binary, scratch(t))
		if err != nil {
			t.Fatal(err)
		}
		seedCalls(t, n)
	})
	if unable == "" {
		return
	}
	t.Run("defaults", func(t *testing.T) {
		for _, addr := range []string{"127.0.0.1:9090", "127.0.0.1:9190", "127.0.0.1:8300", "127.0.0.1:2379"} {
			l, err := net.Listen("tcp", addr)
			if err != nil {
				unmet(t, "the seed's ports: %s, and another program has %s: %v", unable, addr, err)
			}
			l.Close()
		}
		seedDefaults(t, binary)
	})
}

// unmet skips a test for what is missing on the machine; where DVR_REQUIRE_ALL is
// set, as in continuous integration, that is a failure.
func unmet(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("DVR_REQUIRE_ALL") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func seedDefaults(t *testing.T, binary string) {
	t.Helper()
	n, err := testbed.NewNodeOf(binary, scratch(t))
	if err != nil {
		t.Fatal(err)
	}
	n.Defaults()
	seedCalls(t, n)
	if _, err := os.Stat(filepath.Join(n.Dir, "data")); err != nil {
		t.Errorf("the data lie elsewhere than ./data: %v", err)
	}
}

func seedCalls(t *testing.T, n *testbed.Node) {
	t.Helper()
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Kill)
	if err := n.Ready(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	health := must(t, n, http.StatusOK, http.MethodGet, "/health", "")
	for k, want := range map[string]any{"status": "healthy", "raft_state": "Leader", "node_id": "node-1"} {
		if health.body[k] != want {
			t.Errorf("health: %s is %v, want %v", k, health.body[k], want)
		}
	}
	added := must(t, n, http.StatusCreated, http.MethodPost, "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.168.1.1","metric":100}`)
	if added.body["destination"] != "10.1.0.0/16" || added.body["status"] != "route added" || added.revision() != 2 {
		t.Errorf("POST /routes: %s", added.text)
	}
	if position := added.header.Get("DVR-Position"); !strings.HasSuffix(position, "/1/2") {
		t.Errorf("DVR-Position is %q", position)
	}
	table := must(t, n, http.StatusOK, http.MethodGet, "/routes", "")
	routes, _ := table.body["routes"].(map[string]any)
	route, _ := routes["10.1.0.0/16"].(map[string]any)
	if len(routes) != 1 || route["destination"] != "10.1.0.0/16" || route["next_hop"] != "192.168.1.1" || route["metric"] != 100.0 || table.revision() != 2 {
		t.Errorf("GET /routes: %s", table.text)
	}
	if status := must(t, n, http.StatusOK, http.MethodGet, "/cluster/status", ""); status.body["state"] != "Leader" {
		t.Errorf("GET /cluster/status: %s", status.text)
	}
	for _, path := range []string{"/routes/10.1.0.0/16", "/routes/10.1.0.0%2F16"} {
		must(t, n, http.StatusOK, http.MethodGet, path, "")
	}
	gone := must(t, n, http.StatusOK, http.MethodDelete, "/routes/10.1.0.0%2F16", "")
	if gone.body["status"] != "route deleted" || gone.revision() != 3 {
		t.Errorf("DELETE: %s", gone.text)
	}
	must(t, n, http.StatusNotFound, http.MethodDelete, "/routes/10.1.0.0/16", "")
	if err := n.Stop(15 * time.Second); err != nil {
		t.Errorf("SIGTERM: %v\n%s", err, n.Log())
	}
}
