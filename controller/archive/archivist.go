package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"dvr/controller/backup"
	"dvr/eventlog"
	"dvr/projector"
)

// Archivist writes what the live log will truncate into an archive. Safe for
// concurrent use: its calls wait for each other.
type Archivist struct {
	live  Live
	dir   *Directory
	maker Maker
	// State, where set, gives states at the ends of files where no snapshot is.
	State func(ctx context.Context, r eventlog.Revision) (*projector.State, error)
	// Now is the wall clock; nil: time.Now.
	Now func() time.Time
	// Patience is how long another writer is waited for; 0: 30 s.
	Patience time.Duration
	// FileBytes, where positive, is used in place of the constant.
	FileBytes int64

	turn   chan struct{}  // capacity 1: who has sent may touch the rest
	proven map[*file]bool // whose end was found in the live log
	step   func(string) error

	mu   sync.Mutex
	last error
}

// NewArchivist writes to dir under the names of node and program.
func NewArchivist(live Live, dir *Directory, node, program string) *Archivist {
	return &Archivist{live: live, dir: dir, maker: Maker{LogID: live.ID(), Node: node, Program: program}, turn: make(chan struct{}, 1), proven: map[*file]bool{}}
}

// Problem is why the last attempt to archive failed; nil: it did not.
func (a *Archivist) Problem() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}

// Step archives what lies behind the newest snapshot. Cost, where there is nothing
// to do: a listing of the snapshots and a look at the directory.
func (a *Archivist) Step(ctx context.Context) error {
	list, err := a.live.Snapshots(ctx)
	if err != nil {
		return fmt.Errorf("archive: list snapshots: %w", err)
	}
	newest := eventlog.Revision(0)
	for _, s := range list {
		newest = max(newest, s.Revision)
	}
	if newest == 0 {
		return nil
	}
	return a.Through(ctx, newest)
}

// Through archives what the live log holds up to a revision. When it returns nil
// that is durable: files and directory synced. Errors: ErrBusy, ErrForeign, the
// log's, the file system's. Cost: 30 ms a MiB of log.
func (a *Archivist) Through(ctx context.Context, to eventlog.Revision) error {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-a.turn }()
	err := a.through(ctx, to)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err == nil:
		a.last = nil
	case ctx.Err() == nil:
		a.last = err
	}
	return err
}

func (a *Archivist) through(ctx context.Context, to eventlog.Revision) error {
	patience := a.Patience
	if patience <= 0 {
		patience = 30 * time.Second
	}
	var s *Session
	for until := time.Now().Add(patience); ; {
		todo, err := a.plan(ctx, to)
		if err == nil && todo.done() {
			return nil
		}
		if s, err = a.dir.Begin(a.live.ID()); err == nil {
			break
		}
		if !errors.Is(err, ErrBusy) || time.Now().After(until) {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond): // another node may be writing the same
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.step = a.step
	err := a.write(ctx, s, to)
	if err != nil {
		err = fmt.Errorf("archive up to revision %d: %w", to, err)
	}
	return errors.Join(err, s.End())
}

// work is what lacks of the live log in the archive.
type work struct {
	ranges []Range             // of history, ascending
	states []eventlog.Revision // at which no state is, ascending
}

func (w *work) done() bool { return len(w.ranges) == 0 && len(w.states) == 0 }

// plan finds what lacks up to a revision, from the top downwards: each file of the
// archive that ends within the live log is held against it.
func (a *Archivist) plan(ctx context.Context, to eventlog.Revision) (work, error) {
	var w work
	low, err := a.live.Low(ctx)
	if err != nil {
		return w, err
	}
	files, _, err := a.dir.list()
	if err != nil {
		return w, err
	}
	maps.DeleteFunc(a.proven, func(f *file, _ bool) bool { return !slices.Contains(files, f) })
	s := a.dir.sorted(files, a.live.ID())
	hasState := func(r eventlog.Revision, hash string) bool {
		return r == 0 || slices.ContainsFunc(s.states, func(f *file) bool { return f.state.Revision == r && f.state.Hash == hash })
	}
	at := to // nothing is known to lack above
	for _, f := range slices.Backward(s.histories) {
		h := f.history
		if at < low || h.Last < low {
			break
		}
		if h.First > at {
			continue
		}
		if ours, err := a.ours(ctx, f); err != nil {
			return w, err
		} else if !ours {
			continue // of a history that the log left
		}
		if h.Last < at {
			w.ranges = append(w.ranges, Range{After: h.Last, To: at})
		}
		if !hasState(h.Last, h.Hash) {
			w.states = append(w.states, h.Last)
		}
		at = h.First - 1
	}
	if at >= low {
		w.ranges = append(w.ranges, Range{After: low - 1, To: at})
		at = low - 1
	}
	if at+1 == low && low > 1 {
		// Without it nothing can be rebuilt of what the live log begins with.
		top, err := before(ctx, a.live, low)
		if err != nil {
			return w, err
		}
		if !hasState(top.revision, hashText(top.hash)) {
			w.states = append(w.states, top.revision)
		}
	}
	slices.Reverse(w.ranges)
	slices.Sort(w.states)
	return w, nil
}

// ours says whether a file's end, a revision that the live log holds, lies on it.
func (a *Archivist) ours(ctx context.Context, f *file) (bool, error) {
	if a.proven[f] {
		return true, nil
	}
	found := false
	err := a.live.Read(ctx, f.history.Last-1, func(b *eventlog.Batch) error {
		found = b.Last() == f.history.Last && b.Hash == f.history.hash
		return errFull
	})
	if err != nil && !errors.Is(err, errFull) {
		return false, err
	}
	if found {
		a.proven[f] = true
	}
	return found, nil
}

// write writes what lacks.
func (a *Archivist) write(ctx context.Context, s *Session, to eventlog.Revision) error {
	list, err := a.live.Snapshots(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(x, y eventlog.SnapshotInfo) int { return int(int64(x.Revision) - int64(y.Revision)) })
	w, err := a.plan(ctx, to)
	if err != nil {
		return err
	}
	for _, r := range w.ranges {
		for after := r.After; after < r.To; {
			end := r.To
			for _, p := range list { // files end where snapshots are
				if p.Revision > after {
					end = min(end, p.Revision)
					break
				}
			}
			_, x, err := s.History(a.live.ID(), Tip{}, func(out io.Writer) error {
				_, _, err := Write(ctx, out, a.live, Range{After: after, To: end, Bytes: a.FileBytes}, a.made())
				return err
			})
			if err != nil {
				return err
			}
			after = x.Last
		}
	}
	if w, err = a.plan(ctx, to); err != nil {
		return err
	}
	if len(w.ranges) > 0 {
		return fmt.Errorf("%w: the log changed meanwhile", eventlog.ErrUnavailable)
	}
	for _, r := range w.states {
		if err := a.state(ctx, s, list, r); err != nil {
			return fmt.Errorf("the state at revision %d: %w", r, err)
		}
	}
	return nil
}

// state stores the state at a revision: a snapshot's, where there is one.
func (a *Archivist) state(ctx context.Context, s *Session, list []eventlog.SnapshotInfo, r eventlog.Revision) error {
	for _, p := range list {
		if p.Revision != r {
			continue
		}
		err := s.State(a.live.ID(), r, copied(ctx, a.live, p, a.made()))
		if !errors.Is(err, eventlog.ErrNotFound) { // else it was thinned out meanwhile
			return err
		}
	}
	if a.State == nil {
		return nil
	}
	st, err := a.State(ctx, r)
	if err != nil {
		return err
	}
	m := a.made()
	return s.State(a.live.ID(), r, func(w io.Writer) error {
		return backup.Write(w, st, backup.Maker{Node: m.Node, Program: m.Program}, m.Now)
	})
}

func (a *Archivist) made() Maker {
	m := a.maker
	m.Now = time.Now()
	if a.Now != nil {
		m.Now = a.Now()
	}
	return m
}
