package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"dvr/controller/durable"
)

// State is how far a node has come in its cluster.
type State string

// States of a node.
const (
	// Forming: it has told the others that it is blank and ready; etcd has not started.
	Forming State = "forming"
	// Joining: it asks to be admitted; etcd has not started.
	Joining State = "joining"
	// Member: etcd has run here. Data that are missing from now on are lost.
	Member State = "member"
	// Observer: admitted without an etcd member.
	Observer State = "observer"
	// Removed: it was removed, and never starts again with these data.
	Removed State = "removed"
)

// Identity is what a node remembers of itself beside etcd's data, so that their
// loss is noticed.
type Identity struct {
	Format    int    `json:"format"`
	NodeID    string `json:"node_id"`
	State     State  `json:"state"`
	ClusterID string `json:"cluster_id,omitempty"` // 16 hex digits
	MemberID  string `json:"member_id,omitempty"`  // 16 hex digits
	LogID     string `json:"log_id,omitempty"`
	// InitialCluster, Token and Nonce are those of a node that is forming, or
	// has formed a cluster and was not part of a quorum since.
	InitialCluster string `json:"initial_cluster,omitempty"`
	Token          string `json:"token,omitempty"`
	Nonce          string `json:"nonce,omitempty"`
	// Members are the members' client addresses as an observer knew them last.
	Members []string `json:"members,omitempty"`
	// APIs are API addresses of other nodes as known last.
	APIs []string `json:"apis,omitempty"`
}

const (
	identityFile   = "identity.json"
	identityFormat = 1
)

// LoadIdentity reads the identity file of a data directory; nil without one.
func LoadIdentity(dir string) (*Identity, error) {
	path := filepath.Join(dir, identityFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	i := new(Identity)
	if err := json.Unmarshal(raw, i); err != nil {
		return nil, fmt.Errorf("%w: %s does not say who this node is: %w", ErrRefused, path, err)
	}
	if i.Format != identityFormat {
		return nil, fmt.Errorf("%w: %s has format %d, this program knows %d", ErrRefused, path, i.Format, identityFormat)
	}
	switch i.State {
	case Forming, Joining, Member, Observer, Removed:
		return i, nil
	}
	return nil, fmt.Errorf("%w: %s: unknown state %q", ErrRefused, path, i.State)
}

// Save puts the file in place as a whole: after a crash it is the old or the new one.
func (i *Identity) Save(dir string) error {
	i.Format = identityFormat
	raw, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	if err := durable.Write(filepath.Join(dir, identityFile), append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	return nil
}

// Settle records the log that the node is of, and that it has taken part: from
// now on an empty write-ahead log is a lost one.
func (i *Identity) Settle(dir, log string) error {
	if i.LogID == log && i.Token == "" {
		return nil
	}
	i.LogID = log
	i.InitialCluster, i.Token, i.Nonce = "", "", ""
	return i.Save(dir)
}

// FormatID writes a cluster or member id as the API and the files have it.
func FormatID(id uint64) string { return fmt.Sprintf("%016x", id) }
