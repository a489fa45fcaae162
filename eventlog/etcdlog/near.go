package etcdlog

import (
	"context"
	"io"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/eventlog"
)

// Near is a Log that goes on being read while nobody leads: what it reads is then
// what the member at hand has, which may lack the newest batches. With several
// endpoints of an external etcd each call may meet another member. Everything but
// reading is the Log's.
type Near struct {
	*Log
	// Unled reports that a linearizable read could not be answered. Cost: it is
	// asked at every call, so no I/O.
	Unled func() bool
}

type nearKey struct{}

// near reports whether ctx is of a read that may be answered by one member alone.
func near(ctx context.Context) bool { return ctx.Value(nearKey{}) != nil }

func (n Near) how(ctx context.Context) context.Context {
	if n.Unled() {
		return context.WithValue(ctx, nearKey{}, true)
	}
	return ctx
}

// Read implements eventlog.Log.
func (n Near) Read(ctx context.Context, after eventlog.Revision, fn func(*eventlog.Batch) error) error {
	return n.Log.Read(n.how(ctx), after, fn)
}

// ReadSome implements eventlog.Searcher.
func (n Near) ReadSome(ctx context.Context, after eventlog.Revision, skip func(line []byte) bool, fn func(*eventlog.Batch) error) error {
	return n.Log.ReadSome(n.how(ctx), after, skip, fn)
}

// Low implements eventlog.Log.
func (n Near) Low(ctx context.Context) (eventlog.Revision, error) { return n.Log.Low(n.how(ctx)) }

// Staged implements eventlog.Log.
func (n Near) Staged(ctx context.Context, s *eventlog.CommitStaged) ([]eventlog.Event, error) {
	return n.Log.Staged(n.how(ctx), s)
}

// StageParts implements eventlog.Log.
func (n Near) StageParts(ctx context.Context, s *eventlog.CommitStaged, fn func(part []byte) error) error {
	return n.Log.StageParts(n.how(ctx), s, fn)
}

// Snapshots implements eventlog.Log.
func (n Near) Snapshots(ctx context.Context) ([]eventlog.SnapshotInfo, error) {
	return n.Log.Snapshots(n.how(ctx))
}

// OpenSnapshot implements eventlog.Log.
func (n Near) OpenSnapshot(ctx context.Context, info eventlog.SnapshotInfo) (io.ReadCloser, error) {
	return n.Log.OpenSnapshot(n.how(ctx), info)
}

// nearby makes gets such that one member answers them; nothing else is changed.
func nearby(ops []clientv3.Op) []clientv3.Op {
	out := make([]clientv3.Op, len(ops))
	copy(out, ops)
	for i := range out {
		if out[i].IsGet() {
			clientv3.WithSerializable()(&out[i])
		}
	}
	return out
}
