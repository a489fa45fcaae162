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
