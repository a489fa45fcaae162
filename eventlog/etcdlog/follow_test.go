package etcdlog

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/eventlog"
)

func TestFollowAcrossCuts(t *testing.T) {
	f := newFixture(t)
	start := f.add()[0]
	follower, _, watcher := f.open()
	out := f.follow(follower, start)
	for range 20 {
		f.expect(out, f.add(1, 2)[1:])
		watcher.cut()
		f.expect(out, f.add(3, 1)[1:])
	}
	if watcher.count() < 10 || follower.Counters().Resyncs < 10 {
		t.Errorf("%d watches, %d resyncs: the cuts were not met", watcher.count(), follower.Counters().Resyncs)
	}
}

// A watch that stays open and says nothing is found out by asking the head.
func TestFollowSilentWatch(t *testing.T) {
	f := newFixture(t)
	start := f.add()[0]
	follower, _, watcher := f.open(func(o *Options) { o.Silence = 50 * time.Millisecond })
	watcher.Watcher = &muteWatcher{Watcher: watcher.Watcher}
	out := f.follow(follower, start)
	f.await("the watch", func() bool { return watcher.count() > 0 })
	for range 3 {
		f.expect(out, f.add(1, 1)[1:])
	}
}

// muteWatcher swallows all responses.
type muteWatcher struct{ clientv3.Watcher }

func (w *muteWatcher) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	in := w.Watcher.Watch(ctx, key, opts...)
	out := make(chan clientv3.WatchResponse)
	go func() {
		defer close(out)
		for range in {
			continue
		}
	}()
	return out
}

// A follower that is slower than the log: the watch overflows, the rest is
// ranged, and nothing is lost or repeated.
func TestFollowSlowly(t *testing.T) {
	f := newFixture(t)
	start := f.add()[0]
	follower, _, watcher := f.open(func(o *Options) { o.Backlog = 4 << 10 })
	gate, got := make(chan struct{}), make(chan eventlog.Head, 1000)
	ctx, cancel := context.WithCancel(f.ctx)
	done := make(chan error, 1)
	go func() {
		done <- follower.Follow(ctx, start, func(_ *eventlog.Batch, h eventlog.Head) error {
			got <- h
			select {
			case <-gate:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	// What is added before the watch is ranged, and what waits for it comes in one piece.
	f.await("the watch", func() bool { return watcher.count() > 0 })
	first := f.add(1)
	if h := <-got; h != first[1] {
		t.Fatalf("followed %+v, want %+v", h, first[1])
	}
	sizes := make([]int, 300)
	for i := range sizes {
		sizes[i] = 1
	}
	heads := f.add(sizes...)
	close(gate)
	for _, want := range heads[1:] {
		select {
		case h := <-got:
			if h != want {
				t.Fatalf("followed %+v, want %+v", h, want)
			}
		case <-f.ctx.Done():
			t.Fatalf("revision %d is not delivered", want.Revision)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Follow: %v", err)
	}
	if follower.Counters().Resyncs == 0 {
		t.Error("the backlog did not overflow")
	}
}

func TestFollowUnavailable(t *testing.T) {
	f := newFixture(t)
	start := f.add()[0]
	follower, faults, watcher := f.open()
	out := f.follow(follower, start)
	f.expect(out, f.add(1)[1:])
	faults.set(func(bool) error { return errLost }, nil)
	watcher.cut()
	heads := f.add(1, 2, 3)
	f.await("attempts", func() bool {
		watcher.cut() // again: the first batch may have come by a read, before there was a watch
		return follower.Counters().Resyncs > 2
	})
	faults.heal()
	f.expect(out, heads[1:])
}

// Damage done while the log is followed is put right by the follower, and the
// log goes on.
// The head that a follower gets with a newest batch that was put back can be
// appended to.
func TestFollowGuardOfRestoredBatch(t *testing.T) {
	f := newFixture(t)
	heads := f.add(2, 3)
	f.delete(batchKey(heads[2].Revision))
	out := f.follow(f.log, heads[1])
	f.expect(out, heads[2:])
	raw, next := batch(t, heads[2], 1, "on")
	if _, err := f.log.Append(f.ctx, heads[2], next, raw, nil); err != nil {
		t.Fatal(err)
	}
}

func TestFollowRestores(t *testing.T) {
	for name, damage := range map[string]func(f *fixture, heads []eventlog.Head) (key string){
		"batch deleted": func(f *fixture, heads []eventlog.Head) string {
			key := batchKey(heads[2].Revision)
			f.delete(key)
			return key
		},
		"batch changed": func(f *fixture, heads []eventlog.Head) string {
			key := batchKey(heads[1].Revision)
			v, _ := f.value(key)
			f.put(key, strings.Replace(v, "alice", "mallory", 1))
			return key
		},
		"newest batch changed": func(f *fixture, heads []eventlog.Head) string {
			key := batchKey(heads[len(heads)-1].Revision)
			f.put(key, "garbage")
			return key
		},
		"newest batch deleted": func(f *fixture, heads []eventlog.Head) string {
			key := batchKey(heads[len(heads)-1].Revision)
			f.delete(key)
			return key
		},
		"head garbage": func(f *fixture, heads []eventlog.Head) string { f.put(headKey, "garbage"); return headKey },
		"head deleted": func(f *fixture, heads []eventlog.Head) string { f.delete(headKey); return headKey },
		"head set back": func(f *fixture, heads []eventlog.Head) string {
			f.put(headKey, string(eventlog.AppendHead(nil, heads[1])))
			return headKey
		},
		"head set forward": func(f *fixture, heads []eventlog.Head) string {
			h := heads[len(heads)-1]
			h.Revision += 1000
			f.put(headKey, string(eventlog.AppendHead(nil, h)))
			return headKey
		},
		"meta garbage": func(f *fixture, _ []eventlog.Head) string { f.put(metaKey, "garbage"); return metaKey },
		"meta of another log": func(f *fixture, _ []eventlog.Head) string {
			f.put(metaKey, `{"format":1,"log_id":"another"}`)
			return metaKey
		},
		"meta deleted": func(f *fixture, _ []eventlog.Head) string { f.delete(metaKey); return metaKey },
		"low garbage":  func(f *fixture, _ []eventlog.Head) string { f.put(lowKey, "garbage"); return lowKey },
		"low without a snapshot": func(f *fixture, _ []eventlog.Head) string {
			f.put(lowKey, `{"revision":4}`)
			return lowKey
		},
		"low beyond the head": func(f *fixture, _ []eventlog.Head) string {
			f.put(lowKey, `{"revision":4000}`)
			return lowKey
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			start := f.add()[0]
			// Two followers: both act, and must not undo each other's doing.
			one, two := f.follow(f.log, start), f.follow(second(f), start)
			heads := f.add(2, 3, 1, 2)
			f.expect(one, heads[1:])
			f.expect(two, heads[1:])
			before := map[string]string{}
			for _, h := range heads {
				before[batchKey(h.Revision)], _ = f.value(batchKey(h.Revision))
			}
			for _, k := range []string{headKey, metaKey, lowKey} {
				before[k], _ = f.value(k)
			}
			damaged := damage(f, heads)
			f.await("the restoration", func() bool { v, _ := f.value(damaged); return v == before[damaged] })
			more := f.add(1, 2)
			f.expect(one, more[1:])
			f.expect(two, more[1:])
			if !f.incidents.has(IncidentDamaged, damaged) || !f.incidents.has(IncidentRestored, damaged) {
				t.Errorf("incidents %v", f.incidents.all())
			}
			f.mustRevisions(f.log, 0)
			for k, v := range before {
				if now, _ := f.value(k); now != v && k != headKey {
					t.Errorf("%s is not what it was", k)
				}
			}
		})
	}
}

func second(f *fixture) *Log {
	l, _, _ := f.open()
	return l
}

// Foreign keys put while the log is followed, or before, go.
func TestFollowRemovesForeign(t *testing.T) {
	f := newFixture(t)
	heads := f.add(4)
	before := []string{logPrefix + "a", logPrefix + "hood", logPrefix + "zz", batchPrefix + "7", batchPrefix + "z", batchKey(1000)}
	for _, k := range before {
		f.put(k, "foreign")
	}
	out := f.follow(f.log, heads[0])
	f.expect(out, heads[1:])
	twin, _ := batch(t, heads[0], 2, "foreign")
	ahead, _ := batch(t, heads[1], 2, "foreign")
	live := map[string]string{
		logPrefix + "b":      "foreign",
		logPrefix + "new":    "foreign",
		batchPrefix + "x":    "foreign",
		batchKey(3):          string(twin),  // inside a batch of the log
		batchKey(7):          string(ahead), // continues the log, but has no head
		batchKey(5_000_000):  "foreign",
		batchKey(5) + "/sub": "foreign",
	}
	for k, v := range live {
		f.put(k, v)
		before = append(before, k)
	}
	for _, k := range before {
		f.await(k+" to go", func() bool { _, there := f.value(k); return !there })
		if !f.incidents.has(IncidentForeign, k) {
			t.Errorf("%s is not reported", k)
		}
	}
	f.expect(out, f.add(2, 1)[1:])
	f.mustRevisions(f.log, 0)
}

// A truncation deletes batches; a follower must not bring them back.
func TestFollowAcceptsTruncation(t *testing.T) {
	f := newFixture(t)
	start := f.add()[0]
	out := f.follow(f.log, start)
	heads := f.add(2, 2, 2, 2)
	f.expect(out, heads[1:])
	f.snapshot(heads[2])
	if err := f.log.Truncate(f.ctx, heads[2].Revision+1); err != nil {
		t.Fatal(err)
	}
	f.expect(out, f.add(1, 1)[1:])
	if _, there := f.value(batchKey(heads[1].Revision)); there {
		t.Error("a truncated batch is back")
	}
	for _, i := range f.incidents.all() {
		t.Errorf("incident %v", i)
	}
}

func TestFollowFromBeforeLow(t *testing.T) {
	f := newFixture(t)
	heads := f.add(2, 2, 2)
	f.snapshot(heads[2])
	if err := f.log.Truncate(f.ctx, heads[2].Revision); err != nil {
		t.Fatal(err)
	}
	err := f.log.Follow(f.ctx, eventlog.Head{}, func(*eventlog.Batch, eventlog.Head) error { return nil })
	if !errors.Is(err, eventlog.ErrTruncated) {
		t.Fatalf("%v, want ErrTruncated", err)
	}
}

// Another history under the same revisions must not be followed.
func TestFollowOtherHistory(t *testing.T) {
	f := newFixture(t)
	heads := f.add(2, 2)
	for name, after := range map[string]eventlog.Head{
		"ahead":      {Revision: 100, Epoch: 1, Hash: heads[2].Hash},
		"other hash": {Revision: heads[2].Revision, Epoch: 1, Hash: heads[1].Hash},
		"other past": {Revision: heads[1].Revision, Epoch: 1, Hash: heads[2].Hash},
	} {
		err := f.log.Follow(f.ctx, after, func(*eventlog.Batch, eventlog.Head) error { return nil })
		if !errors.Is(err, eventlog.ErrCorrupt) && !errors.Is(err, eventlog.ErrHole) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
	f.mustRevisions(f.log, 0)
}

func (f *fixture) snapshot(at eventlog.Head) eventlog.SnapshotInfo {
	f.Helper()
	info, err := f.log.WriteSnapshot(f.ctx, eventlog.SnapshotInfo{Revision: at.Revision, Epoch: at.Epoch}, writeString("state"))
	if err != nil {
		f.Fatal(err)
	}
	return info
}
