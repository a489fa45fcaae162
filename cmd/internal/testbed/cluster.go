package testbed

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// NewCluster prepares n nodes, node-1 and on, that form one cluster when they
// are started; the data of each is in a directory of its own below dir.
func NewCluster(dir string, n int, environment ...string) ([]*Node, error) {
	var nodes []*Node
	var members []string
	for i := range n {
		id := fmt.Sprintf("node-%d", i+1)
		own := filepath.Join(dir, id)
		if err := os.MkdirAll(own, 0o700); err != nil {
			return nil, err
		}
		node, err := NewNode(own, append([]string{"NODE_ID=" + id}, environment...)...)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, node)
		members = append(members, id+"="+node.Raft)
	}
	for _, node := range nodes {
		node.Environment = append(node.Environment, "INITIAL_CLUSTER="+strings.Join(members, ","))
	}
	return nodes, nil
}

// Leads asks the node whether it leads.
func (n *Node) Leads(ctx context.Context) (bool, error) {
	var health struct {
		State string `json:"raft_state"`
	}
	err := n.Get(ctx, "/health", &health)
	return health.State == "Leader", err
}
