package etcdlog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/eventlog"
)

func TestReadPages(t *testing.T) {
	f := newFixture(t)
	// More batches than a page holds, of one commit, then sparse ones.
	sizes := make([]int, 600)
	for i := range sizes {
		sizes[i] = 1
	}
	sizes = append(sizes, 1500, 1600, 1, 1, 1000, 1500, 1600, 1700)
	heads := f.add(sizes...)
	want := lasts(heads)
	if got := f.mustRevisions(f.log, 0); !cmp.Equal(got, want) {
		t.Fatalf("read %d batches, want %d", len(got), len(want))
	}
	for _, after := range []eventlog.Revision{1, 255, 256, 257, 600, 601, 602, 2100, 2101, 2102, 3700, 3701, 3702, heads[len(heads)-1].Revision - 1, heads[len(heads)-1].Revision, 1 << 40} {
		var from []eventlog.Revision
		for _, w := range want {
			if w > after {
				from = append(from, w)
			}
		}
		if got := f.mustRevisions(f.log, after); !cmp.Equal(got, from) {
			t.Errorf("after %d: %d batches, want %d", after, len(got), len(from))
		}
	}
	if c := f.log.Counters(); c.ReadBatches == 0 || c.ReadBytes == 0 || c.Appends != uint64(len(sizes)) || c.AppendedBytes == 0 {
		t.Errorf("counters %+v", c)
	}
}

// Foreign keys and values of every sort, between, over and behind the batches.
func TestReadForeign(t *testing.T) {
	foreign := func(f *fixture, heads []eventlog.Head) map[string]string {
		twin, next := batch(f, heads[1], 1, "foreign") // continues the chain, as the real one does
		far, _ := batch(f, eventlog.Head{Revision: 100, Epoch: 1}, 2, "foreign")
		child, _ := batch(f, next, 1, "foreign")
		_ = child
		return map[string]string{
			batchKey(heads[2].Revision - 1):            string(twin),
			batchKey(heads[3].Revision - 1):            "garbage",
			batchKey(heads[1].Revision) + "x":          "long name",
			batchKey(heads[4].Revision - 2):            string(far),
			batchKey(heads[len(heads)-2].Revision - 1): `{"format":1,"unknown":2}` + "\n",
		}
	}
	f := newFixture(t)
	heads := f.add(3, 5, 4, 6, 3, 2)
	keys := foreign(f, heads)
	for k, v := range keys {
		f.put(k, v)
	}
	want := lasts(heads)
	if got := f.mustRevisions(f.log, 0); !cmp.Equal(got, want) {
		t.Fatalf("read %v, want %v", got, want)
	}
	for k := range keys {
		if !f.incidents.has(IncidentForeign, k) {
			t.Errorf("%s is not reported", k)
		}
		if _, there := f.value(k); there {
			t.Errorf("%s is not removed", k)
		}
	}
	if got := f.mustRevisions(f.log, 0); !cmp.Equal(got, want) {
		t.Fatalf("read %v, want %v", got, want)
	}
}

// Many foreign names between two revisions must not stall the pages.
func TestReadManyForeignNames(t *testing.T) {
	f := newFixture(t)
	heads := f.add(1, 1)
	for i := range 2*pageKeys + 3 {
		f.put(fmt.Sprintf("%s-%04d", batchKey(1), i), "x")
	}
	if got := f.mustRevisions(f.log, 0); !cmp.Equal(got, lasts(heads)) {
		t.Fatalf("read %v", got)
	}
}

// Damage at every place, in every way, is put right from history.
func TestReadHeals(t *testing.T) {
	damages := map[string]func(f *fixture, key string){
		"deleted":  func(f *fixture, key string) { f.delete(key) },
		"garbage":  func(f *fixture, key string) { f.put(key, "garbage") },
		"one byte": func(f *fixture, key string) { v, _ := f.value(key); f.put(key, strings.Replace(v, `"k"`, `"K"`, 1)) },
		"twice":    func(f *fixture, key string) { f.put(key, "garbage"); f.put(key, "more") },
	}
	for name, damage := range damages {
		for at := range 6 {
			t.Run(fmt.Sprintf("%s/%d", name, at), func(t *testing.T) {
				f := newFixture(t)
				heads := f.add(3, 1, 1500, 1600, 2)
				key := batchKey(heads[at].Revision)
				original, _ := f.value(key)
				damage(f, key)
				if now, _ := f.value(key); now == original {
					t.Skip("the first batch holds no key event to change")
				}
				if got := f.mustRevisions(f.log, 0); !cmp.Equal(got, lasts(heads)) {
					t.Fatalf("read %v, want %v", got, lasts(heads))
				}
				if now, _ := f.value(key); now != original {
					t.Error("the original is not back")
				}
				if !f.incidents.has(IncidentDamaged, key) || !f.incidents.has(IncidentRestored, key) {
					t.Errorf("incidents %v", f.incidents.all())
				}
			})
		}
	}
}

func TestReadHealsSeveral(t *testing.T) {
	f := newFixture(t)
	heads := f.add(1, 2, 3, 4, 5, 6, 7)
	for _, i := range []int{1, 2, 3, 5, 7} {
		f.delete(batchKey(heads[i].Revision))
	}
	got := f.mustRevisions(f.log, 2)
	if !cmp.Equal(got, lasts(heads)[2:]) {
		t.Fatalf("read %v, want %v", got, lasts(heads)[2:])
	}
	if got := f.mustRevisions(f.log, 0); !cmp.Equal(got, lasts(heads)) {
		t.Fatalf("read %v, want %v", got, lasts(heads))
	}
}

// Without history there is no way but to say so, and nothing behind the break
// may be delivered.
// Of several that went at once, the newest were put back already: their own
// etcd revisions do not show those before them.
func TestReadHealsBehindRestored(t *testing.T) {
	f := newFixture(t)
	heads := f.add(1, 1, 1, 1, 1, 1)
	restored := map[string]string{headKey: "", batchKey(heads[6].Revision): "", batchKey(heads[5].Revision): ""}
	for k := range restored {
		restored[k], _ = f.value(k)
	}
	if _, err := f.raw.Delete(f.ctx, batchKey(heads[2].Revision), clientv3.WithRange(headKey+"\x00")); err != nil {
		t.Fatal(err)
	}
	for k, v := range restored {
		f.put(k, v)
	}
	if got := f.mustRevisions(f.log, 0); !cmp.Equal(got, lasts(heads)) {
		t.Errorf("batches %v", got)
	}
}

func TestReadUnhealable(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(f *fixture, key string)
		want   error
	}{
		"deleted": {func(f *fixture, key string) { f.delete(key) }, eventlog.ErrHole},
		"changed": {func(f *fixture, key string) { f.put(key, "garbage") }, eventlog.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			heads := f.add(2, 2, 2, 2)
			c.damage(f, batchKey(heads[2].Revision))
			if _, err := f.log.Compact(f.ctx, 0); err != nil {
				t.Fatal(err)
			}
			got, err := revisions(f.ctx, f.log, 0)
			if !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if len(got) > 2 {
				t.Fatalf("delivered %v, beyond the break after %d", got, heads[1].Revision)
			}
			if err := f.log.Follow(f.ctx, eventlog.Head{}, func(*eventlog.Batch, eventlog.Head) error { return nil }); !errors.Is(err, c.want) {
				t.Fatalf("Follow: %v, want %v", err, c.want)
			}
		})
	}
}

// Compaction that came before the damage keeps the original.
func TestReadHealsAfterCompaction(t *testing.T) {
	f := newFixture(t)
	heads := f.add(2, 2, 2)
	if _, err := f.log.Compact(f.ctx, 0); err != nil {
		t.Fatal(err)
	}
	f.delete(batchKey(heads[1].Revision))
	if got := f.mustRevisions(f.log, 0); !cmp.Equal(got, lasts(heads)) {
		t.Fatalf("read %v", got)
	}
}

// Compaction in the middle of a read takes away its pinned revision.
func TestReadAcrossCompaction(t *testing.T) {
	f := newFixture(t)
	sizes := make([]int, 3*pageKeys)
	for i := range sizes {
		sizes[i] = 1
	}
	heads := f.add(sizes...)
	n := 0
	err := f.log.Read(f.ctx, 0, func(b *eventlog.Batch) error {
		if n++; b.First() != eventlog.Revision(n) {
			return fmt.Errorf("revision %d in place %d", b.First(), n)
		}
		if n == pageKeys/2 {
			f.put("/elsewhere", "x")
			if _, err := f.log.Compact(f.ctx, 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || n != len(heads) {
		t.Fatalf("%d of %d batches, %v", n, len(heads), err)
	}
}

func TestReadUnavailable(t *testing.T) {
	f := newFixture(t)
	f.add(1)
	f.faults.set(func(bool) error { return errLost }, nil)
	if _, err := f.log.Head(f.ctx); !errors.Is(err, eventlog.ErrUnavailable) || !errors.Is(err, errLost) {
		t.Errorf("Head: %v", err)
	}
	if _, err := revisions(f.ctx, f.log, 0); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("Read: %v", err)
	}
	if _, err := f.log.Low(f.ctx); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("Low: %v", err)
	}
}

func TestHeadGone(t *testing.T) {
	for name, damage := range map[string]func(f *fixture){
		"deleted":                   func(f *fixture) { f.delete(headKey) },
		"garbage":                   func(f *fixture) { f.put(headKey, "garbage") },
		"garbage, deleted":          func(f *fixture) { f.put(headKey, "garbage"); f.delete(headKey); f.put("/elsewhere", "x") },
		"deleted, garbage, deleted": func(f *fixture) { f.delete(headKey); f.put(headKey, "x"); f.delete(headKey) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			heads := f.add(2, 3)
			damage(f)
			if _, err := f.log.Head(f.ctx); !errors.Is(err, eventlog.ErrCorrupt) {
				t.Fatalf("Head: %v, want ErrCorrupt", err)
			}
			if err := f.log.RepairHead(f.ctx); err != nil {
				t.Fatal(err)
			}
			head, err := f.log.Head(f.ctx)
			want := heads[2]
			want.Guard = head.Guard
			if err != nil || head != want {
				t.Fatalf("head %+v, %v, want %+v", head, err, want)
			}
			f.add(1)
			if err := f.log.RepairHead(f.ctx); err != nil {
				t.Fatal(err)
			}
			if got := f.mustRevisions(f.log, 0); !cmp.Equal(got, []eventlog.Revision{1, 3, 6, 7}) {
				t.Errorf("batches %v", got)
			}
		})
	}
}

func TestRestartKeepsAll(t *testing.T) {
	dir, ctx := t.TempDir(), testContext(t)
	e := ownEtcd(t, dir, 0)
	l, err := Open(ctx, inProcess(t, e), Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{TB: t, ctx: ctx, log: l}
	heads := f.add(1, 100, 3)
	closeEtcd(e)

	e = ownEtcd(t, dir, 0)
	again, err := Open(ctx, inProcess(t, e), Options{})
	if err != nil {
		t.Fatal(err)
	}
	head, err := again.Head(ctx)
	if err != nil || head != heads[3] || again.ID() != l.ID() {
		t.Fatalf("head %+v, %v, want %+v", head, err, heads[3])
	}
	if got := f.mustRevisions(again, 0); !cmp.Equal(got, lasts(heads)) {
		t.Fatalf("batches %v", got)
	}
}

// Foreign batches that name each other's hashes look like the log until they
// end. Not one of them may come through, wherever they lie.
func TestReadForgedChains(t *testing.T) {
	// forge writes batches of the sizes given from head on.
	forge := func(f *fixture, head eventlog.Head, sizes ...int) {
		for _, n := range sizes {
			raw, next := batch(f, head, n, "forged")
			f.put(batchKey(next.Revision), string(raw))
			head = next
		}
	}
	for name, c := range map[string]struct {
		forge   func(f *fixture, heads []eventlog.Head)
		compact bool // so that what was replaced is gone
	}{
		"between two batches":     {forge: func(f *fixture, heads []eventlog.Head) { forge(f, heads[1], 2, 1, 1) }},
		"over the batches":        {forge: func(f *fixture, heads []eventlog.Head) { forge(f, heads[1], 6, 7) }},
		"over batches up to head": {forge: func(f *fixture, heads []eventlog.Head) { forge(f, heads[1], 6, 7, 8, 9) }},
		"instead of the batches": {forge: func(f *fixture, heads []eventlog.Head) {
			f.delete(batchKey(heads[2].Revision))
			f.delete(batchKey(heads[3].Revision))
			forge(f, heads[1], 6, 7)
		}},
		"from the first on": {forge: func(f *fixture, heads []eventlog.Head) { forge(f, heads[0], 1, 1, 1) }},
		"beyond repair":     {forge: func(f *fixture, heads []eventlog.Head) { forge(f, heads[1], 6, 7) }, compact: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			heads := f.add(5, 6, 7, 8, 9)
			c.forge(f, heads)
			if c.compact {
				if _, err := f.log.Compact(f.ctx, 0); err != nil {
					t.Fatal(err)
				}
			}
			node, _, _ := f.open() // one that starts
			for _, after := range []eventlog.Revision{0, heads[1].Revision, heads[1].Revision + 1} {
				var got []eventlog.Revision
				err := node.Read(f.ctx, after, func(b *eventlog.Batch) error {
					got = append(got, b.Last())
					for _, c := range b.Commits {
						if strings.HasPrefix(c.ID, "forged") {
							t.Errorf("after %d: revision %d is forged", after, c.Revision)
						}
					}
					return nil
				})
				switch {
				case c.compact:
					if !errors.Is(err, eventlog.ErrCorrupt) {
						t.Errorf("after %d: %v, want ErrCorrupt", after, err)
					}
				case err != nil:
					t.Errorf("after %d: %v", after, err)
				case got[len(got)-1] != heads[5].Revision:
					t.Errorf("after %d: read %v", after, got)
				}
			}
		})
	}
}

// A proof serves the reads after it; damage behind its points is still found.
func TestReadProvedBefore(t *testing.T) {
	f := newFixture(t)
	sizes := make([]int, 3*proofSpacing+10)
	for i := range sizes {
		sizes[i] = 1
	}
	heads := f.add(sizes...)
	want := lasts(heads)
	if got := f.mustRevisions(f.log, 0); !cmp.Equal(got, want) {
		t.Fatalf("read %d batches, want %d", len(got), len(want))
	}
	if n := len(f.log.proofs.points); n != 4 {
		t.Fatalf("%d points are kept", n)
	}
	gone := []eventlog.Revision{proofSpacing - 1, proofSpacing, proofSpacing + 1, 3 * proofSpacing}
	for _, r := range gone {
		f.delete(batchKey(r))
		if r == proofSpacing {
			f.add(1) // the head moves on while the batch of a point is missing
		}
	}
	want = append(want, want[len(want)-1]+1)
	if got := f.mustRevisions(f.log, 0); !cmp.Equal(got, want) {
		t.Fatalf("read %d batches, want %d", len(got), len(want))
	}
	for _, r := range gone {
		if _, there := f.value(batchKey(r)); !there {
			t.Errorf("revision %d is not back", r)
		}
	}
}

// sizedKV counts the bytes of values that were read.
type sizedKV struct {
	clientv3.KV
	bytes int
}

func (k *sizedKV) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	r, err := k.KV.Get(ctx, key, opts...)
	if err == nil {
		for _, kv := range r.Kvs {
			k.bytes += len(kv.Value)
		}
	}
	return r, err
}

// To read one batch costs little of what lies behind it, however large batches
// are: a first page is short, and points lie as near as bytes want it.
func TestReadOfOneBatchIsShort(t *testing.T) {
	f := newFixture(t)
	const batches, size = 100, 60 << 10
	head := f.add()[0]
	for i := range batches {
		b := eventlog.NewBatchBuilder(head, "n1")
		if err := b.Add(&eventlog.Commit{ID: fmt.Sprint(i), Time: 1_700_000_000_000, Actor: "alice", Events: []eventlog.Event{&eventlog.KeyPut{Key: "k", Value: strings.Repeat("x", size)}}}); err != nil {
			t.Fatal(err)
		}
		raw, next := b.Finish()
		var err error
		if head, err = f.log.Append(f.ctx, head, next, raw, nil); err != nil {
			t.Fatalf("batch %d: %v", i, err)
		}
	}
	want := f.mustRevisions(f.log, 0) // proves them
	if len(want) < batches {
		t.Fatalf("%d batches", len(want))
	}
	kv := &sizedKV{KV: f.faults.KV}
	f.faults.KV = kv
	enough := errors.New("enough")
	for _, after := range []eventlog.Revision{1, 20, 50, 89} {
		kv.bytes = 0
		err := f.log.Read(f.ctx, after, func(b *eventlog.Batch) error {
			if b.Last() != after+1 {
				t.Errorf("after %d: batch %d", after, b.Last())
			}
			return enough
		})
		if !errors.Is(err, enough) {
			t.Fatal(err)
		}
		if most := 2 * (proofBytes + firstKeys*size); kv.bytes > most {
			t.Errorf("after %d: %d bytes read for one batch of %d, want at most %d", after, kv.bytes, size, most)
		}
	}
	if got := f.mustRevisions(f.log, 0); !cmp.Equal(got, want) {
		t.Errorf("read %d batches, want %d", len(got), len(want))
	}
}

func TestProofsAreBounded(t *testing.T) {
	var p proofs
	for i := range 3 {
		points := make([]point, maxProofs)
		for j := range points {
			points[j].revision = eventlog.Revision(i*maxProofs + j + 1)
		}
		p.add(points)
		p.add(points[:9]) // proved twice
	}
	if n := len(p.points); n > maxProofs || n < maxProofs/2 {
		t.Errorf("%d points", n)
	}
	head := eventlog.Head{Revision: 1 << 40, Level: 1}
	for _, after := range []eventlog.Revision{0, 7, 1000, maxProofs} {
		if g := p.goal(after, head); g.Revision <= after || g.Revision == head.Revision || g.Level != 1 {
			t.Errorf("after %d: goal %d", after, g.Revision)
		}
	}
	if g := p.goal(1<<30, head); g != head {
		t.Errorf("goal %+v behind all points", g)
	}
	if g := p.goal(5, eventlog.Head{Revision: 6}); g.Revision != 6 {
		t.Errorf("goal %d beyond the head", g.Revision)
	}
}
