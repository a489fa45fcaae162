package appender

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

// Folded is what a Keeper takes snapshots of; *Appender implements it.
type Folded interface {
	State() *projector.State
	Volume() Volume
}

// Maintainer is the care of a store that has nothing to do with the log's
// meaning: compaction, defragmentation, alarms.
type Maintainer interface {
	Maintain(ctx context.Context) error
}

// Sizer tells how many bytes the log takes in its store. A Maintainer may
// implement it; without it the log is kept by time alone.
type Sizer interface {
	Size(ctx context.Context) (int64, error)
}

// KeeperOptions of a Keeper. The zero value of each field has the default named.
type KeeperOptions struct {
	Now         func() time.Time
	Bytes       int64         // log that makes a snapshot due, at least twice the last snapshot: 64 MiB
	Batches     int64         // or so many batches: 10,000
	Pause       time.Duration // at least between two snapshots: 1 minute
	Retain      time.Duration // 7 days of log time
	RetainBytes int64         // 2 GiB
	Thinned     int           // snapshots kept between the newest and the oldest: 8
	Interval    time.Duration // of Run's looks: 5 s
	Upkeep      time.Duration // between two calls of Maintain: 1 minute
	Tidy        time.Duration // between two looks at what may be forgotten: 10 minutes
	// Archive, where set, is asked before the log is truncated: only when it
	// returns nil for a revision is what lies up to it removed.
	Archive func(ctx context.Context, through eventlog.Revision) error
	// Active says whether this node is the one that keeps; nil: always.
	Active func() bool
	// OnError is told what went wrong in Run; it goes on.
	OnError func(error)
}

func (o KeeperOptions) withDefaults() KeeperOptions {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Bytes <= 0 {
		o.Bytes = 64 << 20
	}
	if o.Batches <= 0 {
		o.Batches = 10_000
	}
	if o.Pause <= 0 {
		o.Pause = time.Minute
	}
	if o.Retain <= 0 {
		o.Retain = 7 * 24 * time.Hour
	}
	if o.RetainBytes <= 0 {
		o.RetainBytes = 2 << 30
	}
	if o.Thinned <= 0 {
		o.Thinned = 8
	}
	if o.Interval <= 0 {
		o.Interval = 5 * time.Second
	}
	if o.Upkeep <= 0 {
		o.Upkeep = time.Minute
	}
	if o.Tidy <= 0 {
		o.Tidy = 10 * time.Minute
	}
	if o.Active == nil {
		o.Active = func() bool { return true }
	}
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
	return o
}

// Keeper keeps the log short: it takes snapshots of published States, reads
// each back before it trusts it, thins them out, truncates behind a verified
// one, sweeps what nothing refers to, and has the store cared for. It never
// touches the appender. Safe for concurrent use: its calls wait for each other.
type Keeper struct {
	mu       sync.Mutex
	log      eventlog.Log
	folded   Folded
	store    Maintainer // may be nil
	options  KeeperOptions
	known    bool // last is what the log holds
	last     eventlog.SnapshotInfo
	lastAt   time.Time // when last was taken here
	cramped  bool      // the last try found no room: Free need not rest before the next
	volume   Volume    // at last
	verified map[string]bool
	upkeepAt time.Time
	tidyAt   time.Time
	stages   references
}

// Ages from which what is unfinished or unused is left over.
const (
	staleStage    = time.Hour
	staleSnapshot = 10 * time.Minute
)

// cleaner is a log that unfinished snapshots are left in.
type cleaner interface {
	CleanSnapshots(ctx context.Context, idle time.Duration) (int, error)
}

// NewKeeper makes a Keeper of what folded publishes; store may be nil.
func NewKeeper(log eventlog.Log, folded Folded, store Maintainer, options KeeperOptions) *Keeper {
	return &Keeper{log: log, folded: folded, store: store, options: options.withDefaults(), verified: map[string]bool{}}
}

// Run takes steps until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	t := time.NewTicker(k.options.Interval)
	defer t.Stop()
	for {
		if err := k.Step(ctx); err != nil && ctx.Err() == nil {
			k.options.OnError(err)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// Step does what is due: a snapshot with its verification, truncation, a sweep,
// care of the store. It does nothing on a node that is not active.
func (k *Keeper) Step(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.options.Active() {
		k.known = false // another node writes the snapshots now
		return nil
	}
	if err := k.know(ctx); err != nil {
		return err
	}
	var errs []error
	if k.due() {
		errs = append(errs, k.snapshot(ctx))
	}
	if now := k.options.Now(); now.Sub(k.tidyAt) >= k.options.Tidy {
		k.tidyAt = now
		_, err := k.forget(ctx, false)
		errs = append(errs, err, k.sweep(ctx))
	}
	if now := k.options.Now(); k.store != nil && now.Sub(k.upkeepAt) >= k.options.Upkeep {
		k.upkeepAt = now
		errs = append(errs, k.mend(ctx)) // before history is compacted
		if err := k.store.Maintain(ctx); err != nil {
			errs = append(errs, fmt.Errorf("maintain the store: %w", err))
		}
	}
	return errors.Join(errs...)
}

// mend puts back what somebody deleted of stages, while history has it.
func (k *Keeper) mend(ctx context.Context) error {
	mender, ok := k.folded.(interface {
		MendStages(ctx context.Context, low eventlog.Revision) error
	})
	if !ok {
		return nil
	}
	low, err := k.log.Low(ctx)
	if err == nil {
		err = mender.MendStages(ctx, low)
	}
	if err != nil {
		return fmt.Errorf("mend stages: %w", err)
	}
	return nil
}

// know learns what the log holds.
func (k *Keeper) know(ctx context.Context) error {
	if k.known {
		return nil
	}
	list, err := k.list(ctx)
	if err != nil {
		return err
	}
	k.last = eventlog.SnapshotInfo{}
	if len(list) > 0 {
		k.last = list[0]
	}
	k.known = true
	return nil
}

// Free makes room in a store that is nearly full: leftovers go, and one step
// more of the log than retention by time allows. Only where no stored snapshot
// allows that, it tries to write a new one. It needs no room but for moving the
// log's beginning. On a node that is not active it does nothing.
func (k *Keeper) Free(ctx context.Context) error {
	if !k.options.Active() {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	sweeping := k.sweep(ctx)
	moved, err := k.forget(ctx, true)
	if err == nil && !moved {
		if err = k.know(ctx); err == nil && k.folded.State().Position().Revision > k.last.Revision && (k.cramped || k.rested()) {
			if err = k.snapshot(ctx); err == nil {
				_, err = k.forget(ctx, true)
			}
		}
	}
	return errors.Join(err, sweeping)
}

// rested says that the last snapshot of this node was long enough ago.
func (k *Keeper) rested() bool {
	return k.lastAt.IsZero() || k.options.Now().Sub(k.lastAt) >= k.options.Pause
}

func (k *Keeper) due() bool {
	if !k.rested() {
		return false
	}
	if k.folded.State().Position().Revision <= k.last.Revision {
		return false
	}
	v := k.folded.Volume()
	return v.Bytes-k.volume.Bytes >= max(k.options.Bytes, 2*k.last.Bytes) ||
		v.Batches-k.volume.Batches >= k.options.Batches
}

// Snapshot writes a snapshot of the published State now, verifies it, and
// forgets what retention allows. Cost: one pass over the state to write, one
// to read it back, and the memory of a second state meanwhile.
func (k *Keeper) Snapshot(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.snapshot(ctx)
}

func (k *Keeper) snapshot(ctx context.Context) error {
	volume := k.folded.Volume()
	s := k.folded.State()
	k.lastAt = k.options.Now() // a failing store is not tried more often either
	info, err := k.log.WriteSnapshot(ctx, Describe(s), s.Save)
	k.cramped = errors.Is(err, eventlog.ErrNoSpace)
	if err != nil {
		return fmt.Errorf("write the snapshot of revision %d: %w", s.Position().Revision, err)
	}
	if err := k.verify(ctx, info); err != nil {
		return errors.Join(err, k.log.DeleteSnapshot(ctx, info))
	}
	k.last, k.volume = info, volume
	_, err = k.forget(ctx, false)
	return err
}

// Describe is the manifest of s, as far as the state tells it.
func Describe(s *projector.State) eventlog.SnapshotInfo {
	h := s.Head()
	return eventlog.SnapshotInfo{
		Format: eventlog.Format, LogID: s.Position().LogID,
		Revision: h.Revision, Epoch: h.Epoch, EpochNonce: hex.EncodeToString(h.Nonce[:]),
		Hash: hex.EncodeToString(h.Hash[:]), Level: h.Level,
		Digest: s.Digest().String(), Time: s.Time(),
	}
}

// verify reads a snapshot back and folds it; its digest must be the manifest's.
func (k *Keeper) verify(ctx context.Context, info eventlog.SnapshotInfo) error {
	if k.verified[key(info)] {
		return nil
	}
	if _, err := loadSnapshot(ctx, k.log, info); err != nil {
		return fmt.Errorf("verify the snapshot of revision %d: %w", info.Revision, err)
	}
	k.verified[key(info)] = true
	return nil
}

func key(s eventlog.SnapshotInfo) string { return fmt.Sprintf("%d-%s", s.Revision, s.Nonce) }

func (k *Keeper) list(ctx context.Context) ([]eventlog.SnapshotInfo, error) {
	list, err := k.log.Snapshots(ctx)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	slices.SortStableFunc(list, func(a, b eventlog.SnapshotInfo) int { return cmpRevision(b.Revision, a.Revision) })
	return list, nil
}

// sweep removes stages that were begun long ago and no retained batch refers
// to, and what unfinished snapshots left. A log without old stages costs one
// listing of them.
func (k *Keeper) sweep(ctx context.Context) error {
	var errs []error
	before := k.options.Now().Add(-staleStage).UnixMilli()
	err := k.log.Sweep(ctx, before, func(id string) bool {
		used, err := k.stages.has(ctx, k.log, id)
		if err != nil {
			errs = append(errs, err)
		}
		return used || err != nil
	})
	if err != nil {
		errs = append(errs, fmt.Errorf("sweep stages: %w", err))
	}
	if c, ok := k.log.(cleaner); ok {
		if _, err := c.CleanSnapshots(ctx, staleSnapshot); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// forget truncates and thins out; crowded: one step more than by time. It says
// whether the log begins later now.
func (k *Keeper) forget(ctx context.Context, crowded bool) (moved bool, err error) {
	list, err := k.list(ctx)
	if err != nil {
		return false, err
	}
	low, err := k.log.Low(ctx)
	if err != nil {
		return false, fmt.Errorf("read the oldest retained revision: %w", err)
	}
	if s, ok := k.store.(Sizer); ok && !crowded {
		size, err := s.Size(ctx)
		if err != nil {
			return false, fmt.Errorf("size of the log: %w", err)
		}
		crowded = size > k.options.RetainBytes
	}
	cutoff := k.options.Now().Add(-k.options.Retain).UnixMilli()
	r := retain(list, low, cutoff, crowded, k.options.Thinned)
	if r.low != 0 {
		if err := k.verify(ctx, *r.base); err != nil {
			return false, fmt.Errorf("nothing truncated: %w", err)
		}
		if k.options.Archive != nil {
			if err := k.options.Archive(ctx, r.low-1); err != nil {
				return false, fmt.Errorf("nothing truncated: %w", err)
			}
		}
		if err := k.log.Truncate(ctx, r.low); err != nil {
			return false, fmt.Errorf("truncate to revision %d: %w", r.low, err)
		}
		moved = true
	}
	for _, s := range r.remove {
		if err := k.log.DeleteSnapshot(ctx, s); err != nil {
			return moved, fmt.Errorf("remove the snapshot of revision %d: %w", s.Revision, err)
		}
		delete(k.verified, key(s))
	}
	return moved, nil
}
