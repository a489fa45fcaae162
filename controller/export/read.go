package export

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"dvr/eventlog"
)

// Link is what binds a commit: who reads an export holds it against a log.
type Link struct {
	Epoch uint64
	Hash  eventlog.Hash // h(revision)
}

// Export is a file that was read whole: every commit is bound to the one before.
type Export struct {
	Header
	Prev   eventlog.Hash // h(first−1)
	Links  []Link        // of first to last
	Events int64
	Begin  int64 // log time of the first commit, Unix milliseconds
	End    int64 // of the last
}

// Hash is h(r), r from first−1 to last.
func (x *Export) Hash(r eventlog.Revision) eventlog.Hash {
	if r+1 == x.First {
		return x.Prev
	}
	return x.Links[r-x.First].Hash
}

// maxLine bounds a line: a commit is no larger.
const maxLine = eventlog.MaxCommitBytes + 1<<10

// Read reads and checks an export: form, density, the hash chain, what staged
// commits stand for, and the sum over all. What is in it is the log's only where
// its chain is: that its reader compares. Errors: ErrForeign, ErrNewer,
// ErrDamaged, ErrIncomplete, ErrDisorder, each with the revision; r's own. Memory:
// a commit, and 40 bytes for each. Cost: 20 ms a MiB.
func Read(r io.Reader) (*Export, error) {
	in := reader{in: bufio.NewReaderSize(r, 64<<10), sum: sha256.New()}
	line, err := in.line()
	if errors.Is(err, io.EOF) || errors.Is(err, ErrIncomplete) || errors.Is(err, ErrDamaged) {
		return nil, ErrForeign
	}
	if err != nil {
		return nil, err
	}
	x := &Export{}
	if x.Header, err = parseHeader(line); err != nil {
		return nil, err
	}
	in.sum.Write(line)
	for next := x.First; next <= x.Last; next++ {
		if err := in.commit(x, next); err != nil {
			return nil, err
		}
	}
	return x, in.end(x)
}

type reader struct {
	in      *bufio.Reader
	sum     hash.Hash // of all that was taken in
	last    []byte
	decoder eventlog.Decoder
	batch   []byte
}

// line reads one, newline included, valid until the next. Errors: io.EOF, r's
// own; ErrIncomplete where it has no end, ErrDamaged where it is too long.
func (r *reader) line() ([]byte, error) {
	r.last = r.last[:0]
	for {
		part, err := r.in.ReadSlice('\n')
		r.last = append(r.last, part...)
		switch {
		case len(r.last) > maxLine:
			return nil, fmt.Errorf("%w: a line has more than %d bytes", ErrDamaged, maxLine)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(r.last) > 0:
			return nil, fmt.Errorf("%w: it is cut off within a line", ErrIncomplete)
		case err != nil:
			return nil, err
		}
		return r.last, nil
	}
}

// counted is what of a commit line says how many lines follow.
type counted struct{ N int }

// commit reads the one that is to be revision r.
func (in *reader) commit(x *Export, r eventlog.Revision) error {
	cut := func(err error) error {
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: it ends before revision %d of %d", ErrIncomplete, r, x.Last)
		}
		return fmt.Errorf("revision %d: %w", r, err)
	}
	damaged := func(err error) error {
		if errors.Is(err, eventlog.ErrLevel) { // the first line has said that it is of no newer one
			return fmt.Errorf("revision %d: %w: its lines are not those of a commit", r, ErrDamaged)
		}
		return fmt.Errorf("revision %d: %w: %w", r, ErrDamaged, err)
	}
	line, err := in.line()
	if err != nil {
		return cut(err)
	}
	if isTrailer(line) {
		return fmt.Errorf("%w: revisions %d to %d are missing", ErrIncomplete, r, x.Last)
	}
	head, _, err := eventlog.DecodeBatchLine(line)
	if err != nil {
		return damaged(err)
	}
	if head.First != r {
		return in.displaced(r, head.First)
	}
	prev := x.Prev
	if r > x.First {
		prev = x.Links[r-x.First-1].Hash
	}
	if r > x.First && head.Prev != prev {
		return fmt.Errorf("%w: revision %d, or the one before it, is not what the hash chain says", ErrDamaged, r)
	}
	in.batch = append(in.batch[:0], line...)
	if line, err = in.line(); err != nil {
		return cut(err)
	}
	var n counted
	if err := json.Unmarshal(line, &n); err != nil || n.N < 0 || n.N > eventlog.MaxCommitEvents {
		return fmt.Errorf("revision %d: %w: its commit line", r, ErrDamaged)
	}
	in.batch = append(in.batch, line...)
	if n.N == 1 {
		n.N = 0 // it is in the commit's own line
	}
	for range n.N {
		if line, err = in.line(); err != nil {
			return cut(err)
		}
		if in.batch = append(in.batch, line...); len(in.batch) > maxLine {
			return fmt.Errorf("revision %d: %w: it is larger than a commit is", r, ErrDamaged)
		}
	}
	b, err := in.decoder.DecodeBatch(in.batch)
	if err != nil {
		return damaged(err)
	}
	if string(eventlog.AppendBatchLine(nil, b.Epoch, r, r, 1, by, b.Prev)) != string(in.batch[:bytes.IndexByte(in.batch, '\n')+1]) {
		return fmt.Errorf("revision %d: %w: its batch line", r, ErrDamaged)
	}
	in.sum.Write(in.batch)
	c := &b.Commits[0]
	if r == x.First {
		x.Prev, x.Begin = b.Prev, c.Time
	}
	x.End = c.Time
	x.Links = append(x.Links, Link{b.Epoch, b.Hash})
	s := stageOf(c)
	if s == nil {
		x.Events += int64(len(c.Events))
		return nil
	}
	x.Events += int64(s.Events)
	return in.stage(r, s, cut)
}

// stage reads the event lines that a staged commit stands for.
func (in *reader) stage(r eventlog.Revision, s *eventlog.CommitStaged, cut func(error) error) error {
	sum, size := sha256.New(), int64(0)
	for range s.Events {
		line, err := in.line()
		if err != nil {
			return cut(err)
		}
		sum.Write(line)
		in.sum.Write(line)
		size += int64(len(line))
	}
	if size != s.Bytes || !bytes.Equal(sum.Sum(nil), s.SHA256[:]) {
		return fmt.Errorf("revision %d: %w: its %d events are not what was staged", r, ErrDamaged, s.Events)
	}
	return nil
}

// displaced says what it means that revision got stands where want belongs:
// whether want comes later, or is missing.
func (in *reader) displaced(want, got eventlog.Revision) error {
	if got < want {
		return fmt.Errorf("%w: revision %d comes after %d", ErrDisorder, got, want-1)
	}
	for {
		line, err := in.line()
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, ErrIncomplete) {
				return fmt.Errorf("%w: revision %d is missing: %d follows %d", ErrIncomplete, want, got, want-1)
			}
			return err
		}
		if l, _, err := eventlog.DecodeBatchLine(line); err == nil && l.First == want {
			return fmt.Errorf("%w: revision %d comes before %d", ErrDisorder, got, want)
		}
	}
}

// isTrailer says whether a line is one that ends an export.
func isTrailer(line []byte) bool {
	var t trailer
	return json.Unmarshal(line, &t) == nil && t.Hash != "" && t.SHA256 != ""
}

// end reads what ends the file.
func (in *reader) end(x *Export) error {
	line, err := in.line()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, ErrIncomplete):
		return fmt.Errorf("%w: its last line is missing", ErrIncomplete)
	case err != nil:
		return err
	}
	if l, _, err := eventlog.DecodeBatchLine(line); err == nil {
		return fmt.Errorf("%w: revision %d comes after the last, %d", ErrDisorder, l.First, x.Last)
	}
	want := trailerLine(x.Links[len(x.Links)-1].Hash, in.sum.Sum(nil))
	if !bytes.Equal(line, want) {
		return fmt.Errorf("%w: revision %d, or the last line, is not what the hash chain says", ErrDamaged, x.Last)
	}
	if _, err := in.line(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it goes on behind its last line", ErrDamaged)
	}
	return nil
}
