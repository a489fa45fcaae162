package etcdlog

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dvr/eventlog"
)

// ErrHeadIntact: the head fits the batches; there is nothing to rebuild.
var ErrHeadIntact = errors.New("the head fits the batches")

// ErrReadOnly: the etcd takes no writes from outside.
var ErrReadOnly = errors.New("this etcd is read-only from outside")

// RebuildHead puts the head anew where it is missing, unreadable or does not
// fit the batches, from the chain of the stored batches alone (RepairHead takes
// it from etcd's history, which may be compacted). It trusts the last batch of
// the chain, since nothing else tells where the log ended: no node may be
// running. Errors: ErrHeadIntact; eventlog.ErrCorrupt or ErrHole where a batch
// is damaged, foreign or missing, which must be put right first; ErrNotFound
// without a log, or where the log was truncated and no snapshot says what went
// before; ErrReadOnly, where there is something to rebuild. Cost: one pass over the batches since the newest snapshot.
func RebuildHead(ctx context.Context, client *clientv3.Client) (eventlog.Head, error) {
	l, err := inspectable(ctx, client)
	if err != nil {
		return eventlog.Head{}, err
	}
	head, err := l.rebuildHead(ctx)
	if err != nil {
		return eventlog.Head{}, fmt.Errorf("rebuild head: %w", err)
	}
	return head, nil
}

func (l *Log) rebuildHead(ctx context.Context) (eventlog.Head, error) {
	r, err := l.get(ctx, headKey)
	if err != nil {
		return eventlog.Head{}, unavailable("read head", err)
	}
	at := r.Header.GetRevision()
	var present eventlog.Head
	var modified int64
	if len(r.Kvs) > 0 {
		modified = r.Kvs[0].ModRevision
		if decodesHead(r.Kvs[0]) {
			present, _ = decodeHead(r.Kvs[0])
		}
	}
	tip, err := l.foundation(ctx)
	if err != nil {
		return eventlog.Head{}, err
	}
	if tip, err = l.climb(ctx, tip, at); err != nil {
		return eventlog.Head{}, err
	}
	if tip.Revision == 0 {
		return eventlog.Head{}, fmt.Errorf("%w: there is no batch", eventlog.ErrNotFound)
	}
	present.Guard = 0
	if present == tip {
		return eventlog.Head{}, ErrHeadIntact
	}
	put, err := l.settle(ctx, []clientv3.Cmp{unchanged(headKey, modified)},
		[]clientv3.Op{clientv3.OpPut(headKey, string(eventlog.AppendHead(nil, tip)))}, nil)
	if status.Code(err) == codes.PermissionDenied {
		return eventlog.Head{}, fmt.Errorf("put the head of revision %d: %w", tip.Revision, ErrReadOnly)
	}
	if err != nil {
		return eventlog.Head{}, unavailable("put head", err)
	}
	if !put.Succeeded {
		return eventlog.Head{}, fmt.Errorf("%w: a node is running", eventlog.ErrHeadMoved)
	}
	tip.Guard = put.Header.GetRevision()
	return tip, nil
}

// foundation is the newest snapshot's head, or that of the empty log.
func (l *Log) foundation(ctx context.Context) (eventlog.Head, error) {
	low, err := l.Low(ctx)
	if err != nil {
		return eventlog.Head{}, err
	}
	snapshots, err := l.Snapshots(ctx)
	if err != nil {
		return eventlog.Head{}, err
	}
	for _, s := range snapshots {
		h := eventlog.Head{Revision: s.Revision, Epoch: s.Epoch, Level: s.Level}
		if copyHex(h.Hash[:], s.Hash) && copyHex(h.Nonce[:], s.EpochNonce) {
			return h, nil
		}
	}
	if low > 1 {
		return eventlog.Head{}, fmt.Errorf("%w: the log begins at revision %d and no snapshot says what went before", eventlog.ErrNotFound, low)
	}
	return eventlog.Head{}, nil
}

func copyHex(dst []byte, text string) bool {
	n, err := hex.Decode(dst, []byte(text[:min(len(text), 2*len(dst))]))
	return err == nil && n == len(dst) && len(text) == 2*len(dst)
}

// climb follows the chain from tip to its end at an etcd revision.
func (l *Log) climb(ctx context.Context, tip eventlog.Head, at int64) (eventlog.Head, error) {
	var d eventlog.Decoder
	from, end := batchKey(tip.Revision+1), dirEnd(batchPrefix)
	for {
		r, err := l.get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(pageKeys), clientv3.WithRev(at))
		if err != nil {
			return tip, unavailable("read batches", err)
		}
		for _, kv := range r.Kvs {
			key := string(kv.Key)
			revision, ok := batchRevision(key)
			if !ok {
				return tip, defect(key, eventlog.ErrCorrupt, "a foreign key: not the name of a batch")
			}
			b, err := d.DecodeBatch(kv.Value)
			if err != nil {
				return tip, defect(key, eventlog.ErrCorrupt, "%v", err)
			}
			if b.Last() != revision {
				return tip, defect(key, eventlog.ErrCorrupt, "holds a batch that ends at revision %d", b.Last())
			}
			if tip, err = tip.Follow(b); err != nil {
				return tip, fmt.Errorf("%s: %w", key, err)
			}
		}
		if !r.More {
			return tip, nil
		}
		from = string(r.Kvs[len(r.Kvs)-1].Key) + "\x00"
	}
}
