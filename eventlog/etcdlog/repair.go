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
	head, at, err := l.lastHead(ctx, r.Header.GetRevision())
	if err != nil {
		return err
	}
	if head.Revision == 0 {
		return fmt.Errorf("repair head: %w: etcd's history has no head", eventlog.ErrCorrupt)
	}
	l.report(IncidentDamaged, headKey, "missing or unreadable")
	cmps := []clientv3.Cmp{unchanged(headKey, modified)}
	puts := []clientv3.Op{clientv3.OpPut(headKey, string(eventlog.AppendHead(nil, head)))}
	// What went together with it: its batch, and where the log begins.
	var beside []string
	for _, key := range []string{batchKey(head.Revision), lowKey} {
		live, err := l.get(ctx, key, clientv3.WithCountOnly())
		if err != nil {
			return unavailable("repair head", err)
		}
		if live.Count > 0 {
			continue
		}
		kv, err := l.keyAt(ctx, key, at)
		if err != nil {
			return err
		}
		if kv != nil {
			cmps, puts, beside = append(cmps, absent(key)), append(puts, clientv3.OpPut(key, string(kv.Value))), append(beside, key)
			l.report(IncidentDamaged, key, "missing beside the head")
		}
	}
	put, err := l.settle(ctx, cmps, puts, nil)
	if err != nil {
		return unavailable("repair head", err)
	}
	if put.Succeeded {
		l.report(IncidentRestored, headKey, fmt.Sprintf("to revision %d from history", head.Revision))
		for _, key := range beside {
			l.report(IncidentRestored, key, "beside the head")
		}
		if len(beside) > 0 {
			l.unfinished.add(1) // it was not the head alone
		}
	}
	return nil
}

// lastHead is the newest head put up to an etcd revision whose batch is
// stored, or was beside it, and an etcd revision at which it was the head; zero
// if there is none.
func (l *Log) lastHead(ctx context.Context, at int64) (eventlog.Head, int64, error) {
	oldest := int64(1)
	if _, err := l.get(ctx, headKey, clientv3.WithRev(oldest), clientv3.WithCountOnly()); errors.Is(err, rpctypes.ErrCompacted) {
		if oldest, err = l.compactRevision(ctx); err != nil {
			return eventlog.Head{}, 0, err
		}
	}
	for at >= oldest {
		if err := ctx.Err(); err != nil {
			return eventlog.Head{}, 0, unavailable("repair head", err)
		}
		kv, err := l.headAt(ctx, at)
		if err != nil {
			return eventlog.Head{}, 0, err
		}
		if kv == nil {
			if at, err = l.lastPresent(ctx, oldest, at); err != nil {
				return eventlog.Head{}, 0, err
			}
			continue
		}
		if h, err := decodeHead(kv); err == nil {
			r, err := l.get(ctx, batchKey(h.Revision))
			if err != nil {
				return eventlog.Head{}, 0, unavailable("repair head", err)
			}
			var batch *mvccpb.KeyValue
			if len(r.Kvs) > 0 {
				batch = r.Kvs[0]
			} else if batch, err = l.keyAt(ctx, batchKey(h.Revision), at); err != nil {
				return eventlog.Head{}, 0, err
			}
			var d eventlog.Decoder
			if wanted(&d, batch, h.Revision, h.Hash) != nil {
				return h, at, nil
			}
		}
		at = kv.ModRevision - 1
	}
	return eventlog.Head{}, 0, nil
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
	// All batches went with it: only the changes of the head itself tell.
	last := oldest
	err = l.eachChange(ctx, headKey, headKey+"\x00", oldest+1, gone, func(changed int64) (bool, error) {
		last = changed
		return true, nil
	})
	return last - 1, err
}
