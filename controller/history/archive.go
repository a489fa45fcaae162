package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

// Archive gives past states. A state is folded forward from the nearest that is
// known before it: one that was asked for lately, one of those that passed by
// (Remember), or a snapshot. One folding at a time bounds what it takes of
// memory and processors. Safe for concurrent use.
type Archive struct {
	log  Log
	turn chan struct{} // capacity 1: held by who folds

	// Of who holds the turn. Two lines, so that questions about two ages do
	// not drive each other out.
	lines    [2]line
	batches  batches
	lineages int // given away so far

	mu     sync.Mutex
	kept   []kept // used last at the end
	recent recent
	times  times
	life   time.Duration
	drop   *time.Timer // forgets lines and kept
}

// lineage numbers states that share what did not change between them: those
// that were folded from one snapshot. live is that of the node's own fold.
type lineage int

const live lineage = 0

// kept is a state that was asked for, or lies a little before one.
type kept struct {
	state *projector.State
	of    lineage
}

// line is a fold that is moved to where it is needed.
type line struct {
	fold *projector.Fold // nil: none yet
	of   lineage
	used int // turn of last use
}

const (
	maxKept = 12
	// keptLife is how long nothing may be asked until what was folded is let go.
	keptLife = time.Minute
)

// steps are the distances before a state that was asked for at which states are
// kept, too: who goes back from it a little finds one.
var steps = [...]eventlog.Revision{4096, 256}

// NewArchive is an archive of the log. It holds nothing that must be closed.
func NewArchive(l Log) *Archive {
	return &Archive{log: l, turn: make(chan struct{}, 1), life: keptLife}
}

// State gives the state at a revision up to that of now, this node's newest.
// Cost: nothing for one that is kept; else a fold of the commits since the
// nearest base, about 1 µs each, and 0.3 s for a snapshot of a million routes.
// Errors: *GoneError; ErrBehind where ctx ended: what was folded until then is
// kept, so that asking again goes on from there; ErrOverloaded; ErrUnavailable.
func (a *Archive) State(ctx context.Context, now *projector.State, at eventlog.Revision) (*projector.State, error) {
	if at == now.Position().Revision {
		return now, nil
	}
	if k, ok := a.find(now, at); ok {
		return k.state, nil
	}
	if err := a.begin(ctx); err != nil {
		return nil, err
	}
	defer a.end()
	k, err := a.fold(ctx, now, at, nil)
	return k.state, err
}

// maxStride is how many commits apart two states may be for the later to be
// folded from the earlier.
const maxStride = 1 << 18

// Pair gives two states, from ≤ to, of which the later is folded from the
// earlier unless they are far apart: comparing them then costs what changed.
// Errors: as State.
func (a *Archive) Pair(ctx context.Context, now *projector.State, from, to eventlog.Revision) (x, y *projector.State, err error) {
	if from == to {
		x, err = a.State(ctx, now, from)
		return x, x, err
	}
	k, okX := a.find(now, from)
	l, okY := a.find(now, to)
	if okX && okY && k.of == l.of {
		return k.state, l.state, nil
	}
	if err := a.begin(ctx); err != nil {
		return nil, nil, err
	}
	defer a.end()
	if k, err = a.fold(ctx, now, from, nil); err != nil {
		return nil, nil, err
	}
	newest := now.Position().Revision
	switch {
	case to == newest && k.of == live:
		return k.state, now, nil
	case to-from > maxStride:
		l, err = a.fold(ctx, now, to, nil)
	default:
		l, err = a.fold(ctx, now, to, &k)
	}
	return k.state, l.state, err
}

// begin takes the turn.
func (a *Archive) begin(ctx context.Context) error {
	select {
	case a.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: other past states are being rebuilt", ErrOverloaded)
	}
}

// end gives the turn back, and has everything forgotten after a while.
func (a *Archive) end() {
	a.mu.Lock()
	if a.drop != nil {
		a.drop.Stop()
	}
	a.drop = time.AfterFunc(a.life, a.forget)
	a.mu.Unlock()
	<-a.turn
}

// forget lets go what was folded, unless somebody folds: that one's end will
// have it forgotten later.
func (a *Archive) forget() {
	select {
	case a.turn <- struct{}{}:
	default:
		return
	}
	a.lines, a.batches = [2]line{}, batches{}
	a.mu.Lock()
	a.kept = nil
	a.mu.Unlock()
	<-a.turn
}

// base is where a folding starts.
type base struct {
	kept
	snapshot *eventlog.SnapshotInfo // or nil
	cost     float64                // in commits that could be folded meanwhile
}

// What it costs to start elsewhere, in commits that could be folded meanwhile.
const (
	costOfByte  = 0.015 // of a snapshot, compressed
	costOfRoute = 0.05  // taken over from another fold's state
)

// fold gives the state at a revision, starting from the state on where it is
// given, else from what is nearest. Where that, or what follows it, went
// meanwhile, or turned out to be damaged, it starts anew: from another, or with the
// oldest that there is in the error. The turn is held.
func (a *Archive) fold(ctx context.Context, now *projector.State, at eventlog.Revision, on *kept) (k kept, err error) {
	for range foldTries {
		if k, err = a.foldOnce(ctx, now, at, on); !errors.Is(err, errWent) || ctx.Err() != nil {
			break
		}
	}
	return k, err
}

const foldTries = 3

func (a *Archive) foldOnce(ctx context.Context, now *projector.State, at eventlog.Revision, on *kept) (kept, error) {
	if k, ok := a.find(now, at); ok && (on == nil || k.of == on.of) {
		return k, nil
	}
	b := base{}
	if on != nil {
		b.kept = *on
	} else {
		var err error
		if b, err = a.base(ctx, now, at); err != nil {
			return kept{}, a.failed(ctx, at, err)
		}
	}
	l, err := a.place(ctx, now, b)
	if err != nil {
		return kept{}, a.failed(ctx, at, err)
	}
	from := l.fold.Current().Position().Revision
	for _, d := range steps {
		if at > d && at-d > from && at-d < at && err == nil {
			err = a.advance(ctx, l.fold, at-d)
			a.keep(kept{l.fold.State(), l.of})
		}
	}
	if err == nil {
		err = a.advance(ctx, l.fold, at)
	}
	k := kept{l.fold.State(), l.of}
	a.keep(k)
	switch reached := k.state.Position().Revision; {
	case err == nil && reached == at:
		return k, nil
	case err == nil:
		return kept{}, fmt.Errorf("rebuild revision %d: %w", at, eventlog.ErrHole)
	case ctx.Err() != nil:
		return kept{}, fmt.Errorf("%w: the state at revision %d is rebuilt up to %d; ask again, or with a longer timeout", ErrBehind, at, reached)
	}
	*l = line{}
	return kept{}, a.failed(ctx, at, err)
}

// errWent is an ErrGone about what was there when it was begun with.
var errWent = fmt.Errorf("%w", ErrGone)

// failed maps what a rebuilding failed with.
func (a *Archive) failed(ctx context.Context, at eventlog.Revision, err error) error {
	switch {
	case errors.Is(err, ErrGone):
		return err
	case errors.Is(err, eventlog.ErrTruncated), errors.Is(err, eventlog.ErrNotFound):
		// Snapshot or log went meanwhile.
		return fmt.Errorf("revision %d: %w: %w", at, errWent, err)
	case errors.Is(err, eventlog.ErrUnavailable), ctx.Err() != nil:
		return fmt.Errorf("rebuild revision %d: %w: %w", at, ErrUnavailable, err)
	}
	return fmt.Errorf("rebuild revision %d: %w", at, err)
}

// base finds what costs least to fold from.
func (a *Archive) base(ctx context.Context, now *projector.State, at eventlog.Revision) (base, error) {
	low, err := a.log.Low(ctx)
	if err != nil {
		return base{}, err
	}
	found := false
	var best base
	consider := func(b base, r eventlog.Revision) {
		if r > at || r+1 < low && r != at {
			return
		}
		if b.cost += float64(at - r); !found || b.cost < best.cost {
			best, found = b, true
		}
	}
	a.mu.Lock()
	for _, k := range a.kept {
		if belongs(k.state, now) {
			consider(base{kept: k, cost: a.moving(k)}, k.state.Position().Revision)
		}
	}
	for _, r := range a.recent.list {
		k := kept{r.state, live}
		if belongs(k.state, now) {
			consider(base{kept: k, cost: a.moving(k)}, k.state.Position().Revision)
		}
	}
	a.mu.Unlock()
	if found && best.cost < 4096 {
		return best, nil
	}
	list, err := a.log.Snapshots(ctx)
	if err != nil {
		return base{}, err
	}
	oldest := low
	for i := range list {
		info := &list[i]
		if info.LogID != now.Position().LogID || info.Epoch != now.EpochOf(info.Revision) {
			continue // of a history that was left
		}
		oldest = min(oldest, info.Revision)
		if info.Revision+1 == low || info.Revision >= low {
			consider(base{snapshot: info, cost: float64(info.Bytes) * costOfByte}, info.Revision)
		} else {
			consider(base{snapshot: info}, info.Revision) // that revision alone
		}
	}
	if low <= 1 {
		consider(base{}, 0)
		oldest = 1
	}
	if !found {
		if low > 1 {
			oldest = a.oldest(list, now, low)
		}
		return base{}, &GoneError{What: fmt.Sprintf("revision %d", at), Oldest: oldest, Why: beyond(a.log)}
	}
	return best, nil
}

// oldest is the first revision from which on all can be rebuilt.
func (a *Archive) oldest(list []eventlog.SnapshotInfo, now *projector.State, low eventlog.Revision) eventlog.Revision {
	first := now.Position().Revision
	for _, info := range list {
		if info.Epoch == now.EpochOf(info.Revision) && info.Revision+1 >= low {
			first = min(first, info.Revision)
		}
	}
	return first
}

// moving is what it costs to bring a line to a state. mu is held, and the turn.
func (a *Archive) moving(k kept) float64 {
	for i := range a.lines {
		if a.lines[i].fold != nil && a.lines[i].of == k.of {
			return 0
		}
	}
	return float64(k.state.Stats().Routes) * costOfRoute
}

// place brings a line to the base.
func (a *Archive) place(ctx context.Context, now *projector.State, b base) (*line, error) {
	l := &a.lines[0]
	for i := range a.lines {
		o := &a.lines[i]
		if b.state != nil && o.fold != nil && o.of == b.of {
			l = o
			break
		}
		if o.used < l.used {
			l = o
		}
	}
	latest := 0
	for i := range a.lines {
		latest = max(latest, a.lines[i].used)
	}
	if b.state != nil && l.fold != nil && l.of == b.of {
		if l.fold.Current().Position() != b.state.Position() {
			l.fold.Rewind(b.state)
		}
		l.used = latest + 1
		return l, nil
	}
	left := l.of
	*l = line{} // let go before another is loaded
	if left != live {
		a.dropLineage(left)
	}
	var fold *projector.Fold
	of := b.of
	switch {
	case b.state != nil:
		fold = projector.Revisit(b.state)
	case b.snapshot != nil:
		r, err := a.log.OpenSnapshot(ctx, *b.snapshot)
		if err != nil {
			return nil, err
		}
		fold, err = projector.LoadPast(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return nil, err
		}
		a.lineages++
		of = lineage(a.lineages)
	default:
		fold = projector.NewFold(now.Position().LogID)
		a.lineages++
		of = lineage(a.lineages)
	}
	*l = line{fold: fold, of: of, used: latest + 1}
	return l, nil
}

// dropLineage forgets the states of a line that went elsewhere.
func (a *Archive) dropLineage(of lineage) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kept = slices.DeleteFunc(a.kept, func(k kept) bool { return k.of == of })
}

// readAhead is how many decoded batches wait for the fold at most.
const readAhead = 4

// advance folds the log up to the revision: one goroutine reads and decodes,
// this one folds.
func (a *Archive) advance(ctx context.Context, fold *projector.Fold, at eventlog.Revision) error {
	for fold.Current().Position().Revision < at {
		b := a.batches.find(fold.Current().Position().Revision + 1)
		if b == nil {
			break
		}
		if err := a.foldBatch(ctx, fold, b, at); err != nil {
			return err
		}
	}
	from := fold.Current().Position().Revision
	if from >= at {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	decoded := make(chan *eventlog.Batch, readAhead)
	read := make(chan error, 1)
	go func() { // ends before advance does
		defer close(decoded)
		read <- a.log.Read(ctx, from, func(b *eventlog.Batch) error {
			keep := *b
			keep.Commits = slices.Clone(b.Commits)
			if keep.Raw = nil; b.Last()+batchesReach > at {
				keep.Raw = slices.Clone(b.Raw) // for hashes in its middle
			}
			select {
			case decoded <- &keep:
			case <-ctx.Done():
				return ctx.Err()
			}
			if b.Last() >= at {
				return errRangeRead
			}
			return nil
		})
	}()
	var failed error
	for b := range decoded {
		if failed != nil {
			continue // until the reader has seen that it is over
		}
		a.batches.keep(b)
		if failed = a.foldBatch(ctx, fold, b, at); failed != nil {
			cancel()
		}
	}
	if err := <-read; failed == nil && err != nil && !errors.Is(err, errRangeRead) {
		return err
	}
	return failed
}

func (a *Archive) foldBatch(ctx context.Context, fold *projector.Fold, b *eventlog.Batch, at eventlog.Revision) error {
	if h := fold.Current().Head(); b.First() == h.Revision+1 && b.Prev != h.Hash && h.Hash != (eventlog.Hash{}) {
		return fmt.Errorf("revision %d does not continue what is folded: %w", b.First(), eventlog.ErrCorrupt)
	}
	for i := range b.Commits {
		c := b.Commits[i] // a copy: the batch is kept without what a stage holds
		if c.Revision <= fold.Current().Position().Revision {
			continue
		}
		if c.Revision > at {
			break
		}
		var err error
		if c.Events, err = Expanded(ctx, a.log, &c); err != nil {
			return err
		}
		var h eventlog.Hash // within a batch it is asked for at the last alone
		switch c.Revision {
		case b.Last():
			h = b.Hash
		case at:
			if h, err = eventlog.HashAt(b.Raw, at); err != nil {
				return err
			}
		}
		if err := fold.Apply(&c, h); err != nil {
			return err
		}
	}
	return nil
}

// belongs says that a state lies on the history of now.
func belongs(s, now *projector.State) bool {
	p, q := s.Position(), now.Position()
	return p.LogID == q.LogID && p.Revision <= q.Revision && p.Epoch == now.EpochOf(p.Revision)
}

// find gives the kept state at exactly this revision.
func (a *Archive) find(now *projector.State, at eventlog.Revision) (kept, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, k := range a.kept {
		if k.state.Position().Revision == at && belongs(k.state, now) {
			a.kept = append(slices.Delete(a.kept, i, i+1), k)
			return k, true
		}
	}
	for _, r := range a.recent.list {
		if r.state.Position().Revision == at && belongs(r.state, now) {
			return kept{r.state, live}, true
		}
	}
	return kept{}, false
}

// nearest gives the newest state at hand that is not after the revision; nil: none is.
func (a *Archive) nearest(now *projector.State, at eventlog.Revision) (near *projector.State) {
	consider := func(s *projector.State) {
		if r := s.Position().Revision; r <= at && belongs(s, now) && (near == nil || r > near.Position().Revision) {
			near = s
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range a.kept {
		consider(k.state)
	}
	for _, r := range a.recent.list {
		consider(r.state)
	}
	return near
}

// keep remembers a state.
func (a *Archive) keep(k kept) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kept = slices.DeleteFunc(a.kept, func(o kept) bool { return o.of == k.of && o.state.Position() == k.state.Position() })
	if len(a.kept) == maxKept {
		a.kept = slices.Delete(a.kept, 0, 1)
	}
	a.kept = append(a.kept, k)
}
