package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"dvr/controller/backup"
	"dvr/eventlog"
)

// Live is the log that archives lie under: eventlog.Log, as far as it is needed.
type Live interface {
	ID() string
	Read(ctx context.Context, after eventlog.Revision, fn func(*eventlog.Batch) error) error
	Low(ctx context.Context) (eventlog.Revision, error)
	Staged(ctx context.Context, s *eventlog.CommitStaged) ([]eventlog.Event, error)
	StageParts(ctx context.Context, s *eventlog.CommitStaged, fn func(part []byte) error) error
	Snapshots(ctx context.Context) ([]eventlog.SnapshotInfo, error)
	OpenSnapshot(ctx context.Context, info eventlog.SnapshotInfo) (io.ReadCloser, error)
}

// Log is the live log with an archive under it: it begins where the archive's
// part of the live log's history does. Safe for concurrent use.
type Log struct {
	live Live
	dir  *Directory

	mu    sync.Mutex
	chain *chain // below the live log
	from  eventlog.Revision
	known int
	fault error
}

// NewLog lays the archive under the live log.
func NewLog(live Live, dir *Directory) *Log { return &Log{live: live, dir: dir} }

// below gives the chain that ends where the live log begins; nil: the live log
// holds everything, or the archive cannot be read (Beyond tells).
// Cost: two looks at the file system, where nothing has changed.
func (l *Log) below(ctx context.Context, low eventlog.Revision) (*chain, error) {
	if low <= 1 {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	files, generation, err := l.dir.list()
	if l.fault = err; err != nil {
		return nil, nil
	}
	if l.chain != nil && l.from == low && l.known == generation {
		return l.chain, nil
	}
	top, err := before(ctx, l.live, low)
	if err != nil {
		return nil, err
	}
	s := l.dir.sorted(files, l.live.ID())
	c, err := l.dir.follow(&s, l.live.ID(), top)
	if l.fault = err; err != nil {
		return nil, nil
	}
	l.chain, l.from, l.known = c, low, generation
	return c, nil
}

// before is the link that the live log begins after.
func before(ctx context.Context, live Live, low eventlog.Revision) (link, error) {
	at := link{revision: low - 1}
	list, err := live.Snapshots(ctx)
	if err != nil {
		return at, err
	}
	for _, s := range list {
		if s.Revision == at.revision && s.LogID == live.ID() {
			at.hash, err = parseHash(s.Hash)
			return at, err
		}
	}
	err = live.Read(ctx, low-1, func(b *eventlog.Batch) error {
		if at.hash = b.Prev; b.First() != low {
			var err error
			if at.hash, err = eventlog.HashAt(b.Raw, low-1); err != nil {
				return err
			}
		}
		return errFull
	})
	if !errors.Is(err, errFull) {
		return at, errors.Join(err, fmt.Errorf("hash of revision %d: %w", low-1, eventlog.ErrNotFound))
	}
	return at, nil
}

// ID is the log's.
func (l *Log) ID() string { return l.live.ID() }

// Low is the oldest revision that can be read.
func (l *Log) Low(ctx context.Context) (eventlog.Revision, error) {
	low, err := l.live.Low(ctx)
	if err != nil {
		return 0, err
	}
	c, err := l.below(ctx, low)
	if c == nil || err != nil {
		return low, err
	}
	return c.low.revision + 1, nil
}

// Beyond says why nothing before Low can be read; empty: there is nothing, or it
// is not known to be missing. Cost: none.
func (l *Log) Beyond() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.fault != nil:
		return fmt.Sprintf("the archive cannot be read: %v", l.fault)
	case l.chain != nil && l.chain.why != "":
		return "archive: " + l.chain.why
	}
	return ""
}

// Read is eventlog.Log's. Where a file of the archive turns out to be damaged the
// error is ErrTruncated with the cause, and history begins after it from then on.
func (l *Log) Read(ctx context.Context, after eventlog.Revision, fn func(*eventlog.Batch) error) error {
	return l.read(ctx, after, l.live.Read, fn)
}

// ReadSome is Read where what skip is true for (eventlog.Decoder.Skip) may be left out:
// the live log does, where it can; files are read as they are.
func (l *Log) ReadSome(ctx context.Context, after eventlog.Revision, skip func(line []byte) bool, fn func(*eventlog.Batch) error) error {
	live := l.live.Read
	if some, ok := l.live.(eventlog.Searcher); ok {
		live = func(ctx context.Context, after eventlog.Revision, fn func(*eventlog.Batch) error) error {
			return some.ReadSome(ctx, after, skip, fn)
		}
	}
	return l.read(ctx, after, live, fn)
}

// reading is Read's form.
type reading func(ctx context.Context, after eventlog.Revision, fn func(*eventlog.Batch) error) error

func (l *Log) read(ctx context.Context, after eventlog.Revision, live reading, fn func(*eventlog.Batch) error) error {
	for {
		low, err := l.live.Low(ctx)
		if err != nil {
			return err
		}
		if after+1 >= low {
			began := false
			err := live(ctx, after, func(b *eventlog.Batch) error {
				began = true
				return fn(b)
			})
			if now, again := l.live.Low(ctx); errors.Is(err, eventlog.ErrTruncated) && !began && again == nil && now > low {
				continue // it went into the archive meanwhile
			}
			return err
		}
		c, err := l.below(ctx, low)
		if err != nil {
			return err
		}
		if c == nil || after < c.low.revision {
			return fmt.Errorf("read after revision %d: %w", after, eventlog.ErrTruncated)
		}
		for _, p := range c.pieces[c.at(after+1):] {
			if after, err = l.piece(ctx, p, after, fn); err != nil {
				return err
			}
		}
		if after < c.top.revision {
			return fmt.Errorf("read after revision %d: %w", after, eventlog.ErrHole)
		}
	}
}

// errEnd: the file holds more, of another history or of what the next one holds.
var errEnd = errors.New("the piece ends")

// piece reads one file up to where it belongs to the chain.
func (l *Log) piece(ctx context.Context, p piece, after eventlog.Revision, fn func(*eventlog.Batch) error) (eventlog.Revision, error) {
	in, err := l.dir.open(p.file)
	if err != nil {
		return after, l.out(p.file, err)
	}
	defer in.Close()
	var given error
	err = p.history.read(in, after, func(b *eventlog.Batch) error {
		if given = ctx.Err(); given == nil && b.First() > p.upTo {
			given = errEnd
		}
		if given == nil {
			given = fn(b)
		}
		if given == nil {
			after = b.Last()
		}
		return given
	})
	switch {
	case errors.Is(given, errEnd):
		return after, nil
	case given != nil:
		return after, given
	case err != nil:
		return after, l.out(p.file, err)
	}
	return after, nil
}

// out takes a file that cannot be read out of use, and says so.
func (l *Log) out(f *file, err error) error {
	if unusable(err) || errors.Is(err, fs.ErrNotExist) {
		l.dir.condemn(f, err)
		return fmt.Errorf("%w: archive: %s: %w", eventlog.ErrTruncated, f.name, err)
	}
	return fmt.Errorf("%w: archive: %s: %w", eventlog.ErrUnavailable, f.name, err)
}

// Staged is eventlog.Log's.
func (l *Log) Staged(ctx context.Context, s *eventlog.CommitStaged) ([]eventlog.Event, error) {
	events, err := l.live.Staged(ctx, s)
	if !errors.Is(err, eventlog.ErrNotFound) && !errors.Is(err, eventlog.ErrCorrupt) {
		return events, err
	}
	if reading := l.kept(ctx, s, func(h *history, in io.ReaderAt) (err error) {
		events, err = h.staged(in, s)
		return err
	}); !errors.Is(reading, eventlog.ErrNotFound) {
		return events, reading
	}
	return nil, err
}

// StageParts is eventlog.Log's. Nothing was given of a stage that the live log
// no longer has when it is looked for here: its first part is missing.
func (l *Log) StageParts(ctx context.Context, s *eventlog.CommitStaged, fn func(part []byte) error) error {
	given := false
	give := func(part []byte) error {
		given = true
		return fn(part)
	}
	err := l.live.StageParts(ctx, s, give)
	if given || !errors.Is(err, eventlog.ErrNotFound) {
		return err
	}
	var failed error
	if reading := l.kept(ctx, s, func(h *history, in io.ReaderAt) error {
		return h.stageParts(in, s, func(part []byte) error {
			failed = give(part)
			return failed
		})
	}); failed == nil && !errors.Is(reading, eventlog.ErrNotFound) {
		return reading
	}
	return cmp.Or(failed, err)
}

// kept has read called with the files that hold the stage until one gives it.
// Errors: eventlog.ErrNotFound where none does; what out makes of read's.
func (l *Log) kept(ctx context.Context, s *eventlog.CommitStaged, read func(h *history, in io.ReaderAt) error) error {
	missing := fmt.Errorf("stage %s: %w", s.ID, eventlog.ErrNotFound)
	low, err := l.live.Low(ctx)
	if err != nil {
		return missing
	}
	c, err := l.below(ctx, low)
	if c == nil || err != nil {
		return missing
	}
	for _, p := range c.pieces {
		if !slices.ContainsFunc(p.history.Stages, func(k stage) bool { return k.ID == s.ID }) {
			continue
		}
		in, err := l.dir.open(p.file)
		if err != nil {
			return l.out(p.file, err)
		}
		reading := read(p.history, in)
		in.Close()
		switch {
		case reading == nil:
			return nil
		case !errors.Is(reading, eventlog.ErrNotFound):
			return l.out(p.file, reading)
		}
	}
	return missing
}

// MendStage is eventlog.StageMender's.
func (l *Log) MendStage(ctx context.Context, s *eventlog.CommitStaged) error {
	if m, ok := l.live.(eventlog.StageMender); ok {
		return m.MendStage(ctx, s)
	}
	return fmt.Errorf("stage %s: %w", s.ID, eventlog.ErrNotFound)
}

// archived marks the snapshots that lie in the archive.
const archived = "archive/"

// Snapshots is eventlog.Log's: those of the live log and the archive's states.
func (l *Log) Snapshots(ctx context.Context) ([]eventlog.SnapshotInfo, error) {
	list, err := l.live.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	low, err := l.live.Low(ctx)
	if err != nil {
		return nil, err
	}
	c, err := l.below(ctx, low)
	if c == nil || err != nil {
		return list, err
	}
	for _, f := range slices.Backward(c.states) {
		if h := f.state; !slices.ContainsFunc(list, func(s eventlog.SnapshotInfo) bool { return s.Revision == h.Revision }) {
			list = append(list, eventlog.SnapshotInfo{
				Format: eventlog.Format, LogID: h.LogID, Revision: h.Revision, Epoch: h.Epoch, EpochNonce: h.EpochNonce, Hash: h.Hash,
				Level: h.Level, Digest: h.Digest, Time: h.Time, Bytes: f.size, Nonce: archived + f.name,
			})
		}
	}
	return list, nil
}

// OpenSnapshot is eventlog.Log's. A state of the archive is read whole for its
// checksum first; a damaged one is ErrNotFound, and is listed no more.
func (l *Log) OpenSnapshot(ctx context.Context, info eventlog.SnapshotInfo) (io.ReadCloser, error) {
	name, ok := strings.CutPrefix(info.Nonce, archived)
	if !ok {
		return l.live.OpenSnapshot(ctx, info)
	}
	files, _, err := l.dir.list()
	if err != nil {
		return nil, fmt.Errorf("%w: archive: %w", eventlog.ErrUnavailable, err)
	}
	i := slices.IndexFunc(files, func(f *file) bool { return f.name == name && f.state != nil })
	if i < 0 {
		return nil, fmt.Errorf("archive: %s: %w", name, eventlog.ErrNotFound)
	}
	f := files[i]
	in, err := l.dir.open(f)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", eventlog.ErrNotFound, l.out(f, err))
	}
	h, state, err := backup.Open(in, f.size)
	if err == nil && (h.Revision != info.Revision || h.Hash != info.Hash || h.Digest != info.Digest) {
		state.Close()
		err = fmt.Errorf("%w: it is another one now", ErrDamaged)
	}
	if err != nil {
		in.Close()
		if errors.Is(err, backup.ErrDamaged) || errors.Is(err, backup.ErrNewer) || errors.Is(err, backup.ErrForeign) {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return nil, fmt.Errorf("%w: %w", eventlog.ErrNotFound, l.out(f, err))
	}
	return &stateReader{state, in}, nil
}

type stateReader struct {
	io.ReadCloser
	in io.Closer
}

func (r *stateReader) Close() error { return errors.Join(r.ReadCloser.Close(), r.in.Close()) }
