package etcdserver

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// cutShort leaves in the data directory what a first start leaves that is killed
// before it wrote the list of first members. The log is returned to go on with.
func cutShort(t *testing.T, c Config, member, cluster uint64) *wal.WAL {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(c.wal()), 0o700); err != nil {
		t.Fatal(err)
	}
	metadata, err := proto.Marshal(&pb.Metadata{NodeID: &member, ClusterID: &cluster})
	if err != nil {
		t.Fatal(err)
	}
	w, err := wal.Create(zap.NewNop(), c.wal(), metadata)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// TestEmptyLogIsSurvived: a member that is in no list yet can be asked what it is.
func TestEmptyLogIsSurvived(t *testing.T) {
	config := loneConfig(t)
	if err := cutShort(t, config, 7, 8).Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Start(testContext(t), config)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if len(s.Members()) != 0 || s.MemberID() != 7 || s.ClusterID() != 8 {
		t.Fatalf("member %x of cluster %x with the list %v", s.MemberID(), s.ClusterID(), s.Members())
	}
	asked := make(chan [2]any, 1)
	go func() { // which etcd's IsLearner would end
		defer close(asked)
		asked <- [2]any{s.Learner(), s.RaftState()}
	}()
	if got, ok := <-asked; !ok || got != [2]any{false, "Candidate"} {
		t.Errorf("it is %v (%v)", got, ok)
	}
	select {
	case <-s.GaveUp():
		t.Errorf("etcd did not survive the question: %v", s.trap.err)
	default:
	}
}

// TestUnfinished: only a log without any hard state is one that nobody has heard of.
func TestUnfinished(t *testing.T) {
	config := loneConfig(t)
	check := func(what string, want bool) {
		t.Helper()
		if got, err := config.Unfinished(); got != want || err != nil {
			t.Errorf("%s: unfinished %v, %v", what, got, err)
		}
	}
	check("a blank directory", false)
	if err := os.MkdirAll(config.wal(), 0o700); err != nil {
		t.Fatal(err)
	}
	check("no file", false)
	if config.Initialized() {
		t.Error("a member without a log")
	}
	if err := os.Remove(config.wal()); err != nil {
		t.Fatal(err)
	}
	if err := cutShort(t, config, 7, 8).Close(); err != nil {
		t.Fatal(err)
	}
	check("a log that only says whose it is", true)
	if !config.Initialized() {
		t.Error("no member")
	}

	// What etcd itself wrote, cut after each of its records.
	if err := config.Discard(); err != nil {
		t.Fatal(err)
	}
	s := start(t, config)
	s.Close()
	check("a member", false)
	files, err := filepath.Glob(filepath.Join(config.wal(), "*.wal"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	path := files[0]
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begun, records := true, 0
	for at := 0; ; records++ {
		length := binary.LittleEndian.Uint64(whole[at:])
		if length == 0 {
			break
		}
		size := int(length & (1<<56 - 1))
		padded := size
		if length>>63 == 1 {
			padded += int(length >> 56 & 7)
		}
		r := new(walpb.Record)
		if err := proto.Unmarshal(whole[at+8:at+8+size], r); err != nil {
			t.Fatal(err)
		}
		cut := make([]byte, len(whole))
		if records >= 3 { // behind the empty snapshot, with which a log is made
			copy(cut, whole[:at])
			if err := os.WriteFile(path, cut, 0o600); err != nil {
				t.Fatal(err)
			}
			check(fmt.Sprintf("%d records", records), begun)
		}
		if r.GetType() == wal.StateType {
			begun = false
		}
		at += 8 + padded
	}
	if begun || records < 6 {
		t.Fatalf("%d records, no state among them: %v", records, begun)
	}

	// Damage is not taken for a beginning.
	damaged := append([]byte(nil), whole...)
	damaged[len("checksum")+8+40] ^= 0xff
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := config.Unfinished(); got || err == nil {
		t.Errorf("a damaged log: unfinished %v, %v", got, err)
	}
}

// TestDiscard ends in a blank directory from wherever a crash left it.
func TestDiscard(t *testing.T) {
	config := loneConfig(t)
	for _, left := range []string{"", "etcd/member/wal", "etcd.unfinished/member/wal"} {
		if err := os.MkdirAll(filepath.Join(config.DataDir, left), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := config.Discard(); err != nil {
			t.Errorf("%s: %v", left, err)
		}
		if entries, err := os.ReadDir(config.DataDir); len(entries) != 0 || err != nil {
			t.Errorf("%s: left %v, %v", left, entries, err)
		}
	}
	// A directory in the place of the old one is not merged with it.
	for _, d := range []string{"etcd/member", "etcd.unfinished/member"} {
		if err := os.MkdirAll(filepath.Join(config.DataDir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := config.Discard(); err != nil {
		t.Error(err)
	}
	start(t, config)
}
