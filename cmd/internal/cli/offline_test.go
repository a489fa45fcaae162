package cli

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dvr/controller/etcdserver"
	"dvr/controller/porttest"
	"dvr/eventlog"
	"dvr/eventlog/etcdlog"
)

// stoppedCluster gives the data directories of three members that have run, and
// the newest revision of their log.
func stoppedCluster(t *testing.T) (dirs []string, newest eventlog.Revision) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	members := map[string]string{}
	for _, n := range []string{"n1", "n2", "n3"} {
		members[n] = porttest.Address(t)
	}
	var servers []*etcdserver.Server
	for n, address := range members {
		dir := t.TempDir()
		dirs = append(dirs, dir)
		s, err := etcdserver.Start(ctx, etcdserver.Config{Name: n, DataDir: dir, PeerListen: address, ClientListen: "127.0.0.1:0", Members: members})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		servers = append(servers, s)
	}
	for _, s := range servers {
		if err := s.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
	}
	log, err := etcdlog.Open(ctx, servers[0].Client(), etcdlog.Options{Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		prev, err := log.Head(ctx)
		if err != nil {
			t.Fatal(err)
		}
		b := eventlog.NewBatchBuilder(prev, "n1")
		if err := b.Add(&eventlog.Commit{ID: fmt.Sprint(i), Time: int64(i + 1), Actor: "alice", Events: []eventlog.Event{&eventlog.KeyPut{Key: "k", Value: fmt.Sprint(i)}}}); err != nil {
			t.Fatal(err)
		}
		raw, next := b.Finish()
		head, err := log.Append(ctx, prev, next, raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		newest = head.Revision
	}
	for _, s := range servers { // each has applied it
		if _, err := s.Client().Get(ctx, "/dvr/log/head"); err != nil {
			t.Fatal(err)
		}
	}
	return dirs, newest
}

// contentOf is a digest of each file below dir.
func contentOf(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		fmt.Fprintf(&out, "%s %x\n", path, sha256.Sum256(raw))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestStoppedMemberOfACluster: the log of one member is verified without the
// others and nothing in its directory changes; a repair is refused at once, and
// says what to do.
func TestStoppedMemberOfACluster(t *testing.T) {
	dirs, newest := stoppedCluster(t)
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	for _, dir := range dirs {
		before := contentOf(t, dir)
		out, err := run(t, &exchange{code: 200}, "log", "verify", "--data-dir", dir)
		if err != nil || !strings.Contains(out, fmt.Sprintf("revisions 1 to %d", newest)) {
			t.Fatalf("verify: %v\n%s", err, out)
		}
		if after := contentOf(t, dir); after != before {
			t.Errorf("verify changed the directory:\n%s\nwas\n%s", after, before)
		}
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("the copy is left: %v, %v", left, err)
	}
	_, err := run(t, &exchange{code: 200}, "log", "repair", "--data-dir", dirs[0])
	if ExitCode(err) != ExitFailure {
		t.Fatalf("repair of one member: %v", err)
	}
	for _, want := range []string{"one of 3 members (n1, n2, n3)", "ETCD_WRITABLE=true", "dvr log repair --etcd"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}
