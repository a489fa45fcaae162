package etcdlog

import (
	"context"
	"slices"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/eventlog"
)

// deleteAll deletes the log at once, with nobody following it.
func (f *fixture) deleteAll(heads []eventlog.Head) (before map[string]string) {
	f.Helper()
	before = map[string]string{}
	for _, k := range []string{headKey, batchKey(1)} {
		before[k], _ = f.value(k)
	}
	for _, h := range heads {
		before[batchKey(h.Revision)], _ = f.value(batchKey(h.Revision))
	}
	if _, err := f.raw.Delete(f.ctx, logPrefix, clientv3.WithPrefix()); err != nil {
		f.Fatal(err)
	}
	return before
}

// A log that was deleted at once, as who reads it finds it.
func TestReadRestoresAll(t *testing.T) {
	for name, read := range map[string]func(f *fixture) error{
		"from the beginning": func(f *fixture) error { _, err := revisions(f.ctx, f.log, 0); return err },
		"a page":             func(f *fixture) error { _, err := revisions(f.ctx, f.log, 5); return err },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			heads := f.add(append([]int{2, 3, 1, 2}, slices.Repeat([]int{1}, 30)...)...)
			before := f.deleteAll(heads)
			f.put("elsewhere", "so that the deletion is not the newest revision")
			if err := read(f); err != nil {
				t.Fatal(err)
			}
			f.mustRevisions(f.log, 0)
			for k, v := range before {
				if now, _ := f.value(k); now != v {
					t.Errorf("%s is not as it was", k)
				}
			}
			f.add(1)
		})
	}
}

// What one follower left undone, the next one does, though it has nothing to
// range.
func TestNextFollowGoesOnRestoring(t *testing.T) {
	f := newFixture(t)
	restored := make(chan struct{}, 1)
	l, _, _ := f.open(func(o *Options) {
		o.Report = func(i Incident) {
			if i.Kind == IncidentRestored && i.Key == headKey {
				restored <- struct{}{}
				<-restored // until the follower is ended
			}
		}
	})
	heads := f.add(append([]int{2, 3, 1, 2}, slices.Repeat([]int{1}, 60)...)...)
	tip := heads[len(heads)-1]
	ctx, cancel := context.WithCancel(f.ctx)
	done := make(chan error, 1)
	follow := func(ctx context.Context) {
		done <- l.Follow(ctx, tip, func(*eventlog.Batch, eventlog.Head) error { return nil })
	}
	opened := make(chan struct{})
	go func() { <-opened; follow(ctx) }()
	close(opened)
	f.put(logPrefix+"stray", "shows that it is followed")
	f.await("following", func() bool { _, there := f.value(logPrefix + "stray"); return !there })
	f.put(logPrefix+"stray2", "shows that it is watched, not ranged")
	f.await("following", func() bool { _, there := f.value(logPrefix + "stray2"); return !there })
	before := f.deleteAll(heads)
	<-restored
	cancel()
	restored <- struct{}{}
	<-done
	if now, _ := f.value(batchKey(2)); now != "" {
		t.Fatal("the follower was not ended in the middle")
	}
	ctx, cancel = context.WithCancel(f.ctx)
	go follow(ctx)
	for k, v := range before {
		f.await(k+" as it was", func() bool { now, _ := f.value(k); return now == v })
	}
	cancel()
	<-done
}
