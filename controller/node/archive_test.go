package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dvr/controller/archive"
	"dvr/eventlog"
)

// low is where the log in etcd begins.
func low(t *testing.T, n *Node) eventlog.Revision {
	t.Helper()
	r, err := n.store.Low(within(t, patience))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// shorten has the node forget what lies before its state now.
func shorten(t *testing.T, n *Node) error {
	t.Helper()
	k := n.keeper.Load()
	if err := k.Snapshot(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	return k.Free(within(t, patience))
}

// TestNodeArchives: what a node truncates is in its archive before, is answered
// from there, also after a restart, and what cannot be archived is not truncated.
func TestNodeArchives(t *testing.T) {
	t.Parallel()
	dir, kept := t.TempDir(), filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(kept, nil, 0o600); err != nil { // in the directory's place
		t.Fatal(err)
	}
	environ := append(environment(t, dir), "ARCHIVE_DIR="+kept)
	n, _, _ := start(t, environ)
	for i := range 8 {
		put(t, n, i+1)
	}
	if err := shorten(t, n); err == nil || low(t, n) != 1 {
		t.Fatalf("truncated to %d without an archive: %v", low(t, n), err)
	}
	if code, body := call(t, n, "GET", "/v1/status", ""); code != 200 || !strings.Contains(body, `"problem":"`) || !strings.Contains(body, kept) {
		t.Errorf("status: %d %s", code, body)
	}
	if err := os.Remove(kept); err != nil {
		t.Fatal(err)
	}
	if err := shorten(t, n); err != nil || low(t, n) < 9 {
		t.Fatalf("truncated to %d: %v", low(t, n), err)
	}
	asked := func(n *Node) {
		t.Helper()
		for at := 2; at <= 9; at++ {
			code, body := call(t, n, "GET", fmt.Sprintf("/v1/routes?at=%d", at), "")
			if code != 200 || strings.Count(body, `"destination"`) != at-1 {
				t.Errorf("at %d: %d %s", at, code, body)
			}
		}
		if code, body := call(t, n, "GET", "/v1/commits?after=0&limit=3", ""); code != 200 || strings.Count(body, `"actor"`) != 3 {
			t.Errorf("commits: %d %s", code, body)
		}
		if code, body := call(t, n, "GET", "/v1/status", ""); code != 200 || !strings.Contains(body, `"first_revision":1,"revision":`) || strings.Contains(body, "problem") {
			t.Errorf("status: %d %s", code, body)
		}
	}
	asked(n)
	put(t, n, 9)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n, _, _ = start(t, environ)
	n.archive.look() // as it does every 10 s
	asked(n)
	r, err := archive.NewDirectory(kept).Verify(context.Background())
	if err != nil || r.Sound() != nil || r.Commits < 9 || r.States < 1 {
		t.Errorf("%+v, %v, %v", r, r.Sound(), err)
	}
}
