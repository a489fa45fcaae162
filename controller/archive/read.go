package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strconv"

	"github.com/klauspost/compress/zstd"

	"dvr/controller/backup"
	"dvr/eventlog"
)

// history is a file of history, its index read and checked. Safe for concurrent use.
type history struct {
	Header
	Index
	prev, hash eventlog.Hash // of header and index
	end        int64         // where the blocks end
}

// openHistory reads header and index of a file of size bytes. The blocks are
// proven when they are read. Errors: ErrDamaged, ErrNewer, ErrForeign, r's own.
func openHistory(r io.ReaderAt, size int64) (*history, error) {
	line, start, err := backup.HeaderLine(r, size)
	switch {
	case errors.Is(err, backup.ErrForeign):
		return nil, fmt.Errorf("%w: no file of dvr's", ErrForeign)
	case errors.Is(err, backup.ErrDamaged):
		return nil, fmt.Errorf("%w: it is cut off", ErrDamaged)
	case err != nil:
		return nil, err
	}
	h := &history{}
	if err := json.Unmarshal(line, &h.Header); err != nil {
		return nil, fmt.Errorf("%w: its first line: %w", ErrDamaged, err)
	}
	if h.Kind != kind {
		return nil, fmt.Errorf("%w: no archive but %q", ErrForeign, h.Kind)
	}
	t, err := readTail(r, size)
	if err != nil {
		return nil, err
	}
	if h.Format > Format {
		return nil, fmt.Errorf("%w: it has format %d, this program reads up to %d", ErrNewer, h.Format, Format)
	}
	at, err := strconv.ParseInt(t.Index, 16, 64)
	length := size - int64(trailerBytes) - at
	if err != nil || at < start || length < backup.FrameBytes || length > maxIndex {
		return nil, fmt.Errorf("%w: its index lies at %s", ErrDamaged, t.Index)
	}
	raw, err := readAt(r, at, length)
	if err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(raw) != indexMagic || int64(binary.LittleEndian.Uint32(raw[4:])) != length-backup.FrameBytes {
		return nil, fmt.Errorf("%w: its index lies at %s", ErrDamaged, t.Index)
	}
	raw = raw[backup.FrameBytes:]
	if sum := sha256.Sum256(raw); fmt.Sprintf("%x", sum) != t.IndexSum {
		return nil, fmt.Errorf("%w: its index is not what was written", ErrDamaged)
	}
	if err := json.Unmarshal(raw, &h.Index); err != nil {
		return nil, fmt.Errorf("%w: its index: %w", ErrDamaged, err)
	}
	h.end = at
	return h, h.check(start)
}

// check holds what header and index say against each other.
func (h *history) check(start int64) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: its index: %s", ErrDamaged, fmt.Sprintf(format, args...))
	}
	var err error
	if h.prev, err = parseHash(h.Prev); err != nil {
		return err
	}
	if h.hash, err = parseHash(h.Hash); err != nil {
		return err
	}
	switch {
	case len(h.Blocks) == 0:
		return bad("no block")
	case h.First == 0 || h.Blocks[0].First != h.First || h.Blocks[0].Prev != h.Prev:
		return bad("it begins with revision %d, the header says %d", h.Blocks[0].First, h.First)
	case h.Last < h.Blocks[len(h.Blocks)-1].First || int(h.Last-h.First) != h.Commits-1:
		return bad("revisions %d to %d in %d commits", h.First, h.Last, h.Commits)
	}
	within := func(e extent) bool {
		return e.At >= start && e.Length > 0 && e.Bytes > 0 && e.Length <= h.end-start && e.At <= h.end-e.Length
	}
	for i, b := range h.Blocks {
		if !within(b.extent) || b.Bytes > maxBlock || b.Length > maxBlock || i > 0 && b.First <= h.Blocks[i-1].First {
			return bad("block %d", i)
		}
		if _, err := parseHash(b.Prev); err != nil {
			return bad("block %d: %v", i, err)
		}
	}
	for i, s := range h.Stages {
		if !within(s.extent) {
			return bad("stage %d", i)
		}
	}
	return nil
}

func readTail(r io.ReaderAt, size int64) (t tail, err error) {
	cut := fmt.Errorf("%w: its end is missing: it was cut off after %d bytes, or damaged there", ErrDamaged, size)
	if size < int64(trailerBytes) {
		return t, cut
	}
	raw, err := readAt(r, size-int64(trailerBytes), int64(trailerBytes))
	if err != nil {
		return t, err
	}
	if json.Unmarshal(raw[backup.FrameBytes:], &t) != nil || !bytes.Equal(t.frame(), raw) {
		return t, cut
	}
	return t, nil
}

// readAt reads n bytes; a file that ends before is damaged.
func readAt(r io.ReaderAt, at, n int64) ([]byte, error) {
	b := make([]byte, n)
	got, err := r.ReadAt(b, at)
	switch {
	case int64(got) == n:
		return b, nil
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%w: it ends within the %d bytes from %d on", ErrDamaged, n, at)
	}
	return nil, err
}

// read calls fn with the batches that hold commits after a revision, in order,
// as eventlog.Log.Read does, once their block is proven by the hash chain.
// Errors: ErrDamaged, ErrNewer, r's own, fn's own.
func (h *history) read(r io.ReaderAt, after eventlog.Revision, fn func(*eventlog.Batch) error) error {
	z, err := newDecoder(maxBlock)
	if err != nil {
		return err
	}
	defer z.Close()
	i := sort.Search(len(h.Blocks), func(i int) bool { return h.Blocks[i].First > after+1 })
	for i = max(i-1, 0); i < len(h.Blocks); i++ {
		list, err := h.block(r, z, i)
		if err != nil {
			return fmt.Errorf("the block from revision %d on: %w", h.Blocks[i].First, err)
		}
		for _, b := range list {
			if b.Last() <= after {
				continue
			}
			if err := fn(b); err != nil {
				return err
			}
		}
	}
	return nil
}

func newDecoder(most uint64) (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(most))
}

// block reads a block and proves it.
func (h *history) block(r io.ReaderAt, z *zstd.Decoder, i int) ([]*eventlog.Batch, error) {
	b := &h.Blocks[i]
	raw, err := readAt(r, b.At, b.Length)
	if err != nil {
		return nil, err
	}
	content, err := z.DecodeAll(raw, make([]byte, 0, b.Bytes))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	line, rest, _ := bytes.Cut(content, []byte("\n"))
	var lengths []int
	if err := json.Unmarshal(line, &lengths); err != nil || int64(len(content)) != b.Bytes {
		return nil, fmt.Errorf("%w: it is not what the index says", ErrDamaged)
	}
	next, end := h.Last+1, h.hash
	if i+1 < len(h.Blocks) {
		next = h.Blocks[i+1].First
		end, _ = parseHash(h.Blocks[i+1].Prev) // checked
	}
	tip, _ := parseHash(b.Prev)
	at := b.First
	list := make([]*eventlog.Batch, 0, len(lengths))
	var d eventlog.Decoder
	for _, n := range lengths {
		if n <= 0 || n > len(rest) {
			return nil, fmt.Errorf("%w: its batches are longer than it", ErrDamaged)
		}
		batch, err := d.DecodeBatch(rest[:n:n])
		if errors.Is(err, eventlog.ErrLevel) {
			return nil, fmt.Errorf("%w: %w", ErrNewer, err)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if batch.First() != at || batch.Prev != tip {
			return nil, fmt.Errorf("%w: revision %d does not continue the hash chain", ErrDamaged, batch.First())
		}
		at, tip, rest = batch.Last()+1, batch.Hash, rest[n:]
		list = append(list, batch)
	}
	if at != next || tip != end || len(rest) > 0 {
		return nil, fmt.Errorf("%w: its hash chain does not end where the index says", ErrDamaged)
	}
	return list, nil
}

// holdsEnd says whether a batch ends with revision r and hash there. Cost: a block.
func (h *history) holdsEnd(f io.ReaderAt, r eventlog.Revision, hash eventlog.Hash) (bool, error) {
	if r == h.Last {
		return hash == h.hash, nil
	}
	if r+1 == h.First {
		return hash == h.prev, nil
	}
	if r < h.First || r > h.Last {
		return false, nil
	}
	if i := sort.Search(len(h.Blocks), func(i int) bool { return h.Blocks[i].First > r }); i < len(h.Blocks) && h.Blocks[i].First == r+1 {
		return h.Blocks[i].Prev == hashText(hash), nil
	}
	found := false
	err := h.read(f, r-1, func(b *eventlog.Batch) error {
		found = b.Last() == r && b.Hash == hash
		return errFull
	})
	if errors.Is(err, errFull) {
		err = nil
	}
	return found, err
}

// staged reads the events of a stage. Errors: eventlog.ErrNotFound, ErrDamaged.
func (h *history) staged(r io.ReaderAt, s *eventlog.CommitStaged) ([]eventlog.Event, error) {
	var lines bytes.Buffer
	if err := h.stageParts(r, s, func(part []byte) error {
		lines.Write(part)
		return nil
	}); err != nil {
		return nil, err
	}
	events, err := eventlog.DecodeStage(s, lines.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return events, nil
}

// stageParts gives what is kept of a stage piece by piece. Errors:
// eventlog.ErrNotFound, ErrDamaged, fn's.
func (h *history) stageParts(r io.ReaderAt, s *eventlog.CommitStaged, fn func(part []byte) error) error {
	want := fmt.Sprintf("%x", s.SHA256)
	i := slices.IndexFunc(h.Stages, func(k stage) bool { return k.ID == s.ID && k.SHA256 == want && k.Bytes == s.Bytes })
	if i < 0 {
		return fmt.Errorf("stage %s: %w", s.ID, eventlog.ErrNotFound)
	}
	k := &h.Stages[i]
	z, err := zstd.NewReader(io.NewSectionReader(r, k.At, k.Length), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer z.Close()
	piece := make([]byte, min(k.Bytes+1, eventlog.MaxStagePart))
	for left := k.Bytes + 1; left > 0; { // one more than there are: too many are seen
		n, err := io.ReadFull(z, piece[:min(left, int64(len(piece)))])
		left -= int64(n)
		if n > 0 {
			if err := fn(piece[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("stage %s: %w: %w", s.ID, ErrDamaged, err)
		}
	}
	return nil
}

// verify reads the whole file: checksum, every block, every stage. fn, which may
// be nil, gets the batches, staged commits expanded.
func (h *history) verify(r io.ReaderAt, size int64, fn func(*eventlog.Batch) error) error {
	t, err := readTail(r, size)
	if err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(r, 0, size-int64(trailerBytes))); err != nil {
		return err
	}
	if fmt.Sprintf("%x", sum.Sum(nil)) != t.Sum {
		return fmt.Errorf("%w: its SHA-256 is not the one at its end", ErrDamaged)
	}
	return h.read(r, h.First-1, func(b *eventlog.Batch) error {
		for i := range b.Commits {
			k := &b.Commits[i]
			if len(k.Events) != 1 {
				continue
			}
			s, ok := k.Events[0].(*eventlog.CommitStaged)
			if !ok {
				continue
			}
			events, err := h.staged(r, s)
			if errors.Is(err, eventlog.ErrNotFound) {
				err = fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			if err != nil {
				return fmt.Errorf("revision %d: %w", k.Revision, err)
			}
			k.Events = events
		}
		if fn == nil {
			return nil
		}
		return fn(b)
	})
}
