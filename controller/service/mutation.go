package service

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"dvr/controller/appender"
	"dvr/controller/fibstream"
	"dvr/controller/tracing"
	"dvr/eventlog"
	"dvr/projector"
)

// WaitMode says how far a commit must have come before its call answers.
type WaitMode uint8

// The wait modes; the zero value is the default.
const (
	WaitProjected WaitMode = iota // folded here: a local read sees it
	WaitLogged                    // stored by a quorum
	WaitInstalled                 // acknowledged by the data planes concerned
)

// DefaultTimeout and MaxTimeout bound how long a call may wait.
const (
	DefaultTimeout = 10 * time.Second
	MaxTimeout     = 5 * time.Minute
)

// Caller is who was authenticated, for a change; the zero value is nobody.
type Caller struct {
	// Principal is who Credential was found to be here. The node that appends
	// finds that out for itself.
	Principal  *projector.Principal
	Credential string // a token, or a JWT; it is never stored
	For        string // on whose behalf the caller says that it asks
}

// Mutation is what all writes have in common.
type Mutation struct {
	Actor  string // who asks; never empty
	Caller Caller
	Source string // the address that the request came from
	Reason string
	ID     string // idempotency key; empty: one is made
	// Request is the hash of what was asked (decision 1); the same ID with
	// another hash is refused.
	Request eventlog.RequestHash

	Wait WaitMode
	// Timeout bounds the call; 0: DefaultTimeout, and then the call goes on
	// though its caller has gone away.
	Timeout time.Duration
	Require []eventlog.RouterID // data planes that must have installed, connected or not

	IfMatch, IfNoneMatch Precondition

	Care *Care // nil: done at once and for good

	// Pace is waited for before each commit of an import but the first, which the
	// call itself paid for; nil: none waits. Its error ends the import.
	Pace func(context.Context) error
}

// Receipt says what became of a commit.
type Receipt struct {
	Position   eventlog.Position
	ID         string
	Replayed   bool
	NoChange   bool // as in Appended, like Remembered
	Remembered bool
	Wait       WaitMode
	Installation

	Preview   *Preview  // of a dry run; the rest but Position is empty then
	Timer     string    // that was set: the change is scheduled, or has a lifetime
	TimerAt   int64     // Unix milliseconds
	ConfirmBy time.Time // zero: no confirmation is waited for
}

// Installation is the state of a commit on the data planes; all empty unless
// WaitInstalled was asked for.
type Installation struct {
	Installed    []eventlog.RouterID
	Disconnected []eventlog.RouterID
	Pending      []eventlog.RouterID
	Failed       []InstallFailure
}

// InstallFailure is a prefix of the commit that a sink could not install.
type InstallFailure struct {
	Router eventlog.RouterID `json:"router"`
	Sink   string            `json:"sink"`
	Prefix string            `json:"prefix,omitempty"`
	Reason string            `json:"reason"`
}

// Complete reports whether everything that was waited for has happened.
func (i *Installation) Complete() bool { return len(i.Pending) == 0 && len(i.Failed) == 0 }

// Tag is the version of one item: the revision of its last change.
type Tag struct {
	Epoch    uint64            `json:"epoch"`
	Revision eventlog.Revision `json:"revision"`
}

// Precondition is the content of If-Match or If-None-Match; the zero value demands nothing.
type Precondition struct {
	Any  bool  `json:"any,omitempty"` // "*": the item exists
	Tags []Tag `json:"tags"`
}

// Set reports whether anything is demanded.
func (p Precondition) Set() bool { return p.Any || p.Tags != nil }

func (p Precondition) matches(exists bool, t Tag) bool {
	if !exists {
		return false
	}
	if p.Any {
		return true
	}
	for _, want := range p.Tags {
		if want == t {
			return true
		}
	}
	return false
}

func (m *Mutation) conditional() bool { return m.IfMatch.Set() || m.IfNoneMatch.Set() }

// Change is one commit asked of the appender, as plain data: its events, or an
// Operation that decides them from the state that the commit applies to.
type Change struct {
	Actor, Source, Reason string
	ID                    string // empty: the appender makes one
	// Generated: the ID was made for this change by who passes it on, so nobody
	// else will repeat it.
	Generated bool
	Request   eventlog.RequestHash
	Caller    Caller
	Events    []eventlog.Event
	Operation Operation

	Force         bool          // guards and freezes are passed
	ConfirmWithin time.Duration // > 0: the commit undoes itself unless confirmed
	Reverts       []eventlog.Revision
	Basis         *appender.Basis // of Events: refused (ErrConflict) where their items changed since

	Trace       appender.Trace // told where its time went; nil: nobody. It does not travel
	Traceparent string         // of the span that forwards it to another node; empty: it is not traced
}

// Appended is a commit's place in the log. ID is set with every error too.
type Appended struct {
	ID       string
	Position eventlog.Position
	Replayed bool
	NoChange bool // nothing was to be done
	// Remembered: told from the idempotency window, so that NoChange is not known;
	// unlike Replayed also where a repetition within the call found it there.
	Remembered bool
}

// Submitted is a change on its way; Wait is called exactly once.
type Submitted interface {
	Wait(ctx context.Context) (Appended, error)
}

// Appender is the writer of the log, as this package needs it. Errors are this
// package's sentinels or what Decide returned.
type Appender interface {
	// State is the newest published state; it never blocks.
	State() *projector.State
	// Append returns once the commit is stored by a quorum, refused, or ctx has ended.
	Append(ctx context.Context, c Change) (Appended, error)
	// Submit enqueues without waiting, so that several commits of one caller
	// are in flight in order. ErrOverloaded: nothing was enqueued.
	Submit(c Change) (Submitted, error)
	// Wait returns once State has reached the revision.
	Wait(ctx context.Context, r eventlog.Revision) error
	// Barrier returns once State holds every commit that was acknowledged before
	// the call: one quorum read, shared by those who wait.
	Barrier(ctx context.Context) error
}

// DataPlanes is what is known of the subscribed data planes.
type DataPlanes interface {
	// List is one entry a router, connected to this node or lately so, sorted by router.
	List() []DataPlane
	// Survey is List of every node that answers; of the others it has what they told last.
	Survey(ctx context.Context) []DataPlane
	// Subscribed lists the routers as which data planes subscribe to any node, or
	// lately did, sorted.
	Subscribed() []eventlog.RouterID
	// Known reports whether Subscribed has the router.
	Known(router eventlog.RouterID) bool
	// Lookup asks the router's data plane. Errors: ErrNoDataPlane, ErrNotFound where nothing matches.
	Lookup(ctx context.Context, router eventlog.RouterID, a netip.Addr) (Lookup, error)
	// Audit has the router's data plane compare what its sinks keep outside of it. Errors: ErrNoDataPlane.
	Audit(ctx context.Context, router eventlog.RouterID) ([]fibstream.SinkAudit, error)
	// WaitInstalled waits until every data plane connected to any node that the commits from
	// first to last concern, and each of require, has acknowledged them, or ctx
	// ends. prefixes are those of the commits; none: any.
	WaitInstalled(ctx context.Context, first, last eventlog.Revision, prefixes []netip.Prefix, require []eventlog.RouterID) Installation
}

// apply runs one mutation to the point that it waits for.
func (s *Service) apply(ctx context.Context, m *Mutation, events []eventlog.Event, op Operation, prefixes []netip.Prefix) (Receipt, error) {
	if err := s.requireKnown(m.Require); err != nil {
		return Receipt{}, err
	}
	if m.Timeout <= 0 {
		ctx = tracing.Carry(ctx, s.deadlines.get())
	} else {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, m.Timeout)
		defer cancel()
	}
	c := Change{Actor: m.Actor, Source: m.Source, Reason: m.Reason, ID: m.ID, Request: m.Request, Caller: m.Caller, Events: events, Operation: op}
	if m.Care != nil {
		return s.carefully(ctx, m, c, prefixes)
	}
	return s.commit(ctx, m, c, prefixes)
}

// commit appends c and waits as the mutation asks.
func (s *Service) commit(ctx context.Context, m *Mutation, c Change, prefixes []netip.Prefix) (Receipt, error) {
	a, err := s.appender.Append(ctx, c)
	if err != nil {
		return Receipt{}, &MutationError{a.ID, err}
	}
	r := Receipt{Position: a.Position, ID: a.ID, Replayed: a.Replayed, NoChange: a.NoChange, Remembered: a.Remembered, Wait: m.Wait}
	if err := s.await(ctx, m, &r, r.Position.Revision, prefixes); err != nil {
		return r, err
	}
	return r, nil
}

// carefully is commit for a mutation with a Care.
func (s *Service) carefully(ctx context.Context, m *Mutation, c Change, prefixes []netip.Prefix) (Receipt, error) {
	timer, at, err := s.care(m, &c)
	if err != nil {
		return Receipt{}, err
	}
	if m.Care.DryRun {
		return s.try(ctx, m, c)
	}
	r, err := s.commit(ctx, m, c, prefixes)
	if err == nil && !r.NoChange {
		r.ConfirmBy = s.confirmBy(&r)
		if !r.Remembered {
			r.Timer, r.TimerAt = timer, at
		}
	}
	return r, err
}

// await waits as the mutation asks, after its last commit is stored; first is
// the first of its commits. Past the deadline the commit stands, so only a projection that lags is an error.
func (s *Service) await(ctx context.Context, m *Mutation, r *Receipt, first eventlog.Revision, prefixes []netip.Prefix) error {
	switch m.Wait {
	case WaitProjected:
		if s.appender.State().Position().Revision >= r.Position.Revision {
			return nil
		}
		if err := s.appender.Wait(ctx, r.Position.Revision); err != nil {
			return unseen(r, err)
		}
	case WaitInstalled:
		span := tracing.FromContext(ctx).Child("wait until installed")
		r.Installation = s.planes.WaitInstalled(ctx, first, r.Position.Revision, prefixes, m.Require)
		span.End(nil)
	}
	return nil
}

// unseen is the error of a call whose commit is stored, after a wait that
// failed: none that says that nothing was.
func unseen(r *Receipt, cause error) error {
	return &MutationError{r.ID, fmt.Errorf("%w: revision %d: %w", ErrUnseen, r.Position.Revision, cause)}
}

func (s *Service) requireKnown(routers []eventlog.RouterID) error {
	for _, r := range routers {
		if err := s.checkRouter(s.appender.State(), r); err != nil {
			return fmt.Errorf("%w: %w", ErrRequired, err)
		}
	}
	return nil
}
