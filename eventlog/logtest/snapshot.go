package logtest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"dvr/eventlog"
)

func (s *suite) info(h eventlog.Head) eventlog.SnapshotInfo {
	return eventlog.SnapshotInfo{
		Format: eventlog.Format, LogID: s.Log.ID(), Revision: h.Revision, Epoch: h.Epoch,
		EpochNonce: hex.EncodeToString(h.Nonce[:]), Hash: hex.EncodeToString(h.Hash[:]), Level: h.Level,
		Digest: fmt.Sprintf("%032x", uint64(h.Revision)), Time: baseTime + int64(h.Revision),
	}
}

func (s *suite) snapshot(h eventlog.Head, content string) eventlog.SnapshotInfo {
	s.Helper()
	info, err := s.Log.WriteSnapshot(s.ctx(), s.info(h), func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return err
	})
	if err != nil {
		s.Fatalf("WriteSnapshot: %v", err)
	}
	return info
}

func (s *suite) list(l eventlog.Log) []eventlog.SnapshotInfo {
	s.Helper()
	list, err := l.Snapshots(s.ctx())
	if err != nil {
		s.Fatalf("Snapshots: %v", err)
	}
	return list
}

func (s *suite) open(l eventlog.Log, info eventlog.SnapshotInfo) ([]byte, error) {
	s.Helper()
	r, err := l.OpenSnapshot(s.ctx(), info)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// noise does not compress, so that the stored snapshot has several chunks.
func noise(n int) []byte {
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	r.Read(b) // never fails
	return b
}

func (s *suite) snapshots() {
	heads, _ := s.add(s.Log, 1, 2, 1)
	if list := s.list(s.Log); len(list) != 0 {
		s.Fatalf("a new log has %d snapshots", len(list))
	}
	large := noise(3<<20 + 17)
	contents := map[eventlog.Revision][]byte{heads[1].Revision: []byte("one\ntwo\n"), heads[2].Revision: large, heads[3].Revision: {}}
	for _, h := range heads[1:] {
		info := s.snapshot(h, string(contents[h.Revision]))
		if info.Revision != h.Revision || info.LogID != s.Log.ID() || info.Nonce == "" || len(info.SHA256) != 64 {
			s.Fatalf("WriteSnapshot returned %+v", info)
		}
	}
	for _, l := range []eventlog.Log{s.Log, s.Second} {
		list := s.list(l)
		if len(list) != 3 {
			s.Fatalf("%d snapshots are listed, want 3", len(list))
		}
		for i, info := range list {
			h := heads[3-i]
			want := s.info(h)
			want.Chunks, want.Bytes, want.SHA256, want.Nonce = info.Chunks, info.Bytes, info.SHA256, info.Nonce
			if info != want {
				s.Errorf("listed is %+v, want %+v", info, want)
			}
			got, err := s.open(l, info)
			if err != nil || !bytes.Equal(got, contents[h.Revision]) {
				s.Errorf("snapshot %d reads back as %d bytes, %v; want %d", info.Revision, len(got), err, len(contents[h.Revision]))
			}
		}
	}
	gone := s.list(s.Log)[1]
	if err := s.Second.DeleteSnapshot(s.ctx(), gone); err != nil {
		s.Fatalf("DeleteSnapshot: %v", err)
	}
	for _, info := range s.list(s.Log) {
		if info == gone {
			s.Error("a deleted snapshot is listed")
		}
	}
	if _, err := s.open(s.Log, gone); !errors.Is(err, eventlog.ErrNotFound) {
		s.Errorf("OpenSnapshot of a deleted one: %v, want ErrNotFound", err)
	}
	// Two snapshots of one revision are two.
	first, second := s.snapshot(heads[3], "a"), s.snapshot(heads[3], "b")
	for info, want := range map[eventlog.SnapshotInfo]string{first: "a", second: "b"} {
		if got, err := s.open(s.Log, info); err != nil || string(got) != want {
			s.Errorf("one of two snapshots of a revision reads %q, %v; want %q", got, err, want)
		}
	}
}

func (s *suite) snapshotFailed() {
	heads, _ := s.add(s.Log, 1)
	for _, size := range []int{0, 10, 2<<20 + 5} {
		_, err := s.Log.WriteSnapshot(s.ctx(), s.info(heads[1]), func(w io.Writer) error {
			if _, err := w.Write(noise(size)); err != nil {
				return err
			}
			return errStop
		})
		if !errors.Is(err, errStop) {
			s.Fatalf("WriteSnapshot whose writer fails after %d bytes: %v, want its error", size, err)
		}
		if list := s.list(s.Second); len(list) != 0 {
			s.Fatalf("a snapshot cut after %d bytes is listed: %+v", size, list)
		}
	}
}

func (s *suite) snapshotDamaged() {
	s.needs(s.DamageSnapshot != nil, "damage a snapshot")
	heads, _ := s.add(s.Log, 1)
	content := noise(1<<20 + 100)
	info := s.snapshot(heads[1], string(content))
	s.DamageSnapshot(info)
	got, err := s.open(s.Log, info)
	if !errors.Is(err, eventlog.ErrCorrupt) && !errors.Is(err, eventlog.ErrNotFound) {
		s.Fatalf("a damaged snapshot reads back as %d bytes, %v; want ErrCorrupt", len(got), err)
	}
}

func (s *suite) truncate() {
	heads, raws := s.add(s.Log, 1, 3, 1, 2)
	last := heads[4]
	if err := s.Log.Truncate(s.ctx(), heads[2].Revision+1); !errors.Is(err, eventlog.ErrNotFound) {
		s.Fatalf("Truncate without a snapshot: %v, want ErrNotFound", err)
	}
	s.snapshot(heads[1], "old")
	if err := s.Log.Truncate(s.ctx(), heads[2].Revision+1); !errors.Is(err, eventlog.ErrNotFound) {
		s.Fatalf("Truncate beyond the newest snapshot: %v, want ErrNotFound", err)
	}
	if got := s.read(s.Log, 1); !equal(got, raws) {
		s.Fatal("a refused truncation removed batches")
	}
	s.snapshot(heads[3], "new")
	// In the middle of the second batch: that batch stays whole.
	if err := s.Log.Truncate(s.ctx(), heads[2].Revision); err != nil {
		s.Fatalf("Truncate: %v", err)
	}
	if got := s.read(s.Log, heads[2].Revision-1); !equal(got, raws[1:]) {
		s.Fatalf("after the truncation %d batches are read, want %d", len(got), len(raws)-1)
	}
	low, err := s.Second.Low(s.ctx())
	if err != nil || low <= 1 || low > heads[2].Revision {
		s.Fatalf("Low = %d, %v; want 2 to %d", low, err, heads[2].Revision)
	}
	err = s.Log.Read(s.ctx(), 0, func(b *eventlog.Batch) error {
		return fmt.Errorf("revision %d was delivered", b.First())
	})
	if !errors.Is(err, eventlog.ErrTruncated) {
		s.Fatalf("Read from before the truncation: %v, want ErrTruncated", err)
	}
	if h := s.head(s.Log); h != last {
		s.Fatalf("the truncation moved the head to %+v", h)
	}
	if err := s.Log.Truncate(s.ctx(), 2); err != nil {
		s.Errorf("Truncate of what is gone: %v, want no error", err)
	}
	if l, err := s.Log.Low(s.ctx()); err != nil || l != low {
		s.Errorf("Low = %d, %v after it; want %d as before", l, err, low)
	}
	s.add(s.Log, 1)
}
