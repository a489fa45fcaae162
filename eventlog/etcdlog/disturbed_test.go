package etcdlog

import (
	"context"
	"errors"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/eventlog"
)

// stuckKV answers its first writing transaction not before the call's end, as
// etcd does with one that was on its way to a leader that died.
type stuckKV struct {
	clientv3.KV
	stuck chan struct{} // closed when it hangs
	used  bool
}

type stuckTxn struct {
	clientv3.Txn
	kv     *stuckKV
	ctx    context.Context
	writes bool
}

func (k *stuckKV) Txn(ctx context.Context) clientv3.Txn {
	return &stuckTxn{Txn: k.KV.Txn(ctx), kv: k, ctx: ctx}
}

func (t *stuckTxn) If(cs ...clientv3.Cmp) clientv3.Txn   { t.Txn = t.Txn.If(cs...); return t }
func (t *stuckTxn) Else(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(ops...); return t }

func (t *stuckTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	for _, op := range ops {
		t.writes = t.writes || op.IsPut()
	}
	t.Txn = t.Txn.Then(ops...)
	return t
}

func (t *stuckTxn) Commit() (*clientv3.TxnResponse, error) {
	if t.writes && !t.kv.used {
		t.kv.used = true
		close(t.kv.stuck)
		<-t.ctx.Done()
		return nil, t.ctx.Err()
	}
	return t.Txn.Commit()
}

// TestAppendIsTriedAgainAtOnceAfterALeaderChange, not after CallTimeout.
func TestAppendIsTriedAgainAtOnceAfterALeaderChange(t *testing.T) {
	changed := make(chan struct{})
	f := newFixture(t, func(o *Options) {
		o.CallTimeout = 15 * time.Second
		o.Disturbed = func() <-chan struct{} {
			select {
			case <-changed: // the next change is another channel
				return nil
			default:
				return changed
			}
		}
	})
	head, err := f.log.Head(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	kv := &stuckKV{KV: f.log.client.KV, stuck: make(chan struct{})}
	f.log.client.KV = kv
	go func() {
		<-kv.stuck
		close(changed)
	}()
	raw, next := batch(t, head, 1, "x")
	began := time.Now()
	if _, err := f.log.Append(f.ctx, head, next, raw, nil); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d > 10*time.Second || !kv.used {
		t.Errorf("appended after %v", d)
	}
}

// TestOpenInsistsOnItsLog: where another log is, or none, nothing is created.
func TestOpenInsistsOnItsLog(t *testing.T) {
	f := newFixture(t)
	if _, err := Open(f.ctx, f.raw, Options{LogID: f.log.ID()}); err != nil {
		t.Errorf("the log itself: %v", err)
	}
	if _, err := Open(f.ctx, f.raw, Options{LogID: "another"}); !errors.Is(err, eventlog.ErrForeignLog) {
		t.Errorf("another log: %v", err)
	}
	blank := within(inProcess(t, shared), newSpace())
	if _, err := Open(f.ctx, blank, Options{LogID: f.log.ID()}); !errors.Is(err, eventlog.ErrForeignLog) {
		t.Errorf("no log: %v", err)
	}
	if r, err := blank.Get(f.ctx, "/dvr/", clientv3.WithPrefix(), clientv3.WithCountOnly()); err != nil || r.Count != 0 {
		t.Errorf("%d keys were created, %v", r.Count, err)
	}
}
