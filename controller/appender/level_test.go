package appender

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"dvr/eventlog"
)

// TestLevelIsRaisedAlone: the batch that raises the level holds nothing else, so
// that an older program reads every batch before it and stops exactly there.
func TestLevelIsRaisedAlone(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{})
	release := log.Faults().HoldAppends() // what follows the first gathers in one batch
	var all []*Pending
	for i := range 7 {
		r := request(fmt.Sprint("c", i), route(i))
		if i == 3 {
			r = Request{ID: "raise", Actor: system, Events: []eventlog.Event{&eventlog.LevelRaised{Level: 1}}}
		}
		p, err := a.Submit(testContext(t), r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	release()
	var revisions []eventlog.Revision
	for _, p := range all {
		r, err := p.Wait(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		revisions = append(revisions, r.Revision)
	}
	var around []eventlog.Revision
	if err := log.Read(testContext(t), 0, func(b *eventlog.Batch) error {
		if b.First() <= revisions[3] && revisions[3] <= b.Last() {
			around = append(around, b.First(), b.Last())
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(around) != 2 || around[0] != revisions[3] || around[1] != revisions[3] {
		t.Errorf("the commit %d that raises the level is in the batch of %v; all: %v", revisions[3], around, revisions)
	}
	if revisions[6] != revisions[0]+6 {
		t.Errorf("the order of requests was not kept: %v", revisions)
	}
	sameAsLog(t, a)
}

func TestOutgrown(t *testing.T) {
	level := &eventlog.LevelError{Level: 7, From: 12}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"a level":            {fmt.Errorf("follow: fold revision 12: %w", level), "the log is at level 7 from revision 12: upgrade it"},
		"an unknown member":  {fmt.Errorf("read: %w", eventlog.ErrLevel), "the log is at a newer level from revision 10: upgrade it"},
		"a snapshot's level": {&eventlog.LevelError{Level: 7}, "the log is at a newer level from revision 10: upgrade it"},
		"a hole":             {eventlog.ErrHole, eventlog.ErrHole.Error()},
	} {
		got := outgrown(c.err, 9)
		want := c.want
		if errors.Is(c.err, eventlog.ErrLevel) {
			want = fmt.Sprintf("this node supports level %d, %s", eventlog.MaxLevel, want)
		}
		if got.Error() != want || errors.Is(got, eventlog.ErrLevel) != errors.Is(c.err, eventlog.ErrLevel) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// newerLog is a log whose tail before the newest snapshot is gone; that snapshot
// is of a newer level.
type newerLog struct {
	eventlog.Log
	info eventlog.SnapshotInfo
	raw  []byte
}

func (l *newerLog) Snapshots(context.Context) ([]eventlog.SnapshotInfo, error) {
	return []eventlog.SnapshotInfo{l.info}, nil
}

func (l *newerLog) OpenSnapshot(context.Context, eventlog.SnapshotInfo) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.raw)), nil
}

func (l *newerLog) Read(_ context.Context, after eventlog.Revision, _ func(*eventlog.Batch) error) error {
	return fmt.Errorf("after %d: %w", after, eventlog.ErrTruncated)
}

// TestNothingBeforeTheLevel: where only what a newer program wrote is retained,
// there is no state to serve, and none is made up.
func TestNothingBeforeTheLevel(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{})
	appendOK(t, a, request("a", route(1)))
	st := a.State()
	h := st.Head()
	newer := &newerLog{
		Log:  log,
		info: eventlog.SnapshotInfo{Revision: h.Revision, Epoch: h.Epoch, EpochNonce: hex.EncodeToString(h.Nonce[:]), Hash: hex.EncodeToString(h.Hash[:]), Level: eventlog.MaxLevel + 1},
		raw:  bytes.Replace(saved(t, st), []byte(`"level":1`), fmt.Appendf(nil, `"level":%d`, eventlog.MaxLevel+1), 1),
	}
	b, err := Open(testContext(t), newer, Options{})
	if err == nil {
		_ = b.Close()
		t.Fatalf("opened at revision %d, %v", b.State().Position().Revision, b.Fault())
	}
	var level *eventlog.LevelError
	if !errors.As(err, &level) || level.Level != eventlog.MaxLevel+1 || strings.Contains(level.Error(), "revision") {
		t.Errorf("%v", err)
	}
}
