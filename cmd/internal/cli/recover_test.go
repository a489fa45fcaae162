package cli

import (
	"strings"
	"testing"

	"dvr/controller/node"
)

// TestRecovered: nobody is told of others where there are none.
func TestRecovered(t *testing.T) {
	r := &node.Recovery{ClusterID: "c1", NodeID: "node-1"}
	if got := recovered(r); strings.Contains(got, "others") || strings.Contains(got, "()") || !strings.Contains(got, "node-1 was the only member of cluster c1 already") {
		t.Error(got)
	}
	r.Dropped = []string{"node-2", "node-3"}
	if got := recovered(r); !strings.Contains(got, "empty the DATA_DIR of the others (node-2, node-3) before") {
		t.Error(got)
	}
}

// TestOfflineAnswers: what a restore and a recovery did is a table, or a document
// where one is asked for.
func TestOfflineAnswers(t *testing.T) {
	var b strings.Builder
	c := &connection{out: &b, output: "table"}
	r := &node.Restoration{LogID: "l1", From: 12, Digest: "ab", Epoch: 2, Revision: 13, Routes: 1234}
	if err := c.printObject(r, restoredTable); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"log                       l1\n", "of the backup's revision  12\n", "routes                    1,234\n", "epoch                     2\n", "revision                  13\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	b.Reset()
	c.output = "json"
	if err := c.printObject(r, restoredTable); err != nil || !strings.Contains(b.String(), `"from": 12`) {
		t.Errorf("%v: %s", err, b.String())
	}
	b.Reset()
	c.output = "table"
	if err := c.printObject(&node.Recovery{NodeID: "n2", ClusterID: "c1", Epoch: 3, Dropped: []string{"n1", "n3"}}, recoveredTable); err != nil || !strings.Contains(b.String(), "members that are gone  n1, n3\n") || strings.Contains(b.String(), "{") {
		t.Errorf("%v: %s", err, b.String())
	}
	for _, args := range [][]string{{"restore", "nothing", "-o", "xml"}, {"cluster", "recover", "-o", "xml"}} {
		if code, _, errOut := executed(t, args...); code != ExitUsage || !strings.Contains(errOut, "table, json or yaml") {
			t.Errorf("%v: %d %s", args, code, errOut)
		}
	}
}
