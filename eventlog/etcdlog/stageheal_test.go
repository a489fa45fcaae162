package etcdlog

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/eventlog"
)

// stagedBatch stages what takes several parts and appends a batch that refers
// to it.
func (f *fixture) stagedBatch(id string) (*eventlog.CommitStaged, []eventlog.Event) {
	f.Helper()
	var events []eventlog.Event
	for i := range 12 {
		events = append(events, &eventlog.KeyPut{Key: fmt.Sprint("k", i), Value: strings.Repeat("v", 60<<10)})
	}
	s, err := f.log.Stage(f.ctx, id, events)
	if err != nil {
		f.Fatal(err)
	}
	if s.Parts < 3 {
		f.Fatalf("%d parts", s.Parts)
	}
	head, err := f.log.Head(f.ctx)
	if err != nil {
		f.Fatal(err)
	}
	b := eventlog.NewBatchBuilder(head, "n1")
	if err := b.Add(&eventlog.Commit{ID: "staged-" + id, Time: 1_700_000_000_000, Actor: "alice", Events: []eventlog.Event{s}}); err != nil {
		f.Fatal(err)
	}
	raw, next := b.Finish()
	if _, err := f.log.Append(f.ctx, head, next, raw, []string{id}); err != nil {
		f.Fatal(err)
	}
	return s, events
}

func (f *fixture) whole(id string, s *eventlog.CommitStaged, n int) {
	f.Helper()
	events, err := f.log.Staged(f.ctx, s)
	if err != nil || len(events) != n {
		f.Fatalf("%d events, %v", len(events), err)
	}
	if _, there := f.value(stageDir(id) + manifestName); !there {
		f.Error("the manifest is missing")
	}
}

// Whatever was done to a stage that a batch refers to, and however long ago,
// its parts come back from history.
func TestStageIsPutBack(t *testing.T) {
	const id = "imp.s1"
	dir := stageDir(id)
	for name, damage := range map[string]func(f *fixture){
		"all deleted at once": func(f *fixture) {
			if _, err := f.raw.Delete(f.ctx, dir, clientv3.WithPrefix()); err != nil {
				f.Fatal(err)
			}
		},
		"deleted one by one": func(f *fixture) {
			for i := range 3 {
				f.delete(partKey(dir, i))
			}
			f.delete(dir + manifestName)
		},
		"one part missing": func(f *fixture) { f.delete(partKey(dir, 1)) },
		"one part changed": func(f *fixture) { f.put(partKey(dir, 1), "other") },
		"changed, then all": func(f *fixture) {
			f.put(partKey(dir, 0), "other")
			f.delete(dir + manifestName)
			f.delete(partKey(dir, 2))
		},
		"manifest changed and part missing": func(f *fixture) {
			f.delete(partKey(dir, 1))
			f.put(dir+manifestName, "garbage")
		},
		"manifest missing": func(f *fixture) { f.delete(dir + manifestName) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.add(2, 2)
			s, events := f.stagedBatch(id)
			f.add(1, 1, 1, 1, 1)
			damage(f)
			f.add(1, 1, 1)
			if err := f.log.MendStage(f.ctx, s); err != nil {
				t.Fatal(err)
			}
			f.whole(id, s, len(events))
			if name != "manifest missing" && (!f.incidents.has(IncidentDamaged, dir) || !f.incidents.has(IncidentRestored, dir)) {
				t.Errorf("incidents %v", f.incidents.all())
			}
			// Where nothing is wrong nothing is written.
			before, _ := f.raw.Get(f.ctx, headKey)
			if err := f.log.MendStage(f.ctx, s); err != nil {
				t.Fatal(err)
			}
			if after, _ := f.raw.Get(f.ctx, dir, clientv3.WithPrefix(), clientv3.WithMinModRev(before.Header.Revision+1)); len(after.Kvs) > 0 {
				t.Errorf("%d keys of a whole stage were put", len(after.Kvs))
			}
			before1 := len(f.incidents.all())
			if again, err := eventlog.StagedIn(f.ctx, f.log, s); err != nil || len(again) != len(events) || len(f.incidents.all()) != before1 {
				t.Errorf("%d events, %v, incidents %v", len(again), err, f.incidents.all())
			}
		})
	}
}

// Deleted before the oldest revision that is kept, or never there.
func TestStageThatHistoryLacks(t *testing.T) {
	e := ownEtcd(t, t.TempDir(), 0)
	raw := inProcess(t, e)
	found := &incidents{}
	l, err := Open(testContext(t), inProcess(t, e), Options{Node: "n1", Report: found.add})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{TB: t, ctx: testContext(t), log: l, raw: raw, incidents: found}
	s, events := f.stagedBatch("s1")
	kept, _ := f.stagedBatch("s2")
	f.delete(partKey(stageDir("s1"), 0))
	f.add(1)
	if _, err := l.Compact(f.ctx, 0); err != nil {
		t.Fatal(err)
	}
	if err := l.MendStage(f.ctx, s); !errors.Is(err, eventlog.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := eventlog.StagedIn(f.ctx, l, s); !errors.Is(err, eventlog.ErrNotFound) {
		t.Errorf("%v", err)
	}
	// Put before the oldest kept revision and deleted after it.
	if _, err := raw.Delete(f.ctx, stageDir("s2"), clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	got, err := eventlog.StagedIn(f.ctx, l, kept)
	if err != nil || len(got) != len(events) {
		t.Errorf("%d events, %v", len(got), err)
	}
	f.whole("s2", kept, len(events))
}
