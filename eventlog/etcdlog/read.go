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

const (
	// A page is a range of keys and a limit. The range must be bounded, since
	// etcd counts all keys of it for each page; the limit bounds the memory.
	// The first page is short, since many reads want one batch, and those that
	// follow hold about pageBytes: batches may have 256 KiB each.
	pageKeys  = 256
	firstKeys = 8
	pageBytes = 4 << 20
	pageSpan  = eventlog.MaxBatchCommits // holds the next batch for certain

	// healRounds is how often one read may find the log damaged, heal it, and
	// go on.
	healRounds = 3
)

// Read implements eventlog.Log. Cost: one quorum read, then local reads of
// pages of at most 256 batches and about 4 MiB; what this Log has not proved before is read
// twice (proof.go). Memory: one page. Foreign values found within the chain are
// reported and removed; a changed or missing batch is put back from etcd's
// history, or else the read ends in ErrCorrupt or ErrHole, before anything of
// the stretch in question is delivered.
func (l *Log) Read(ctx context.Context, after eventlog.Revision, fn func(*eventlog.Batch) error) error {
	return l.ReadSome(ctx, after, nil, fn)
}

// ReadSome is Read that does not decode what skip is true for (eventlog.Decoder.Skip):
// a search costs a third of a read.
func (l *Log) ReadSome(ctx context.Context, after eventlog.Revision, skip func(line []byte) bool, fn func(*eventlog.Batch) error) error {
	v, err := l.mendedView(ctx)
	if err != nil {
		return err
	}
	if after >= v.head.Revision {
		return nil
	}
	if after+1 < v.low {
		return fmt.Errorf("read after revision %d: %w: the oldest is %d", after, eventlog.ErrTruncated, v.low)
	}
	_, err = l.scan(ctx, eventlog.Head{Revision: after}, after == 0, v, skip, func(k link) error { return fn(k.batch) })
	return err
}

// scan calls fn with the batches between tip and v's head, in order, and
// returns the chain's end. A stretch is proved up to a revision whose hash is
// trusted before any of it is delivered, and both at one etcd revision, so no
// append or truncation shows halfway and no foreign value comes through.
func (l *Log) scan(ctx context.Context, tip eventlog.Head, anchored bool, v view, skip func([]byte) bool, fn func(link) error) (eventlog.Head, error) {
	c := newChain(tip, anchored)
	c.skip = skip
	at := v
	broken := 0
	for round := 0; c.tip.Revision < v.head.Revision; round++ {
		goal := l.proofs.goal(c.tip.Revision, v.head)
		err := l.stretch(ctx, c, goal, at.at, fn)
		var b *brokenChain
		switch {
		case err == nil:
			l.removeSuspects(ctx, c.takeSuspects())
			continue
		case errors.Is(err, rpctypes.ErrCompacted):
			// The pinned revision is gone: take a newer one.
		case errors.As(err, &b):
			if broken++; broken > healRounds {
				return c.tip, b
			}
			if err := l.heal(ctx, c, goal, v.head); err != nil {
				return c.tip, err
			}
		default:
			return c.tip, err
		}
		if round > 100 {
			return c.tip, fmt.Errorf("read log: %w: compaction overtakes the read", eventlog.ErrUnavailable)
		}
		// What was not accepted is read again.
		c.rivals, c.suspects = nil, nil
		if at, err = l.view(ctx); err != nil {
			return c.tip, err
		}
		if c.tip.Revision+1 < at.low {
			return c.tip, fmt.Errorf("read after revision %d: %w: the oldest is %d", c.tip.Revision, eventlog.ErrTruncated, at.low)
		}
	}
	return c.tip, nil
}

// stretch proves and then delivers what lies between the chain's tip and goal.
// After a healing the proof is the path that it found.
func (l *Log) stretch(ctx context.Context, c *chain, goal eventlog.Head, at int64, fn func(link) error) error {
	if c.path == nil {
		if err := l.prove(ctx, c, goal, at); err != nil {
			return err
		}
	}
	if err := l.scanOnce(ctx, c, goal, at, fn); err != nil {
		return err
	}
	c.path = nil
	return nil
}

// brokenChain: the chain does not go on after tip.
type brokenChain struct {
	tip   eventlog.Revision
	cause error // ErrHole or ErrCorrupt
}

func (e *brokenChain) Error() string {
	return fmt.Sprintf("after revision %d: %v", e.tip, e.cause)
}

func (e *brokenChain) Unwrap() error { return e.cause }

func (c *chain) broken() error {
	e := &brokenChain{tip: c.tip.Revision, cause: eventlog.ErrHole}
	for _, s := range c.suspects {
		if s.link == nil {
			e.cause = eventlog.ErrCorrupt
		}
	}
	if len(c.rivals) > 0 {
		e.cause = eventlog.ErrCorrupt
	}
	return e
}

func (l *Log) scanOnce(ctx context.Context, c *chain, target eventlog.Head, at int64, fn func(link) error) error {
	deliver := func(k *link) error {
		if k == nil {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		l.counters.readBatches.Add(1)
		l.counters.readBytes.Add(uint64(len(k.kv.Value)))
		return fn(*k)
	}
	d := eventlog.Decoder{Skip: c.skip}
	err := l.eachBatch(ctx, c.tip.Revision+1, target.Revision, at, func(kv *mvccpb.KeyValue, revision eventlog.Revision) error {
		switch {
		case revision == 0:
			c.suspects = append(c.suspects, suspect{kv: kv, detail: "not the name of a batch"})
			return nil
		case revision > c.reach():
			return c.broken()
		case c.path != nil && !c.path[revision]:
			c.suspects = append(c.suspects, suspect{kv: kv, detail: "a batch that is not on the way to the head"})
			return nil
		}
		n := len(c.suspects)
		if err := deliver(c.push(kv, revision, &d)); err != nil {
			return err
		}
		if len(c.suspects) > n && c.suspects[n].link == nil && target.Level > eventlog.MaxLevel {
			if _, err := d.DecodeBatch(kv.Value); newerProgram(err, target) {
				return fmt.Errorf("read log: %w", err)
			}
		}
		return nil
	}, func(next eventlog.Revision) error {
		if next > c.reach() {
			return c.broken()
		}
		return nil
	})
	if err != nil || c.tip.Revision == target.Revision {
		return err
	}
	k := c.finish(target)
	if k == nil {
		return c.broken()
	}
	return deliver(k)
}

// eachBatch calls visit with the values under the keys of batches that end in
// [next, last] as they were at an etcd revision, in order; the revision is 0
// for a name that is none of a batch. After each page, behind asks whether it
// is worth to go on from next.
func (l *Log) eachBatch(ctx context.Context, next, last eventlog.Revision, at int64, visit func(*mvccpb.KeyValue, eventlog.Revision) error, behind func(next eventlog.Revision) error) error {
	span, keys := eventlog.Revision(pageSpan), firstKeys
	for next <= last {
		end := min(next+span, last+1)
		page, err := l.page(ctx, next, end, keys, at)
		if err != nil {
			return err
		}
		bytes := 0
		for _, kv := range page.Kvs {
			bytes += len(kv.Value)
			revision, ok := batchRevision(string(kv.Key))
			if ok {
				next = revision + 1
			}
			if err := visit(kv, revision); err != nil {
				return err
			}
		}
		if n := len(page.Kvs); n > 0 {
			keys = max(1, min(8*keys, pageKeys, pageBytes*n/(bytes+1)))
		}
		switch {
		case !page.More:
			next, span = end, pageSpan
		case next == page.first:
			next, span = next+1, pageSpan // nothing but foreign names before the next revision
		case next-page.first == eventlog.Revision(len(page.Kvs)):
			span = 2 * pageKeys // a batch a revision: let etcd count fewer keys
		default:
			span = pageSpan
		}
		if err := behind(next); err != nil {
			return err
		}
	}
	return nil
}

type page struct {
	Kvs   []*mvccpb.KeyValue
	More  bool
	first eventlog.Revision
}

// page reads at most limit of the batch keys [from, end) as they were at an etcd revision: from
// the member at hand, which has applied it, or else with the quorum's help.
func (l *Log) page(ctx context.Context, from, end eventlog.Revision, limit int, at int64) (page, error) {
	opts := []clientv3.OpOption{clientv3.WithRange(batchKey(end)), clientv3.WithLimit(int64(limit)), clientv3.WithRev(at)}
	var pause backoff
	for serializable := true; ; {
		o := opts
		if serializable {
			o = append(o[:len(o):len(o)], clientv3.WithSerializable())
		}
		r, err := l.get(ctx, batchKey(from), o...)
		switch {
		case err == nil:
			return page{Kvs: r.Kvs, More: r.More, first: from}, nil
		case errors.Is(err, rpctypes.ErrCompacted):
			return page{}, err
		case errors.Is(err, rpctypes.ErrFutureRev):
			serializable = false // a member that lags behind answered
		case judge(err) == refused:
			return page{}, unavailable("read log", err)
		}
		if pause.next == lastPause || !pause.wait(ctx) {
			return page{}, unavailable("read log", err)
		}
	}
}

func (l *Log) removeSuspects(ctx context.Context, suspects []suspect) {
	for _, s := range suspects {
		l.removeForeign(ctx, s.kv, s.detail)
	}
}
