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

// heal puts back what broke the chain before goal, whose hash is trusted, from
// etcd's history, and notes in the chain the path that leads there. Where goal
// is not the head and its own batch is what lacks, only the way from the head
// tells when that was whole.
func (l *Log) heal(ctx context.Context, c *chain, goal, head eventlog.Head) error {
	path, err := l.walk(ctx, c, goal.Revision, goal.Hash, goal.Guard)
	if goal.Revision < head.Revision && (errors.Is(err, eventlog.ErrHole) || errors.Is(err, eventlog.ErrCorrupt)) {
		path, err = l.walk(ctx, c, head.Revision, head.Hash, head.Guard)
	}
	if err == nil {
		c.path = path
	}
	return err
}

// walk goes from the batch that ends at last and has the hash given down to
// the chain's tip, restoring what is not there as it should be, and returns
// the last revisions of the batches that it met. A trusted hash names its
// batch, and that the key and the hash of the one before, so nothing foreign is
// met. at is an etcd revision at which the batch was whole.
func (l *Log) walk(ctx context.Context, c *chain, last eventlog.Revision, hash eventlog.Hash, at int64) (map[eventlog.Revision]bool, error) {
	path := map[eventlog.Revision]bool{}
	var d eventlog.Decoder
	for last > c.tip.Revision {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		key := batchKey(last)
		r, err := l.get(ctx, key)
		if err != nil {
			return nil, unavailable("read log", err)
		}
		var live *mvccpb.KeyValue
		if len(r.Kvs) > 0 {
			live = r.Kvs[0]
		}
		good, batch := live, wanted(&d, live, last, hash)
		if batch == nil {
			if good, batch, err = l.fromHistory(ctx, &d, key, last, hash, at, live); err != nil {
				return nil, err
			}
			if err := l.putBack(ctx, key, good.Value, live); err != nil {
				return nil, err
			}
		}
		path[last] = true
		// A batch that was put back has a late revision, at which those before
		// it may have been damaged already.
		last, hash, at = batch.First()-1, batch.Prev, min(at, good.ModRevision)
	}
	if c.anchored && (last != c.tip.Revision || hash != c.tip.Hash) {
		return nil, fmt.Errorf("%w: the chain from the head does not lead to revision %d", eventlog.ErrCorrupt, c.tip.Revision)
	}
	return path, nil
}

// wanted decodes kv if it is the batch with that end and hash, else nil.
func wanted(d *eventlog.Decoder, kv *mvccpb.KeyValue, last eventlog.Revision, hash eventlog.Hash) *eventlog.Batch {
	if kv == nil {
		return nil
	}
	b, err := d.DecodeBatch(kv.Value)
	if err != nil || b.Last() != last || b.Hash != hash {
		return nil
	}
	return b
}

// historySteps bounds how many values of one key are looked at.
const historySteps = 128

// fromHistory looks for the batch at the etcd revisions where it may still be
// seen whole: that of its successor, ever longer before that (the successor may
// have been put back after this one went), the oldest one kept, and each time,
// where the value is another, before that was put.
func (l *Log) fromHistory(ctx context.Context, d *eventlog.Decoder, key string, last eventlog.Revision, hash eventlog.Hash, at int64, live *mvccpb.KeyValue) (*mvccpb.KeyValue, *eventlog.Batch, error) {
	cause := eventlog.ErrHole
	tries := []int64{at}
	if live != nil {
		cause = eventlog.ErrCorrupt
		tries = append(tries, live.ModRevision-1)
	}
	for back := int64(1); back < at; back *= 2 {
		tries = append(tries, at-back)
	}
	compacted := false
	for i := 0; i < len(tries) && i < historySteps; i++ {
		if tries[i] <= 0 {
			continue
		}
		r, err := l.get(ctx, key, clientv3.WithRev(tries[i]))
		if errors.Is(err, rpctypes.ErrCompacted) {
			if !compacted {
				compacted = true
				oldest, err := l.compactRevision(ctx)
				if err != nil {
					return nil, nil, err
				}
				tries = append(tries, oldest)
			}
			continue
		}
		if err != nil {
			return nil, nil, unavailable("read history", err)
		}
		if len(r.Kvs) > 0 {
			if b := wanted(d, r.Kvs[0], last, hash); b != nil {
				return r.Kvs[0], b, nil
			}
			tries = append(tries, r.Kvs[0].ModRevision-1)
		}
	}
	l.report(IncidentDamaged, key, "a committed batch is changed or missing and etcd's history no longer has it")
	return nil, nil, fmt.Errorf("batch that ends at revision %d: %w", last, cause)
}

// compactRevision is the oldest revision of etcd's history; only a watch tells.
func (l *Log) compactRevision(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, l.options.CallTimeout)
	defer cancel()
	for r := range l.client.Watch(ctx, metaKey, clientv3.WithRev(1)) {
		if r.CompactRevision > 0 {
			return r.CompactRevision, nil
		}
		break
	}
	if err := ctx.Err(); err != nil {
		return 0, unavailable("read history", err)
	}
	return 0, nil
}

// putBack stores a committed value again under its key, unless that changed
// since live was read.
func (l *Log) putBack(ctx context.Context, key string, value []byte, live *mvccpb.KeyValue) error {
	var modified int64
	detail := "missing"
	if live != nil {
		modified, detail = live.ModRevision, "changed"
	}
	l.report(IncidentDamaged, key, detail)
	r, err := l.settle(ctx, []clientv3.Cmp{unchanged(key, modified)}, []clientv3.Op{clientv3.OpPut(key, string(value))}, nil)
	if err != nil {
		return unavailable("restore "+key, err)
	}
	if r.Succeeded {
		l.report(IncidentRestored, key, "was "+detail)
	}
	return nil
}
