package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// etcdctl prepares Debian's etcdctl for a node.
func etcdctl(t *testing.T, endpoint string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("etcdctl")
	if err != nil {
		t.Skip("etcdctl is not installed (Debian's etcd-client)")
	}
	cmd := exec.CommandContext(within(t, patience), path, append([]string{"--endpoints", endpoint}, args...)...)
	cmd.Env = append(os.Environ(), "ETCDCTL_API=3")
	return cmd
}

// TestEtcdctl: the history is read and watched with etcd's own tool, one event
// a line, and what was written by hand is refused.
func TestEtcdctl(t *testing.T) {
	n := startNode(t, scratch(t))
	watch := etcdctl(t, n.Etcd, "watch", "--prefix", "/dvr/log/b/", "--rev", "1")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	watch.Stdout, watch.Stderr = write, write
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = watch.Process.Kill()
		_ = watch.Wait() // killed
	}()
	write.Close()
	const routes = 3
	for i := range routes {
		must(t, n, http.StatusCreated, http.MethodPost, "/routes", fmt.Sprintf(`{"destination":"10.%d.0.0/16","next_hop":"192.168.1.1"}`, i))
	}

	got, err := etcdctl(t, n.Etcd, "get", "--prefix", "/dvr/log/b/").CombinedOutput()
	if err != nil {
		t.Fatalf("get: %v\n%s", err, got)
	}
	if err := read.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	watched := bufio.NewReader(read)
	for i := range routes {
		destination := fmt.Sprintf(`"destination":"10.%d.0.0/16"`, i)
		lines := 0
		for line := range strings.Lines(string(got)) {
			if strings.Contains(line, destination) {
				lines++
				if event := strings.TrimSuffix(strings.TrimSpace(line), ","); !json.Valid([]byte(event)) {
					t.Errorf("an event is not one line: %s", event)
				}
			}
		}
		if lines != 1 {
			t.Errorf("get: %s on %d lines of\n%s", destination, lines, got)
		}
		for {
			line, err := watched.ReadString('\n')
			if err != nil {
				t.Fatalf("watch: %v before %s", err, destination)
			}
			if strings.Contains(line, destination) {
				break
			}
		}
	}
	if out, err := etcdctl(t, n.Etcd, "put", "/dvr/log/b/x", "y").CombinedOutput(); err == nil {
		t.Errorf("a write by hand was taken: %s", out)
	}
}
