package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"dvr/controller/backup"
	"dvr/eventlog"
)

// Source is the log that is archived: eventlog.Log, or a Log over archives.
type Source interface {
	Read(ctx context.Context, after eventlog.Revision, fn func(*eventlog.Batch) error) error
	Staged(ctx context.Context, s *eventlog.CommitStaged) ([]eventlog.Event, error)
}

// Range is what one file is to hold.
type Range struct {
	After eventlog.Revision // the first batch is the one that holds the commit after it
	To    eventlog.Revision // the last is the one that holds it; 0: the log's newest
	Bytes int64             // the file ends with the batch that comes to so many, before compression; 0: FileBytes
}

// FileBytes is how much history a file holds, before compression: few enough to
// fold in some tenths of a second, so that every state is near.
const FileBytes = 64 << 20

// Maker is who makes a file, and when.
type Maker struct {
	LogID         string
	Node, Program string // may be empty
	Now           time.Time
}

var errFull = errors.New("the range is written")

// Write writes a file of history, and gives what it holds. Where there is
// nothing to write, w has got nothing. Errors: ErrNothing, the log's, w's.
// Memory: a block and the events of one staged commit. Cost: 10 ms a MiB of log.
func Write(ctx context.Context, w io.Writer, log Source, r Range, m Maker) (Header, Index, error) {
	f := writer{ctx: ctx, out: w, log: log, sum: sha256.New(), header: Header{
		Kind: kind, Format: Format, LogID: m.LogID, Made: m.Now.UnixMilli(), Node: m.Node, Program: m.Program,
	}}
	if r.Bytes <= 0 {
		r.Bytes = FileBytes
	}
	err := f.write(r)
	if err != nil {
		err = fmt.Errorf("archive the commits after revision %d: %w", r.After, err)
	}
	return f.header, f.index, err
}

type writer struct {
	ctx     context.Context
	out     io.Writer
	log     Source
	sum     hash.Hash
	at      int64
	zstd    *zstd.Encoder
	header  Header
	index   Index
	hash    eventlog.Hash // h(last)
	lengths []int         // of the batches in block
	block   []byte
	from    block // the block that is gathered
}

func (f *writer) write(r Range) (err error) {
	// One frame each, so that a reader needs none of the others; CRCs are the default.
	if f.zstd, err = zstd.NewWriter(io.Discard, zstd.WithEncoderConcurrency(1)); err != nil {
		return err
	}
	defer f.zstd.Close()
	err = f.log.Read(f.ctx, r.After, func(b *eventlog.Batch) error {
		if r.To > 0 && b.First() > r.To {
			return errFull
		}
		if err := f.batch(b); err != nil {
			return err
		}
		if r.To > 0 && b.Last() >= r.To || f.index.Bytes >= r.Bytes {
			return errFull
		}
		return f.ctx.Err()
	})
	if err != nil && !errors.Is(err, errFull) {
		return err
	}
	if f.index.Batches == 0 {
		return ErrNothing
	}
	return f.finish()
}

func (f *writer) put(b []byte) error {
	f.sum.Write(b)
	f.at += int64(len(b))
	_, err := f.out.Write(b)
	return err
}

func (f *writer) batch(b *eventlog.Batch) error {
	switch {
	case f.index.Batches == 0:
		f.header.First, f.header.Epoch, f.header.Prev = b.First(), b.Epoch, hashText(b.Prev)
		f.index.Begin = b.Commits[0].Time
		line, err := json.Marshal(f.header)
		if err != nil {
			return err
		}
		if err := f.put(backup.Frame(backup.HeaderMagic, append(line, '\n'))); err != nil {
			return err
		}
	case b.First() != f.index.Last+1:
		return fmt.Errorf("revision %d after %d: %w", b.First(), f.index.Last, eventlog.ErrHole)
	case b.Prev != f.hash:
		return fmt.Errorf("revision %d does not continue the hash chain: %w", b.First(), eventlog.ErrCorrupt)
	}
	for i := range b.Commits {
		if events := b.Commits[i].Events; len(events) == 1 {
			if s, ok := events[0].(*eventlog.CommitStaged); ok {
				if err := f.flush(); err != nil {
					return err
				}
				if err := f.stage(s); err != nil {
					return fmt.Errorf("staged commit %d: %w", b.Commits[i].Revision, err)
				}
			}
		}
	}
	if len(f.block) > 0 && len(f.block)+len(b.Raw) > blockBytes {
		if err := f.flush(); err != nil {
			return err
		}
	}
	if len(f.block) == 0 {
		f.from = block{First: b.First(), Prev: hashText(b.Prev)}
	}
	f.block = append(f.block, b.Raw...)
	f.lengths = append(f.lengths, len(b.Raw))
	f.hash = b.Hash
	x := &f.index
	x.Last, x.LastEpoch, x.Hash, x.End = b.Last(), b.Epoch, hashText(b.Hash), b.Commits[len(b.Commits)-1].Time
	x.Batches++
	x.Commits += len(b.Commits)
	x.Bytes += int64(len(b.Raw))
	return nil
}

// flush writes the block that was gathered as a frame.
func (f *writer) flush() error {
	if len(f.block) == 0 {
		return nil
	}
	line, err := json.Marshal(f.lengths)
	if err != nil {
		return err
	}
	from, at := f.from, f.at
	compressed := f.zstd.EncodeAll(append(append(line, '\n'), f.block...), nil)
	if err := f.put(compressed); err != nil {
		return err
	}
	from.extent = extent{At: at, Length: f.at - at, Bytes: int64(len(line) + 1 + len(f.block))}
	f.index.Blocks = append(f.index.Blocks, from)
	f.block, f.lengths = f.block[:0], f.lengths[:0]
	return nil
}

// stage writes the event lines of a staged commit as a frame.
func (f *writer) stage(s *eventlog.CommitStaged) error {
	events, err := eventlog.StagedIn(f.ctx, f.log, s)
	if err != nil {
		return err
	}
	at := f.at
	f.zstd.Reset(putter{f})
	sum := sha256.New()
	out := io.MultiWriter(f.zstd, sum)
	var line []byte
	n := int64(0)
	for _, e := range events {
		line = append(eventlog.AppendEvent(line[:0], e), '\n')
		n += int64(len(line))
		if _, err := out.Write(line); err != nil {
			return err
		}
	}
	if err := f.zstd.Close(); err != nil {
		return err
	}
	if n != s.Bytes || !bytes.Equal(sum.Sum(nil), s.SHA256[:]) {
		return fmt.Errorf("stage %s: %w: written again its lines are others", s.ID, eventlog.ErrCorrupt)
	}
	f.index.Bytes += n
	f.index.Stages = append(f.index.Stages, stage{ID: s.ID, extent: extent{At: at, Length: f.at - at, Bytes: n}, SHA256: fmt.Sprintf("%x", s.SHA256)})
	return nil
}

type putter struct{ f *writer }

func (p putter) Write(b []byte) (int, error) { return len(b), p.f.put(b) }

func (f *writer) finish() error {
	if err := f.flush(); err != nil {
		return err
	}
	line, err := json.Marshal(f.index)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	t := tail{Index: fmt.Sprintf("%016x", f.at), IndexSum: fmt.Sprintf("%x", sha256.Sum256(line))}
	if err := f.put(backup.Frame(indexMagic, line)); err != nil {
		return err
	}
	t.Sum = fmt.Sprintf("%x", f.sum.Sum(nil))
	_, err = f.out.Write(t.frame())
	return err
}
