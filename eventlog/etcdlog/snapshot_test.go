package etcdlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dvr/eventlog"
)

func writeString(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

func TestSnapshotOfManyChunks(t *testing.T) {
	f := newFixture(t)
	heads := f.add(1)
	random := rand.NewChaCha8([32]byte{1})
	content := make([]byte, 5<<20/2) // incompressible
	_, _ = random.Read(content)
	info, err := f.log.WriteSnapshot(f.ctx, eventlog.SnapshotInfo{Revision: heads[1].Revision}, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if info.Chunks != 3 || info.Bytes < int64(len(content)) || info.LogID != f.log.ID() || info.Format != 1 {
		t.Fatalf("%+v", info)
	}
	list, err := f.log.Snapshots(f.ctx)
	if err != nil || !cmp.Equal(list, []eventlog.SnapshotInfo{info}) {
		t.Fatalf("%v, %v", list, err)
	}
	r, err := f.log.OpenSnapshot(f.ctx, info)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}

	dir := snapDir(info.Revision, info.Nonce)
	second, _ := f.value(partKey(dir, 1))
	for name, c := range map[string]struct {
		damage func()
		want   error
	}{
		"a chunk cut":     {func() { f.put(partKey(dir, 1), second[:len(second)-1]) }, eventlog.ErrCorrupt},
		"a byte changed":  {func() { f.put(partKey(dir, 1), second[:500]+"?"+second[501:]) }, eventlog.ErrCorrupt},
		"a chunk missing": {func() { f.delete(partKey(dir, 1)) }, eventlog.ErrNotFound},
	} {
		c.damage()
		r, err := f.log.OpenSnapshot(f.ctx, info)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		_ = r.Close()
		f.put(partKey(dir, 1), second)
	}

	if err := f.log.DeleteSnapshot(f.ctx, info); err != nil {
		t.Fatal(err)
	}
	if _, err := f.log.OpenSnapshot(f.ctx, info); !errors.Is(err, eventlog.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	if _, there := f.value(partKey(dir, 0)); there {
		t.Error("chunks of a deleted snapshot are left")
	}
}

func TestSnapshotOfTheFuture(t *testing.T) {
	f := newFixture(t)
	if _, err := f.log.WriteSnapshot(f.ctx, eventlog.SnapshotInfo{Revision: 2}, writeString("x")); !errors.Is(err, eventlog.ErrNotFound) {
		t.Fatalf("%v, want ErrNotFound", err)
	}
}

func TestSnapshotsListsOnlyWholeOnes(t *testing.T) {
	f := newFixture(t)
	heads := f.add(1, 1)
	old, newer := f.snapshot(heads[1]), f.snapshot(heads[2])
	f.put(partKey(snapDir(2, "aa"), 0), "chunk without manifest")
	f.put(snapDir(2, "bb")+manifestName, "garbage")
	f.put(snapDir(2, "cc")+manifestName, fmt.Sprintf(`{"format":1,"log_id":%q,"revision":2,"chunks":3,"nonce":"cc"}`, f.log.ID()))
	f.put(snapDir(2, "dd")+manifestName, `{"format":1,"log_id":"another","revision":2,"nonce":"dd"}`)
	f.put(snapPrefix+"foreign", "x")
	f.put(snapPrefix+"foreign/x", "x")
	list, err := f.log.Snapshots(f.ctx)
	if err != nil || !cmp.Equal(list, []eventlog.SnapshotInfo{newer, old}) {
		t.Fatalf("%v, %v", list, err)
	}
}

func TestCleanSnapshots(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	f := newFixture(t, func(o *Options) { o.Now = func() time.Time { return now } })
	heads := f.add(1)
	whole := f.snapshot(heads[1])
	left, growing := snapDir(2, "left"), snapDir(2, "growing")
	f.put(partKey(left, 0), "x")
	f.put(partKey(growing, 0), "x")
	clean := func(want int) {
		t.Helper()
		if n, err := f.log.CleanSnapshots(f.ctx, time.Hour); err != nil || n != want {
			t.Fatalf("removed %d, %v, want %d", n, err, want)
		}
	}
	clean(0)
	now = now.Add(59 * time.Minute)
	clean(0)
	f.put(partKey(growing, 1), "x")
	clean(0)
	now = now.Add(2 * time.Minute)
	clean(1)
	if _, there := f.value(partKey(left, 0)); there {
		t.Error("left over chunks are left")
	}
	if _, there := f.value(partKey(growing, 0)); !there {
		t.Error("a growing snapshot was removed")
	}
	if list, err := f.log.Snapshots(f.ctx); err != nil || len(list) != 1 || list[0] != whole {
		t.Errorf("%v, %v", list, err)
	}
}

// A snapshot whose chunks are cleaned up while it is written is not listed.
func TestSnapshotSweptWhileWritten(t *testing.T) {
	f := newFixture(t)
	heads := f.add(1)
	_, err := f.log.WriteSnapshot(f.ctx, eventlog.SnapshotInfo{Revision: heads[1].Revision}, func(w io.Writer) error {
		noise := make([]byte, 5<<20/2)
		_, _ = rand.NewChaCha8([32]byte{2}).Read(noise)
		if _, err := w.Write(noise); err != nil {
			return err
		}
		_, err := f.raw.Delete(f.ctx, snapPrefix, clientPrefix())
		return err
	})
	if !errors.Is(err, eventlog.ErrNotFound) {
		t.Fatalf("%v, want ErrNotFound", err)
	}
	if list, err := f.log.Snapshots(f.ctx); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

// Lost answers must not fail a snapshot, a stage or a truncation.
func TestUpkeepOverLostAnswers(t *testing.T) {
	f := newFixture(t)
	heads := f.add(2, 2)
	var n atomic.Int64 // parts of a stage are written side by side
	f.faults.set(nil, func(writes bool) error {
		if n.Add(1)%2 == 0 && writes {
			return errLost
		}
		return nil
	})
	info := f.snapshot(heads[2])
	events := []eventlog.Event{&eventlog.KeyPut{Key: "k", Value: strings.Repeat("v", 60_000)}}
	for len(events) < 20 {
		events = append(events, &eventlog.KeyPut{Key: fmt.Sprint("k", len(events)), Value: strings.Repeat("v", 60_000)})
	}
	staged, err := f.log.Stage(f.ctx, "s1", events)
	if err != nil || staged.Parts < 3 {
		t.Fatalf("%+v, %v", staged, err)
	}
	if err := f.log.Truncate(f.ctx, heads[2].Revision+1); err != nil {
		t.Fatal(err)
	}
	if err := f.log.Sweep(f.ctx, 1<<60, func(string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	f.faults.heal()
	got, err := f.log.Staged(f.ctx, staged)
	if err != nil || len(got) != len(events) {
		t.Fatalf("%d events, %v", len(got), err)
	}
	if list, err := f.log.Snapshots(f.ctx); err != nil || len(list) != 1 || list[0] != info {
		t.Fatalf("%v, %v", list, err)
	}
	if low, err := f.log.Low(f.ctx); err != nil || low != heads[2].Revision+1 {
		t.Fatalf("low %d, %v", low, err)
	}
}
