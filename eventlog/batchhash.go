package eventlog

import (
	"bytes"
	"fmt"
)

// HashBatch computes what Batch.Hash is for a batch in the writer's form
// without reading its events: a proof that stored bytes are the log's at a
// third of DecodeBatch's cost. Where the boundaries of the commits are not seen
// as the writer set them, the hash is another, so equality with a hash that is
// trusted proves the bytes, and inequality proves nothing until DecodeBatch
// has been asked. Errors: ErrCorrupt, ErrLevel.
func HashBatch(raw []byte) (BatchLine, Hash, error) {
	l, rest, err := DecodeBatchLine(raw)
	if err != nil {
		return BatchLine{}, Hash{}, err
	}
	var c chain
	h := l.Prev
	for range l.Commits {
		end := commitEnd(rest)
		if end < 0 {
			return BatchLine{}, Hash{}, fmt.Errorf("%w: the batch is cut off", ErrCorrupt)
		}
		h = c.next(h, rest[:end])
		rest = rest[end:]
	}
	if len(rest) > 0 {
		return BatchLine{}, Hash{}, fmt.Errorf("%w: the batch has bytes after its last commit", ErrCorrupt)
	}
	return l, h, nil
}

// HashAt is h(r), the chain hash of commit r within a stored batch, computed
// from its bytes: whether a state that stands in the middle of the batch belongs
// to it. r may be the revision before the batch's first, whose hash the batch
// line has. Cost: that of DecodeBatch up to r. Errors: ErrNotFound (the batch
// does not hold r), ErrCorrupt, ErrLevel.
func HashAt(raw []byte, r Revision) (Hash, error) {
	d := Decoder{single: true}
	d.s.reset(raw)
	l := d.batchLine()
	if err := d.lineError(); err != nil {
		return Hash{}, fmt.Errorf("hash of revision %d: %w", r, err)
	}
	if r+1 < l.First || r > l.Last {
		return Hash{}, fmt.Errorf("hash of revision %d: %w: the batch has %d to %d", r, ErrNotFound, l.First, l.Last)
	}
	h := l.Prev
	for at := l.First; at <= r; at++ {
		var c Commit
		start := d.s.i
		d.commit(&c)
		if d.s.err == nil && c.Revision != at {
			d.s.fail("revision", "is not the next one")
		}
		if err := d.lineError(); err != nil {
			return Hash{}, fmt.Errorf("hash of revision %d: commit %d: %w", r, at, err)
		}
		h = d.chain.next(h, raw[start:d.s.i])
	}
	return h, nil
}

// EachCommit calls fn with every commit of a stored batch, in order, as a batch
// of its own by the given name: its batch line, with h(revision − 1), and its
// bytes as they are stored; and with h(revision). single is valid only during the
// call. Cost: that of DecodeBatch. Errors: ErrCorrupt, ErrLevel, fn's.
func EachCommit(raw []byte, by string, fn func(r Revision, single []byte, hash Hash) error) error {
	d := Decoder{single: true}
	d.s.reset(raw)
	l := d.batchLine()
	h := l.Prev
	var single []byte
	for at := l.First; d.s.err == nil && at <= l.Last; at++ {
		var c Commit
		start := d.s.i
		d.commit(&c)
		if d.s.err == nil && c.Revision != at {
			d.s.fail("revision", "is not the next one")
		}
		if d.s.err != nil {
			break
		}
		single = append(AppendBatchLine(single[:0], l.Epoch, at, at, 1, by, h), raw[start:d.s.i]...)
		h = d.chain.next(h, raw[start:d.s.i])
		if err := fn(at, single, h); err != nil {
			return err
		}
	}
	if err := d.lineError(); err != nil {
		return fmt.Errorf("commits of a batch: %w", err)
	}
	return nil
}

// commitEnd is the length of the commit that b begins with; −1: b is too short.
func commitEnd(b []byte) int {
	end := bytes.IndexByte(b, '\n') + 1
	if end == 0 {
		return -1
	}
	// Quotes within strings are escaped, so this is found as a member only; the
	// event of the line, which may hold anything, comes after it.
	const member = `,"n":`
	i := bytes.Index(b[:end], []byte(member))
	if i < 0 {
		return end
	}
	n := 0
	for i += len(member); b[i] >= '0' && b[i] <= '9' && n <= MaxCommitEvents; i++ {
		n = 10*n + int(b[i]-'0')
	}
	if n < 2 {
		return end
	}
	for range n {
		line := bytes.IndexByte(b[end:], '\n') + 1
		if line == 0 {
			return -1
		}
		end += line
	}
	return end
}
