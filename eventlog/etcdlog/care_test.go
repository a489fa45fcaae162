package etcdlog

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dvr/eventlog"
)

// fill appends batches of about size bytes until etcd refuses.
func fill(f *fixture, size int) (stored []eventlog.Revision, head eventlog.Head, err error) {
	f.Helper()
	if head, err = f.log.Head(f.ctx); err != nil {
		f.Fatal(err)
	}
	stored = append(stored, head.Revision)
	for i := 0; ; i++ {
		b := eventlog.NewBatchBuilder(head, "n1")
		for j := 0; b.Bytes() < size; j++ {
			c := &eventlog.Commit{ID: fmt.Sprint(i, "-", j), Time: 1_700_000_000_000, Actor: "alice",
				Events: []eventlog.Event{&eventlog.KeyPut{Key: "k", Value: strings.Repeat("v", 8000)}}}
			if err := b.Add(c); err != nil {
				f.Fatal(err)
			}
		}
		raw, next := b.Finish()
		got, err := f.log.Append(f.ctx, head, next, bytes.Clone(raw), nil)
		if err != nil {
			return stored, head, err
		}
		head = got
		stored = append(stored, head.Revision)
	}
}

// A small quota is reached in the middle of appending: what was acknowledged
// is there, what was refused is not, reading goes on, and RecoverSpace after a
// truncation makes appending possible again.
func TestNoSpace(t *testing.T) {
	ctx := testContext(t)
	e := ownEtcd(t, t.TempDir(), 8<<20)
	client := inProcess(t, e)
	l, err := Open(ctx, client, Options{Defragment: e.Server.Backend().Defrag})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{TB: t, ctx: ctx, log: l, raw: client, incidents: &incidents{}}

	stored, head, err := fill(f, 200<<10)
	if !errors.Is(err, eventlog.ErrNoSpace) {
		t.Fatalf("%v, want ErrNoSpace", err)
	}
	now, err := l.Head(ctx)
	if err != nil || now != head {
		t.Fatalf("the head is %+v, %v, the last one acknowledged %+v", now, err, head)
	}
	if got := f.mustRevisions(l, 0); !cmp.Equal(got, stored) {
		t.Fatalf("batches %v, acknowledged %v", got, stored)
	}
	status, err := l.StoreStatus(ctx)
	if err != nil || len(status) != 1 || !status[0].NoSpace || status[0].Quota != 8<<20 || status[0].Size < 4<<20 || !status[0].Leader {
		t.Fatalf("status %+v, %v", status, err)
	}
	if l.Counters().NoSpace == 0 {
		t.Error("not counted")
	}

	// Nothing can be freed yet: the alarm must stay.
	if err := l.RecoverSpace(ctx); err == nil {
		if _, _, err := fill(f, 200<<10); !errors.Is(err, eventlog.ErrNoSpace) {
			t.Fatal(err)
		}
	} else if !errors.Is(err, eventlog.ErrNoSpace) {
		t.Fatal(err)
	}

	// What truncation does, without a snapshot, which does not fit any more:
	// deleting is allowed.
	if _, err := client.Delete(ctx, batchKey(0), withEnd(batchKey(head.Revision))); err != nil {
		t.Fatal(err)
	}
	if err := l.RecoverSpace(ctx); err != nil {
		t.Fatal(err)
	}
	status, err = l.StoreStatus(ctx)
	if err != nil || status[0].NoSpace || status[0].Size > 4<<20 {
		t.Fatalf("status %+v, %v", status, err)
	}
	if head, err = l.Head(ctx); err != nil {
		t.Fatal(err)
	}
	raw, next := batch(t, head, 1, "again")
	if _, err := l.Append(ctx, head, next, raw, nil); err != nil {
		t.Fatal(err)
	}
}

func TestCompactKeeps(t *testing.T) {
	f := newFixture(t)
	heads := f.add(1, 1, 1, 1, 1)
	at, err := f.log.Compact(f.ctx, 1<<40)
	if err != nil || at != 0 {
		t.Fatalf("%d, %v", at, err)
	}
	at, err = f.log.Compact(f.ctx, 2)
	if err != nil || at != heads[5].Guard-2 {
		t.Fatalf("compacted at %d, %v, want %d", at, err, heads[5].Guard-2)
	}
	if oldest, err := f.log.compactRevision(f.ctx); err != nil || oldest != at {
		t.Fatalf("oldest %d, %v, want %d", oldest, err, at)
	}
	if _, err := f.log.Compact(f.ctx, 2); err != nil {
		t.Fatalf("a second time: %v", err)
	}
	if err := f.log.Defragment(f.ctx); err != nil {
		t.Fatal(err)
	}
	if got := f.mustRevisions(f.log, 0); !cmp.Equal(got, lasts(heads)) {
		t.Fatalf("batches %v", got)
	}
}

// In process etcd's own call crashes; without a substitute it must be refused.
func TestDefragment(t *testing.T) {
	f := newFixture(t)
	f.log.options.Defragment = nil
	if err := f.log.Defragment(f.ctx); !errors.Is(err, ErrNoDefragment) {
		t.Errorf("%v, want ErrNoDefragment", err)
	}
	f.log.client = external(t, shared)
	if err := f.log.Defragment(f.ctx); err != nil {
		t.Error(err)
	}
	status, err := f.log.StoreStatus(f.ctx)
	if err != nil || len(status) != 1 || status[0].Size == 0 || status[0].InUse == 0 || status[0].Version == "" {
		t.Errorf("%+v, %v", status, err)
	}
}

func TestKeys(t *testing.T) {
	if k := batchKey(14); k != "/dvr/log/b/00000000000000000014" {
		t.Error(k)
	}
	for key, want := range map[string]eventlog.Revision{
		"/dvr/log/b/00000000000000000014":  14,
		"/dvr/log/b/18446744073709551615":  1<<64 - 1,
		"/dvr/log/b/18446744073709551616":  0,
		"/dvr/log/b/00000000000000000000":  0,
		"/dvr/log/b/0000000000000000014":   0,
		"/dvr/log/b/000000000000000000014": 0,
		"/dvr/log/b/0000000000000000001x":  0,
		"/dvr/log/b/+0000000000000000014":  0,
		"/dvr/log/head":                    0,
	} {
		if got, ok := batchRevision(key); got != want && ok || ok != (want != 0) {
			t.Errorf("%s: %d, %v", key, got, ok)
		}
	}
	dir := snapDir(7, "ab")
	if got, r, nonce, ok := snapName(partKey(dir, 3)); !ok || got != dir || r != 7 || nonce != "ab" {
		t.Error(got, r, nonce, ok)
	}
	for _, key := range []string{"/dvr/snap/x", "/dvr/snap/7-ab/000000", "/dvr/snap/00000000000000000007/000000", "/else"} {
		if _, _, _, ok := snapName(key); ok {
			t.Errorf("%s passes for a snapshot", key)
		}
	}
	if id, ok := stageID(stageDir("a.b") + manifestName); !ok || id != "a.b" {
		t.Error(id, ok)
	}
	if dirEnd("/a/") != "/a0" {
		t.Error(dirEnd("/a/"))
	}
}

func BenchmarkRawPut(b *testing.B) {
	f := newFixture(b)
	value := strings.Repeat("v", 200)
	b.ResetTimer()
	for range b.N {
		f.put("k", value)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f := newFixture(b)
			head, err := f.log.Head(f.ctx)
			if err != nil {
				b.Fatal(err)
			}
			bytes := 0
			b.ResetTimer()
			for range b.N {
				raw, next := batch(b, head, n, "bench")
				bytes += len(raw)
				if head, err = f.log.Append(f.ctx, head, next, raw, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "commits/s")
			b.SetBytes(int64(bytes / b.N))
		})
	}
}

func BenchmarkRead(b *testing.B) {
	f := newFixture(b)
	sizes := make([]int, 200)
	for i := range sizes {
		sizes[i] = 1000
	}
	f.add(sizes...)
	b.ResetTimer()
	commits := 0
	for range b.N {
		err := f.log.Read(f.ctx, 0, func(batch *eventlog.Batch) error { commits += len(batch.Commits); return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(commits)/b.Elapsed().Seconds(), "commits/s")
}
