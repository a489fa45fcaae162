package etcdlog

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"sort"
	"time"

	"github.com/klauspost/compress/zstd"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/eventlog"
)

const (
	chunkBytes    = 1 << 20
	snapshotForm  = 1
	maxManifest   = 64 << 10
	decoderWindow = 64 << 20 // bounds the memory that a damaged stream can ask for
)

// Snapshots implements eventlog.Log. Cost: two reads a snapshot.
func (l *Log) Snapshots(ctx context.Context) ([]eventlog.SnapshotInfo, error) {
	var list []eventlog.SnapshotInfo
	err := l.eachSnapshot(ctx, func(_ string, info *eventlog.SnapshotInfo, _ int64) error {
		if info != nil {
			list = append(list, *info)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].Revision > list[j].Revision })
	return list, nil
}

// eachSnapshot calls fn with each snapshot's directory and manifest; info is
// nil while there is none.
func (l *Log) eachSnapshot(ctx context.Context, fn func(dir string, info *eventlog.SnapshotInfo, chunks int64) error) error {
	return l.eachDir(ctx, snapPrefix, func(firstKey string) (string, error) {
		dir, revision, nonce, ok := snapName(firstKey)
		if !ok {
			return firstKey + "\x00", nil // a foreign key
		}
		r, err := l.txn(ctx, nil, []clientv3.Op{
			clientv3.OpGet(dir + manifestName),
			clientv3.OpGet(dir, clientv3.WithRange(dir+manifestName), clientv3.WithCountOnly()),
		}, nil)
		if err != nil {
			return "", unavailable("read manifest", err)
		}
		var info *eventlog.SnapshotInfo
		chunks := r.Responses[1].GetResponseRange().Count
		if kv := first(r, 0); kv != nil && len(kv.Value) <= maxManifest {
			var m eventlog.SnapshotInfo
			if json.Unmarshal(kv.Value, &m) == nil && m.Format == snapshotForm && m.LogID == l.id && m.Revision == revision && m.Nonce == nonce && int64(m.Chunks) == chunks {
				info = &m
			}
		}
		return dirEnd(dir), fn(dir, info, chunks)
	})
}

// WriteSnapshot implements eventlog.Log. Memory: the compressor's window and
// one chunk. Cost: one put a MiB of compressed stream.
func (l *Log) WriteSnapshot(ctx context.Context, info eventlog.SnapshotInfo, write func(io.Writer) error) (eventlog.SnapshotInfo, error) {
	fail := func(err error) (eventlog.SnapshotInfo, error) {
		return eventlog.SnapshotInfo{}, fmt.Errorf("write snapshot of revision %d: %w", info.Revision, err)
	}
	v, err := l.view(ctx)
	if err != nil {
		return fail(err)
	}
	if v.head.Revision < info.Revision {
		return fail(fmt.Errorf("%w: the head is at revision %d", eventlog.ErrNotFound, v.head.Revision))
	}
	var nonce [8]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return fail(err)
	}
	info.Format, info.LogID, info.Nonce = snapshotForm, l.id, hex.EncodeToString(nonce[:])

	chunks := &chunkWriter{ctx: ctx, log: l, dir: snapDir(info.Revision, info.Nonce), sum: sha256.New(), buf: make([]byte, 0, chunkBytes)}
	if err := chunks.compress(write); err != nil {
		l.dropChunks(chunks.dir)
		return fail(err)
	}
	info.Chunks, info.Bytes, info.SHA256 = chunks.n, chunks.bytes, hex.EncodeToString(chunks.sum.Sum(nil))
	manifest, err := json.Marshal(info)
	if err != nil {
		return fail(err)
	}
	// The head must be the one seen or a later one, else etcd was reset in
	// between; the first chunk must be ours still, else it was cleaned up.
	_, err = l.putManifest(ctx, chunks.dir+manifestName, string(manifest),
		clientv3.Compare(clientv3.ModRevision(headKey), ">", v.head.Guard-1),
		present(partKey(chunks.dir, 0)), absent(chunks.dir+manifestName))
	if err != nil {
		return fail(err)
	}
	return info, nil
}

// dropChunks removes what a failed write left, as far as that works; what
// stays is CleanSnapshots' matter.
func (l *Log) dropChunks(dir string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = l.txn(ctx, []clientv3.Cmp{absent(dir + manifestName)}, []clientv3.Op{clientv3.OpDelete(dir, clientv3.WithRange(dirEnd(dir)))}, nil)
}

// chunkWriter stores a stream in chunks of 1 MiB.
type chunkWriter struct {
	ctx   context.Context
	log   *Log
	dir   string
	sum   hash.Hash
	buf   []byte
	n     int
	bytes int64
}

func (w *chunkWriter) compress(write func(io.Writer) error) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	if err := write(z); err != nil {
		_ = z.Close()
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return w.flush()
}

// Write implements io.Writer.
func (w *chunkWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		take := min(chunkBytes-len(w.buf), len(p))
		w.buf, p = append(w.buf, p[:take]...), p[take:]
		if len(w.buf) == chunkBytes {
			if err := w.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (w *chunkWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	w.sum.Write(w.buf)
	if _, err := w.log.settle(w.ctx, nil, []clientv3.Op{clientv3.OpPut(partKey(w.dir, w.n), string(w.buf))}, nil); err != nil {
		return unavailable("put chunk", err)
	}
	w.n++
	w.bytes += int64(len(w.buf))
	w.buf = w.buf[:0]
	return nil
}

// OpenSnapshot implements eventlog.Log. Chunks are read as the stream is; the
// last Read gives ErrCorrupt in place of io.EOF if size or checksum differ.
// Not safe for concurrent use.
func (l *Log) OpenSnapshot(ctx context.Context, info eventlog.SnapshotInfo) (io.ReadCloser, error) {
	fail := func(err error) (io.ReadCloser, error) {
		return nil, fmt.Errorf("open snapshot of revision %d: %w", info.Revision, err)
	}
	dir := snapDir(info.Revision, info.Nonce)
	r, err := l.get(ctx, dir+manifestName, clientv3.WithCountOnly())
	if err != nil {
		return fail(unavailable("read manifest", err))
	}
	if r.Count == 0 {
		return fail(eventlog.ErrNotFound)
	}
	chunks := &chunkReader{ctx: ctx, log: l, dir: dir, info: info, sum: sha256.New()}
	z, err := zstd.NewReader(chunks, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(decoderWindow))
	if err != nil {
		return fail(fmt.Errorf("%w: %w", eventlog.ErrCorrupt, err))
	}
	return &snapshotReader{z: z, chunks: chunks}, nil
}

// chunkReader reads the chunks of a snapshot one after the other.
type chunkReader struct {
	ctx   context.Context
	log   *Log
	dir   string
	info  eventlog.SnapshotInfo
	sum   hash.Hash
	rest  []byte
	n     int
	bytes int64
	err   error // of the store, to tell it from a damaged stream
}

// Read implements io.Reader.
func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.n == r.info.Chunks {
			return 0, io.EOF
		}
		chunk, err := r.log.part(r.ctx, partKey(r.dir, r.n))
		if err != nil {
			r.err = err
			return 0, err
		}
		r.sum.Write(chunk)
		r.n++
		r.bytes += int64(len(chunk))
		r.rest = chunk
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// snapshotReader decompresses and verifies.
type snapshotReader struct {
	z      *zstd.Decoder
	chunks *chunkReader
	err    error
}

// Read implements io.Reader.
func (r *snapshotReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.z.Read(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		c := r.chunks
		if c.n == c.info.Chunks && c.bytes == c.info.Bytes && hex.EncodeToString(c.sum.Sum(nil)) == c.info.SHA256 {
			r.err = io.EOF
		} else {
			r.err = fmt.Errorf("snapshot of revision %d: %w: size or checksum differ", c.info.Revision, eventlog.ErrCorrupt)
		}
	case r.chunks.err != nil:
		r.err = fmt.Errorf("snapshot of revision %d: %w", r.chunks.info.Revision, r.chunks.err)
	default:
		r.err = fmt.Errorf("snapshot of revision %d: %w: %w", r.chunks.info.Revision, eventlog.ErrCorrupt, err)
	}
	return n, r.err
}

// Close implements io.Closer.
func (r *snapshotReader) Close() error {
	r.z.Close()
	r.err = io.ErrClosedPipe
	return nil
}

// DeleteSnapshot implements eventlog.Log; deleting an absent one is no error.
// It does not ask whether the log still needs it: that is Truncate's order.
func (l *Log) DeleteSnapshot(ctx context.Context, info eventlog.SnapshotInfo) error {
	dir := snapDir(info.Revision, info.Nonce)
	for _, op := range []clientv3.Op{
		clientv3.OpDelete(dir + manifestName),
		clientv3.OpDelete(dir, clientv3.WithRange(dirEnd(dir))),
	} {
		if _, err := l.settle(ctx, nil, []clientv3.Op{op}, nil); err != nil {
			return unavailable(fmt.Sprintf("delete snapshot of revision %d", info.Revision), err)
		}
	}
	return nil
}

// CleanSnapshots removes what unfinished writes left: directories without a
// valid manifest whose chunks have not become more for idle, as seen by this
// Log, so that it removes nothing the first time. It returns how many.
func (l *Log) CleanSnapshots(ctx context.Context, idle time.Duration) (int, error) {
	removed := 0
	present := map[string]bool{}
	err := l.eachSnapshot(ctx, func(dir string, info *eventlog.SnapshotInfo, chunks int64) error {
		if info != nil {
			return nil
		}
		present[dir] = true
		if quiet := l.stale.idle(dir, chunks, l.options.Now()); quiet == 0 || quiet < idle {
			return nil
		}
		_, err := l.settle(ctx, nil, []clientv3.Op{clientv3.OpDelete(dir, clientv3.WithRange(dirEnd(dir)))}, nil)
		if err != nil {
			return unavailable("delete chunks", err)
		}
		delete(present, dir)
		removed++
		return nil
	})
	if err != nil {
		return removed, fmt.Errorf("clean up snapshots: %w", err)
	}
	l.stale.retain(present)
	return removed, nil
}
