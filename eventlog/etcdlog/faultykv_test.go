package etcdlog

import (
	"context"
	"errors"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

var errLost = errors.New("connection lost")

// faultyKV loses requests and answers the way a network does.
type faultyKV struct {
	clientv3.KV
	mu     sync.Mutex
	before func(writes bool) error // an error: the request never arrives
	after  func(writes bool) error // an error: the request is applied, the answer lost
}

func (k *faultyKV) set(before, after func(writes bool) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.before, k.after = before, after
}

func (k *faultyKV) heal() { k.set(nil, nil) }

func (k *faultyKV) do(writes bool, call func() error) error {
	k.mu.Lock()
	before, after := k.before, k.after
	k.mu.Unlock()
	if before != nil {
		if err := before(writes); err != nil {
			return err
		}
	}
	err := call()
	if after != nil {
		if lost := after(writes); lost != nil {
			return lost
		}
	}
	return err
}

func (k *faultyKV) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (r *clientv3.GetResponse, err error) {
	err = k.do(false, func() error { r, err = k.KV.Get(ctx, key, opts...); return err })
	return r, err
}

func (k *faultyKV) Txn(ctx context.Context) clientv3.Txn {
	return &faultyTxn{Txn: k.KV.Txn(ctx), kv: k}
}

type faultyTxn struct {
	clientv3.Txn
	kv     *faultyKV
	writes bool
}

func (t *faultyTxn) If(cs ...clientv3.Cmp) clientv3.Txn { t.Txn = t.Txn.If(cs...); return t }

func (t *faultyTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	for _, op := range ops {
		t.writes = t.writes || op.IsPut() || op.IsDelete()
	}
	t.Txn = t.Txn.Then(ops...)
	return t
}

func (t *faultyTxn) Else(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(ops...); return t }

func (t *faultyTxn) Commit() (r *clientv3.TxnResponse, err error) {
	err = t.kv.do(t.writes, func() error { r, err = t.Txn.Commit(); return err })
	return r, err
}

// faultyWatcher cuts watches on demand.
type faultyWatcher struct {
	clientv3.Watcher
	mu      sync.Mutex
	cancels []context.CancelFunc
	opened  int
}

func (w *faultyWatcher) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	ctx, cancel := context.WithCancel(ctx)
	w.mu.Lock()
	w.cancels = append(w.cancels, cancel)
	w.opened++
	w.mu.Unlock()
	return w.Watcher.Watch(ctx, key, opts...)
}

func (w *faultyWatcher) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, cancel := range w.cancels {
		cancel()
	}
	w.cancels = nil
}

func (w *faultyWatcher) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opened
}

// incidents collects reports.
type incidents struct {
	mu   sync.Mutex
	list []Incident
}

func (i *incidents) add(x Incident) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.list = append(i.list, x)
}

func (i *incidents) all() []Incident {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]Incident(nil), i.list...)
}

func (i *incidents) has(kind IncidentKind, key string) bool {
	for _, x := range i.all() {
		if x.Kind == kind && x.Key == key {
			return true
		}
	}
	return false
}
