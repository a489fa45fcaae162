package eventlog

import (
	"errors"
	"fmt"
)

// ErrBatchFull: the commit fits no more into the batch being built; it is the
// first of the next one. Where the batch is empty, the commit is too large for
// any batch and must be staged.
var ErrBatchFull = errors.New("the batch is full")

// BatchBuilder collects commits into the bytes of one batch, computes their
// hash chain and enforces the limits of the format. The batch line, which
// counts the commits, is written into room kept before them, so that nothing
// is copied. Not safe for concurrent use; reuse it with Reset.
type BatchBuilder struct {
	buf   []byte // room, then the commits
	prev  Head
	next  Head
	by    string
	room  int
	first Revision
	n     int
	epoch uint64
	time  int64
	chain chain
}

// maxBatchLine is the length of the longest batch line but for `by`.
const maxBatchLine = len(`{"format":1,"epoch":,"first":,"last":,"commits":,"by":"","prev":""}`+"\n") + 4*20 + 64

// NewBatchBuilder starts a batch on top of prev, written by the named node.
func NewBatchBuilder(prev Head, by string) *BatchBuilder {
	b := new(BatchBuilder)
	b.Reset(prev, by)
	return b
}

// Reset starts the next batch. The bytes that Finish returned are overwritten.
func (b *BatchBuilder) Reset(prev Head, by string) {
	b.room = maxBatchLine + 6*len(by)
	if cap(b.buf) < b.room {
		b.buf = make([]byte, b.room, b.room+4096)
	}
	b.buf = b.buf[:b.room]
	b.prev, b.next, b.by = prev, prev, by
	b.next.Guard = 0
	b.first, b.n, b.epoch, b.time = prev.Revision+1, 0, prev.Epoch, 0
}

// Next is the revision that the next commit gets.
func (b *BatchBuilder) Next() Revision { return b.next.Revision + 1 }

// Len is the number of commits collected.
func (b *BatchBuilder) Len() int { return b.n }

// Bytes is the size of the batch so far, the room for its line included.
func (b *BatchBuilder) Bytes() int { return len(b.buf) }

// Head is the head that the batch leaves behind as it stands, Guard zero.
func (b *BatchBuilder) Head() Head { return b.next }

// Add appends c, which must be well formed, after giving it its Revision and
// Epoch. Nothing changes when it fails. Errors: ErrBatchFull; a *FieldError
// for a time before the last commit's and for an epoch.started that is not
// the batch's first commit.
func (b *BatchBuilder) Add(c *Commit) error { return b.add(c, nil, false) }

// AddEncoded is Add with the bytes that AppendEvent made of each of c.Events.
func (b *BatchBuilder) AddEncoded(c *Commit, events [][]byte) error {
	if len(events) != len(c.Events) {
		return &FieldError{Field: "events", Reason: fmt.Sprintf("has %d elements but %d encoded ones", len(c.Events), len(events))}
	}
	return b.add(c, events, true)
}

func (b *BatchBuilder) add(c *Commit, encoded [][]byte, isEncoded bool) error {
	next := b.next
	next.Revision++
	clock := false
	for _, e := range c.Events {
		switch e := e.(type) {
		case *EpochStarted:
			if b.n > 0 {
				return fmt.Errorf("%w: epoch.started begins a batch", ErrBatchFull)
			}
			if e.Epoch <= b.prev.Epoch {
				return &FieldError{Field: "epoch", Reason: "must be greater than the one in force"}
			}
			next.Epoch, next.Nonce = e.Epoch, e.Nonce
			next.Level = max(next.Level, 1)
			clock = true
		case *LevelRaised:
			next.Level = e.Level
		case *ClockStepped:
			clock = true
		}
	}
	if b.n > 0 && c.Time < b.time && !clock {
		return &FieldError{Field: "time", Reason: "is before that of the commit before"}
	}
	if b.n >= MaxBatchCommits || len(c.Events) > MaxCommitEvents {
		return ErrBatchFull
	}
	revision, epoch := c.Revision, c.Epoch
	c.Revision, c.Epoch = next.Revision, next.Epoch
	start := len(b.buf)
	if isEncoded {
		b.buf = AppendCommitEncoded(b.buf, c, encoded)
	} else {
		b.buf = AppendCommit(b.buf, c)
	}
	size := len(b.buf) - start
	if size > MaxCommitBytes || len(b.buf) > MaxBatchBytes && b.n > 0 {
		b.buf = b.buf[:start]
		c.Revision, c.Epoch = revision, epoch
		return ErrBatchFull
	}
	next.Hash = b.chain.next(b.next.Hash, b.buf[start:])
	b.next, b.time = next, c.Time
	b.n++
	return nil
}

// Finish writes the batch line and returns the bytes of the batch, valid until
// Reset, and the head that it leaves behind, Guard zero. At least one commit
// must have been added.
func (b *BatchBuilder) Finish() (raw []byte, next Head) {
	if b.n == 0 {
		panic("eventlog: BatchBuilder.Finish without a commit")
	}
	var line [512]byte
	l := AppendBatchLine(line[:0], b.next.Epoch, b.first, b.next.Revision, b.n, b.by, b.prev.Hash)
	at := b.room - len(l)
	copy(b.buf[at:], l)
	return b.buf[at:], b.next
}
