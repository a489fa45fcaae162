package etcdlog

import (
	"errors"
	"io"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/eventlog"
)

// TestLiftAlarm: under etcd's alarm the log cannot be truncated, since where it
// begins has to be put; lifting the alarm makes it possible, and an alarm that
// is not there is not looked at twice.
func TestLiftAlarm(t *testing.T) {
	ctx := testContext(t)
	e := ownEtcd(t, t.TempDir(), 8<<20)
	client := inProcess(t, e)
	l, err := Open(ctx, client, Options{Defragment: e.Server.Backend().Defrag})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{TB: t, ctx: ctx, log: l, raw: client, incidents: &incidents{}}
	heads := f.add(3, 3, 3)
	last := heads[len(heads)-1]
	if _, err := l.WriteSnapshot(ctx, eventlog.SnapshotInfo{Revision: last.Revision, Epoch: 1, Level: 1}, func(w io.Writer) error {
		_, err := io.WriteString(w, "a state")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	before, err := client.Get(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.LiftAlarm(ctx); err != nil {
		t.Fatalf("without an alarm: %v", err)
	}
	if _, err := client.Get(ctx, headKey, clientv3.WithRev(before.Header.GetRevision()-1)); err != nil {
		t.Errorf("without an alarm history is compacted: %v", err)
	}
	for err == nil {
		_, err = client.Put(ctx, "k", strings.Repeat("x", 1<<20))
	}
	if !errors.Is(err, rpctypes.ErrNoSpace) {
		t.Fatal(err)
	}
	if err := l.Truncate(ctx, last.Revision); !errors.Is(err, eventlog.ErrNoSpace) {
		t.Fatalf("truncated in a full store: %v", err)
	}
	if err := l.LiftAlarm(ctx); err != nil {
		t.Fatal(err)
	}
	if err := l.Truncate(ctx, last.Revision); err != nil {
		t.Fatal(err)
	}
	if low, err := l.Low(ctx); err != nil || low != last.Revision {
		t.Fatalf("begins at %d, %v, want %d", low, err, last.Revision)
	}
	if err := l.RecoverSpace(ctx); err != nil {
		t.Fatal(err)
	}
	f.add(1)
}

// TestNoRoomToLift: where what is live fills the quota the alarm stays.
func TestNoRoomToLift(t *testing.T) {
	ctx := testContext(t)
	e := ownEtcd(t, t.TempDir(), 8<<20)
	client := inProcess(t, e)
	l, err := Open(ctx, client, Options{Defragment: e.Server.Backend().Defrag})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; err == nil; i++ {
		_, err = client.Put(ctx, "/live/"+strings.Repeat("i", i), strings.Repeat("x", 1<<20))
	}
	if !errors.Is(err, rpctypes.ErrNoSpace) {
		t.Fatal(err)
	}
	err = l.LiftAlarm(ctx)
	status, statusErr := l.StoreStatus(ctx)
	if statusErr != nil {
		t.Fatal(statusErr)
	}
	if room := status[0].Quota - status[0].Size; (room > smallRoom) != (err == nil) || err != nil && !errors.Is(err, eventlog.ErrNoSpace) || status[0].NoSpace != (err != nil) {
		t.Errorf("%d bytes of room, alarm %v: %v", room, status[0].NoSpace, err)
	}
}
