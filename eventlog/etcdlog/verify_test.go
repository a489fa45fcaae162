package etcdlog

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"dvr/eventlog"
)

// rich is a log with batches of several sizes, a staged commit and a snapshot
// in the middle. It returns the heads after each batch, the first batch's first.
func rich(t testing.TB) (*fixture, []eventlog.Head) {
	f := newFixture(t)
	heads := f.add(1, 300, 2)
	staged, err := f.log.Stage(f.ctx, "big", manyEvents(5000))
	if err != nil {
		t.Fatal(err)
	}
	b := eventlog.NewBatchBuilder(heads[len(heads)-1], "n1")
	if err := b.Add(&eventlog.Commit{ID: "staged", Time: 1_700_000_000_000, Actor: "alice", Events: []eventlog.Event{staged}}); err != nil {
		t.Fatal(err)
	}
	raw, next := b.Finish()
	head, err := f.log.Append(f.ctx, heads[len(heads)-1], next, raw, []string{"big"})
	if err != nil {
		t.Fatal(err)
	}
	heads = append(heads, head)
	snapshotAt(f, head)
	return f, append(heads, f.add(4, 1)[1:]...)
}

func manyEvents(n int) []eventlog.Event {
	events := make([]eventlog.Event, n)
	for i := range events {
		events[i] = &eventlog.KeyPut{Key: fmt.Sprintf("key-%d", i), Value: strings.Repeat("v", 100)}
	}
	return events
}

func snapshotAt(f *fixture, h eventlog.Head) eventlog.SnapshotInfo {
	f.Helper()
	info, err := f.log.WriteSnapshot(f.ctx, eventlog.SnapshotInfo{
		Revision: h.Revision, Epoch: h.Epoch, EpochNonce: fmt.Sprintf("%x", h.Nonce), Hash: fmt.Sprintf("%x", h.Hash), Level: h.Level,
	}, func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Repeat("the state\n", 1000))
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	return info
}

func TestVerifyAWholeLog(t *testing.T) {
	f, heads := rich(t)
	var seen, events int
	var order []string
	got, err := Verify(f.ctx, f.raw, Visitor{
		Begin: func(v Verification) error {
			order = append(order, "begin")
			if v.LogID != f.log.ID() || v.Low != 1 {
				t.Errorf("begins with %+v", v)
			}
			return nil
		},
		Snapshot: func(info eventlog.SnapshotInfo, r io.Reader) error {
			order = append(order, fmt.Sprint("snapshot ", info.Revision))
			return nil // unread: the checksum is verified all the same
		},
		Batch: func(b *eventlog.Batch) error {
			if seen == 0 {
				order = append(order, "batches")
			}
			seen++
			for _, c := range b.Commits {
				events += len(c.Events)
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	head := heads[len(heads)-1]
	if got.Head != head || got.Batches != len(heads) || seen != len(heads) || got.Stages != 1 || len(got.Snapshots) != 1 {
		t.Errorf("got %+v, %d batches seen; head %+v", got, seen, head)
	}
	if want := int(head.Revision) - 1 + 5000; got.Events != want || events != want || got.Commits != int(head.Revision) {
		t.Errorf("%d events, %d seen, %d commits; want %d and %d", got.Events, events, got.Commits, want, head.Revision)
	}
	if fmt.Sprint(order) != fmt.Sprintf("[begin snapshot %d batches]", heads[4].Revision) {
		t.Errorf("order %v", order)
	}
	if len(f.incidents.all()) != 0 {
		t.Errorf("a whole log gives incidents: %v", f.incidents.all())
	}
}

func TestVerifyATruncatedLog(t *testing.T) {
	f, heads := rich(t)
	low := heads[4].Revision + 1
	if err := f.log.Truncate(f.ctx, low); err != nil {
		t.Fatal(err)
	}
	got, err := Verify(f.ctx, f.raw, Visitor{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Low != low || got.Batches != len(heads)-5 || got.Commits != int(heads[len(heads)-1].Revision-low+1) {
		t.Errorf("got %+v", got)
	}
}

func TestVerifyNamesTheFirstDefect(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(*fixture, []eventlog.Head) (key string)
		want   error
	}{
		{"a batch is missing", func(f *fixture, h []eventlog.Head) string {
			f.delete(batchKey(h[2].Revision))
			return batchPrefix
		}, eventlog.ErrHole},
		{"the last batch is missing", func(f *fixture, h []eventlog.Head) string {
			f.delete(batchKey(h[len(h)-1].Revision))
			return batchPrefix
		}, eventlog.ErrHole},
		{"a byte of a batch differs", func(f *fixture, h []eventlog.Head) string {
			key := batchKey(h[2].Revision)
			value, _ := f.value(key)
			f.put(key, strings.Replace(value, "alice", "mallo", 1))
			return batchPrefix // its successor no longer continues the chain
		}, eventlog.ErrCorrupt},
		{"the last batch is another", func(f *fixture, h []eventlog.Head) string {
			last := h[len(h)-1]
			raw, _ := batch(f, h[len(h)-2], int(last.Revision-h[len(h)-2].Revision), "forged")
			f.put(batchKey(last.Revision), string(raw))
			return headKey
		}, eventlog.ErrCorrupt},
		{"a batch is garbage", func(f *fixture, h []eventlog.Head) string {
			f.put(batchKey(h[1].Revision), "garbage")
			return batchKey(h[1].Revision)
		}, eventlog.ErrCorrupt},
		{"a foreign key beyond the head", func(f *fixture, h []eventlog.Head) string {
			raw, _ := batch(f, h[len(h)-1], 1, "foreign")
			f.put(batchKey(h[len(h)-1].Revision+1), string(raw))
			return batchKey(h[len(h)-1].Revision + 1)
		}, eventlog.ErrCorrupt},
		{"a foreign name among the batches", func(f *fixture, h []eventlog.Head) string {
			f.put(batchKey(2)+"x", "")
			return batchKey(2) + "x"
		}, eventlog.ErrCorrupt},
		{"a foreign name beside the batches", func(f *fixture, _ []eventlog.Head) string {
			f.put(logPrefix+"a", "")
			return logPrefix + "a"
		}, eventlog.ErrCorrupt},
		{"the head is missing", func(f *fixture, _ []eventlog.Head) string {
			f.delete(headKey)
			return headKey
		}, eventlog.ErrCorrupt},
		{"the head has another epoch", func(f *fixture, h []eventlog.Head) string {
			last := h[len(h)-1]
			last.Epoch = 7
			f.put(headKey, string(eventlog.AppendHead(nil, last)))
			return headKey
		}, eventlog.ErrCorrupt},
		{"the head has another nonce", func(f *fixture, h []eventlog.Head) string {
			last := h[len(h)-1]
			last.Nonce[0]++
			f.put(headKey, string(eventlog.AppendHead(nil, last)))
			return headKey
		}, eventlog.ErrCorrupt},
		{"a staged part is missing", func(f *fixture, h []eventlog.Head) string {
			f.delete(partKey(stageDir("big"), 1))
			return batchKey(h[4].Revision)
		}, eventlog.ErrHole},
		{"a staged part differs", func(f *fixture, h []eventlog.Head) string {
			key := partKey(stageDir("big"), 0)
			value, _ := f.value(key)
			f.put(key, strings.Replace(value, "vvv", "vwv", 1))
			return batchKey(h[4].Revision)
		}, eventlog.ErrCorrupt},
		{"a snapshot's chunk differs", func(f *fixture, h []eventlog.Head) string {
			s, _ := f.log.Snapshots(f.ctx)
			dir := snapDir(s[0].Revision, s[0].Nonce)
			value, _ := f.value(partKey(dir, 0))
			f.put(partKey(dir, 0), value[:len(value)-1]+"\x00")
			return dir
		}, eventlog.ErrCorrupt},
		{"a snapshot's chunk is missing", func(f *fixture, _ []eventlog.Head) string {
			s, _ := f.log.Snapshots(f.ctx)
			dir := snapDir(s[0].Revision, s[0].Nonce)
			f.delete(partKey(dir, 0))
			return dir + manifestName
		}, eventlog.ErrCorrupt},
		{"there is no log", func(f *fixture, _ []eventlog.Head) string {
			f.delete(metaKey)
			return metaKey
		}, eventlog.ErrNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, heads := rich(t)
			key := test.damage(f, heads)
			_, err := Verify(f.ctx, f.raw, Visitor{})
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), key) {
				t.Errorf("got %v, want %v at %s", err, test.want, key)
			}
		})
	}
}

func TestVerifyEndsWithTheVisitor(t *testing.T) {
	f, _ := rich(t)
	mine := errors.New("enough")
	for name, visit := range map[string]Visitor{
		"begin":    {Begin: func(Verification) error { return mine }},
		"snapshot": {Snapshot: func(eventlog.SnapshotInfo, io.Reader) error { return mine }},
		"batch":    {Batch: func(*eventlog.Batch) error { return mine }},
	} {
		if _, err := Verify(f.ctx, f.raw, visit); !errors.Is(err, mine) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestRebuildHead(t *testing.T) {
	for name, damage := range map[string]func(*fixture, eventlog.Head){
		"missing": func(f *fixture, _ eventlog.Head) { f.delete(headKey) },
		"garbage": func(f *fixture, _ eventlog.Head) { f.put(headKey, "{") },
		"behind": func(f *fixture, h eventlog.Head) {
			h.Revision--
			f.put(headKey, string(eventlog.AppendHead(nil, h)))
		},
		"another hash": func(f *fixture, h eventlog.Head) {
			h.Hash[0]++
			f.put(headKey, string(eventlog.AppendHead(nil, h)))
		},
	} {
		for _, truncated := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, truncated %v", name, truncated), func(t *testing.T) {
				f, heads := rich(t)
				if truncated {
					if err := f.log.Truncate(f.ctx, heads[4].Revision+1); err != nil {
						t.Fatal(err)
					}
				}
				last := heads[len(heads)-1]
				if _, err := RebuildHead(f.ctx, f.raw); !errors.Is(err, ErrHeadIntact) {
					t.Fatalf("with an intact head: %v", err)
				}
				damage(f, last)
				if _, err := Verify(f.ctx, f.raw, Visitor{}); err == nil {
					t.Fatal("the damage is not seen")
				}
				got, err := RebuildHead(f.ctx, f.raw)
				if err != nil {
					t.Fatal(err)
				}
				now, err := f.log.Head(f.ctx)
				if err != nil || now != got {
					t.Errorf("head %+v %v, returned %+v", now, err, got)
				}
				if got.Guard = last.Guard; got != last {
					t.Errorf("rebuilt %+v, was %+v", got, last)
				}
				if _, err := Verify(f.ctx, f.raw, Visitor{}); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		}
	}
}

func TestRebuildHeadRefusesDamage(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(*fixture, []eventlog.Head)
		want   error
	}{
		"a garbage batch": {func(f *fixture, h []eventlog.Head) { f.put(batchKey(h[5].Revision), "garbage") }, eventlog.ErrCorrupt},
		"a missing batch": {func(f *fixture, h []eventlog.Head) { f.delete(batchKey(h[5].Revision)) }, eventlog.ErrHole},
		"a foreign name":  {func(f *fixture, h []eventlog.Head) { f.put(batchKey(h[5].Revision)+"x", "") }, eventlog.ErrCorrupt},
		"a batch under another's key": {func(f *fixture, h []eventlog.Head) {
			value, _ := f.value(batchKey(h[6].Revision))
			f.put(batchKey(h[6].Revision+100), value)
			f.delete(batchKey(h[6].Revision))
		}, eventlog.ErrCorrupt},
		"no log": {func(f *fixture, _ []eventlog.Head) { f.delete(metaKey) }, eventlog.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			f, heads := rich(t)
			f.delete(headKey)
			test.damage(f, heads)
			if _, err := RebuildHead(f.ctx, f.raw); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if _, there := f.value(headKey); there {
				t.Error("a head was put")
			}
		})
	}
}
