package etcdlog

import (
	"errors"
	"slices"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/eventlog"
)

// What a truncation left is put back, not the beginning.
func TestFollowRestoresLow(t *testing.T) {
	f := newFixture(t)
	start := f.add()[0]
	out := f.follow(f.log, start)
	heads := f.add(2, 2, 2)
	f.expect(out, heads[1:])
	f.snapshot(heads[2])
	if err := f.log.Truncate(f.ctx, heads[2].Revision+1); err != nil {
		t.Fatal(err)
	}
	f.expect(out, f.add(1)[1:])
	want, _ := f.value(lowKey)
	for _, damage := range []func(){
		func() { f.put(lowKey, "garbage") },
		func() { f.put(lowKey, `{"revision":1}`) },
		func() { f.delete(lowKey) },
		func() { f.put(lowKey, "one"); f.put(lowKey, `{"revision":7000}`); f.put(lowKey, "three") },
	} {
		damage()
		f.await("low as it was", func() bool { v, _ := f.value(lowKey); return v == want })
		f.expect(out, f.add(1)[1:])
	}
	if !f.incidents.has(IncidentDamaged, lowKey) || !f.incidents.has(IncidentRestored, lowKey) {
		t.Errorf("incidents %v", f.incidents.all())
	}
}

// Where nobody followed the log, history has what was damaged.
func TestOpenRestoresMarks(t *testing.T) {
	for name, damage := range map[string]func(f *fixture) string{
		"meta deleted":      func(f *fixture) string { f.delete(metaKey); return metaKey },
		"meta garbage":      func(f *fixture) string { f.put(metaKey, "garbage"); return metaKey },
		"low garbage":       func(f *fixture) string { f.put(lowKey, "garbage"); return lowKey },
		"low garbage twice": func(f *fixture) string { f.put(lowKey, "garbage"); f.put(lowKey, "more"); return lowKey },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			heads := f.add(2, 3)
			before := map[string]string{}
			for _, k := range []string{metaKey, lowKey} {
				before[k], _ = f.value(k)
			}
			key := damage(f)
			l, _, _ := f.open()
			if l.ID() != f.log.ID() {
				t.Errorf("opened as %s, was %s", l.ID(), f.log.ID())
			}
			out := f.follow(l, heads[1])
			f.expect(out, heads[2:])
			f.await(key+" as it was", func() bool { v, _ := f.value(key); return v == before[key] })
			if !f.incidents.has(IncidentDamaged, key) {
				t.Errorf("incidents %v", f.incidents.all())
			}
		})
	}
}

// One deletion of everything: a follower knows what was there.
func TestFollowRestoresAll(t *testing.T) {
	for name, prefix := range map[string]string{"the log": logPrefix, "meta too": "/dvr/"} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			start := f.add()[0]
			l, _, _ := f.open(func(o *Options) { o.Backlog = 4 << 10 }) // overflows while it restores
			one, two := f.follow(f.log, start), f.follow(l, start)
			heads := f.add(append([]int{2, 3, 1, 2}, slices.Repeat([]int{1}, 60)...)...)
			f.expect(one, heads[1:])
			f.expect(two, heads[1:])
			before := map[string]string{}
			for _, k := range []string{headKey, metaKey, batchKey(1)} {
				before[k], _ = f.value(k)
			}
			for _, h := range heads {
				before[batchKey(h.Revision)], _ = f.value(batchKey(h.Revision))
			}
			if _, err := f.raw.Delete(f.ctx, prefix, clientv3.WithPrefix()); err != nil {
				t.Fatal(err)
			}
			for k, v := range before {
				f.await(k+" as it was", func() bool { now, _ := f.value(k); return now == v })
			}
			more := f.add(1, 2)
			f.expect(one, more[1:])
			f.expect(two, more[1:])
			f.mustRevisions(f.log, 0)
		})
	}
}

// Parts that a batch refers to stay where somebody deleted their manifest.
func TestSweepKeepsWithoutManifest(t *testing.T) {
	f := newFixture(t)
	staged, err := f.log.Stage(f.ctx, "s1", []eventlog.Event{&eventlog.RouterSet{Router: "r1"}})
	if err != nil {
		t.Fatal(err)
	}
	f.delete(stageDir("s1") + manifestName)
	for _, kept := range []bool{true, false} {
		if err := f.log.Sweep(f.ctx, 1<<60, func(string) bool { return kept }); err != nil {
			t.Fatal(err)
		}
		if _, err := f.log.Staged(f.ctx, staged); kept != (err == nil) {
			t.Errorf("kept %v: %v", kept, err)
		}
	}
}

// Without a head there is no log that meta could belong to.
func TestFollowDoesNotRestoreMetaAlone(t *testing.T) {
	f := newFixture(t)
	f.add(2)
	f.delete(headKey)
	if err := f.log.putMeta(f.ctx, 0); err != nil {
		t.Fatal(err)
	}
	f.delete(metaKey)
	if err := f.log.putMeta(f.ctx, 0); err != nil {
		t.Fatal(err)
	}
	if v, there := f.value(metaKey); there {
		t.Errorf("meta is %s without a head", v)
	}
	if _, err := f.log.Head(f.ctx); !errors.Is(err, eventlog.ErrCorrupt) {
		t.Errorf("Head: %v", err)
	}
}
