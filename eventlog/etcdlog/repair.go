package etcdlog

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/eventlog"
)

// RepairHead rebuilds the head where it is missing or unreadable, from the
// newest head in etcd's history whose batch is there, and an unreadable low
// from the value before. It changes nothing where both are readable. Errors:
// ErrCorrupt when history no longer has one (then see RebuildHead, which trusts
// the batches).
// Cost: a few reads of history.
func (l *Log) RepairHead(ctx context.Context) error {
	if err := l.repairLow(ctx); err != nil {
		return err
	}
	r, err := l.get(ctx, headKey)
	if err != nil {
		return unavailable("repair head", err)
	}
	var modified int64
	if len(r.Kvs) > 0 {
		if _, err := decodeHead(r.Kvs[0]); err == nil {
			return nil
		}
		modified = r.Kvs[0].ModRevision
	}
	head, err := l.lastHead(ctx, r.Header.GetRevision())
	if err != nil {
		return err
	}
	if head.Revision == 0 {
		return fmt.Errorf("repair head: %w: etcd's history has no head", eventlog.ErrCorrupt)
	}
	l.report(IncidentDamaged, headKey, "missing or unreadable")
	put, err := l.settle(ctx, []clientv3.Cmp{unchanged(headKey, modified)},
		[]clientv3.Op{clientv3.OpPut(headKey, string(eventlog.AppendHead(nil, head)))}, nil)
	if err != nil {
		return unavailable("repair head", err)
	}
	if put.Succeeded {
		l.report(IncidentRestored, headKey, fmt.Sprintf("to revision %d from history", head.Revision))
	}
	return nil
}

// lastHead is the newest head put up to an etcd revision whose batch is
// stored; zero if there is none.
func (l *Log) lastHead(ctx context.Context, at int64) (eventlog.Head, error) {
	oldest := int64(1)
	if _, err := l.get(ctx, headKey, clientv3.WithRev(oldest), clientv3.WithCountOnly()); errors.Is(err, rpctypes.ErrCompacted) {
		if oldest, err = l.compactRevision(ctx); err != nil {
			return eventlog.Head{}, err
		}
	}
	for at >= oldest {
		if err := ctx.Err(); err != nil {
			return eventlog.Head{}, unavailable("repair head", err)
		}
		kv, err := l.headAt(ctx, at)
		if err != nil {
			return eventlog.Head{}, err
		}
		if kv == nil {
			if at, err = l.lastPresent(ctx, oldest, at); err != nil {
				return eventlog.Head{}, err
			}
			continue
		}
		if h, err := decodeHead(kv); err == nil {
			r, err := l.get(ctx, batchKey(h.Revision))
			if err != nil {
				return eventlog.Head{}, unavailable("repair head", err)
			}
			var d eventlog.Decoder
			if len(r.Kvs) > 0 && wanted(&d, r.Kvs[0], h.Revision, h.Hash) != nil {
				return h, nil
			}
		}
		at = kv.ModRevision - 1
	}
	return eventlog.Head{}, nil
}

func (l *Log) headAt(ctx context.Context, at int64) (*mvccpb.KeyValue, error) {
	r, err := l.get(ctx, headKey, clientv3.WithRev(at))
	if err != nil {
		return nil, unavailable("repair head", err)
	}
	if len(r.Kvs) == 0 {
		return nil, nil
	}
	return r.Kvs[0], nil
}

// lastPresent is the newest etcd revision in [oldest, gone) at which there was
// a head, oldest−1 if none; gone is one without. There was a head whenever a
// batch was put, and since, until it was deleted.
func (l *Log) lastPresent(ctx context.Context, oldest, gone int64) (int64, error) {
	r, err := l.get(ctx, batchPrefix, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithRev(gone),
		clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend), clientv3.WithLimit(pageKeys))
	if err != nil {
		return 0, unavailable("repair head", err)
	}
	for _, batch := range r.Kvs {
		with := batch.ModRevision
		if with < oldest {
			break
		}
		kv, err := l.headAt(ctx, with)
		if err != nil {
			return 0, err
		}
		if kv == nil {
			gone = min(gone, with) // a foreign key, put after the deletion
			continue
		}
		for gone-with > 1 {
			middle := with + (gone-with)/2
			if kv, err = l.headAt(ctx, middle); err != nil {
				return 0, err
			}
			if kv != nil {
				with = middle
			} else {
				gone = middle
			}
		}
		return with, nil
	}
	return oldest - 1, nil
}
