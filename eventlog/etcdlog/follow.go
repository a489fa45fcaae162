package etcdlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"dvr/eventlog"
)

// Follow implements eventlog.Log. It returns ctx's error, fn's, or one that
// waiting does not heal: ErrTruncated, ErrCorrupt, ErrHole, ErrLevel,
// ErrForeignLog. While etcd cannot be reached it keeps trying. The head given
// to fn has the guard of its batch, so the newest one can be appended to.
//
// A slow fn costs no memory beyond Options.Backlog: the watch is left and what
// was missed is ranged.
func (l *Log) Follow(ctx context.Context, after eventlog.Head, fn func(*eventlog.Batch, eventlog.Head) error) error {
	f := &follower{log: l, tip: after, fn: fn}
	var pause backoff
	for {
		tip := f.tip.Revision
		err := f.round(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case f.failed != nil:
			return f.failed
		case err != nil && !errors.Is(err, eventlog.ErrUnavailable) && !errors.Is(err, eventlog.ErrNoSpace):
			return fmt.Errorf("follow log: %w", err)
		}
		l.counters.resyncs.Add(1)
		l.options.Logger.Debug("following the log anew", zap.Uint64("revision", uint64(f.tip.Revision)), zap.Error(err))
		if f.tip.Revision > tip {
			pause.reset()
		}
		if !pause.wait(ctx) {
			return ctx.Err()
		}
	}
}

// follower is one call of Follow.
type follower struct {
	log     *Log
	tip     eventlog.Head
	low     lowMark // as the last truncation left it
	fn      func(*eventlog.Batch, eventlog.Head) error
	failed  error // fn's
	decoder eventlog.Decoder
}

// deliver extends the tip by a batch that is proved to be part of the log.
func (f *follower) deliver(b *eventlog.Batch, guard int64) error {
	next, err := f.tip.Follow(b)
	if err != nil {
		return err
	}
	next.Guard = guard
	if err := f.fn(b, next); err != nil {
		f.failed = err
		return err
	}
	f.tip = next
	return nil
}

// round ranges to the head and then watches until that ends.
func (f *follower) round(ctx context.Context) error {
	l := f.log
	v, err := l.mendedView(ctx)
	if err != nil {
		return err
	}
	switch {
	case v.head.Revision < f.tip.Revision, v.head.Revision == f.tip.Revision && v.head.Hash != f.tip.Hash:
		return fmt.Errorf("%w: the head at revision %d does not continue revision %d", eventlog.ErrCorrupt, v.head.Revision, f.tip.Revision)
	case v.head.Revision > f.tip.Revision:
		if f.tip.Revision+1 < v.low {
			return fmt.Errorf("after revision %d: %w: the oldest is %d", f.tip.Revision, eventlog.ErrTruncated, v.low)
		}
		if _, err := l.scan(ctx, f.tip, true, v, nil, func(k link) error {
			if k.batch.Last() == v.head.Revision {
				return f.deliver(k.batch, v.head.Guard) // the batch's own is later where it was put back
			}
			return f.deliver(k.batch, k.kv.ModRevision)
		}); err != nil {
			return err
		}
	}
	f.tip.Guard = v.head.Guard
	f.low = lowMark{revision: v.low, absent: v.lowGuard == 0}
	if err := l.finish(ctx, v); err != nil {
		return err
	}
	l.removeStrays(ctx, v)
	return f.watch(ctx, v.at)
}

// watch delivers what is appended after the etcd revision. It returns nil when
// the watch should be left for a range.
func (f *follower) watch(parent context.Context, at int64) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	// The range ends with meta, the first key after the log's.
	stream := f.log.client.Watch(clientv3.WithRequireLeader(ctx), logPrefix, clientv3.WithRange(metaKey+"\x00"),
		clientv3.WithRev(at+1), clientv3.WithFragment(), clientv3.WithProgressNotify())
	queue := newBacklog(ctx, cancel, stream, f.log.options.Backlog)

	silence := time.NewTimer(f.log.options.Silence)
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			if queue.overflowed.Load() && parent.Err() == nil {
				continue // the queue's end comes
			}
			return nil
		case r, ok := <-queue.responses:
			if !ok || r.Canceled || r.Err() != nil {
				return nil
			}
			queue.took(r)
			silence.Reset(f.log.options.Silence)
			// What is put right is put right although the watch overflows meanwhile.
			if err := f.events(parent, r.Events); err != nil || f.failed != nil {
				if errors.Is(err, errResync) {
					return nil
				}
				return err
			}
		case <-silence.C:
			head, err := f.log.Head(ctx)
			if err != nil {
				return err
			}
			if head.Guard != f.tip.Guard {
				return nil
			}
			silence.Reset(f.log.options.Silence)
		}
	}
}

// errResync leaves the watch for a range.
var errResync = errors.New("the watch and the log differ")

// events handles the events of one response: whole etcd revisions in order.
func (f *follower) events(ctx context.Context, events []*clientv3.Event) error {
	f.log.counters.watchEvents.Add(uint64(len(events)))
	for len(events) > 0 {
		n := 1
		for n < len(events) && events[n].Kv.ModRevision == events[0].Kv.ModRevision {
			n++
		}
		if err := f.revision(ctx, events[:n]); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

// revision handles what one transaction of etcd changed. A batch counts only
// beside a head that names it.
func (f *follower) revision(ctx context.Context, events []*clientv3.Event) error {
	var head *mvccpb.KeyValue
	var batches []*clientv3.Event
	for _, e := range events {
		key := string(e.Kv.Key)
		switch {
		case key == headKey && e.Type == clientv3.EventTypePut:
			head = e.Kv
		case key == headKey:
			f.log.restoreHead(ctx, f.tip, e.Kv)
		case key == lowKey:
			if err := f.inspectLow(ctx, e); err != nil {
				f.log.options.Logger.Warn("a changed low could not be looked at", zap.Error(err))
			}
		case key == metaKey:
			f.log.inspectMeta(ctx, e)
		case !strings.HasPrefix(key, logPrefix): // not ours to judge
		default:
			if _, ok := batchRevision(key); ok {
				batches = append(batches, e)
			} else if e.Type == clientv3.EventTypePut {
				f.log.removeForeign(ctx, e.Kv, "not a key of the log")
			}
		}
	}
	var h eventlog.Head
	if head != nil {
		var err error
		if h, err = decodeHead(head); err != nil {
			f.log.restoreHead(ctx, f.tip, head)
			head = nil
		}
	}
	committed := false
	mark, missed := f.noteDeleted(batches), false
	// Newest first: a batch is known by the one after it, which may have to be
	// put back itself.
	for _, e := range slices.Backward(batches) {
		revision, _ := batchRevision(string(e.Kv.Key))
		if head != nil && e.Type == clientv3.EventTypePut && revision == h.Revision && h.Revision > f.tip.Revision {
			if err := f.commit(e.Kv, h); err != nil {
				return err
			}
			committed = true
			continue
		}
		missed = !f.log.inspect(ctx, f.tip, revision, e) || missed
	}
	if mark > 0 && !missed {
		f.log.unfinished.done(mark)
	}
	switch {
	case head == nil || committed:
	case h.Revision == f.tip.Revision && h.Hash == f.tip.Hash && h.Epoch == f.tip.Epoch && h.Nonce == f.tip.Nonce && h.Level == f.tip.Level:
		f.tip.Guard = h.Guard // the same head put again
	case h.Revision <= f.tip.Revision:
		f.log.restoreHead(ctx, f.tip, head)
	case !beside(batches, h.Revision):
		// An etcd revision comes in one piece, and an append puts both.
		f.log.restoreHead(ctx, f.tip, head)
	default:
		return errResync // a gap
	}
	return nil
}

// noteDeleted notes the batches of the log among events that were deleted, so
// that the next follower finishes what this one may not come to. 0: none.
func (f *follower) noteDeleted(events []*clientv3.Event) (mark int) {
	oldest := f.tip.Revision + 1
	for _, e := range events {
		if revision, _ := batchRevision(string(e.Kv.Key)); e.Type != clientv3.EventTypePut && revision >= f.low.revision {
			oldest = min(oldest, revision)
		}
	}
	if oldest <= f.tip.Revision {
		mark = f.log.unfinished.add(oldest)
	}
	return mark
}

// beside tells whether the batch that ends at the revision was put among events.
func beside(events []*clientv3.Event, revision eventlog.Revision) bool {
	for _, e := range events {
		if string(e.Kv.Key) == batchKey(revision) && e.Type == clientv3.EventTypePut {
			return true
		}
	}
	return false
}

// commit delivers a batch that was put beside the head h.
func (f *follower) commit(kv *mvccpb.KeyValue, h eventlog.Head) error {
	b, err := f.decoder.DecodeBatch(kv.Value)
	if newerProgram(err, h) {
		return err
	}
	if err != nil || b.Last() != h.Revision || b.Hash != h.Hash || b.First() != f.tip.Revision+1 || b.Prev != f.tip.Hash {
		return errResync
	}
	f.log.counters.readBatches.Add(1)
	f.log.counters.readBytes.Add(uint64(len(kv.Value)))
	return f.deliver(b, h.Guard)
}

// backlog stands between a watch, whose client would buffer without bound, and
// a follower that may be slow.
type backlog struct {
	responses  chan clientv3.WatchResponse
	bytes      atomic.Int64
	overflowed atomic.Bool
}

const backlogResponses = 4096

// newBacklog starts the goroutine that fills the queue; it ends with ctx, with
// the watch, or with the queue's overflow, which cancels the watch.
func newBacklog(ctx context.Context, cancel context.CancelFunc, stream clientv3.WatchChan, limit int64) *backlog {
	q := &backlog{responses: make(chan clientv3.WatchResponse, backlogResponses)}
	go func() {
		defer close(q.responses)
		for r := range stream {
			if q.bytes.Add(size(r)) > limit && len(q.responses) > 0 {
				q.overflowed.Store(true)
				cancel()
				return
			}
			select {
			case q.responses <- r:
			default:
				q.overflowed.Store(true)
				cancel()
				return
			}
		}
	}()
	return q
}

func (q *backlog) took(r clientv3.WatchResponse) { q.bytes.Add(-size(r)) }

func size(r clientv3.WatchResponse) int64 {
	n := int64(64)
	for _, e := range r.Events {
		n += int64(len(e.Kv.Key) + len(e.Kv.Value) + 128)
	}
	return n
}
