package etcdlog

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/eventlog"
)

// MendStage implements eventlog.StageMender. The manifest is put after the last
// part, so where it is the newest key and all parts are there, nothing more is
// read. Cost where nothing is wrong: one listing of the keys.
func (l *Log) MendStage(ctx context.Context, s *eventlog.CommitStaged) error {
	if err := l.mendStage(ctx, s); err != nil {
		return fmt.Errorf("mend stage %q: %w", s.ID, err)
	}
	return nil
}

func (l *Log) mendStage(ctx context.Context, s *eventlog.CommitStaged) error {
	dir := stageDir(s.ID)
	r, err := l.get(ctx, dir, clientv3.WithRange(dirEnd(dir)), clientv3.WithKeysOnly())
	if err != nil {
		return unavailable("list parts", err)
	}
	var newest, manifest int64
	parts := 0
	for _, kv := range r.Kvs {
		switch key := string(kv.Key); {
		case key == dir+manifestName:
			manifest = kv.ModRevision
		case parts < s.Parts && key == partKey(dir, parts):
			parts++
			newest = max(newest, kv.ModRevision)
		}
	}
	if parts == s.Parts && newest < manifest {
		return nil
	}
	_, err = l.Staged(ctx, s)
	switch {
	case err == nil: // the manifest alone
		return l.putManifestBack(ctx, s, l.options.Now().UnixMilli())
	case !errors.Is(err, eventlog.ErrNotFound) && !errors.Is(err, eventlog.ErrCorrupt):
		return err
	}
	l.report(IncidentDamaged, dir, err.Error())
	at, historyErr := l.wholeStage(ctx, s, dir)
	if historyErr != nil {
		return historyErr
	}
	if at == 0 {
		return fmt.Errorf("etcd's history no longer has it: %w", err)
	}
	n, err := l.restoreParts(ctx, s, dir, at)
	if err != nil {
		return err
	}
	l.report(IncidentRestored, dir, fmt.Sprintf("%d of %d parts, as they were at etcd's revision %d", n, s.Parts, at))
	return nil
}

// wholeStage finds an etcd revision at which the stage was what its commit says:
// that of its manifest, the oldest that is kept, or one before a change since.
// 0: there is none.
func (l *Log) wholeStage(ctx context.Context, s *eventlog.CommitStaged, dir string) (int64, error) {
	read := 0
	whole := func(at int64) (bool, error) {
		if at <= 0 || read == historySteps {
			return false, nil
		}
		return l.wholeAt(ctx, s, dir, at, &read)
	}
	r, err := l.get(ctx, dir+manifestName, clientv3.WithKeysOnly())
	if err != nil {
		return 0, unavailable("read history", err)
	}
	if len(r.Kvs) > 0 {
		at := r.Kvs[0].ModRevision
		if ok, err := whole(at); ok || err != nil {
			return at, err
		}
	}
	oldest, err := l.compactRevision(ctx)
	if err != nil {
		return 0, err
	}
	if ok, err := whole(oldest); ok || err != nil {
		return oldest, err
	}
	var found int64
	err = l.eachChange(ctx, dir, dirEnd(dir), oldest+1, r.Header.GetRevision(), func(changed int64) (bool, error) {
		ok, err := whole(changed - 1)
		if ok {
			found = changed - 1
		}
		return !ok, err
	})
	return found, err
}

// wholeAt tells whether the stage was whole at an etcd revision; not, where
// history no longer reaches back. It counts in read where it read parts.
func (l *Log) wholeAt(ctx context.Context, s *eventlog.CommitStaged, dir string, at int64, read *int) (bool, error) {
	r, err := l.get(ctx, partKey(dir, 0), clientv3.WithRange(partKey(dir, s.Parts)), clientv3.WithCountOnly(), clientv3.WithRev(at))
	if errors.Is(err, rpctypes.ErrCompacted) || err == nil && r.Count != int64(s.Parts) {
		return false, nil
	}
	if err != nil {
		return false, unavailable("read history", err)
	}
	*read++
	lines, err := joinParts(s, func(i int) ([]byte, error) {
		kv, err := l.keyAt(ctx, partKey(dir, i), at)
		if err == nil && kv == nil {
			err = eventlog.ErrNotFound
		}
		if err != nil {
			return nil, err
		}
		return kv.Value, nil
	})
	if err == nil {
		_, err = eventlog.DecodeStage(s, lines)
	}
	if errors.Is(err, eventlog.ErrNotFound) || errors.Is(err, eventlog.ErrCorrupt) {
		return false, nil
	}
	return err == nil, err
}

// keyAt is a key as it was at an etcd revision, nil where it was not there, or
// where history no longer reaches back.
func (l *Log) keyAt(ctx context.Context, key string, at int64) (*mvccpb.KeyValue, error) {
	r, err := l.get(ctx, key, clientv3.WithRev(at))
	switch {
	case errors.Is(err, rpctypes.ErrCompacted) || err == nil && len(r.Kvs) == 0:
		return nil, nil
	case err != nil:
		return nil, unavailable("read history", err)
	}
	return r.Kvs[0], nil
}

// progressEvery is how often etcd is asked how far a watch of the past is.
const progressEvery = 20 * time.Millisecond

// eachChange calls fn with the etcd revisions from first to last at which keys
// in [key, end) changed, in order, until it returns false or an error. Cost: etcd
// reads all that it has of that time.
func (l *Log) eachChange(ctx context.Context, key, end string, first, last int64, fn func(changed int64) (bool, error)) error {
	if first > last {
		return nil // etcd tells no progress of a watch of the future
	}
	ctx, cancel := context.WithTimeout(ctx, l.options.CallTimeout)
	defer cancel()
	changes := l.client.Watch(ctx, key, clientv3.WithRange(end), clientv3.WithRev(first), clientv3.WithFragment(), clientv3.WithProgressNotify())
	ask := time.NewTicker(progressEvery)
	defer ask.Stop()
	seen := int64(0)
	for {
		select {
		case <-ctx.Done():
			return unavailable("read history", ctx.Err())
		case <-ask.C:
			_ = l.client.RequestProgress(ctx) // answered once the watch has come to the present
		case r, ok := <-changes:
			if !ok || r.Err() != nil {
				return unavailable("read history", errors.Join(r.Err(), ctx.Err()))
			}
			for _, e := range r.Events {
				if e.Kv.ModRevision == seen {
					continue
				}
				if seen = e.Kv.ModRevision; seen > last {
					return nil
				}
				if more, err := fn(seen); err != nil || !more {
					return err
				}
			}
			if r.IsProgressNotify() && r.Header.GetRevision() >= last {
				return nil
			}
		}
	}
}

// restoreParts puts back what differs from an etcd revision at which the stage
// was whole, the manifest last, and counts the parts.
func (l *Log) restoreParts(ctx context.Context, s *eventlog.CommitStaged, dir string, at int64) (int, error) {
	n := 0
	for i := range s.Parts {
		key := partKey(dir, i)
		good, err := l.keyAt(ctx, key, at)
		if err != nil {
			return n, err
		}
		r, err := l.get(ctx, key)
		if err != nil {
			return n, unavailable("read part", err)
		}
		if good == nil {
			return n, fmt.Errorf("%s: %w: compaction overtook the restoration", key, eventlog.ErrUnavailable)
		}
		modified := int64(0)
		if len(r.Kvs) > 0 {
			if bytes.Equal(r.Kvs[0].Value, good.Value) {
				continue
			}
			modified = r.Kvs[0].ModRevision
		}
		put, err := l.settle(ctx, []clientv3.Cmp{unchanged(key, modified)}, []clientv3.Op{clientv3.OpPut(key, string(good.Value))}, nil)
		if err != nil {
			return n, unavailable("restore part", err)
		}
		if put.Succeeded {
			n++
		}
	}
	begun := l.options.Now().UnixMilli()
	if kv, err := l.keyAt(ctx, dir+manifestName, at); err == nil && kv != nil {
		var m stageManifest
		if json.Unmarshal(kv.Value, &m) == nil && m.Time > 0 {
			begun = m.Time
		}
	}
	return n, l.putManifestBack(ctx, s, begun)
}

// putManifestBack puts the manifest of a stage whose parts are whole, which
// makes it the newest key.
func (l *Log) putManifestBack(ctx context.Context, s *eventlog.CommitStaged, begun int64) error {
	value, err := stageManifest{Time: begun, State: stateComplete, Parts: s.Parts, Bytes: s.Bytes, SHA256: hex.EncodeToString(s.SHA256[:])}.encode()
	if err != nil {
		return err
	}
	if _, err := l.settle(ctx, nil, []clientv3.Op{clientv3.OpPut(stageDir(s.ID)+manifestName, value)}, nil); err != nil {
		return unavailable("restore manifest", err)
	}
	return nil
}
