package etcdlog

import (
	"sync/atomic"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/eventlog"
	"dvr/eventlog/logtest"
)

func TestConformanceInProcess(t *testing.T) {
	conformance(t, func(t *testing.T) *clientv3.Client { return inProcess(t, shared) })
}

func TestConformanceExternal(t *testing.T) {
	conformance(t, func(t *testing.T) *clientv3.Client { return external(t, shared) })
}

func conformance(t *testing.T, connect func(*testing.T) *clientv3.Client) {
	logtest.Run(t, func(t *testing.T) logtest.Harness {
		space := newSpace()
		ctx := testContext(t)
		open := func() (*Log, *faultyKV, *faultyWatcher) {
			c := within(connect(t), space)
			kv, w := &faultyKV{KV: c.KV}, &faultyWatcher{Watcher: c.Watcher}
			c.KV, c.Watcher = kv, w
			l, err := Open(ctx, c, Options{Node: "n1"})
			if err != nil {
				t.Fatal(err)
			}
			return l, kv, w
		}
		log, kv, watcher := open()
		second, _, _ := open()
		f := &fixture{TB: t, ctx: ctx, log: log, raw: within(connect(t), space), space: space}
		return logtest.Harness{
			Log:    log,
			Second: second,
			LoseAnswer: func() func() {
				var lost atomic.Bool
				kv.set(func(bool) error {
					if lost.Load() {
						return errLost
					}
					return nil
				}, func(writes bool) error {
					if writes {
						lost.Store(true)
						return errLost
					}
					return nil
				})
				return kv.heal
			},
			LoseRequest: func() func() {
				kv.set(func(bool) error { return errLost }, nil)
				return kv.heal
			},
			CutFollows: watcher.cut,
			Compact: func() {
				if _, err := log.Compact(ctx, 0); err != nil {
					t.Fatal(err)
				}
			},
			DamageSnapshot: func(info eventlog.SnapshotInfo) {
				key := partKey(snapDir(info.Revision, info.Nonce), 0)
				value, ok := f.value(key)
				if !ok {
					t.Fatalf("no chunk %s", key)
				}
				raw := []byte(value)
				raw[len(raw)/2] ^= 0xff
				f.put(key, string(raw))
			},
			LoseStagePart: func(id string) { f.delete(partKey(stageDir(id), 0)) },
			DamageBatch: func(r eventlog.Revision) {
				var key string
				err := log.Read(ctx, r-1, func(b *eventlog.Batch) error {
					if b.First() <= r && r <= b.Last() {
						key = batchKey(b.Last())
					}
					return nil
				})
				if err != nil || key == "" {
					t.Fatalf("no batch holds revision %d: %v", r, err)
				}
				f.put(key, "garbage\n")
				// Without history the damage cannot be put right.
				if _, err := log.Compact(ctx, 0); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}
