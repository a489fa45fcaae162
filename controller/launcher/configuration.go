package launcher

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"dvr/controller/durable"
)

// configurationFormat is raised when an older launcher would misread the file.
const configurationFormat = 1

const configurationName = "launcher.json"

// Configuration is what the launcher keeps over its restarts.
type Configuration struct {
	Format int `json:"format"`
	// ClusterID is empty until the founding nodes have formed the cluster.
	ClusterID string `json:"cluster_id,omitempty"`
	// Founders form the cluster together, once.
	Founders []string `json:"founders"`
	APIBase  int      `json:"api_base"`
	APIStep  int      `json:"api_step"`
	RaftBase int      `json:"raft_base"`
	TLS      bool     `json:"tls,omitempty"` // of all ports, for good
	// Authorization was in force when a node said so last.
	Authorization bool `json:"authorization,omitempty"`
	// Known are those who were admitted, by the SHA-256 of what they send.
	Known map[string]Known `json:"known,omitempty"`
	Nodes map[string]Node  `json:"nodes"`
}

// Node is a configured node.
type Node struct {
	Ports Ports `json:"ports"`
	// Stopped by the operator: not started with the launcher.
	Stopped bool `json:"stopped,omitempty"`
	// Joined: it was seen as a member of ClusterID, so it has data.
	Joined bool `json:"joined,omitempty"`
	// Observer: it joins without a vote.
	Observer bool `json:"observer,omitempty"`
	// JoinToken: with which it joins, until it has.
	JoinToken string `json:"join_token,omitempty"`
	// Leaving: the member is removed, process and data have yet to go.
	Leaving bool `json:"leaving,omitempty"`
}

func (c *Configuration) clone() *Configuration {
	d := *c
	d.Founders = slices.Clone(c.Founders)
	d.Nodes, d.Known = maps.Clone(c.Nodes), maps.Clone(c.Known)
	return &d
}

// ids in order.
func (c *Configuration) ids() []string { return slices.Sorted(maps.Keys(c.Nodes)) }

// check refuses what no launcher writes: an id becomes a path, a port a listener.
func (c *Configuration) check() error {
	if c.Format != configurationFormat {
		return fmt.Errorf("format %d; this version reads format %d", c.Format, configurationFormat)
	}
	if len(c.Nodes) == 0 {
		return errors.New("no nodes")
	}
	if c.APIBase < 1 || c.APIStep < 1 || c.RaftBase < 1 {
		return errors.New("api_base, api_step and raft_base must be positive")
	}
	taken := map[int]string{}
	for _, id := range c.ids() {
		if err := checkID(id); err != nil {
			return err
		}
		for _, p := range c.Nodes[id].Ports.list() {
			if p.port < 1 || p.port > 65535 {
				return fmt.Errorf("node %s: %s port %d", id, p.name, p.port)
			}
			if other, ok := taken[p.port]; ok {
				return fmt.Errorf("node %s: %s port %d is also that of node %s", id, p.name, p.port, other)
			}
			taken[p.port] = id
		}
	}
	for _, id := range c.Founders {
		if err := checkID(id); err != nil {
			return err
		}
	}
	return nil
}

// store is the configuration on disk and in memory. It is safe for concurrent use.
type store struct {
	dir string
	mu  sync.Mutex
	now *Configuration
}

// readConfiguration is nil where there is none.
func readConfiguration(dir string) (*Configuration, error) {
	path := filepath.Join(dir, configurationName)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfiguration, err)
	}
	c := &Configuration{}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err = d.Decode(c); err == nil {
		err = c.check()
	}
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrConfiguration, path, err)
	}
	return c, nil
}

// get is the configuration now; the caller must not change it.
func (s *store) get() *Configuration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// update changes a copy and makes it the configuration once it is on disk.
// An error of change changes nothing.
func (s *store) update(change func(*Configuration) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.now.clone()
	if err := change(c); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrConfiguration, err)
	}
	raw, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfiguration, err)
	}
	if err := durable.Write(filepath.Join(s.dir, configurationName), append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("%w: %w", ErrConfiguration, err)
	}
	s.now = c
	return nil
}

// setNode changes one node, which must be there.
func (s *store) setNode(id string, change func(*Node) error) error {
	return s.update(func(c *Configuration) error {
		n, ok := c.Nodes[id]
		if !ok {
			return ErrUnknownNode
		}
		if err := change(&n); err != nil {
			return err
		}
		c.Nodes[id] = n
		return nil
	})
}
