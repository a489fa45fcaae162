package etcdserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"google.golang.org/protobuf/proto"
)

// Member is an entry of the cluster's member list.
type Member struct {
	ID      uint64
	Name    string   // empty until a member that was added has started
	Peer    string   // advertised Raft address, host:port
	Clients []string // advertised client addresses, host:port; empty until it has started
	Learner bool
}

// Members is the list as this member has applied it; it asks nobody.
func (s *Server) Members() []Member {
	var out []Member
	for _, m := range s.etcd.Server.Cluster().Members() {
		out = append(out, newMember(uint64(m.ID), m.Name, m.PeerURLs, m.ClientURLs, m.IsLearner))
	}
	slices.SortFunc(out, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// MembersOf converts the answer of a client's MemberList, MemberAdd or MemberRemove.
func MembersOf(list []*pb.Member) []Member {
	var out []Member
	for _, m := range list {
		out = append(out, newMember(m.ID, m.Name, m.PeerURLs, m.ClientURLs, m.IsLearner))
	}
	return out
}

func newMember(id uint64, name string, peers, clients []string, learner bool) Member {
	m := Member{ID: id, Name: name, Learner: learner}
	if len(peers) > 0 {
		m.Peer = hostPort(peers[0])
	}
	for _, c := range clients {
		m.Clients = append(m.Clients, hostPort(c))
	}
	return m
}

func hostPort(url string) string {
	_, address, ok := strings.Cut(url, "://")
	if !ok {
		return url
	}
	return strings.TrimSuffix(address, "/")
}

// Learner tells whether this member is in the list as one without a vote. It
// does not ask etcd's IsLearner, which etcd does not survive while the list
// lacks the member: before it is applied, as at a restart with a log that a
// kill left empty, and after the member was removed.
func (s *Server) Learner() bool {
	m := s.etcd.Server.Cluster().Member(s.etcd.Server.MemberID())
	return m != nil && m.IsLearner
}

// Removed tells whether this member has applied its own removal. One that was
// offline then does not learn of it by itself: its peers refuse it.
func (s *Server) Removed() bool {
	c, ok := s.etcd.Server.Cluster().(*membership.RaftCluster)
	return ok && c.IsIDRemoved(s.etcd.Server.MemberID())
}

// MoveLeader makes a voter the leader and returns when it is, as seen here. Any
// member can be asked. Errors: etcd's, of which errors.Is finds ctx's end only.
func (s *Server) MoveLeader(ctx context.Context, to uint64) error {
	lead := s.LeaderID()
	if lead == to {
		return nil
	}
	if lead == 0 {
		return errors.New("move leader: there is none")
	}
	if err := s.etcd.Server.MoveLeader(ctx, lead, to); err != nil {
		return fmt.Errorf("move leader: %w", err)
	}
	return nil
}

// HandOver gives leadership, if this member has it, to the voter that has been
// connected longest, and waits until that leads: about 10 ms, at most 500 ms. A
// voter that no longer answers is not asked, and one that is stopping itself
// costs no more than that limit: nothing is lost, the others elect.
func (s *Server) HandOver() error {
	if !s.Leader() {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- s.etcd.Server.TryTransferLeadershipOnShutdown() }() // ends with etcd at the latest
	limit := time.NewTimer(handOverLimit)
	defer limit.Stop()
	select {
	case err := <-done:
		return err
	case <-limit.C:
		return ErrNotHandedOver
	}
}

// ErrNotHandedOver: no voter took over leadership in time.
var ErrNotHandedOver = errors.New("no voter took over leadership in time")

const handOverLimit = 500 * time.Millisecond

// ClusterIDOf is the id of the cluster that first members form under a token,
// in TLS or not.
func ClusterIDOf(token string, members map[string]string, tls bool) (uint64, error) {
	peerScheme := "http"
	if tls {
		peerScheme = "https"
	}
	urls, err := types.NewURLsMap(initialCluster(peerScheme, members))
	if err != nil {
		return 0, fmt.Errorf("initial cluster: %w", err)
	}
	c, err := membership.NewClusterFromURLsMap(nil, token, urls)
	if err != nil {
		return 0, fmt.Errorf("initial cluster: %w", err)
	}
	return uint64(c.ID()), nil
}

// ErrNoIdentity: the write-ahead log does not begin as etcd writes it.
var ErrNoIdentity = errors.New("the write-ahead log does not say whose it is")

// Identity reads from the data directory, without starting anything, of which
// cluster and member it is. Errors: ErrNoIdentity, of the file system.
func (c *Config) Identity() (member, cluster uint64, err error) {
	files, err := filepath.Glob(filepath.Join(c.wal(), "*.wal"))
	if err != nil || len(files) == 0 {
		return 0, 0, fmt.Errorf("%w: no file in %s", ErrNoIdentity, c.Dir())
	}
	f, err := os.Open(slices.Min(files))
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	// Every segment begins with a checksum record and the metadata.
	for range 2 {
		r, err := walRecord(f)
		if err != nil {
			return 0, 0, fmt.Errorf("%w: %w", ErrNoIdentity, err)
		}
		if r.GetType() != wal.MetadataType {
			continue
		}
		var m pb.Metadata
		if err := proto.Unmarshal(r.GetData(), &m); err != nil {
			return 0, 0, fmt.Errorf("%w: %w", ErrNoIdentity, err)
		}
		return m.GetNodeID(), m.GetClusterID(), nil
	}
	return 0, 0, ErrNoIdentity
}

// walRecord reads one frame: its length in the lower 56 bits of 8 bytes, the
// padding in the upper 8, then the record.
func walRecord(f io.Reader) (*walpb.Record, error) {
	var length uint64
	if err := binary.Read(f, binary.LittleEndian, &length); err != nil {
		return nil, err
	}
	size, padding := length&(1<<56-1), uint64(0)
	if length>>63 == 1 {
		padding = length >> 56 & 7
	}
	if size > 1<<16 {
		return nil, fmt.Errorf("a first record of %d bytes", size)
	}
	raw := make([]byte, size+padding)
	if _, err := io.ReadFull(f, raw); err != nil {
		return nil, err
	}
	r := new(walpb.Record)
	return r, proto.Unmarshal(raw[:size], r)
}
