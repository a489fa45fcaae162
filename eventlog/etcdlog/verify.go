package etcdlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/eventlog"
)

// Verification is what Verify has seen.
type Verification struct {
	LogID     string
	Head      eventlog.Head
	Low       eventlog.Revision // oldest retained
	Batches   int
	Commits   int
	Events    int // those of staged commits included
	Stages    int
	Bytes     int64 // of batches
	Snapshots []eventlog.SnapshotInfo
}

// Visitor is told of what Verify finds in order; each function may be nil. An
// error ends the verification.
type Visitor struct {
	// Begin gets identity, head and low, before everything else.
	Begin func(Verification) error
	// Snapshot gets the snapshots, oldest first, before the batches. What it
	// leaves unread is read after it, for the checksum.
	Snapshot func(eventlog.SnapshotInfo, io.Reader) error
	// Batch gets the batches from low to head, staged commits expanded.
	Batch func(*eventlog.Batch) error
}

// Verify reads the whole log as it is at one etcd revision and checks all that
// it can promise: form, density, the hash chain from the first retained batch
// to the head, staged parts, snapshots' checksums, and that nothing foreign
// lies beside them. It writes nothing, so the read-only client port suffices,
// and heals nothing. The error names the first defect by its key:
// eventlog.ErrCorrupt, ErrHole, ErrNotFound (there is no log), ErrLevel.
// Cost: one pass over everything stored; memory: a page of batches.
func Verify(ctx context.Context, client *clientv3.Client, visit Visitor) (Verification, error) {
	l, err := inspectable(ctx, client)
	if err != nil {
		return Verification{}, err
	}
	v, err := l.view(ctx)
	if err != nil {
		return Verification{LogID: l.id}, fmt.Errorf("verify: %w", err)
	}
	out := Verification{LogID: l.id, Head: v.head, Low: v.low}
	if visit.Begin != nil {
		if err := visit.Begin(out); err != nil {
			return out, err
		}
	}
	for _, step := range []func() error{
		func() error { return l.verifyNames(ctx, v) },
		func() error { return l.verifySnapshots(ctx, v, &out, visit.Snapshot) },
		func() error { return l.verifyBatches(ctx, v, &out, visit.Batch) },
	} {
		if err := step(); err != nil {
			return out, fmt.Errorf("verify: %w", err)
		}
	}
	return out, nil
}

// inspectable is a Log that was opened without creating one.
func inspectable(ctx context.Context, client *clientv3.Client) (*Log, error) {
	l := &Log{client: client}
	l.options.setDefaults()
	l.stale.init()
	r, err := l.get(ctx, metaKey)
	if err != nil {
		return nil, unavailable("open log", err)
	}
	if len(r.Kvs) == 0 {
		return nil, fmt.Errorf("open log: %w: there is no %s", eventlog.ErrNotFound, metaKey)
	}
	l.cluster = r.Header.GetClusterId()
	return l, l.setMeta(r.Kvs[0].Value)
}

func defect(key string, sentinel error, format string, args ...any) error {
	return fmt.Errorf("%s: %w: %s", key, sentinel, fmt.Sprintf(format, args...))
}

// verifyNames looks for keys beside the batches and beyond the head.
func (l *Log) verifyNames(ctx context.Context, v view) error {
	for _, r := range [][2]string{
		{logPrefix, batchKey(1)}, {batchKey(v.head.Revision + 1), dirEnd(logPrefix)},
	} {
		got, err := l.get(ctx, r[0], clientv3.WithRange(r[1]), clientv3.WithKeysOnly(), clientv3.WithRev(v.at), clientv3.WithLimit(pageKeys))
		if err != nil {
			return unavailable("list keys", err)
		}
		for _, kv := range got.Kvs {
			switch key := string(kv.Key); key {
			case headKey, lowKey:
			default:
				return defect(key, eventlog.ErrCorrupt, "a foreign key: no part of the log, which ends at revision %d", v.head.Revision)
			}
		}
	}
	return nil
}

func (l *Log) verifySnapshots(ctx context.Context, v view, out *Verification, visit func(eventlog.SnapshotInfo, io.Reader) error) error {
	err := l.eachSnapshot(ctx, func(dir string, info *eventlog.SnapshotInfo, _ int64) error {
		if info != nil {
			out.Snapshots = append(out.Snapshots, *info)
			return nil
		}
		// Chunks alone are an unfinished write; a manifest that does not fit is damage.
		r, err := l.get(ctx, dir+manifestName)
		if err != nil {
			return unavailable("read manifest", err)
		}
		if len(r.Kvs) == 0 {
			return nil
		}
		var m eventlog.SnapshotInfo
		if err := json.Unmarshal(r.Kvs[0].Value, &m); err != nil {
			return defect(dir+manifestName, eventlog.ErrCorrupt, "%v", err)
		}
		return defect(dir+manifestName, eventlog.ErrCorrupt, "it does not describe the chunks beside it")
	})
	if err != nil {
		return err
	}
	sort.Slice(out.Snapshots, func(i, j int) bool { return out.Snapshots[i].Revision < out.Snapshots[j].Revision })
	for _, info := range out.Snapshots {
		if info.Revision > v.head.Revision {
			// It was put after the head was read, or belongs to another history.
			now, err := l.view(ctx)
			if err != nil {
				return err
			}
			if info.Revision > now.head.Revision {
				return defect(snapDir(info.Revision, info.Nonce), eventlog.ErrCorrupt, "the log ends at revision %d", now.head.Revision)
			}
		}
		if err := l.verifySnapshot(ctx, info, visit); err != nil {
			return fmt.Errorf("%s: %w", snapDir(info.Revision, info.Nonce), err)
		}
	}
	return nil
}

func (l *Log) verifySnapshot(ctx context.Context, info eventlog.SnapshotInfo, visit func(eventlog.SnapshotInfo, io.Reader) error) error {
	err := l.readSnapshot(ctx, info, visit)
	if errors.Is(err, eventlog.ErrNotFound) {
		// A keeper may have thinned it out meanwhile, manifest first.
		manifest := snapDir(info.Revision, info.Nonce) + manifestName
		if r, gone := l.get(ctx, manifest, clientv3.WithCountOnly()); gone == nil && r.Count == 0 {
			return nil
		}
		return fmt.Errorf("%w: %w", eventlog.ErrHole, err)
	}
	return err
}

func (l *Log) readSnapshot(ctx context.Context, info eventlog.SnapshotInfo, visit func(eventlog.SnapshotInfo, io.Reader) error) error {
	r, err := l.OpenSnapshot(ctx, info)
	if err != nil {
		return err
	}
	if visit != nil {
		err = visit(info, r)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	return errors.Join(err, r.Close())
}

// verifyBatches walks the hash chain from low to the head.
func (l *Log) verifyBatches(ctx context.Context, v view, out *Verification, visit func(*eventlog.Batch) error) error {
	hashes := map[eventlog.Revision]string{}
	for _, s := range out.Snapshots {
		hashes[s.Revision] = s.Hash
	}
	tip, known := eventlog.Head{Revision: v.low - 1}, v.low == 1
	c := newChain(tip, known)
	err := l.eachLink(ctx, c, v, func(k *link) error {
		b := k.batch
		if known {
			next, err := tip.Follow(b)
			if err != nil {
				return fmt.Errorf("%s: %w", k.kv.Key, err)
			}
			tip = next
		} else {
			// The first retained batch: what went before is no longer here.
			tip = eventlog.Head{Revision: b.Last(), Epoch: b.Epoch, Hash: b.Hash}
			known = true
		}
		if want, ok := hashes[b.Last()]; ok && want != fmt.Sprintf("%x", b.Hash) {
			return defect(string(k.kv.Key), eventlog.ErrCorrupt, "hash %x, the snapshot of the revision says %s", b.Hash, want)
		}
		out.Batches++
		out.Bytes += int64(len(k.kv.Value))
		if err := l.expand(ctx, b, out); err != nil {
			return fmt.Errorf("%s: %w", k.kv.Key, err)
		}
		if visit == nil {
			return nil
		}
		return visit(b)
	})
	if err != nil {
		return err
	}
	if v.low == 1 { // else nonce and level come from before
		if tip.Nonce != v.head.Nonce || tip.Level != v.head.Level {
			return defect(headKey, eventlog.ErrCorrupt, "nonce or level are not what the batches give")
		}
	}
	if tip.Epoch != v.head.Epoch {
		return defect(headKey, eventlog.ErrCorrupt, "epoch %d, the batches give %d", v.head.Epoch, tip.Epoch)
	}
	return nil
}

// expand puts the events of staged commits in place and counts.
func (l *Log) expand(ctx context.Context, b *eventlog.Batch, out *Verification) error {
	out.Commits += len(b.Commits)
	for i := range b.Commits {
		k := &b.Commits[i]
		if len(k.Events) == 1 {
			if s, ok := k.Events[0].(*eventlog.CommitStaged); ok {
				events, err := l.Staged(ctx, s)
				if errors.Is(err, eventlog.ErrNotFound) {
					err = fmt.Errorf("%w: %w", eventlog.ErrHole, err)
				}
				if err != nil {
					return fmt.Errorf("revision %d: %w", k.Revision, err)
				}
				k.Events = events
				out.Stages++
			}
		}
		out.Events += len(k.Events)
	}
	return nil
}

// eachLink is scan without healing: it ends at the first value that is not
// the log's, and at the head.
func (l *Log) eachLink(ctx context.Context, c *chain, v view, fn func(*link) error) error {
	var d eventlog.Decoder
	for next := c.tip.Revision + 1; next <= v.head.Revision; {
		end := min(next+pageSpan, v.head.Revision+1)
		page, err := l.page(ctx, next, end, pageKeys, v.at)
		if errors.Is(err, rpctypes.ErrCompacted) {
			return unavailable("read batches", err)
		}
		if err != nil {
			return err
		}
		for _, kv := range page.Kvs {
			revision, ok := batchRevision(string(kv.Key))
			if !ok {
				return defect(string(kv.Key), eventlog.ErrCorrupt, "a foreign key: not the name of a batch")
			}
			if revision > c.reach() {
				return l.hole(c)
			}
			k := c.push(kv, revision, &d)
			if err := c.firstSuspect(v.head, &d); err != nil {
				return err
			}
			if k != nil {
				if err := fn(k); err != nil {
					return err
				}
			}
			next = revision + 1
		}
		if !page.More {
			next = end
		}
		if next > c.reach() {
			return l.hole(c)
		}
	}
	if c.tip.Revision == v.head.Revision {
		return nil
	}
	k := c.finish(v.head)
	if k == nil {
		if len(c.rivals) == 1 && c.rivals[0].batch.Last() >= v.head.Revision {
			r := c.rivals[0]
			return defect(headKey, eventlog.ErrCorrupt, "revision %d, hash %x; the batches give revision %d, hash %x", v.head.Revision, v.head.Hash, r.batch.Last(), r.batch.Hash)
		}
		return l.hole(c)
	}
	if err := c.firstSuspect(v.head, &d); err != nil {
		return err
	}
	return fn(k)
}

func (l *Log) hole(c *chain) error {
	return defect(batchPrefix, eventlog.ErrHole, "no batch holds revision %d", c.last()+1)
}

// last is the newest revision that is accepted or may be.
func (c *chain) last() eventlog.Revision {
	last := c.tip.Revision
	for _, r := range c.rivals {
		last = max(last, r.batch.Last())
	}
	return last
}

// firstSuspect is the first value that is no part of the chain as a defect.
func (c *chain) firstSuspect(head eventlog.Head, d *eventlog.Decoder) error {
	if len(c.suspects) == 0 {
		return nil
	}
	s := c.suspects[0]
	if s.link == nil && head.Level > eventlog.MaxLevel {
		if _, err := d.DecodeBatch(s.kv.Value); newerProgram(err, head) {
			return err
		}
	}
	if s.link != nil && s.link.batch.First() > c.last()+1 {
		return defect(string(s.kv.Key), eventlog.ErrHole, "it begins with revision %d, no batch holds revision %d", s.link.batch.First(), c.last()+1)
	}
	return defect(string(s.kv.Key), eventlog.ErrCorrupt, "%s", s.detail)
}

// decodesHead tells whether a value is a head.
func decodesHead(kv *mvccpb.KeyValue) bool {
	_, err := decodeHead(kv)
	return err == nil
}
