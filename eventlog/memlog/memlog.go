package memlog

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"dvr/eventlog"
)

// Log is a handle on a log in memory. Safe for concurrent use.
type Log struct {
	s      *store
	faults Faults
}

var _ eventlog.Log = (*Log)(nil)

// store is what all handles of one log share.
type store struct {
	id    string
	clock func() int64

	mu      sync.Mutex
	head    eventlog.Head
	batches []stored // in order
	low     eventlog.Revision
	stages  map[string]*stage
	snaps   []snapshot // oldest first
	nonces  uint64
	changed chan struct{} // closed and replaced when head or batches change
}

type stored struct {
	first eventlog.Revision
	head  eventlog.Head // after the batch
	raw   []byte        // immutable
}

// Option configures New.
type Option func(*config)

type config struct {
	clock func() int64
	nonce eventlog.Nonce
	by    string
}

// WithClock replaces the wall clock, in Unix milliseconds, that dates the first
// commit and the stages.
func WithClock(now func() int64) Option { return func(c *config) { c.clock = now } }

// WithNonce sets the nonce of the first epoch; the default is made of the log's id.
func WithNonce(n eventlog.Nonce) Option { return func(c *config) { c.nonce = n } }

// New creates a log that holds revision 1, epoch.started. It panics when logID
// is not one (eventlog.CheckLogID): a mistake of the program.
func New(logID string, options ...Option) *Log {
	if err := eventlog.CheckLogID(logID); err != nil {
		panic("memlog: log id " + err.Error())
	}
	c := config{clock: func() int64 { return time.Now().UnixMilli() }, by: "memlog"}
	h := eventlog.ChainHash(eventlog.Hash{}, []byte(logID))
	copy(c.nonce[:], h[:])
	for _, o := range options {
		o(&c)
	}
	raw, head := eventlog.FirstBatch(logID, c.nonce, c.clock(), c.by)
	head.Guard = 1
	s := &store{
		id: logID, clock: c.clock, head: head, low: 1,
		batches: []stored{{first: 1, head: head, raw: raw}},
		stages:  map[string]*stage{}, changed: make(chan struct{}),
	}
	return &Log{s: s}
}

// Another is a second handle on the same log, with faults of its own.
func (l *Log) Another() *Log { return &Log{s: l.s} }

// ID is the log's id.
func (l *Log) ID() string { return l.s.id }

// Head reads the newest head.
func (l *Log) Head(ctx context.Context) (eventlog.Head, error) {
	if err := l.enter(ctx, "read the head"); err != nil {
		return eventlog.Head{}, err
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return l.s.head, nil
}

// Low is the oldest retained revision.
func (l *Log) Low(ctx context.Context) (eventlog.Revision, error) {
	if err := l.enter(ctx, "read the low revision"); err != nil {
		return 0, err
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return l.s.low, nil
}

// Append stores a batch on top of prev.
func (l *Log) Append(ctx context.Context, prev, next eventlog.Head, raw []byte, stages []string) (eventlog.Head, error) {
	const op = "append"
	if err := eventlog.CheckAppend(prev, next, raw); err != nil {
		return eventlog.Head{}, fmt.Errorf("%s: %w", op, err)
	}
	plan, err := l.faults.beforeAppend(ctx)
	if err != nil {
		return eventlog.Head{}, fmt.Errorf("%s: %w", op, err)
	}
	if err := ctx.Err(); err != nil {
		return eventlog.Head{}, fmt.Errorf("%s: %w: %w", op, eventlog.ErrOutcomeUnknown, err)
	}
	if plan.request != nil {
		if err := wait(ctx, plan.request); err != nil {
			return eventlog.Head{}, fmt.Errorf("%s: %w: %w", op, eventlog.ErrOutcomeUnknown, err)
		}
	}
	head, err := l.s.put(prev, next, raw, stages)
	if err == nil && plan.answer != nil {
		if err := wait(ctx, plan.answer); err != nil {
			return eventlog.Head{}, fmt.Errorf("%s: %w: %w", op, eventlog.ErrOutcomeUnknown, err)
		}
	}
	if err != nil {
		return eventlog.Head{}, fmt.Errorf("%s: %w", op, err)
	}
	return head, nil
}

// put is the transaction: all checks and the writes under one lock.
func (s *store) put(prev, next eventlog.Head, raw []byte, stages []string) (eventlog.Head, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if prev.Guard != s.head.Guard {
		return eventlog.Head{}, fmt.Errorf("%w from revision %d to %d", eventlog.ErrHeadMoved, prev.Revision, s.head.Revision)
	}
	if prev != s.head {
		return eventlog.Head{}, fmt.Errorf("%w: the head given is not the one of its guard", eventlog.ErrCorrupt)
	}
	for _, id := range stages {
		if st := s.stages[id]; st == nil || !st.complete {
			return eventlog.Head{}, fmt.Errorf("stage %s: %w", id, eventlog.ErrNotFound)
		}
	}
	next.Guard = s.head.Guard + 1
	s.batches = append(s.batches, stored{first: prev.Revision + 1, head: next, raw: bytes.Clone(raw)})
	s.head = next
	s.wake()
	return next, nil
}

// wake tells followers that something changed; mu is held.
func (s *store) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Truncate removes batches that lie wholly before low.
func (l *Log) Truncate(ctx context.Context, low eventlog.Revision) error {
	const op = "truncate"
	if err := l.enter(ctx, op); err != nil {
		return err
	}
	s := l.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if low <= s.low {
		return nil
	}
	if !slices.ContainsFunc(s.snaps, func(sn snapshot) bool { return sn.info.Revision+1 >= low }) {
		return fmt.Errorf("%s before revision %d: %w: no snapshot of revision %d or later", op, low, eventlog.ErrNotFound, low-1)
	}
	n := 0
	for n < len(s.batches) && s.batches[n].head.Revision < low {
		n++
	}
	s.batches = slices.Clone(s.batches[n:]) // readers keep the old list
	s.low = s.head.Revision + 1
	if len(s.batches) > 0 {
		s.low = s.batches[0].first
	}
	s.wake()
	return nil
}

// enter begins an operation other than Append: the context and the faults
// decide whether it goes on.
func (l *Log) enter(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := l.faults.down(); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

func wait(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
