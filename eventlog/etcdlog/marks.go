package etcdlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"dvr/eventlog"
)

// lowMark is what a follower knows the low key to hold.
type lowMark struct {
	revision eventlog.Revision
	absent   bool // the key, which means revision 1
}

// inspectLow looks at a change of the low key: a truncation, which only raises
// it and leaves a snapshot to begin from, or damage, which it puts right.
func (f *follower) inspectLow(ctx context.Context, e *clientv3.Event) error {
	l := f.log
	modified := int64(0)
	if e.Type == clientv3.EventTypePut {
		modified = e.Kv.ModRevision
		low, err := decodeLow(e.Kv.Value)
		switch {
		case err == nil && low == f.low.revision:
			f.low.absent = false
			return nil
		case err == nil && low > f.low.revision && low <= f.tip.Revision+1:
			ok, err := l.beginsAt(ctx, low)
			if err != nil {
				return err
			}
			if ok {
				f.low = lowMark{revision: low}
				return nil
			}
		}
	} else if f.low.absent {
		return nil // what was foreign went
	}
	l.report(IncidentDamaged, lowKey, "changed or deleted without a truncation")
	return l.putLow(ctx, modified, f.low)
}

// beginsAt tells whether there is a snapshot behind which the log may begin at
// the revision.
func (l *Log) beginsAt(ctx context.Context, low eventlog.Revision) (bool, error) {
	snapshots, err := l.Snapshots(ctx)
	for _, s := range snapshots {
		if s.Revision+1 >= low {
			return true, nil
		}
	}
	return false, err
}

// putLow puts the low key back unless it changed since the etcd revision given.
func (l *Log) putLow(ctx context.Context, modified int64, want lowMark) error {
	op := clientv3.OpDelete(lowKey)
	if !want.absent {
		value, err := json.Marshal(lowValue{Revision: want.revision})
		if err != nil {
			return fmt.Errorf("restore low: %w", err)
		}
		op = clientv3.OpPut(lowKey, string(value))
	}
	r, err := l.txn(ctx, []clientv3.Cmp{unchanged(lowKey, modified)}, []clientv3.Op{op}, nil)
	if err != nil {
		return unavailable("restore low", err)
	}
	if r.Succeeded {
		l.report(IncidentRestored, lowKey, fmt.Sprintf("to revision %d", want.revision))
	}
	return nil
}

// repairLow replaces an unreadable low by the newest readable value in etcd's
// history. Errors: ErrCorrupt when history no longer has it.
func (l *Log) repairLow(ctx context.Context) error {
	r, err := l.get(ctx, lowKey)
	if err != nil {
		return unavailable("repair low", err)
	}
	if len(r.Kvs) == 0 {
		return nil
	}
	live := r.Kvs[0]
	if _, err := decodeLow(live.Value); err == nil {
		return nil
	}
	kv, want := live, lowMark{revision: 1, absent: true}
	for range historySteps {
		if low, err := decodeLow(kv.Value); err == nil {
			want = lowMark{revision: low}
			break
		}
		r, err := l.get(ctx, lowKey, clientv3.WithRev(kv.ModRevision-1))
		if errors.Is(err, rpctypes.ErrCompacted) {
			return fmt.Errorf("repair low: %w: %s is %q, and etcd's history no longer has the value before", eventlog.ErrCorrupt, lowKey, live.Value)
		}
		if err != nil {
			return unavailable("repair low", err)
		}
		if len(r.Kvs) == 0 {
			break
		}
		kv = r.Kvs[0]
	}
	l.report(IncidentDamaged, lowKey, "unreadable")
	return l.putLow(ctx, live.ModRevision, want)
}

// inspectMeta puts meta back where somebody changed or deleted it. The head is
// a condition: a log that was deleted as a whole is not begun anew.
func (l *Log) inspectMeta(ctx context.Context, e *clientv3.Event) {
	modified := int64(0)
	if e.Type == clientv3.EventTypePut {
		modified = e.Kv.ModRevision
		var m meta
		if json.Unmarshal(e.Kv.Value, &m) == nil && m == (meta{Format: eventlog.Format, LogID: l.id}) {
			return
		}
	}
	l.report(IncidentDamaged, metaKey, "changed or deleted while the log was followed")
	if err := l.putMeta(ctx, modified); err != nil {
		l.options.Logger.Warn("meta could not be restored", zap.Error(err))
	}
}

// putMeta stores the log's identity again unless the key changed since the
// etcd revision given.
func (l *Log) putMeta(ctx context.Context, modified int64) error {
	value, err := json.Marshal(meta{Format: eventlog.Format, LogID: l.id})
	if err != nil {
		return fmt.Errorf("restore meta: %w", err)
	}
	r, err := l.txn(ctx, []clientv3.Cmp{unchanged(metaKey, modified), present(headKey)}, []clientv3.Op{clientv3.OpPut(metaKey, string(value))}, nil)
	if err != nil {
		return unavailable("restore meta", err)
	}
	if r.Succeeded {
		l.report(IncidentRestored, metaKey, "log "+l.id)
	}
	return nil
}

// recoverMeta opens a log whose meta is missing or unreadable with the value
// that etcd's history has, and puts that back. live is what is there, or nil.
func (l *Log) recoverMeta(ctx context.Context, live *mvccpb.KeyValue) error {
	cause := fmt.Errorf("open log: %w: there is a head or a first batch, but no %s", eventlog.ErrCorrupt, metaKey)
	var tries []int64
	modified := int64(0)
	if live != nil {
		cause = l.setMeta(live.Value)
		modified = live.ModRevision
		tries = append(tries, modified-1)
	}
	// Meta came together with both of these, or was there when they were put back.
	r, err := l.txn(ctx, nil, []clientv3.Op{clientv3.OpGet(headKey), clientv3.OpGet(batchKey(1))}, nil)
	if err != nil {
		return unavailable("open log", err)
	}
	for i := range 2 {
		if kv := first(r, i); kv != nil {
			tries = append(tries, kv.CreateRevision)
		}
	}
	oldest, err := l.compactRevision(ctx)
	if err != nil {
		return err
	}
	for _, at := range append(tries, oldest) {
		if at <= 0 {
			continue
		}
		r, err := l.get(ctx, metaKey, clientv3.WithRev(at))
		if errors.Is(err, rpctypes.ErrCompacted) {
			continue
		}
		if err != nil {
			return unavailable("open log", err)
		}
		if len(r.Kvs) == 0 || l.setMeta(r.Kvs[0].Value) != nil {
			continue
		}
		l.report(IncidentDamaged, metaKey, "missing or unreadable")
		return l.putMeta(ctx, modified)
	}
	return cause
}
