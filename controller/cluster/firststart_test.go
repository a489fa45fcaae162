package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"dvr/controller/etcdserver"
	"dvr/controller/porttest"
)

// cutShort leaves what etcd leaves that is killed in its first start before it
// could vote or acknowledge anything: a log that only says whose it is.
func cutShort(t *testing.T, dir, cluster string) (log string) {
	t.Helper()
	log = filepath.Join(dir, "etcd", "member", "wal")
	if err := os.MkdirAll(filepath.Dir(log), 0o700); err != nil {
		t.Fatal(err)
	}
	member := uint64(0xd1)
	id, err := strconv.ParseUint(cluster, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	metadata, err := proto.Marshal(&pb.Metadata{NodeID: &member, ClusterID: &id})
	if err != nil {
		t.Fatal(err)
	}
	w, err := wal.Create(zap.NewNop(), log, metadata)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return log
}

// TestFirstStartIsDoneAgain, from every state that a kill can leave, as the same
// member of the same cluster; and only as long as nobody can have heard of it.
func TestFirstStartIsDoneAgain(t *testing.T) {
	for name, list := range map[string]bool{"INITIAL_CLUSTER": true, "alone": false} {
		t.Run(name, func(t *testing.T) {
			address := porttest.Address(t)
			c := Config{NodeID: "node-1", DataDir: t.TempDir(), RaftListen: address, Addresses: Addresses{Raft: address}}
			members := map[string]string{"node-1": address}
			if list {
				c.InitialCluster = members
			}
			prepare := func() *Plan {
				t.Helper()
				p, err := Prepare(t.Context(), &c)
				if err != nil {
					t.Fatal(err)
				}
				return p
			}
			first := prepare()
			token := first.Token
			id, err := etcdserver.ClusterIDOf(token, members, false)
			if err != nil {
				t.Fatal(err)
			}
			clusterID := FormatID(id)
			check := func(what string) {
				t.Helper()
				p := prepare()
				if !p.First || p.Token != token || p.Identity.State != Forming || p.Identity.MemberID != "" {
					t.Errorf("%s: %+v %+v", what, p, p.Identity)
				}
				if _, err := os.Stat(filepath.Join(c.DataDir, "etcd")); !os.IsNotExist(err) {
					t.Errorf("%s: etcd's data are still there: %v", what, err)
				}
			}
			check("killed before etcd wrote anything")
			if err := os.MkdirAll(filepath.Join(c.DataDir, "etcd", "member", "snap", "db"), 0o700); err != nil {
				t.Fatal(err)
			}
			check("killed before the log was made")
			cutShort(t, c.DataDir, clusterID)
			check("killed before the start was recorded")
			log := cutShort(t, c.DataDir, clusterID)
			if err := c.Started(identityIn(t, &c), 0xd1, id); err != nil {
				t.Fatal(err)
			}
			check("killed when the start was recorded")

			// A member whose log is away as a whole has lost it.
			p := prepare()
			if err := c.Started(p.Identity, 0xd1, id); err != nil {
				t.Fatal(err)
			}
			if _, err := Prepare(t.Context(), &c); !errors.Is(err, ErrDataLost) {
				t.Errorf("no log: %v", err)
			}
			if err := os.MkdirAll(log, 0o700); err != nil {
				t.Fatal(err)
			}
			if _, err := Prepare(t.Context(), &c); !errors.Is(err, ErrDataLost) {
				t.Errorf("no file of a log: %v", err)
			}
			if err := os.RemoveAll(filepath.Join(c.DataDir, "etcd")); err != nil {
				t.Fatal(err)
			}

			// One that may have voted is never begun anew.
			p.Identity.State, p.Identity.MemberID = Forming, ""
			if err := p.Identity.Save(c.DataDir); err != nil {
				t.Fatal(err)
			}
			p = prepare()
			config := etcdserver.Config{Name: "node-1", DataDir: c.DataDir, PeerListen: address, ClientListen: "127.0.0.1:0", Members: p.Members, Token: p.Token}
			s, err := etcdserver.Start(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := c.Started(p.Identity, s.MemberID(), s.ClusterID()); err != nil {
				t.Fatal(err)
			}
			if err := s.WaitReady(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.Close()
			if p := prepare(); p.First || p.Identity.State != Member || p.Identity.ClusterID != clusterID || p.Identity.Token != token {
				t.Errorf("a member that has voted: %+v %+v", p, p.Identity)
			}

			// Nor is one that has once been part of a quorum, whatever its log says.
			p = prepare()
			if err := p.Identity.Settle(c.DataDir, "log"); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(c.DataDir, "etcd")); err != nil {
				t.Fatal(err)
			}
			p.Identity.MemberID = FormatID(0xd1)
			if err := p.Identity.Save(c.DataDir); err != nil {
				t.Fatal(err)
			}
			cutShort(t, c.DataDir, clusterID)
			if p := prepare(); p.First || p.Identity.Token != "" || p.Identity.LogID != "log" {
				t.Errorf("a member that was part of a quorum: %+v %+v", p, p.Identity)
			}
			if _, err := os.Stat(log); err != nil {
				t.Error(err)
			}
		})
	}
}

func identityIn(t *testing.T, c *Config) *Identity {
	t.Helper()
	id, err := LoadIdentity(c.DataDir)
	if err != nil || id == nil {
		t.Fatal(id, err)
	}
	return id
}
