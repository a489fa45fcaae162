package etcdlog

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/eventlog"
)

const (
	stateUploading = "uploading"
	stateComplete  = "complete"
)

// stageManifest says what a stage holds. Uploading is put before the first
// part, complete after the last: parts without a manifest are left over.
type stageManifest struct {
	Time   int64  `json:"time"` // Unix milliseconds, when it was begun
	State  string `json:"state"`
	Parts  int    `json:"parts,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
}

func (m stageManifest) encode() (string, error) {
	b, err := json.Marshal(m)
	return string(b), err
}

// Stage implements eventlog.Log. A stage that was begun and not finished under
// the same id is begun again; a complete one with the same content is kept.
// Cost: one put a part of 256 KiB, some of them at a time, while what follows is
// encoded, and two. Memory: these parts.
func (l *Log) Stage(ctx context.Context, id string, events []eventlog.Event) (*eventlog.CommitStaged, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u := upload{log: l, ctx: ctx, cancel: cancel, dir: stageDir(id), slots: make(chan struct{}, partsAtATime)}
	staged, err := eventlog.EncodeStageTo(id, events, u.put)
	u.wg.Wait() // nothing is put any more when this has failed
	if u.err != nil {
		err = u.err // what EncodeStageTo stopped at may be its consequence
	}
	if err == nil {
		err = u.complete(staged)
	}
	if err != nil {
		return nil, fmt.Errorf("stage %q: %w", id, err)
	}
	return staged, nil
}

// partsAtATime is how many parts are on their way to etcd. Its log is flushed for
// all that has come meanwhile at once.
const partsAtATime = 4

// upload puts the parts of a stage. Their order does not matter: the manifest that
// makes them a stage is put when all are there.
type upload struct {
	log    *Log
	ctx    context.Context
	cancel context.CancelFunc
	dir    string
	time   int64          // of the manifest
	guard  int64          // ModRevision of the manifest that says uploading
	kept   *stageManifest // complete already: nothing is put, but compared
	slots  chan struct{}
	wg     sync.WaitGroup

	mu  sync.Mutex
	err error // the first
}

// put begins the stage with the first part, and returns while parts are on their way.
func (u *upload) put(number int, part []byte) error {
	if number == 0 {
		if err := u.begin(); err != nil {
			return err
		}
	}
	if u.kept != nil {
		return nil
	}
	select {
	case u.slots <- struct{}{}:
	case <-u.ctx.Done():
		return unavailable("put part", context.Cause(u.ctx))
	}
	u.wg.Go(func() {
		defer func() { <-u.slots }()
		if err := u.putPart(number, part); err != nil {
			u.mu.Lock()
			if u.err == nil {
				u.err = err
			}
			u.mu.Unlock()
			u.cancel()
		}
	})
	return nil
}

func (u *upload) putPart(number int, part []byte) error {
	r, err := u.log.settle(u.ctx, []clientv3.Cmp{unchanged(u.dir+manifestName, u.guard)}, []clientv3.Op{clientv3.OpPut(partKey(u.dir, number), string(part))}, nil)
	if err != nil {
		return unavailable("put part", err)
	}
	if !r.Succeeded {
		return fmt.Errorf("%w: the stage was swept or begun again meanwhile", eventlog.ErrNotFound)
	}
	return nil
}

// begin says that parts are going to be there, unless they all are.
func (u *upload) begin() error {
	key := u.dir + manifestName
	old, err := u.log.get(u.ctx, key)
	if err != nil {
		return unavailable("read manifest", err)
	}
	var modified int64
	if len(old.Kvs) > 0 {
		var m stageManifest
		if json.Unmarshal(old.Kvs[0].Value, &m) == nil && m.State == stateComplete {
			u.kept = &m
			return nil
		}
		modified = old.Kvs[0].ModRevision
	}
	u.time = u.log.options.Now().UnixMilli()
	begun, err := stageManifest{Time: u.time, State: stateUploading}.encode()
	if err != nil {
		return err
	}
	u.guard, err = u.log.putManifest(u.ctx, key, begun, unchanged(key, modified))
	return err
}

// complete makes a stage of what was put.
func (u *upload) complete(s *eventlog.CommitStaged) error {
	m := stageManifest{Time: u.time, State: stateComplete, Parts: s.Parts, Bytes: s.Bytes, SHA256: hex.EncodeToString(s.SHA256[:])}
	if u.kept != nil {
		if m.Time = u.kept.Time; m == *u.kept {
			return nil
		}
		return &eventlog.FieldError{Field: "id", Reason: "is that of another stage"}
	}
	done, err := m.encode()
	if err != nil {
		return err
	}
	key := u.dir + manifestName
	_, err = u.log.putManifest(u.ctx, key, done, unchanged(key, u.guard))
	return err
}

// putManifest puts a manifest whose content is unique, so that a repeated
// attempt recognises itself, and returns its ModRevision.
func (l *Log) putManifest(ctx context.Context, key, value string, guards ...clientv3.Cmp) (int64, error) {
	r, err := l.settle(ctx, guards, []clientv3.Op{clientv3.OpPut(key, value)}, []clientv3.Op{clientv3.OpGet(key)})
	if err != nil {
		return 0, unavailable("put manifest", err)
	}
	if r.Succeeded {
		return r.Header.GetRevision(), nil
	}
	if kv := first(r, 0); kv != nil && string(kv.Value) == value {
		return kv.ModRevision, nil
	}
	return 0, fmt.Errorf("%w: the manifest was swept or put by another meanwhile", eventlog.ErrNotFound)
}

// Staged implements eventlog.Log. Cost: one local read a part, again through
// the quorum where the member at hand lags. Memory: the whole stage.
func (l *Log) Staged(ctx context.Context, s *eventlog.CommitStaged) ([]eventlog.Event, error) {
	fail := func(err error) ([]eventlog.Event, error) {
		return nil, fmt.Errorf("stage %q: %w", s.ID, err)
	}
	if err := s.Validate(); err != nil {
		return fail(err)
	}
	lines, err := joinParts(s, func(i int) ([]byte, error) { return l.part(ctx, partKey(stageDir(s.ID), i)) })
	if err != nil {
		return fail(err)
	}
	events, err := eventlog.DecodeStage(s, lines)
	if err != nil {
		return fail(err)
	}
	return events, nil
}

// StageParts implements eventlog.Log. Cost: one local read a part. Memory: a part.
func (l *Log) StageParts(ctx context.Context, s *eventlog.CommitStaged, fn func(part []byte) error) error {
	err := s.Validate()
	for i := 0; err == nil && i < s.Parts; i++ {
		var part []byte
		if part, err = l.part(ctx, partKey(stageDir(s.ID), i)); err != nil {
			break
		}
		if err := fn(part); err != nil {
			return err
		}
	}
	if err != nil {
		return fmt.Errorf("stage %q: %w", s.ID, err)
	}
	return nil
}

// joinParts puts the parts of a stage together.
func joinParts(s *eventlog.CommitStaged, read func(i int) ([]byte, error)) ([]byte, error) {
	var lines []byte
	for i := range s.Parts {
		part, err := read(i)
		if err != nil {
			return nil, err
		}
		if lines = append(lines, part...); int64(len(lines)) > s.Bytes {
			return nil, fmt.Errorf("%w: more bytes than staged", eventlog.ErrCorrupt)
		}
	}
	return lines, nil
}

// part reads an immutable value, from the member at hand if it has it.
func (l *Log) part(ctx context.Context, key string) ([]byte, error) {
	r, err := l.get(ctx, key, clientv3.WithSerializable())
	if err != nil || len(r.Kvs) == 0 {
		r, err = l.get(ctx, key)
	}
	if err != nil {
		return nil, unavailable("read part", err)
	}
	if len(r.Kvs) == 0 {
		return nil, fmt.Errorf("%s: %w", key, eventlog.ErrNotFound)
	}
	return r.Kvs[0].Value, nil
}

// Unstage implements eventlog.Log. The manifest goes first, so that what an
// interruption leaves is no stage and Sweep takes it. Cost: two deletes.
func (l *Log) Unstage(ctx context.Context, id string) error {
	if err := eventlog.CheckStageID(id); err != nil {
		return fmt.Errorf("remove stage %q: %w", id, err)
	}
	dir := stageDir(id)
	key := dir + manifestName
	if _, err := l.settle(ctx, nil, []clientv3.Op{clientv3.OpDelete(key)}, nil); err != nil {
		return unavailable(fmt.Sprintf("remove stage %q", id), err)
	}
	if err := l.deleteParts(ctx, dir); err != nil {
		return fmt.Errorf("remove stage %q: %w", id, err)
	}
	return nil
}

// deleteParts deletes what is left of a stage without a manifest.
func (l *Log) deleteParts(ctx context.Context, dir string) error {
	_, err := l.settle(ctx, []clientv3.Cmp{absent(dir + manifestName)}, []clientv3.Op{clientv3.OpDelete(dir, clientv3.WithRange(dirEnd(dir)))}, nil)
	if err != nil {
		return unavailable("delete parts", err)
	}
	return nil
}

// Sweep implements eventlog.Log. The manifest goes first and only while the
// head is the one read before keep was asked, so that a stage which a batch
// has come to refer to since is left. Cost: two reads a stage, one delete a
// stage removed.
func (l *Log) Sweep(ctx context.Context, before int64, keep func(id string) bool) error {
	err := l.eachDir(ctx, stagePrefix, func(firstKey string) (string, error) {
		id, ok := stageID(firstKey)
		if !ok {
			return firstKey + "\x00", nil // a foreign key
		}
		dir := stageDir(id)
		return dirEnd(dir), l.sweepStage(ctx, dir, id, before, keep)
	})
	if err != nil {
		return fmt.Errorf("sweep stages: %w", err)
	}
	return nil
}

func (l *Log) sweepStage(ctx context.Context, dir, id string, before int64, keep func(id string) bool) error {
	key := dir + manifestName
	r, err := l.txn(ctx, nil, []clientv3.Op{clientv3.OpGet(headKey, clientv3.WithKeysOnly()), clientv3.OpGet(key)}, nil)
	if err != nil {
		return unavailable("read manifest", err)
	}
	head, manifest := first(r, 0), first(r, 1)
	if head == nil {
		return fmt.Errorf("%w: %s is missing", eventlog.ErrCorrupt, headKey)
	}
	if keep(id) {
		return nil // though somebody deleted its manifest
	}
	if manifest != nil {
		var m stageManifest
		if err := json.Unmarshal(manifest.Value, &m); err == nil && m.Time >= before {
			return nil
		}
		gone, err := l.settle(ctx,
			[]clientv3.Cmp{unchanged(headKey, head.ModRevision), unchanged(key, manifest.ModRevision)},
			[]clientv3.Op{clientv3.OpDelete(key)}, nil)
		if err != nil {
			return unavailable("delete manifest", err)
		}
		if !gone.Succeeded {
			return nil // the log went on: next time
		}
	}
	return l.deleteParts(ctx, dir)
}

// eachDir calls fn with the first key of each directory below prefix; fn
// returns where the next may begin.
func (l *Log) eachDir(ctx context.Context, prefix string, fn func(firstKey string) (string, error)) error {
	from, end := prefix, dirEnd(prefix)
	for {
		r, err := l.get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(1), clientv3.WithKeysOnly())
		if err != nil {
			return unavailable("list", err)
		}
		if len(r.Kvs) == 0 {
			return nil
		}
		if from, err = fn(string(r.Kvs[0].Key)); err != nil {
			return err
		}
	}
}

// staleDirs remembers unfinished directories between clean-ups, because their
// keys carry no time: one that has not grown for long enough is left over.
type staleDirs struct {
	mu   sync.Mutex
	seen map[string]growth
}

type growth struct {
	chunks int64
	since  time.Time
}

func (s *staleDirs) init() { s.seen = map[string]growth{} }

// idle tells for how long the directory has had its number of chunks.
func (s *staleDirs) idle(dir string, chunks int64, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.seen[dir]
	if !ok || g.chunks != chunks {
		s.seen[dir] = growth{chunks: chunks, since: now}
		return 0
	}
	return now.Sub(g.since)
}

// retain forgets all directories that are not in the set.
func (s *staleDirs) retain(dirs map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for dir := range s.seen {
		if !dirs[dir] {
			delete(s.seen, dir)
		}
	}
}
