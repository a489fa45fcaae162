package memlog

import (
	"bytes"
	"context"
	"io"
	"time"

	"dvr/eventlog"
)

// Plant creates a log that goes on where another one was at the snapshot's
// revision, as etcdlog.Plant does: the snapshot, then the batch, which leaves head
// behind. Errors: save's.
func Plant(info eventlog.SnapshotInfo, save func(io.Writer) error, raw []byte, head eventlog.Head) (*Log, error) {
	head.Guard = 1
	l := &Log{s: &store{
		id: info.LogID, clock: func() int64 { return time.Now().UnixMilli() }, head: head, low: info.Revision + 1,
		batches: []stored{{first: info.Revision + 1, head: head, raw: bytes.Clone(raw)}},
		stages:  map[string]*stage{}, changed: make(chan struct{}),
	}}
	_, err := l.WriteSnapshot(context.Background(), info, save)
	return l, err
}
