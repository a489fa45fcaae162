package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"dvr/controller/cluster"
	"dvr/eventlog"
)

// TestRecoverFromALostMajority: the survivor of three goes on alone in a new
// epoch with all that it had, takes in new members, and the lost ones, should
// they come back with their data, are refused by it.
func TestRecoverFromALostMajority(t *testing.T) {
	t.Parallel()
	seats := newSeats(t, 3)
	form(t, seats...)
	put(t, seats[0].node, 1)
	survivor, lost := seats[1], others(seats[1], seats)
	eventually(t, "the survivor has the route", func() bool { return has(t, survivor.node, 1) })
	before := view(t, survivor.node)
	position := survivor.node.appender.State().Position()
	if _, err := Recover(t.Context(), survivor.dir, "", 0, zap.NewNop()); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("of a running node: %v", err)
	}
	for _, s := range append(lost, survivor) {
		s.stop(t)
	}
	r, err := Recover(within(t, patience), survivor.dir, "two disks died", 0, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if r.ClusterID != before.ClusterID || r.NodeID != survivor.id || r.LogID != position.LogID || r.Epoch != 2 || r.Revision != position.Revision+1 ||
		strings.Join(r.Dropped, " ") != "node-1 node-3" {
		t.Errorf("%+v after %v", r, position)
	}
	if err := survivor.run(within(t, patience), t, initialCluster(seats...)); err != nil {
		t.Fatal(err)
	}
	if at := survivor.node.appender.State().Position(); at.Epoch != 2 || at.Revision != r.Revision || at.LogID != r.LogID {
		t.Errorf("it stands at %v", at)
	}
	if code, body := call(t, survivor.node, "GET", "/v1/commits?after=2", ""); code != 200 || !strings.Contains(body, "two disks died") || !strings.Contains(body, `"recovered"`) {
		t.Errorf("the log does not say why: %d %s", code, body)
	}
	if !has(t, survivor.node, 1) || roles(view(t, survivor.node)) != "node-2:voter" {
		t.Errorf("%+v", view(t, survivor.node))
	}
	put(t, survivor.node, 2)
	lost[0].refuses(t, cluster.ErrRemoved) // told by the survivor
	lost[1].empty(t)
	if err := lost[1].run(within(t, patience), t, "JOIN="+survivor.api()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new member votes", func() bool { return roles(view(t, survivor.node)) == "node-2:voter node-3:voter" })
	if !has(t, lost[1].node, 2) {
		t.Error("the new member lacks a route")
	}
	put(t, lost[1].node, 3)
}

func TestRecoverRefusesWhatIsNoMember(t *testing.T) {
	if _, err := Recover(t.Context(), t.TempDir(), "", 0, zap.NewNop()); !errors.Is(err, cluster.ErrRefused) {
		t.Errorf("of a blank directory: %v", err)
	}
	// A mistyped name leaves no trace, neither of the directory nor in it.
	empty := t.TempDir()
	for _, dir := range []string{empty, filepath.Join(empty, "nodeX")} {
		if _, err := Recover(t.Context(), dir, "", 0, zap.NewNop()); !errors.Is(err, cluster.ErrRefused) {
			t.Errorf("of %s: %v", dir, err)
		}
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	dir := t.TempDir()
	if err := (&cluster.Identity{NodeID: "n", State: cluster.Observer}).Save(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Recover(t.Context(), dir, "", 0, zap.NewNop()); !errors.Is(err, cluster.ErrRefused) {
		t.Errorf("of an observer: %v", err)
	}
	if errors.Is(cluster.ErrRefused, eventlog.ErrUnavailable) {
		t.Error("a refusal counts as transient")
	}
}
