package etcdlog

import (
	"context"
	"encoding/json"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/eventlog"
)

// truncateSlice is how many revisions one delete covers, so that no single
// one holds up the others.
const truncateSlice = eventlog.MaxBatchCommits

// Truncate implements eventlog.Log. Low moves first, while the snapshot that
// replaces what goes is still there, so that an interrupted truncation is
// resumed by the next and never leaves a hole.
func (l *Log) Truncate(ctx context.Context, low eventlog.Revision) error {
	fail := func(err error) error { return fmt.Errorf("truncate below revision %d: %w", low, err) }
	v, err := l.view(ctx)
	if err != nil {
		return fail(err)
	}
	if low <= 1 {
		return nil
	}
	if low > v.head.Revision+1 {
		return fail(fmt.Errorf("%w: the head is at revision %d", eventlog.ErrNotFound, v.head.Revision))
	}
	snapshots, err := l.Snapshots(ctx)
	if err != nil {
		return fail(err)
	}
	var manifest string
	for _, s := range snapshots {
		if s.Revision+1 >= low {
			manifest = snapDir(s.Revision, s.Nonce) + manifestName
		}
	}
	if manifest == "" {
		return fail(fmt.Errorf("%w: no snapshot of revision %d or later", eventlog.ErrNotFound, low-1))
	}
	if low > v.low {
		value, err := json.Marshal(lowValue{Revision: low})
		if err != nil {
			return fail(err)
		}
		r, err := l.settle(ctx, []clientv3.Cmp{present(manifest), unchanged(lowKey, v.lowGuard)},
			[]clientv3.Op{clientv3.OpPut(lowKey, string(value))}, []clientv3.Op{clientv3.OpGet(lowKey)})
		if err != nil {
			return fail(unavailable("put low", err))
		}
		if !r.Succeeded && (first(r, 0) == nil || string(first(r, 0).Value) != string(value)) {
			return fail(fmt.Errorf("%w: the snapshot went or another truncation came meanwhile", eventlog.ErrNotFound))
		}
	}
	return l.deleteBelow(ctx, max(low, v.low))
}

// deleteBelow deletes the batches that end before low.
func (l *Log) deleteBelow(ctx context.Context, low eventlog.Revision) error {
	from := eventlog.Revision(0)
	for {
		r, err := l.get(ctx, batchKey(from), clientv3.WithRange(batchKey(low)), clientv3.WithLimit(1), clientv3.WithKeysOnly())
		if err != nil {
			return unavailable("truncate", err)
		}
		if len(r.Kvs) == 0 {
			return nil
		}
		key := string(r.Kvs[0].Key)
		end := key + "\x00" // a foreign name
		if revision, ok := batchRevision(key); ok {
			end = batchKey(min(revision+truncateSlice, low))
			from = revision
		}
		if _, err := l.settle(ctx, nil, []clientv3.Op{clientv3.OpDelete(key, clientv3.WithRange(end))}, nil); err != nil {
			return unavailable("truncate", err)
		}
	}
}
