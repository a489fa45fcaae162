package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dvr/controller/appender"
	"dvr/controller/auth"
	"dvr/eventlog"
	"dvr/projector"
)

// LocalAppender is the Appender of this node, with what it tells beyond that.
type LocalAppender interface {
	Appender
	Trier
	// Fault is why nothing is folded any more; nil while it is.
	Fault() error
	Statistics() appender.Statistics
}

// Outlets is a LocalAppender that also takes changes of whom nobody waits for
// one by one.
type Outlets interface {
	LocalAppender
	// Outlet submits for s.
	Outlet(s Sink) Outlet
}

// Outlet submits changes like Appender.Submit; the Sink that it was made for is
// told what became of each, under its tag, once Submit has returned nil and
// perhaps before it does. A change that would have to be staged is ErrTooLarge.
type Outlet interface {
	Submit(c Change, tag appender.Tag) error
}

// Sink is appender.Sink in this package's words.
type Sink interface {
	Done(tag appender.Tag, out Appended, err error)
	Flush()
	Gone() bool
}

// Writer makes an Appender of the real one: it maps requests, and errors to
// this package's sentinels.
// Who asks for a change it finds out from its credential; tokens alone are known.
func Writer(a *appender.Appender) Outlets {
	return AuthenticatingWriter(a, &auth.Authenticator{State: a.State, Now: time.Now})
}

// AuthenticatingWriter is a Writer that asks auth whose a credential is.
func AuthenticatingWriter(a *appender.Appender, auth *auth.Authenticator) Outlets {
	return &writer{a, auth}
}

type writer struct {
	a    *appender.Appender
	auth *auth.Authenticator
}

func (w *writer) State() *projector.State { return w.a.State() }

func (w *writer) Wait(ctx context.Context, r eventlog.Revision) error {
	return waited(w.a.Wait(ctx, r))
}

func (w *writer) Barrier(ctx context.Context) error { return waited(w.a.Barrier(ctx)) }

func (w *writer) Append(ctx context.Context, c Change) (Appended, error) {
	r, err := w.request(c)
	if err != nil {
		return Appended{ID: c.ID}, err
	}
	return w.appended(w.a.Append(ctx, r))
}

func (w *writer) Submit(c Change) (Submitted, error) {
	// A plain commit of an import is never staged, so nothing here waits.
	r, err := w.request(c)
	if err != nil {
		return nil, err
	}
	p, err := w.a.Submit(context.Background(), r)
	if err != nil {
		return nil, translate(err)
	}
	return &submitted{w, p}, nil
}

type submitted struct {
	w *writer
	p *appender.Pending
}

func (s *submitted) Wait(ctx context.Context) (Appended, error) { return s.w.appended(s.p.Wait(ctx)) }

func (w *writer) Outlet(s Sink) Outlet { return &outlet{w, s} }

type outlet struct {
	w *writer
	Sink
}

func (o *outlet) Submit(c Change, tag appender.Tag) error {
	r, err := o.w.request(c)
	if err != nil {
		return err
	}
	return translate(o.w.a.SubmitTo((*inlet)(o), tag, r))
}

// inlet is the appender's side of an outlet.
type inlet outlet

func (i *inlet) Done(tag appender.Tag, r appender.Result, err error) {
	out, err := i.w.appended(r, err)
	i.Sink.Done(tag, out, err)
}

// CheckChange reports what an Appender would find wrong with the form of c,
// whatever the state; what an Operation decides is judged where it is decided.
func CheckChange(c *Change) error {
	return translate(appender.CheckForm(request(*c)))
}

// request is what the appender is asked for, with who asks for it.
func (w *writer) request(c Change) (appender.Request, error) {
	if c.Caller.Principal == nil && c.Caller.Credential != "" {
		var err error
		if c.Caller.Principal, err = w.auth.Authenticate(c.Caller.Credential); err != nil {
			return appender.Request{}, err
		}
	}
	if p := c.Caller.Principal; p != nil {
		c.Actor = p.Actor
	}
	return request(c), nil
}

func request(c Change) appender.Request {
	r := appender.Request{
		Outside: true, Principal: c.Caller.Principal, For: c.Caller.For,
		ID: c.ID, Generated: c.Generated, Actor: c.Actor, Source: c.Source, Reason: c.Reason, Hash: c.Request, Events: c.Events,
		Force: c.Force, ConfirmWithin: c.ConfirmWithin, Reverts: c.Reverts, Trace: c.Trace,
	}
	if c.Basis != nil {
		r.Check = func(s *projector.State) error { return c.Basis.Check(s, c.Events) }
		r.Named = c.Basis.Named
	}
	if c.Operation != nil {
		r.Prepare = c.Operation.Decide
	}
	return r
}

func (w *writer) appended(r appender.Result, err error) (Appended, error) {
	out := Appended{ID: r.ID, Replayed: r.Replayed, NoChange: r.NoChange, Remembered: r.Remembered}
	if err != nil {
		return out, translate(err)
	}
	out.Position = w.a.State().Position()
	out.Position.Epoch, out.Position.Revision = r.Epoch, r.Revision
	return out, nil
}

// translate maps the appender's and the log's errors; what a Decide function
// returned passes as it is.
func translate(err error) error {
	to := error(nil)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, appender.ErrIdempotencyMismatch):
		return ErrIDReused // the cause says the same in other words
	case errors.Is(err, appender.ErrBusy):
		to = ErrOverloaded
	case errors.Is(err, appender.ErrTooLarge):
		to = ErrTooLarge
	case errors.Is(err, appender.ErrGuarded):
		to = ErrGuarded
	case errors.Is(err, appender.ErrConflict):
		to = ErrConflict
	case errors.Is(err, appender.ErrPrecondition):
		to = ErrPrecondition
	case errors.Is(err, eventlog.ErrOutcomeUnknown):
		return ErrOutcomeUnknown // as above
	case errors.Is(err, appender.ErrWithdrawn), errors.Is(err, appender.ErrClosed), errors.Is(err, eventlog.ErrUnavailable),
		errors.Is(err, eventlog.ErrLevel), errors.Is(err, eventlog.ErrHole), errors.Is(err, eventlog.ErrCorrupt), errors.Is(err, eventlog.ErrForeignLog):
		to = ErrUnavailable
	default:
		return err
	}
	if errors.Is(err, to) {
		return err // and says so
	}
	return fmt.Errorf("%w: %w", to, err)
}

func waited(err error) error {
	if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return err
	}
	return translate(err)
}
