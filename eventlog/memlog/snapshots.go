package memlog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"slices"

	"dvr/eventlog"
)

type snapshot struct {
	info eventlog.SnapshotInfo
	data []byte // immutable
}

const chunkBytes = 1 << 20

// Snapshots lists complete snapshots, newest first.
func (l *Log) Snapshots(ctx context.Context) ([]eventlog.SnapshotInfo, error) {
	if err := l.enter(ctx, "list snapshots"); err != nil {
		return nil, err
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	list := make([]eventlog.SnapshotInfo, 0, len(l.s.snaps))
	for _, sn := range slices.Backward(l.s.snaps) {
		list = append(list, sn.info)
	}
	slices.SortStableFunc(list, func(a, b eventlog.SnapshotInfo) int {
		return int(int64(b.Revision) - int64(a.Revision))
	})
	return list, nil
}

// WriteSnapshot stores what write produces; nothing is compressed in memory.
func (l *Log) WriteSnapshot(ctx context.Context, info eventlog.SnapshotInfo, write func(io.Writer) error) (eventlog.SnapshotInfo, error) {
	const op = "write a snapshot"
	if err := l.enter(ctx, op); err != nil {
		return info, err
	}
	var data bytes.Buffer
	if err := write(&data); err != nil {
		return info, fmt.Errorf("%s: %w", op, err)
	}
	if err := l.enter(ctx, op); err != nil {
		return info, err
	}
	s := l.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if info.Revision > s.head.Revision {
		return info, fmt.Errorf("%s: %w: revision %d is after the head %d", op, eventlog.ErrCorrupt, info.Revision, s.head.Revision)
	}
	s.nonces++
	sum := sha256.Sum256(data.Bytes())
	info.Format, info.LogID = eventlog.Format, s.id
	info.Nonce = fmt.Sprintf("%032x", s.nonces)
	info.Bytes = int64(data.Len())
	info.Chunks = (data.Len() + chunkBytes - 1) / chunkBytes
	info.SHA256 = hex.EncodeToString(sum[:])
	s.snaps = append(s.snaps, snapshot{info: info, data: data.Bytes()})
	return info, nil
}

// OpenSnapshot reads a snapshot back; its checksum is verified at the end.
func (l *Log) OpenSnapshot(ctx context.Context, info eventlog.SnapshotInfo) (io.ReadCloser, error) {
	const op = "open a snapshot"
	if err := l.enter(ctx, op); err != nil {
		return nil, err
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	i := l.s.find(info)
	if i < 0 {
		return nil, fmt.Errorf("%s: %w", op, eventlog.ErrNotFound)
	}
	return &verified{ctx: ctx, r: bytes.NewReader(l.s.snaps[i].data), sum: sha256.New(), want: l.s.snaps[i].info.SHA256}, nil
}

// DeleteSnapshot removes a snapshot; absent is no error.
func (l *Log) DeleteSnapshot(ctx context.Context, info eventlog.SnapshotInfo) error {
	if err := l.enter(ctx, "delete a snapshot"); err != nil {
		return err
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if i := l.s.find(info); i >= 0 {
		l.s.snaps = slices.Delete(l.s.snaps, i, i+1)
	}
	return nil
}

func (s *store) find(info eventlog.SnapshotInfo) int {
	return slices.IndexFunc(s.snaps, func(sn snapshot) bool {
		return sn.info.Revision == info.Revision && sn.info.Nonce == info.Nonce
	})
}

// verified reads a snapshot and compares its checksum where it ends.
type verified struct {
	ctx  context.Context
	r    *bytes.Reader
	sum  hash.Hash
	want string
}

func (v *verified) Read(p []byte) (int, error) {
	if err := v.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := v.r.Read(p)
	v.sum.Write(p[:n])
	if err == io.EOF && hex.EncodeToString(v.sum.Sum(nil)) != v.want {
		return n, fmt.Errorf("read a snapshot: %w: wrong checksum", eventlog.ErrCorrupt)
	}
	return n, err
}

func (v *verified) Close() error { return nil }
