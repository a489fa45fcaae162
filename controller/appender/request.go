package appender

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

// Request asks for one commit.
type Request struct {
	// ID is unique per actor; the same (Actor, ID) again is answered from the
	// idempotency window. Empty: one is made up.
	ID string
	// Generated: the ID was made up by who passes the request on, not by its caller.
	Generated bool
	Actor     string
	Source    string // address that the request came from
	For       string // on whose behalf
	Reason    string
	Reverts   []eventlog.Revision // commits whose inverse this is
	// Hash tells this request from another one with the same id.
	Hash eventlog.RequestHash

	// ConfirmWithin > 0 makes the commit undo itself unless it is confirmed within
	// that time, counted from when the request came.
	ConfirmWithin time.Duration
	// Force passes guard rails and freezes; their names become the commit's Forced.
	Force bool
	// Outside: the request came from a client of the API, so that while
	// authorization is in force Principal must be allowed to make it.
	Outside bool
	// Principal is who was authenticated; nil: nobody. Its Actor is the request's.
	Principal *projector.Principal
	// Named is the routers that the events may remove though something speaks of them.
	Named []eventlog.RouterID
	// Exempt: guard rails and freezes do not concern the commit, for undoings and
	// ends of lifetimes. It never comes from outside.
	Exempt bool

	// Trace is told where the request's time went; nil: nobody.
	Trace Trace

	// Events is what the commit holds. Ownership passes to the appender.
	Events []eventlog.Event
	// Prepare, when set, gives the events instead: it runs on the appender's
	// loop with the exact state that the commit will be applied to, so it must
	// be cheap, must not block and must not keep the state. No events and no
	// error: nothing changes. An error refuses this request alone.
	Prepare func(*projector.State) ([]eventlog.Event, error)
	// Check, when set, is a precondition, judged as Prepare is and before it.
	// It is not asked when the request is answered from the window.
	Check func(*projector.State) error
}

// commitOf is the commit that r asks for, still without place and time.
func commitOf(r *Request) eventlog.Commit {
	c := eventlog.Commit{
		ID: r.ID, Actor: r.Actor, Source: r.Source, For: r.For, Reason: r.Reason,
		Reverts: r.Reverts, Request: r.Hash, Events: r.Events,
	}
	if r.Principal != nil {
		c.Via = r.Principal.Via
	}
	return c
}

// Result tells what became of a request. ID is set with every error too.
type Result struct {
	ID       string
	Epoch    uint64
	Revision eventlog.Revision
	Time     int64 // log time of the commit, Unix milliseconds
	Replayed bool  // answered from the window: it was stored before
	// Remembered: answered from the window, also where only a repetition within
	// the call found it there; NoChange is not known then.
	Remembered bool
	// NoChange: the request changed nothing. Under an id of the caller's an
	// empty commit remembers it; else Revision is the one it was judged at.
	NoChange bool
}

// The life of a Pending, moved by compare-and-swap so that a caller who gives
// up and the loop that takes up agree on who was first.
const (
	queued int32 = iota
	taken
	withdrawn
)

// Pending is a request on its way. Wait must be called exactly once.
type Pending struct {
	next   *Pending
	done   chan struct{} // one token when res and err are set
	sink   Sink          // takes the outcome in place of a caller of Wait
	tag    Tag           // for sink
	state  atomic.Int32
	pooled bool

	request   Request
	generated bool                   // the id was made up here
	unknown   bool                   // was in a batch whose outcome was not clear
	inquiry   bool                   // only asks what would become of it
	stages    *Stages                // for the request's Trace; nil: without
	form      form                   // encoded in the caller's goroutine
	size      int64                  // as counted against the queue's limit
	staged    string                 // id of the stage that the commit refers to
	stage     *eventlog.CommitStaged // the same
	proposed  bool                   // was in a batch that the log was given: the stage may be referred to
	owner     *Appender              // with staged
	commit    eventlog.Commit
	deadline  int64 // of its confirmation; 0: none is asked for

	res Result
	err error
}

var pendings = sync.Pool{New: func() any {
	return &Pending{done: make(chan struct{}, 1), pooled: true}
}}

func (p *Pending) reset() {
	buf := p.form.bytes[:0]
	if cap(buf) > 16<<10 {
		buf = nil
	}
	*p = Pending{done: p.done, pooled: p.pooled, form: form{bytes: buf}}
}

// finish hands the outcome over. After it the loop must not touch p. The sink
// that it gives, if any, is to be flushed.
func (p *Pending) finish(res Result, err error) Sink {
	res.ID = p.commit.ID
	if s, tag := p.sink, p.tag; s != nil {
		p.reset()
		pendings.Put(p)
		s.Done(tag, res, err)
		return s
	}
	p.res, p.err = res, err
	p.done <- struct{}{}
	return nil
}

// conclude is finish of a request alone.
func (p *Pending) conclude(res Result, err error) {
	if s := p.finish(res, err); s != nil {
		s.Flush()
	}
}

// Wait returns the outcome. When ctx ends first the request is withdrawn if
// it still waits (ErrWithdrawn: nothing stored); if it is already in a batch,
// the error is eventlog.ErrOutcomeUnknown and the appender goes on with it.
func (p *Pending) Wait(ctx context.Context) (Result, error) {
	if end := ctx.Done(); end == nil {
		<-p.done
	} else {
		select {
		case <-p.done:
		case <-end:
			id := p.commit.ID
			if p.state.CompareAndSwap(queued, withdrawn) {
				p.dropStage(ctx)
				return Result{ID: id}, fmt.Errorf("%w: %w", ErrWithdrawn, context.Cause(ctx))
			}
			select {
			case <-p.done: // it ended at the same moment
			default:
				return Result{ID: id}, fmt.Errorf("%w: %w", eventlog.ErrOutcomeUnknown, context.Cause(ctx))
			}
		}
	}
	res, err := p.res, p.err
	if err != nil || res.Replayed {
		p.dropStage(ctx)
	}
	if p.pooled {
		p.reset()
		pendings.Put(p)
	}
	return res, err
}

// dropStage removes the stage that was made for a commit which is not in the
// log. The loop is done with p.
func (p *Pending) dropStage(ctx context.Context) {
	if p.staged != "" && !p.proposed {
		p.owner.unstage(ctx, p.staged)
	}
}
