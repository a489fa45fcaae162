package etcdlog

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/eventlog"
)

// ErrOccupied: there is a log already, or what is left of one.
var ErrOccupied = errors.New("etcd holds a log already")

// Seed is what a log begins with that goes on where another one was at a
// revision, without that one's history.
type Seed struct {
	// Snapshot describes the state at the revision; LogID is the log's.
	Snapshot eventlog.SnapshotInfo
	// Save writes the state.
	Save func(io.Writer) error
	// Batch comes right after the revision and opens an epoch; Head is what it leaves.
	Batch []byte
	Head  eventlog.Head
}

// Plant begins a log with a seed: the snapshot's chunks first, then all that
// makes them a log in one transaction. What is interrupted before that leaves no
// log. Errors: ErrOccupied (nothing was stored), ErrUnavailable, ErrNoSpace, the
// seed's. Cost: one put a MiB of compressed state.
func Plant(ctx context.Context, client *clientv3.Client, options Options, seed Seed) (*Log, error) {
	options.setDefaults()
	l := &Log{client: client, options: options, id: seed.Snapshot.LogID}
	l.stale.init()
	if err := l.plant(ctx, seed); err != nil {
		return nil, fmt.Errorf("plant log %s: %w", l.id, err)
	}
	return l, nil
}

func (l *Log) plant(ctx context.Context, seed Seed) error {
	r, err := l.get(ctx, "/dvr/", clientv3.WithRange(dirEnd("/dvr/")), clientv3.WithLimit(1), clientv3.WithKeysOnly())
	if err != nil {
		return unavailable("look for a log", err)
	}
	if len(r.Kvs) > 0 {
		return fmt.Errorf("%w: %s", ErrOccupied, r.Kvs[0].Key)
	}
	l.cluster = r.Header.GetClusterId()
	var d eventlog.Decoder
	b, err := d.DecodeBatch(seed.Batch)
	if err != nil {
		return err
	}
	info := seed.Snapshot
	if b.First() != info.Revision+1 || b.Last() != seed.Head.Revision || b.Hash != seed.Head.Hash || hex.EncodeToString(b.Prev[:]) != info.Hash {
		return fmt.Errorf("%w: the first batch does not go on from the snapshot of revision %d", eventlog.ErrCorrupt, info.Revision)
	}
	var nonce [8]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return err
	}
	info.Format, info.Nonce = snapshotForm, hex.EncodeToString(nonce[:])
	chunks := &chunkWriter{ctx: ctx, log: l, dir: snapDir(info.Revision, info.Nonce), sum: sha256.New(), buf: make([]byte, 0, chunkBytes)}
	if err := chunks.compress(seed.Save); err != nil {
		l.dropChunks(chunks.dir)
		return err
	}
	info.Chunks, info.Bytes, info.SHA256 = chunks.n, chunks.bytes, hex.EncodeToString(chunks.sum.Sum(nil))
	var values [3][]byte
	for i, v := range []any{meta{Format: eventlog.Format, LogID: l.id}, info, lowValue{Revision: info.Revision + 1}} {
		if values[i], err = json.Marshal(v); err != nil {
			return err
		}
	}
	head := string(eventlog.AppendHead(nil, seed.Head))
	done, err := l.settle(ctx,
		[]clientv3.Cmp{absent(metaKey), absent(headKey), absent(lowKey), absent(batchKey(b.Last()))},
		[]clientv3.Op{
			clientv3.OpPut(metaKey, string(values[0])),
			clientv3.OpPut(chunks.dir+manifestName, string(values[1])),
			clientv3.OpPut(lowKey, string(values[2])),
			clientv3.OpPut(batchKey(b.Last()), string(seed.Batch)),
			clientv3.OpPut(headKey, head),
		},
		[]clientv3.Op{clientv3.OpGet(headKey)})
	if err != nil {
		return unavailable("put head", err)
	}
	if done.Succeeded {
		return nil
	}
	if kv := first(done, 0); kv != nil && string(kv.Value) == head {
		return nil // an earlier attempt of this one
	}
	l.dropChunks(chunks.dir)
	return ErrOccupied
}
