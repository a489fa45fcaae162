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

// Append implements eventlog.Log. Cost: one transaction of etcd (one Raft
// round trip and fsync); after a timeout, as many as it takes.
//
// When etcd reports a full database after an earlier attempt of unknown
// outcome, that attempt may still arrive, so Append goes on trying until
// either arrives, the head moves, or ctx ends.
func (l *Log) Append(ctx context.Context, prev, next eventlog.Head, raw []byte, stages []string) (eventlog.Head, error) {
	fail := func(err error) (eventlog.Head, error) {
		return eventlog.Head{}, fmt.Errorf("append revision %d: %w", prev.Revision+1, err)
	}
	if err := eventlog.CheckAppend(prev, next, raw); err != nil {
		return fail(err)
	}
	if err := ctx.Err(); err != nil {
		return fail(fmt.Errorf("%w: %w", eventlog.ErrUnavailable, err))
	}

	a := appending{log: l, prev: prev, next: next, raw: raw, stages: stages, key: batchKey(next.Revision)}
	cmps, puts := a.transaction()
	var pause backoff
	for {
		r, err := l.txn(ctx, cmps, puts, nil)
		if err == nil && r.Succeeded {
			return a.stored(r.Header.GetRevision()), nil
		}
		if err == nil { // rare, so that every append is spared the reads
			r, err = l.txn(ctx, nil, a.gets(), nil)
		}
		if err == nil {
			head, done, err := a.settled(ctx, r)
			if done {
				if err != nil {
					return fail(err)
				}
				return head, nil
			}
		} else {
			switch judge(err) {
			case refused:
				if !a.unknown {
					return fail(fmt.Errorf("%w: %w", eventlog.ErrUnavailable, err))
				}
			case noSpace:
				// etcd says so also of the transaction that it applied last
				// before the quota: only reading tells.
				head, done, readErr := a.resolveNoSpace(ctx)
				if done {
					if readErr != nil {
						return fail(fmt.Errorf("%w: %w", readErr, err))
					}
					return head, nil
				}
			case unknown:
				a.unknown = true
				if mutantAbsent && a.missing(ctx) {
					return fail(fmt.Errorf("%w: %w", eventlog.ErrUnavailable, err))
				}
			}
			l.counters.appendRetries.Add(1)
			l.options.Logger.Warn("the outcome of an append is not known yet; it is tried again",
				zap.Uint64("revision", uint64(next.Revision)), zap.Error(err))
		}
		if !pause.wait(ctx) {
			return fail(fmt.Errorf("%w: %w", eventlog.ErrOutcomeUnknown, context.Cause(ctx)))
		}
	}
}

// appending is one call of Append.
type appending struct {
	log        *Log
	prev, next eventlog.Head
	raw        []byte
	stages     []string
	key        string
	unknown    bool // an attempt may have been applied, or may be later
}

func (a *appending) transaction() (cmps []clientv3.Cmp, puts []clientv3.Op) {
	cmps = []clientv3.Cmp{unchanged(headKey, a.prev.Guard), absent(a.key)}
	if mutantNoGuard {
		cmps = nil
	}
	for _, id := range a.stages {
		cmps = append(cmps, present(stageDir(id)+manifestName))
	}
	batch := clientv3.OpPut(a.key, "")
	batch.WithValueBytes(a.raw) // no copy: the client encodes it before the call returns
	puts = []clientv3.Op{batch, clientv3.OpPut(headKey, string(eventlog.AppendHead(nil, a.next)))}
	return cmps, puts
}

// gets read what settled judges.
func (a *appending) gets() []clientv3.Op {
	gets := []clientv3.Op{clientv3.OpGet(headKey), clientv3.OpGet(a.key), clientv3.OpGet(lowKey)}
	for _, id := range a.stages {
		gets = append(gets, clientv3.OpGet(stageDir(id)+manifestName, clientv3.WithCountOnly()))
	}
	return gets
}

func (a *appending) stored(guard int64) eventlog.Head {
	a.log.counters.appends.Add(1)
	a.log.counters.appendedBytes.Add(uint64(len(a.raw)))
	head := a.next
	head.Guard = guard
	return head
}

func first(r *clientv3.TxnResponse, i int) *mvccpb.KeyValue {
	if kvs := r.Responses[i].GetResponseRange().Kvs; len(kvs) > 0 {
		return kvs[0]
	}
	return nil
}

// settled draws the conclusion from the gets after an answer whose condition
// failed or that says nothing. done is false when the transaction must be repeated.
func (a *appending) settled(ctx context.Context, r *clientv3.TxnResponse) (eventlog.Head, bool, error) {
	head, batch, low := first(r, 0), first(r, 1), first(r, 2)
	if batch != nil && a.unknown && bytes.Equal(batch.Value, a.raw) {
		return a.stored(guardOf(batch, head, a.next.Revision)), true, nil
	}
	if head == nil {
		return eventlog.Head{}, true, fmt.Errorf("%w: %s is missing", eventlog.ErrCorrupt, headKey)
	}
	if head.ModRevision != a.prev.Guard {
		if batch == nil && a.unknown && low != nil {
			if l, err := decodeLow(low.Value); err == nil && l > a.next.Revision {
				// Applied and truncated since, or never applied: nothing can tell.
				return eventlog.Head{}, true, fmt.Errorf("%w: revision %d was truncated meanwhile", eventlog.ErrOutcomeUnknown, a.next.Revision)
			}
		}
		a.log.counters.headMoved.Add(1)
		return eventlog.Head{}, true, eventlog.ErrHeadMoved
	}
	for i, id := range a.stages {
		if r.Responses[3+i].GetResponseRange().Count == 0 {
			return eventlog.Head{}, true, fmt.Errorf("stage %q: %w", id, eventlog.ErrNotFound)
		}
	}
	if batch != nil { // beyond the head: no batch of the log
		a.log.removeForeign(ctx, batch, "a batch key beyond the head", unchanged(headKey, a.prev.Guard))
	}
	return eventlog.Head{}, false, nil
}

// guardOf is the ModRevision that the head had with the batch: that of the
// batch itself, unless it was put back since.
func guardOf(batch, head *mvccpb.KeyValue, last eventlog.Revision) int64 {
	if batch.Version > 1 && head != nil {
		if h, err := decodeHead(head); err == nil && h.Revision == last {
			return h.Guard
		}
	}
	return batch.ModRevision
}

func (a *appending) resolveNoSpace(ctx context.Context) (eventlog.Head, bool, error) {
	r, err := a.log.txn(ctx, nil, a.gets(), nil)
	if err != nil {
		a.unknown = true // this attempt's, too
		return eventlog.Head{}, false, nil
	}
	before := a.unknown
	a.unknown = true
	head, done, err := a.settled(ctx, r)
	a.unknown = before
	if done || before {
		return head, done, err
	}
	a.log.counters.noSpace.Add(1)
	return eventlog.Head{}, true, eventlog.ErrNoSpace
}
