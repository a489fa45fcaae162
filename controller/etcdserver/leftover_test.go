package etcdserver

import (
	"os"
	"path/filepath"
	"testing"

	"dvr/controller/porttest"
)

// TestLeftoversAreRemoved: what a killed defragmentation left goes at the next
// start, and nothing else does.
func TestLeftoversAreRemoved(t *testing.T) {
	c := Config{Name: "n", DataDir: t.TempDir(), PeerListen: porttest.Address(t), ClientListen: porttest.Address(t)}
	snap := filepath.Join(c.Dir(), "member", "snap")
	if err := os.MkdirAll(snap, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"db.tmp.17", "db.tmp.18", "db.kept"} {
		if err := os.WriteFile(filepath.Join(snap, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if left, err := filepath.Glob(filepath.Join(snap, "db.tmp.*")); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(snap, "db.kept")); err != nil {
		t.Error(err)
	}
}
