package appender

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

// Options of an Appender. The zero value of each field has the default named.
type Options struct {
	// Node is written into batches as their author.
	Node string
	// Now is the clock; log time is max(previous, Now). Default: time.Now.
	Now func() time.Time
	// MaxQueued and MaxQueuedBytes bound the requests that are accepted and
	// not yet answered. Defaults: 65,536 and 64 MiB.
	MaxQueued      int
	MaxQueuedBytes int64
	// ReadTimeout bounds one linearizable read of the head. Default: 5 s.
	ReadTimeout time.Duration
	// Judge, when set, is asked about every commit on the loop, with the exact
	// state it would be applied to; an error refuses the commit alone. It must
	// be cheap and keep nothing. About a commit that is large enough to be staged
	// it is asked before that, too.
	Judge func(*projector.State, *eventlog.Commit) error
	// Ready, when set, is asked in each caller's goroutine whether the log can be
	// written to at present; what it returns refuses the request at once, with
	// nothing stored (eventlog.ErrUnavailable: no quorum). It must be cheap and
	// must not wait. Reading does not ask it.
	Ready func() error
	// OnNoSpace is called in a goroutine of its own when the store is full, at
	// most one at a time. When it returns nil, writes are tried again at once,
	// else after a pause that doubles up to 30 s.
	OnNoSpace func(context.Context) error
	// OnDamage is told of damage that was survived (a snapshot that does not
	// load) or that stops the folding. It must not block.
	OnDamage func(error)
	// OnFollowed is told of commits of the epoch, from first to last, that another
	// node appended and that were folded here in that time; nil: nobody asks. It
	// must be quick.
	OnFollowed func(epoch uint64, first, last eventlog.Revision, began, ended time.Time)
	// OnFold is told, while the log is read at the start or anew, how far it is
	// folded and where its head is. It must not block.
	OnFold func(at, head eventlog.Revision)
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxQueued <= 0 {
		o.MaxQueued = 1 << 16
	}
	if o.MaxQueuedBytes <= 0 {
		o.MaxQueuedBytes = 64 << 20
	}
	if o.ReadTimeout <= 0 {
		o.ReadTimeout = 5 * time.Second
	}
	if o.OnDamage == nil {
		o.OnDamage = func(error) {}
	}
	if o.OnFold == nil {
		o.OnFold = func(at, head eventlog.Revision) {}
	}
	return o
}

// Appender is the writer of one log; see the package comment. All methods are
// safe for concurrent use.
type Appender struct {
	publisher
	log      eventlog.Log
	options  Options
	queue    *queue
	barrier  barrier
	counts   counters
	measures measures
	used     usedStages
	passed   passed                // until Passed
	fault    atomic.Pointer[error] // why nothing is folded; nil: it goes on
	urgent   chan struct{}         // someone waits for what others appended

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	owned  sync.WaitGroup
	closed atomic.Bool
}

// Append commits one request and returns when the log has acknowledged it and
// State holds it. ctx is the caller's deadline. Cost: one put of the log, shared
// with every request that arrives while the one before is in flight.
//
// Errors: those of Check, Prepare and validation (*eventlog.FieldError);
// ErrIdempotencyMismatch, ErrBusy, ErrTooLarge, ErrReserved, ErrWithdrawn,
// ErrClosed, eventlog.ErrNoSpace, what Options.Ready says, and what stopped the folding
// (eventlog.ErrLevel, …): nothing was stored. eventlog.ErrOutcomeUnknown: ask
// again with the same id.
func (a *Appender) Append(ctx context.Context, r Request) (Result, error) {
	p := pendings.Get().(*Pending)
	if err := a.submit(ctx, p, r); err != nil {
		id := p.commit.ID
		p.reset()
		pendings.Put(p)
		return Result{ID: id}, err
	}
	return p.Wait(ctx)
}

// Submit queues a request without waiting for its outcome. Requests that one
// goroutine submits are judged in their order. Errors as Append's, as far as
// they are known before the request is queued.
func (a *Appender) Submit(ctx context.Context, r Request) (*Pending, error) {
	p := &Pending{done: make(chan struct{}, 1)}
	if err := a.submit(ctx, p, r); err != nil {
		return nil, err
	}
	return p, nil
}

// SubmitTo is Submit for who takes the outcomes of many requests: s is told what
// became of each, under its tag, once SubmitTo has returned nil and perhaps
// before it does. What would have to be staged is ErrTooLarge here.
func (a *Appender) SubmitTo(s Sink, tag Tag, r Request) error {
	p := pendings.Get().(*Pending)
	p.sink, p.tag = s, tag
	err := a.submit(a.ctx, p, r)
	if err != nil {
		p.reset()
		pendings.Put(p)
	}
	return err
}

func (a *Appender) submit(ctx context.Context, p *Pending, r Request) error {
	p.generated = r.Generated
	if r.ID == "" {
		r.ID = NewID(a.options.Now())
		p.generated = true
	}
	p.request = r
	p.arrive()
	p.commit = commitOf(&r)
	if r.ConfirmWithin > 0 {
		p.deadline = a.deadline(&r, a.State())
		p.confirm()
	}
	if err := a.Fault(); err != nil {
		return err
	}
	if a.options.Ready != nil {
		if err := a.options.Ready(); err != nil {
			return err
		}
	}
	p.size = requestSize
	if r.Prepare == nil {
		large, bytes, err := p.encode()
		if err != nil {
			return err
		}
		p.size += int64(len(p.form.bytes))
		if large && p.sink != nil {
			return fmt.Errorf("%w: it would have to be staged", ErrTooLarge)
		}
		if large {
			return a.submitLarge(ctx, p, bytes)
		}
	}
	return a.enqueue(p)
}

// requestSize is what a request takes beside its events, and what Prepare will make.
const requestSize = 512

// submitLarge stages p's events, after the loop has said that they are wanted
// and within the limits of the queue, and queues the commit that refers to them.
func (a *Appender) submitLarge(ctx context.Context, p *Pending, bytes int64) error {
	res, proceed, err := a.inquire(ctx, p)
	if err != nil {
		return err
	}
	if !proceed {
		p.state.Store(taken)
		p.finish(res, nil)
		return nil
	}
	// What is staged waits for the store, not for the loop; it must not keep every
	// other request out meanwhile.
	p.size = requestSize + min(bytes, a.options.MaxQueuedBytes/2)
	if !a.queue.reserve(p.size) {
		a.counts.busy.Add(1)
		return ErrBusy
	}
	if err := a.stage(ctx, p); err != nil {
		a.queue.release(p.size)
		return err
	}
	p.owner = a
	a.push(p)
	return nil
}

// enqueue hands p to the loop, unless the queue is full.
func (a *Appender) enqueue(p *Pending) error {
	if !a.queue.reserve(p.size) {
		a.counts.busy.Add(1)
		return ErrBusy
	}
	a.push(p)
	return nil
}

func (a *Appender) push(p *Pending) {
	a.queue.push(p)
	if a.closed.Load() {
		a.drain()
	}
}

// drain answers what was pushed when the loop had ended already.
func (a *Appender) drain() {
	for p := a.queue.takeAll(); p != nil; {
		next := p.next
		a.queue.release(p.size)
		if p.state.CompareAndSwap(queued, taken) {
			p.conclude(Result{}, ErrClosed)
		}
		p = next
	}
}

// Fault is why the appender folds nothing any more; nil while it does. State
// then goes on serving the last good revision.
func (a *Appender) Fault() error {
	if a.closed.Load() {
		return ErrClosed
	}
	if e := a.fault.Load(); e != nil {
		return *e
	}
	return nil
}

func (a *Appender) setFault(err error) {
	if err == nil {
		a.fault.Store(nil)
		return
	}
	err = outgrown(err, a.State().Position().Revision)
	if old := a.fault.Swap(&err); old == nil || !errors.Is(err, *old) {
		a.options.OnDamage(err)
	}
}

// outgrown makes of ErrLevel the sentence for operators: State stands right
// before what is newer.
func outgrown(err error, at eventlog.Revision) error {
	var e *eventlog.LevelError
	switch {
	case !errors.Is(err, eventlog.ErrLevel):
		return err
	case errors.As(err, &e) && e.From > 0:
		return e
	}
	return &eventlog.LevelError{From: at + 1}
}

// Head is the newest acknowledged head that State stands at.
func (a *Appender) Head() eventlog.Head { return a.current.Load().head }

// hurry makes the loop look for what others appended.
func (a *Appender) hurry() {
	select {
	case a.urgent <- struct{}{}:
	default:
	}
}

// Close stops the appender and waits for its goroutines. Requests in flight
// end with eventlog.ErrOutcomeUnknown, those that wait with ErrClosed. State
// goes on serving.
func (a *Appender) Close() error {
	a.barrier.mu.Lock()
	a.barrier.closed = true
	a.barrier.mu.Unlock()
	a.cancel()
	a.owned.Wait()
	return nil
}
