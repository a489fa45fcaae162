package node

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"dvr/controller/cluster"
)

// TestKilledInItsFirstStart: a founder that was killed when etcd had made its
// log and nothing in it comes up, as what it was to be: alone, and where all of
// a cluster were killed at that moment.
func TestKilledInItsFirstStart(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			seats := newSeats(t, n)
			list := initialCluster(seats...)
			form(t, seats...)
			was := view(t, seats[0].node).ClusterID
			for _, s := range seats {
				stop(t, s.node)
				s.node = nil
				// As a kill between the making of the log and its first entry.
				id, err := cluster.LoadIdentity(s.dir)
				if err != nil {
					t.Fatal(err)
				}
				id.LogID, id.InitialCluster, id.Token, id.Nonce = "", strings.TrimPrefix(list, "INITIAL_CLUSTER="), "a token", "a nonce"
				if err := id.Save(s.dir); err != nil {
					t.Fatal(err)
				}
				emptyLog(t, s.dir, id)
			}
			form(t, seats...)
			var now cluster.View
			eventually(t, "all vote and are heard of", func() bool {
				now = view(t, seats[0].node)
				return strings.Count(roles(now), ":voter") == n
			})
			if now.ClusterID == was {
				t.Errorf("formed %s, which was there before", now.ClusterID)
			}
			put(t, seats[n-1].node, 1)
			for _, s := range seats {
				if id, err := cluster.LoadIdentity(s.dir); err != nil || id.Token != "" || id.ClusterID != now.ClusterID {
					t.Errorf("%+v %v", id, err)
				}
			}
		})
	}
}

// emptyLog puts a log without entries in the place of etcd's data.
func emptyLog(t *testing.T, dir string, id *cluster.Identity) {
	t.Helper()
	ids := [2]uint64{}
	for i, text := range []string{id.MemberID, id.ClusterID} {
		var err error
		if ids[i], err = strconv.ParseUint(text, 16, 64); err != nil {
			t.Fatal(err)
		}
	}
	metadata, err := proto.Marshal(&pb.Metadata{NodeID: &ids[0], ClusterID: &ids[1]})
	if err != nil {
		t.Fatal(err)
	}
	member := filepath.Join(dir, "etcd", "member")
	if err := os.RemoveAll(member); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(member, 0o700); err != nil {
		t.Fatal(err)
	}
	w, err := wal.Create(zap.NewNop(), filepath.Join(member, "wal"), metadata)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}
