package etcdlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"dvr/eventlog"
)

// seedOf goes on where f's log ends.
func seedOf(t testing.TB, f *fixture, content string) Seed {
	t.Helper()
	head, err := f.log.Head(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b := eventlog.NewBatchBuilder(head, "restore")
	if err := b.Add(&eventlog.Commit{ID: "restored-2", Time: 1_700_000_000_000, Actor: eventlog.SystemActor, Events: []eventlog.Event{&eventlog.EpochStarted{
		Epoch: 2, LogID: f.log.ID(), Nonce: eventlog.Nonce{1}, Cause: eventlog.CauseRestored,
		From: &eventlog.EpochOrigin{Epoch: head.Epoch, Revision: head.Revision, Hash: head.Hash},
	}}}); err != nil {
		t.Fatal(err)
	}
	raw, next := b.Finish()
	return Seed{
		Snapshot: eventlog.SnapshotInfo{LogID: f.log.ID(), Revision: head.Revision, Epoch: head.Epoch, EpochNonce: fmt.Sprintf("%x", head.Nonce), Hash: fmt.Sprintf("%x", head.Hash), Level: head.Level, Digest: "d"},
		Save:     func(w io.Writer) error { _, err := io.WriteString(w, content); return err },
		Batch:    raw, Head: next,
	}
}

// TestPlantedLogGoesOn: what was planted is a log like any other: it verifies,
// has its snapshot, takes appends, and everything before is gone.
func TestPlantedLogGoesOn(t *testing.T) {
	old := newFixture(t)
	old.add(3, 2)
	content := strings.Repeat("the state\n", 300_000)
	seed := seedOf(t, old, content)
	space := newSpace()
	client := within(inProcess(t, shared), space)
	l, err := Plant(old.ctx, client, Options{Node: "restore"}, seed)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(old.ctx, client, Options{Node: "n1", LogID: old.log.ID()})
	if err != nil {
		t.Fatal(err)
	}
	if l.ID() != old.log.ID() || again.ID() != l.ID() {
		t.Errorf("ids %s, %s of %s", l.ID(), again.ID(), old.log.ID())
	}
	head, err := again.Head(old.ctx)
	if err != nil || head.Revision != seed.Head.Revision || head.Hash != seed.Head.Hash || head.Epoch != 2 || head.Nonce != (eventlog.Nonce{1}) {
		t.Fatalf("%+v %v, planted %+v", head, err, seed.Head)
	}
	raw, next := batch(t, head, 2, "after")
	if _, err := again.Append(old.ctx, head, next, raw, nil); err != nil {
		t.Fatal(err)
	}
	got := ""
	v, err := Verify(old.ctx, client, Visitor{Snapshot: func(_ eventlog.SnapshotInfo, r io.Reader) error {
		b, err := io.ReadAll(r)
		got = string(b)
		return err
	}})
	if err != nil || v.Low != seed.Snapshot.Revision+1 || v.Head.Revision != head.Revision+2 || len(v.Snapshots) != 1 || got != content {
		t.Errorf("%+v %v, a snapshot of %d bytes", v, err, len(got))
	}
	var read []eventlog.Revision
	collect := func(b *eventlog.Batch) error { read = append(read, b.First(), b.Last()); return nil }
	if err := again.Read(old.ctx, seed.Snapshot.Revision, collect); err != nil || len(read) != 4 || read[0] != head.Revision {
		t.Errorf("%v %v", read, err)
	}
	if err := again.Read(old.ctx, seed.Snapshot.Revision-1, collect); !errors.Is(err, eventlog.ErrTruncated) {
		t.Errorf("what was before: %v", err)
	}
	if _, err := Plant(old.ctx, client, Options{}, seed); !errors.Is(err, ErrOccupied) {
		t.Errorf("upon a log: %v", err)
	}
}

// TestPlantLeavesNoHalfLog: whatever stops it, there is no log afterwards, and
// a second one tells that something is there only where it is.
func TestPlantLeavesNoHalfLog(t *testing.T) {
	old := newFixture(t)
	old.add(2)
	failure := errors.New("no state")
	for name, change := range map[string]func(*Seed){
		"the state cannot be written": func(s *Seed) {
			s.Save = func(w io.Writer) error { _, _ = io.WriteString(w, strings.Repeat("x", 100)); return failure }
		},
		"the batch is of another revision": func(s *Seed) { s.Snapshot.Revision--; failure = eventlog.ErrCorrupt },
		"the batch is of another history":  func(s *Seed) { s.Snapshot.Hash = "00"; failure = eventlog.ErrCorrupt },
		"the head is another":              func(s *Seed) { s.Head.Hash[0]++; failure = eventlog.ErrCorrupt },
	} {
		t.Run(name, func(t *testing.T) {
			client := within(inProcess(t, shared), newSpace())
			failure = errors.New("no state")
			seed := seedOf(t, old, "state")
			change(&seed)
			if _, err := Plant(old.ctx, client, Options{}, seed); !errors.Is(err, failure) {
				t.Errorf("%v", err)
			}
			if r, err := client.Get(old.ctx, "/dvr/meta"); err != nil || len(r.Kvs) != 0 {
				t.Errorf("there is a log: %v %v", r, err)
			}
			if _, err := Plant(old.ctx, client, Options{}, seedOf(t, old, "state")); err != nil {
				t.Errorf("the next try: %v", err)
			}
		})
	}
	client := within(inProcess(t, shared), newSpace())
	if _, err := client.Put(old.ctx, "/dvr/stage/left/000000", "over"); err != nil {
		t.Fatal(err)
	}
	if _, err := Plant(old.ctx, client, Options{}, seedOf(t, old, "state")); !errors.Is(err, ErrOccupied) || !strings.Contains(err.Error(), "/dvr/stage/left") {
		t.Errorf("upon leftovers: %v", err)
	}
	ended, cancel := context.WithCancel(old.ctx)
	cancel()
	if _, err := Plant(ended, within(inProcess(t, shared), newSpace()), Options{}, seedOf(t, old, "state")); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("too late: %v", err)
	}
}
