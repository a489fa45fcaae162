package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dvr/controller/backup"
	"dvr/controller/cluster"
)

// backupOf is what GET /v1/backup of a node gives.
func backupOf(t *testing.T, n *Node) *backup.Backup {
	t.Helper()
	code, body := led(t, n, "GET", "/v1/backup", "")
	b, err := backup.Read(strings.NewReader(body), int64(len(body)))
	if code != 200 || err != nil {
		t.Fatalf("%d %v", code, err)
	}
	return b
}

// TestRestoreIntoANewCluster: a backup of a node that went on becomes the first
// member of another cluster, of the same log in a new epoch, which others join.
func TestRestoreIntoANewCluster(t *testing.T) {
	t.Parallel()
	seats := newSeats(t, 3)
	old, first, second := seats[0], seats[1], seats[2]
	form(t, old)
	put(t, old.node, 1)
	if code, body := call(t, old.node, "PUT", "/kv/site", `{"value":"core"}`); code != 200 {
		t.Fatal(code, body)
	}
	b := backupOf(t, old.node)
	put(t, old.node, 2) // after the backup
	before := view(t, old.node)
	position := old.node.appender.State().Position()

	dir := first.dir
	r, err := Restore(within(t, patience), dir, b, RestoreOptions{Reason: "the site burnt down", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if r.LogID != position.LogID || r.From != 3 || r.Revision != 4 || r.Epoch != 2 || r.Digest != b.Header.Digest || r.Routes != 1 {
		t.Errorf("%+v of %+v", r, b.Header)
	}
	if left, err := os.ReadDir(dir); err != nil || fmt.Sprint(left) != "[d etcd/ - lock]" {
		t.Errorf("in the directory: %v %v", left, err)
	}
	if _, err := Restore(within(t, patience), dir, b, RestoreOptions{Now: time.Now()}); !errors.Is(err, cluster.ErrRefused) || !strings.Contains(err.Error(), "holds the data of a node") {
		t.Errorf("a second time: %v", err)
	}
	if err := first.run(within(t, patience), t); err != nil {
		t.Fatal(err)
	}
	now := view(t, first.node)
	if now.ClusterID == before.ClusterID || roles(now) != "node-2:voter" {
		t.Errorf("the cluster is %+v, was %+v", now, before)
	}
	if at := first.node.appender.State().Position(); at.Epoch != 2 || at.Revision != 4 || at.LogID != position.LogID {
		t.Errorf("it stands at %v", at)
	}
	if !has(t, first.node, 1) || has(t, first.node, 2) {
		t.Error("it holds other routes than the backup")
	}
	if code, body := call(t, first.node, "GET", "/kv/site", ""); code != 200 || !strings.Contains(body, `"core"`) {
		t.Errorf("the key: %d %s", code, body)
	}
	if code, body := call(t, first.node, "GET", "/v1/commits?after=3", ""); code != 200 || !strings.Contains(body, "the site burnt down") || !strings.Contains(body, `"restored"`) {
		t.Errorf("the log does not say why: %d %s", code, body)
	}
	if code, body := call(t, first.node, "GET", "/v1/routes?at=3", ""); code != 200 || !strings.Contains(body, "10.1.0.0/16") {
		t.Errorf("the backup's revision: %d %s", code, body)
	}
	if code, body := call(t, first.node, "GET", "/v1/routes?at=2", ""); code != 410 || !strings.Contains(body, `"oldest_revision":3`) {
		t.Errorf("before the backup: %d %s", code, body)
	}
	// A snapshot of the new log and another backup of it are as any.
	if err := first.node.keeper.Load().Snapshot(within(t, patience)); err != nil {
		t.Error(err)
	}
	put(t, first.node, 3)
	if h := backupOf(t, first.node).Header; h.Epoch != 2 || h.Revision != 5 {
		t.Errorf("%+v", h)
	}
	if err := second.run(within(t, patience), t, "JOIN="+first.api()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new member votes", func() bool { return roles(view(t, first.node)) == "node-2:voter node-3:voter" })
	if !has(t, second.node, 1) || !has(t, second.node, 3) {
		t.Error("the new member lacks a route")
	}
	first.stop(t)
	if err := first.run(within(t, patience), t); err != nil { // by its identity now
		t.Fatal(err)
	}
}

func TestRestoreRefusesAndLeavesNothing(t *testing.T) {
	t.Parallel()
	n := newSeat(t, "node-1")
	form(t, n)
	b := backupOf(t, n.node)
	names := func(dir string) string {
		t.Helper()
		list, err := os.ReadDir(dir)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(list)
	}
	try := func(dir string, o RestoreOptions) error {
		t.Helper()
		o.Now = time.Now()
		_, err := Restore(within(t, patience), dir, b, o)
		return err
	}
	if err := try(n.dir, RestoreOptions{}); !errors.Is(err, cluster.ErrRefused) {
		t.Errorf("into a running node's directory: %v", err)
	}
	lost := t.TempDir()
	if err := (&cluster.Identity{NodeID: "n", State: cluster.Observer}).Save(lost); err != nil {
		t.Fatal(err)
	}
	if err := try(lost, RestoreOptions{}); !errors.Is(err, cluster.ErrRefused) || names(lost) != "[- identity.json]" {
		t.Errorf("into an observer's: %v, %s", err, names(lost))
	}
	empty := t.TempDir()
	nowhere := filepath.Join(empty, "new")
	if err := try(nowhere, RestoreOptions{Epoch: 1}); !errors.Is(err, cluster.ErrRefused) || names(empty) != "[]" {
		t.Errorf("into the backup's epoch: %v, %s", err, names(empty))
	}
	// What fails on the way: etcd has no room for the log.
	if err := try(nowhere, RestoreOptions{Quota: 1}); err == nil || names(empty) != "[]" {
		t.Errorf("without room: %v, %s", err, names(empty))
	}
	// Another one is at it, or was killed.
	lock, err := lockDir(nowhere)
	if err != nil {
		t.Fatal(err)
	}
	if err := try(nowhere, RestoreOptions{}); err == nil || !strings.Contains(err.Error(), "in use") || names(nowhere) != "[- lock]" {
		t.Errorf("at the same time: %v, %s", err, names(nowhere))
	}
	if err := lock.release(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(nowhere, restoring, "etcd", "member", "wal"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := try(nowhere, RestoreOptions{Epoch: 7}); err != nil || names(nowhere) != "[d etcd/ - lock]" {
		t.Errorf("after one that was killed: %v, %s", err, names(nowhere))
	}
}
