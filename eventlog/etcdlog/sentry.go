package etcdlog

import (
	"bytes"
	"context"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"dvr/eventlog"
)

// inspect looks at a batch key that changed without a head beside it: a
// truncation, a restoration by another node, or damage and foreign keys, which
// it puts right. What cannot be put right now, which is false, is left to the
// readers.
func (l *Log) inspect(ctx context.Context, tip eventlog.Head, revision eventlog.Revision, e *clientv3.Event) bool {
	if err := l.inspectBatch(ctx, tip, revision, e); err != nil {
		l.options.Logger.Warn("a changed batch key could not be looked at", zap.Uint64("revision", uint64(revision)), zap.Error(err))
		return false
	}
	return true
}

func (l *Log) inspectBatch(ctx context.Context, tip eventlog.Head, revision eventlog.Revision, e *clientv3.Event) error {
	key := string(e.Kv.Key)
	deleted := e.Type != clientv3.EventTypePut
	if revision > tip.Revision {
		if !deleted {
			// Beyond the head of its own etcd revision, or the watch would have
			// shown a head beside it. A later append may have used the key only
			// if it was absent, so the guard on the value is enough.
			l.removeForeign(ctx, e.Kv, "a batch key beyond the head")
		}
		return nil
	}
	r, err := l.txn(ctx, nil, []clientv3.Op{clientv3.OpGet(lowKey), clientv3.OpGet(key), clientv3.OpGet(headKey)}, nil)
	if err != nil {
		return err
	}
	lowKV, live, headKV := first(r, 0), first(r, 1), first(r, 2)
	low := eventlog.Revision(1)
	var lowGuard int64
	if lowKV != nil {
		if low, err = decodeLow(lowKV.Value); err != nil {
			return err
		}
		lowGuard = lowKV.ModRevision
	}
	if revision < low && deleted {
		return nil // truncated
	}
	if live != nil && (deleted || live.ModRevision != e.Kv.ModRevision) || live == nil && !deleted {
		return nil // it changed again: a later event tells
	}
	if headKV == nil {
		return fmt.Errorf("%w: no head", eventlog.ErrCorrupt)
	}
	head, err := decodeHead(headKV)
	if err != nil {
		return err
	}
	before, err := l.get(ctx, key, clientv3.WithRev(e.Kv.ModRevision-1))
	if err != nil {
		return err
	}
	var prior *mvccpb.KeyValue
	if len(before.Kvs) > 0 {
		prior = before.Kvs[0]
	}
	if live != nil {
		if prior != nil && bytes.Equal(prior.Value, live.Value) {
			return nil
		}
		ok, err := l.belongs(ctx, live, revision, head, 0)
		if err != nil || ok {
			return err
		}
	}
	if prior == nil {
		if live != nil {
			l.removeForeign(ctx, live, "a batch key within the log that is no part of it")
		}
		return nil
	}
	ok, err := l.belongs(ctx, prior, revision, head, 0)
	if err != nil {
		return err
	}
	if !ok {
		if live == nil {
			return nil // a foreign value went
		}
		return fmt.Errorf("%w: neither the value of %s nor the one before belongs to the log", eventlog.ErrCorrupt, key)
	}
	l.report(IncidentDamaged, key, "changed or deleted while the log was followed")
	var modified int64
	if live != nil {
		modified = live.ModRevision
	}
	put, err := l.txn(ctx, []clientv3.Cmp{unchanged(key, modified), unchanged(lowKey, lowGuard)},
		[]clientv3.Op{clientv3.OpPut(key, string(prior.Value))}, nil)
	if err != nil {
		return err
	}
	if put.Succeeded {
		l.report(IncidentRestored, key, "from the value before")
	}
	return nil
}

// maxOverlap bounds how many values that claim the same revisions are told
// apart.
const maxOverlap = 8

// belongs tells whether a value is the log's batch that ends at the revision:
// whether the head or the batch after it names its hash. It is not if a batch
// of the log spans the revision.
func (l *Log) belongs(ctx context.Context, kv *mvccpb.KeyValue, revision eventlog.Revision, head eventlog.Head, depth int) (bool, error) {
	var d eventlog.Decoder
	b, err := d.DecodeBatch(kv.Value)
	if err != nil || b.Last() != revision {
		return false, nil
	}
	if revision == head.Revision {
		return b.Hash == head.Hash, nil
	}
	r, err := l.get(ctx, batchKey(revision+1), clientv3.WithRange(batchKey(revision+1+eventlog.MaxBatchCommits)), clientv3.WithLimit(pageKeys))
	if err != nil {
		return false, err
	}
	for _, next := range r.Kvs {
		last, ok := batchRevision(string(next.Key))
		line, _, err := eventlog.DecodeBatchLine(next.Value)
		if !ok || err != nil || line.Last != last || line.First > revision+1 {
			continue
		}
		if line.First == revision+1 {
			if line.Prev == b.Hash {
				return true, nil
			}
			continue
		}
		if depth < maxOverlap && last <= head.Revision {
			if spans, err := l.belongs(ctx, next, last, head, depth+1); err == nil && spans {
				return false, nil
			}
		}
	}
	if len(r.Kvs) == 0 {
		return false, fmt.Errorf("%w: no batch follows revision %d", eventlog.ErrHole, revision)
	}
	return false, l.successorKnown(ctx, revision, r.Kvs, head)
}

// successorKnown is nil when a batch of the log begins right after the
// revision, so that one which it does not name is known not to belong.
func (l *Log) successorKnown(ctx context.Context, revision eventlog.Revision, kvs []*mvccpb.KeyValue, head eventlog.Head) error {
	for _, next := range kvs {
		last, ok := batchRevision(string(next.Key))
		line, _, err := eventlog.DecodeBatchLine(next.Value)
		if !ok || err != nil || line.Last != last || line.First != revision+1 {
			continue
		}
		if found, err := l.belongs(ctx, next, last, head, maxOverlap); err == nil && found {
			return nil
		}
	}
	return fmt.Errorf("%w: no batch of the log is seen to follow revision %d", eventlog.ErrHole, revision)
}

// restoreHead puts the head back that a follower knows to be right, where
// somebody put another or deleted it: kv is what stands there now, as the
// watch showed it. The guard makes it a no-op when the log went on.
func (l *Log) restoreHead(ctx context.Context, tip eventlog.Head, kv *mvccpb.KeyValue) {
	l.report(IncidentDamaged, headKey, fmt.Sprintf("put or deleted without a batch, after revision %d", tip.Revision))
	modified := kv.ModRevision
	if kv.CreateRevision == 0 { // the event of a deletion
		modified = 0
	}
	puts := []clientv3.Op{clientv3.OpPut(headKey, string(eventlog.AppendHead(nil, tip)))}
	key := batchKey(tip.Revision)
	r, err := l.txn(ctx, []clientv3.Cmp{unchanged(headKey, modified), present(key)}, puts, []clientv3.Op{clientv3.OpGet(key)})
	if err == nil && !r.Succeeded && first(r, 0) == nil {
		// Deleted beside its head: without it the head proves nothing, without
		// the head it is not known to belong.
		var before *clientv3.GetResponse
		if before, err = l.get(ctx, key, clientv3.WithRev(kv.ModRevision-1)); err == nil && len(before.Kvs) > 0 {
			var d eventlog.Decoder
			if good := before.Kvs[0]; wanted(&d, good, tip.Revision, tip.Hash) != nil {
				l.report(IncidentDamaged, key, "deleted beside the head")
				puts = append(puts, clientv3.OpPut(key, string(good.Value)))
				if r, err = l.txn(ctx, []clientv3.Cmp{unchanged(headKey, modified), absent(key)}, puts, nil); err == nil && r.Succeeded {
					l.report(IncidentRestored, key, "from the value before")
				}
			}
		}
	}
	switch {
	case err != nil:
		l.options.Logger.Warn("the head could not be restored", zap.Error(err))
	case r.Succeeded:
		l.report(IncidentRestored, headKey, fmt.Sprintf("to revision %d", tip.Revision))
	}
}

// removeStrays removes keys under /dvr/log that no read of batches meets:
// names that are none of the log's, and batch keys beyond the head. v says
// what the log was at an etcd revision; errors leave it for the next time.
func (l *Log) removeStrays(ctx context.Context, v view) {
	const last = "99999999999999999999"
	for _, gap := range []struct{ from, end string }{
		{logPrefix, batchKey(0)},
		{batchKey(v.head.Revision) + "\x00", batchPrefix + last},
		{batchPrefix + last, headKey},
		{headKey + "\x00", lowKey},
		{lowKey + "\x00", dirEnd(logPrefix)},
	} {
		r, err := l.get(ctx, gap.from, clientv3.WithRange(gap.end), clientv3.WithRev(v.at), clientv3.WithLimit(pageKeys), clientv3.WithKeysOnly())
		if err != nil {
			l.options.Logger.Debug("foreign keys were not looked for", zap.Error(err))
			return
		}
		for _, kv := range r.Kvs {
			l.removeForeign(ctx, kv, "not a key of the log")
		}
	}
}
