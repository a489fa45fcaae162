package appender

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

// errForked: what the Fold holds is not what the log holds at that revision.
var errForked = fmt.Errorf("the log continues another history: %w", eventlog.ErrCorrupt)

// Open restores the state (newest snapshot that loads, then the tail of the
// log) and starts the appender. It returns when State stands at the head that
// was read last. A log of a newer level opens too: Fault tells, and State
// serves what could be folded, unless nothing before that level is retained.
//
// Cost: one pass over the snapshot and the tail, decoding and folding on two
// cores. Errors: eventlog.ErrUnavailable, ErrHole, ErrCorrupt, ErrLevel with
// ErrTruncated, ctx's.
func Open(ctx context.Context, log eventlog.Log, options Options) (*Appender, error) {
	options = options.withDefaults()
	own, cancel := context.WithCancel(context.Background())
	a := &Appender{
		log: log, options: options,
		queue:    newQueue(options.MaxQueued, options.MaxQueuedBytes),
		urgent:   make(chan struct{}, 1),
		measures: newMeasures(),
		ctx:      own, cancel: cancel,
	}
	fold, head, err := a.restore(ctx)
	if err != nil && (!errors.Is(err, eventlog.ErrLevel) || errors.Is(err, eventlog.ErrTruncated)) {
		cancel()
		return nil, fmt.Errorf("open the log: %w", err)
	}
	l := &loop{
		Appender: a, fold: fold,
		launches: make(chan launch, 1), landed: make(chan landing, 1), told: make(chan *batch, heraldRoom),
		freed: make(chan error, 1), textOf: -1,
	}
	l.stand(head)
	if err != nil {
		a.setFault(err)
	}
	a.passed.done()
	a.owned.Add(3)
	go a.herald(l.told)
	go a.carry(l.launches, l.landed)
	go l.run()
	return a, nil
}

// restore builds a Fold from a snapshot and the tail. With ErrLevel the Fold
// is whole up to where the newer level begins.
func (a *Appender) restore(ctx context.Context) (*projector.Fold, eventlog.Head, error) {
	snapshots, err := a.log.Snapshots(ctx)
	if err != nil {
		return nil, eventlog.Head{}, fmt.Errorf("list snapshots: %w", err)
	}
	slices.SortFunc(snapshots, func(x, y eventlog.SnapshotInfo) int {
		return cmpRevision(y.Revision, x.Revision)
	})
	var newest error // what stopped the newest snapshot: older ones explain less
	for _, s := range snapshots {
		a.options.OnFold(0, s.Revision)
		fold, err := loadSnapshot(ctx, a.log, s)
		if err == nil {
			a.passed.begin(fold)
			var head eventlog.Head
			if head, err = a.catchUp(ctx, fold); err == nil || !damaged(err) {
				return fold, head, err
			}
		}
		if ctx.Err() != nil || errors.Is(err, eventlog.ErrUnavailable) {
			return nil, eventlog.Head{}, err
		}
		err = fmt.Errorf("snapshot of revision %d: %w", s.Revision, err)
		a.options.OnDamage(err)
		if newest == nil || errors.Is(newest, errUnloadable) {
			newest = err
		}
	}
	fold := projector.NewFold(a.log.ID())
	a.passed.begin(fold)
	head, err := a.catchUp(ctx, fold)
	if newest != nil && errors.Is(err, eventlog.ErrTruncated) {
		err = fmt.Errorf("%w; without a snapshot: %w", newest, err)
	}
	return fold, head, err
}

// errUnloadable: a snapshot cannot be used, whatever the log after it is like.
var errUnloadable = errors.New("the snapshot does not load")

// damaged reports an error that an older snapshot may avoid.
func damaged(err error) bool {
	return errors.Is(err, eventlog.ErrCorrupt) || errors.Is(err, eventlog.ErrHole) ||
		errors.Is(err, eventlog.ErrForeignLog)
}

func cmpRevision(a, b eventlog.Revision) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// loadSnapshot reads a snapshot back and compares it with its manifest; what
// of the log follows it must continue its hash (foldBatch).
func loadSnapshot(ctx context.Context, log eventlog.Log, info eventlog.SnapshotInfo) (*projector.Fold, error) {
	fold, err := readSnapshot(ctx, log, info)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnloadable, err)
	}
	return fold, nil
}

func readSnapshot(ctx context.Context, log eventlog.Log, info eventlog.SnapshotInfo) (*projector.Fold, error) {
	r, err := log.OpenSnapshot(ctx, info)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	fold, err := projector.Load(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	s := fold.Current()
	at := s.Position()
	switch {
	case at.LogID != log.ID():
		return nil, fmt.Errorf("of log %s: %w", at.LogID, eventlog.ErrForeignLog)
	case at.Revision != info.Revision || at.Epoch != info.Epoch:
		return nil, fmt.Errorf("stands at %s: %w", at, eventlog.ErrCorrupt)
	case hex.EncodeToString(hashOf(s)) != info.Hash:
		return nil, fmt.Errorf("hash %x, the manifest says %s: %w", hashOf(s), info.Hash, eventlog.ErrCorrupt)
	case s.Digest().String() != info.Digest:
		return nil, fmt.Errorf("digest %s, the manifest says %s: %w", s.Digest(), info.Digest, eventlog.ErrCorrupt)
	}
	return fold, nil
}

func hashOf(s *projector.State) []byte {
	h := s.Head().Hash
	return h[:]
}

// catchUp reads the log until the Fold stands at its head.
func (a *Appender) catchUp(ctx context.Context, fold *projector.Fold) (eventlog.Head, error) {
	for {
		head, err := a.log.Head(ctx)
		if err != nil {
			return fold.Current().Head(), fmt.Errorf("read the head: %w", err)
		}
		at := fold.Current().Head()
		switch {
		case at.Revision > head.Revision, at.Revision == head.Revision && at.Hash != head.Hash:
			return at, fmt.Errorf("revision %d, the log's head is %d: %w", at.Revision, head.Revision, errForked)
		case at.Revision == head.Revision:
			a.options.OnFold(at.Revision, head.Revision)
			return head, nil
		}
		if err := a.readTail(ctx, fold, at.Revision, head.Revision); err != nil {
			return fold.Current().Head(), err
		}
		if now := fold.Current().Head().Revision; now <= at.Revision {
			return fold.Current().Head(), fmt.Errorf("after revision %d: %w", now, eventlog.ErrHole)
		}
	}
}

// readAhead is how many decoded batches wait for the Fold at most.
const readAhead = 8

// readTail decodes in one goroutine and folds in another; head is for OnFold.
func (a *Appender) readTail(ctx context.Context, fold *projector.Fold, after, head eventlog.Revision) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches := make(chan *eventlog.Batch, readAhead)
	read := make(chan error, 1)
	go func() {
		defer close(batches)
		read <- a.log.Read(ctx, after, func(b *eventlog.Batch) error {
			keep := *b
			keep.Commits = slices.Clone(b.Commits)
			if b.First() <= after || slices.ContainsFunc(keep.Commits, mayStop) {
				keep.Raw = bytes.Clone(b.Raw) // foldBatch reads it
			}
			select {
			case batches <- &keep:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	var folding error
	for b := range batches {
		if folding != nil {
			continue // until the reader has seen that it is over
		}
		if folding = a.foldBatch(ctx, fold, b); folding != nil {
			cancel()
		}
		a.options.OnFold(fold.Current().Head().Revision, head)
		if folding == nil {
			a.passed.folded(fold, len(b.Raw))
		}
	}
	if err := <-read; folding == nil && err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	return folding
}

// foldBatch folds what of b lies after the Fold's revision. Staged commits
// are expanded; one whose parts are not all there is a hole.
func (a *Appender) foldBatch(ctx context.Context, fold *projector.Fold, b *eventlog.Batch) error {
	at := fold.Current().Head()
	switch {
	case b.First() > at.Revision+1:
		return fmt.Errorf("revision %d after %d: %w", b.First(), at.Revision, eventlog.ErrHole)
	case b.First() == at.Revision+1 && b.Prev != at.Hash:
		return fmt.Errorf("revision %d: %w", b.First(), errForked)
	case b.First() <= at.Revision: // the Fold stands within the batch
		if h, err := eventlog.HashAt(b.Raw, at.Revision); err != nil {
			return fmt.Errorf("revision %d: %w", at.Revision, err)
		} else if h != at.Hash {
			return fmt.Errorf("revision %d: %w", at.Revision, errForked)
		}
	}
	for i := range b.Commits {
		c := &b.Commits[i]
		if c.Revision <= at.Revision {
			continue
		}
		if len(c.Events) == 1 {
			if s, ok := c.Events[0].(*eventlog.CommitStaged); ok {
				events, err := eventlog.StagedIn(ctx, a.log, s)
				if errors.Is(err, eventlog.ErrNotFound) {
					err = fmt.Errorf("%w: %w", eventlog.ErrHole, err)
				}
				if err != nil {
					return fmt.Errorf("staged commit %d: %w", c.Revision, err)
				}
				c.Events = events
				a.used.add(s, c.Revision)
			}
		}
		if err := fold.Apply(c, commitHash(b, i)); err != nil {
			return fmt.Errorf("fold revision %d: %w", c.Revision, err)
		}
	}
	a.counts.folded(len(b.Raw))
	return nil
}

// resync brings the Fold from the last published State to where the log is,
// waiting for the log where it is unavailable. It begins anew from a snapshot
// where the log does not continue that State. Errors: what stops the folding,
// ctx's; the Fold then stands at the published State or later.
func (l *loop) resync() error {
	l.fold = projector.Resume(l.State())
	for pause := minRetry; ; pause = min(2*pause, maxRetry) {
		head, err := l.catchUp(l.ctx, l.fold)
		if damaged(err) || errors.Is(err, eventlog.ErrTruncated) {
			l.options.OnDamage(fmt.Errorf("resynchronize: %w", err))
			var fold *projector.Fold
			if fold, head, err = l.restore(l.ctx); err == nil || errors.Is(err, eventlog.ErrLevel) {
				l.fold = fold
			}
		}
		switch {
		case err == nil:
			l.stand(head)
			return nil
		case l.ctx.Err() != nil:
			return err
		case errors.Is(err, eventlog.ErrUnavailable):
		default:
			l.stand(l.fold.Current().Head())
			return err
		}
		select {
		case <-time.After(pause):
		case <-l.ctx.Done():
			return l.ctx.Err()
		}
	}
}

// commitHash is the chain hash of commit i of b where it may be needed: of the
// last one, which the batch carries, and of one that the Fold may have to stand
// at because the next cannot be folded. No State is frozen at another.
func commitHash(b *eventlog.Batch, i int) eventlog.Hash {
	if i == len(b.Commits)-1 {
		return b.Hash
	}
	if mayStop(b.Commits[i+1]) {
		// The batch was decoded, so there is no error.
		h, _ := eventlog.HashAt(b.Raw, b.Commits[i].Revision)
		return h
	}
	return eventlog.Hash{}
}

// mayStop reports whether folding c can fail.
func mayStop(c eventlog.Commit) bool {
	for _, e := range c.Events {
		switch e.(type) {
		case *eventlog.CommitStaged, *eventlog.LevelRaised:
			return true
		}
	}
	return false
}
