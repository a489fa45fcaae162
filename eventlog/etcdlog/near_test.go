package etcdlog

import (
	"context"
	"errors"
	"slices"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/eventlog"
)

var errNoLeader = errors.New("no leader")

// leaderless answers what one member can alone, and refuses all else.
type leaderless struct{ clientv3.KV }

func (k leaderless) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	op := clientv3.OpGet(key, opts...)
	if !op.IsSerializable() {
		return nil, errNoLeader
	}
	return k.KV.Get(ctx, key, opts...)
}

func (k leaderless) Txn(ctx context.Context) clientv3.Txn { return &leaderlessTxn{Txn: k.KV.Txn(ctx)} }

type leaderlessTxn struct {
	clientv3.Txn
	refused bool
}

func (t *leaderlessTxn) If(cs ...clientv3.Cmp) clientv3.Txn {
	t.refused = t.refused || len(cs) > 0
	t.Txn = t.Txn.If(cs...)
	return t
}

func (t *leaderlessTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	for i := range ops {
		t.refused = t.refused || !ops[i].IsGet() || !ops[i].IsSerializable()
	}
	t.Txn = t.Txn.Then(ops...)
	return t
}

func (t *leaderlessTxn) Else(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(ops...); return t }

func (t *leaderlessTxn) Commit() (*clientv3.TxnResponse, error) {
	if t.refused {
		return nil, errNoLeader
	}
	return t.Txn.Commit()
}

// TestNear: while nobody leads, what a member has is read, and nothing is written.
func TestNear(t *testing.T) {
	f := newFixture(t)
	heads := f.add(1, 3, 2)
	l, kv, _ := f.open()
	kv.KV = leaderless{kv.KV}
	unled := true
	n := Near{Log: l, Unled: func() bool { return unled }}
	ctx := testContext(t)
	var got []eventlog.Revision
	each := func(b *eventlog.Batch) error { got = append(got, b.Last()); return nil }
	if err := n.Read(ctx, 0, each); err != nil || !slices.Equal(got, lasts(heads)) {
		t.Errorf("%v, %v of %v", err, got, lasts(heads))
	}
	if err := n.ReadSome(ctx, 1, nil, each); err != nil {
		t.Error(err)
	}
	if low, err := n.Low(ctx); err != nil || low != 1 {
		t.Errorf("low %d, %v", low, err)
	}
	if list, err := n.Snapshots(ctx); err != nil || len(list) != 0 {
		t.Errorf("snapshots %v, %v", list, err)
	}
	if _, err := n.Head(ctx); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("a head that may be old: %v", err)
	}
	unled = false // somebody leads, so what is read is to be the newest
	if err := n.Read(ctx, 0, each); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("not asked of the quorum: %v", err)
	}
	if _, err := n.Low(ctx); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("not asked of the quorum: %v", err)
	}
}
