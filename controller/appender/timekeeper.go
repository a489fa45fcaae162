package appender

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

// The names of timers say what becomes of their events: those of a scheduled
// change are committed as they are, those of a lifetime take back what its commit
// set, as far as nobody changed it since; those of a proposal are committed by
// who approves it, and lapse when they fall due.
const (
	ScheduledTimer = "at-"
	LifetimeTimer  = "until-"
	ProposalTimer  = "proposal-"
)

// TimekeeperOptions of a Timekeeper. The zero value of each field has the default named.
type TimekeeperOptions struct {
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// Every is between two looks at what is due. Default: 100 ms.
	Every time.Duration
	// Active reports whether this node is the one that appends. Default: it is.
	Active func() bool
	// Steady is why this node's clock is not to be trusted; nil: it is. It is asked
	// when something is due. Default: it always is.
	Steady func() error
	// OnError is told of what was due and could not be done; it is tried again.
	OnError func(error)
	// OnDone is told of each commit made.
	OnDone func(projector.Due, Result)
}

// Timekeeper does what is due in log time: it undoes commits that were not
// confirmed, commits scheduled changes and ends lifetimes, where this node
// appends. What is done is decided at the log's head from the pending entry, so
// it is done once, whoever else does it, and however often it is tried.
type Timekeeper struct {
	a       *Appender
	options TimekeeperOptions
	later   map[projector.Due]time.Time // what could not be done is not tried before
}

// NewTimekeeper makes the timekeeper of a. Run runs it.
func NewTimekeeper(a *Appender, o TimekeeperOptions) *Timekeeper {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Every <= 0 {
		o.Every = 100 * time.Millisecond
	}
	if o.Active == nil {
		o.Active = func() bool { return true }
	}
	if o.Steady == nil {
		o.Steady = func() error { return nil }
	}
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
	if o.OnDone == nil {
		o.OnDone = func(projector.Due, Result) {}
	}
	return &Timekeeper{a: a, options: o, later: map[projector.Due]time.Time{}}
}

// Run looks at what is due until ctx ends.
func (k *Timekeeper) Run(ctx context.Context) {
	t := time.NewTicker(k.options.Every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			k.Step(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// retryAfter is between two attempts at what could not be done.
const retryAfter = time.Second

// Step does what is due now, in order, and says how much was done. Cost: O(1)
// while nothing is due.
func (k *Timekeeper) Step(ctx context.Context) (done int) {
	s := k.a.State()
	agenda := s.Agenda()
	wall := k.options.Now()
	now := max(wall.UnixMilli(), s.Time())
	if len(agenda) == 0 || agenda[0].At > now {
		clear(k.later)
		return 0
	}
	if !k.options.Active() {
		return 0
	}
	if err := k.options.Steady(); err != nil {
		if at := k.later[projector.Due{}]; wall.After(at) {
			k.later[projector.Due{}] = wall.Add(10 * time.Second)
			k.options.OnError(fmt.Errorf("timers are not run: %w", err))
		}
		return 0
	}
	for _, d := range agenda {
		if d.At > now || ctx.Err() != nil || !k.options.Active() {
			break
		}
		if at, ok := k.later[d]; ok && wall.Before(at) {
			continue
		}
		res, err := k.do(ctx, d, now)
		switch {
		case err == nil:
			delete(k.later, d)
			done++
			k.options.OnDone(d, res)
		case errors.Is(err, errPassed):
			delete(k.later, d)
		default:
			k.later[d] = wall.Add(retryAfter)
			if ctx.Err() == nil {
				k.options.OnError(err)
			}
		}
	}
	return done
}

// errPassed: what was due is no longer there.
var errPassed = errors.New("no longer due")

func (k *Timekeeper) do(ctx context.Context, d projector.Due, now int64) (Result, error) {
	if d.Timer == "" {
		return k.undo(ctx, d.Revision, now)
	}
	return k.fire(ctx, d.Timer, now)
}

// decision is what is to be committed at a state, or errPassed.
type decision func(s *projector.State) (events []eventlog.Event, reason string, err error)

// undo takes a commit back that was not confirmed.
func (k *Timekeeper) undo(ctx context.Context, r eventlog.Revision, now int64) (Result, error) {
	res, err := k.settle(ctx, Request{Actor: system, Exempt: true, Reverts: []eventlog.Revision{r}}, func(s *projector.State) ([]eventlog.Event, string, error) {
		c, ok := s.Confirmation(r)
		if !ok || c.Deadline > now {
			return nil, "", errPassed
		}
		events, left := s.Undo(&c)
		reason := fmt.Sprintf("commit %d was not confirmed in time", r)
		reason += leaves(left, len(events))
		return append(slices.Clip(events), &eventlog.ConfirmationUndone{Revision: r}), reason, nil
	})
	if err != nil && !errors.Is(err, errPassed) {
		err = fmt.Errorf("undo commit %d, which was not confirmed: %w", r, err)
	}
	return res, err
}

// leaves tells how much of a commit is not undone.
func leaves(left, undone int) string {
	if left == 0 {
		return ""
	}
	return fmt.Sprintf("; %d of its %d changes were changed since and are left", left, left+undone)
}

// fire ends a timer with its events, or with why they were refused.
func (k *Timekeeper) fire(ctx context.Context, name string, now int64) (Result, error) {
	due := func(s *projector.State) (projector.Timer, error) {
		t, ok := s.Timer(name)
		if !ok || t.At > now {
			return t, errPassed
		}
		return t, nil
	}
	if t, ok := k.a.State().Timer(name); ok && t.Proposer != "" {
		return k.lapse(ctx, name, "nobody approved it in time", due)
	}
	lifetime := strings.HasPrefix(name, LifetimeTimer)
	if t, ok := k.a.State().Timer(name); ok {
		lifetime = lifetime || t.Undo
	}
	r := Request{Actor: system, Exempt: lifetime}
	var author *projector.Principal
	var set eventlog.Revision // where the author is known of
	if t, ok := k.a.State().Timer(name); ok && !lifetime {
		var err error
		if author, err = k.author(ctx, t.Revision); err != nil {
			return Result{}, fmt.Errorf("who has set timer %s: %w", name, err)
		}
		if set = t.Revision; author != nil {
			r.For = author.Actor
		}
	}
	res, err := k.settle(ctx, r, func(s *projector.State) ([]eventlog.Event, string, error) {
		t, err := due(s)
		if err != nil {
			return nil, "", err
		}
		if t.Proposer != "" || set != 0 && t.Revision != set { // it has become another one meanwhile
			return nil, "", errPassed
		}
		events, reason := t.Events, fmt.Sprintf("scheduled by commit %d", t.Revision)
		if d := s.Disturbed(&t); len(d) > 0 && !lifetime {
			return nil, "", Disturbed(s, d)
		}
		if lifetime != (t.Undo || strings.HasPrefix(name, LifetimeTimer)) { // it has become another one
			return nil, "", errPassed
		}
		if lifetime {
			var left int
			events, left = s.Lapsed(&t)
			reason = fmt.Sprintf("the lifetime of commit %d is over", t.Revision) + leaves(left, len(events))
		} else {
			if err := mayStill(s, author, events); err != nil {
				return nil, "", err
			}
			events = late(projector.Lapse(events, now), now-t.At)
		}
		return append(slices.Clip(events), &eventlog.TimerFired{Name: name}), reason, nil
	})
	if err == nil || !refusal(err) {
		return res, err
	}
	return k.lapse(ctx, name, err.Error(), due)
}

// author is who has scheduled what a commit holds, by the log; nil: the log no
// longer has it. Cost: a read of one batch. Errors: eventlog.ErrUnavailable, ….
func (k *Timekeeper) author(ctx context.Context, r eventlog.Revision) (author *projector.Principal, err error) {
	found := errors.New("found")
	err = k.a.log.Read(ctx, r-1, func(b *eventlog.Batch) error {
		for i := range b.Commits {
			c := &b.Commits[i]
			switch {
			case c.Revision != r:
			case c.Actor != system:
				p := projector.PrincipalOf(c)
				p.Via = slices.Clone(p.Via)
				author = &p
			case c.For != "":
				author = &projector.Principal{Actor: c.For}
			}
		}
		return found
	})
	if errors.Is(err, found) || errors.Is(err, eventlog.ErrTruncated) {
		err = nil
	}
	return author, err
}

// mayStill is ErrForbidden where who has scheduled events has no right to make
// them any more. nil: it is not known who that is, and was asked then.
func mayStill(s *projector.State, author *projector.Principal, events []eventlog.Event) error {
	a := s.Access()
	if author == nil || !a.Enabled() {
		return nil
	}
	err := a.Allow(s, author, events)
	var d *projector.DeniedError
	if errors.As(err, &d) {
		return forbidden{d}
	}
	return err
}

// late moves the ends of what a schedule holds, which count from when it is made;
// what it restores for a while ends when it would have.
func late(events []eventlog.Event, by int64) []eventlog.Event {
	if by <= 0 {
		return events
	}
	events = slices.Clone(events)
	for i, e := range events {
		switch e := e.(type) {
		case *eventlog.ConfirmationOpened:
			events[i] = &eventlog.ConfirmationOpened{Deadline: min(e.Deadline+by, eventlog.MaxTime)}
		case *eventlog.TimerSet:
			if len(e.Events) > 0 {
				continue
			}
			t := *e
			t.At = min(t.At+by, eventlog.MaxTime)
			events[i] = &t
		}
	}
	return events
}

// Disturbed is ErrConflict with the first of what was changed since events about
// it were scheduled.
func Disturbed(s *projector.State, events []eventlog.Event) error {
	const most = 5
	var list []string
	for _, e := range events[:min(len(events), most)] {
		text := strings.TrimSuffix(string(e.Kind())+" of "+projector.About(e), " of ")
		if now := s.Item(e); now.Event != nil {
			text += fmt.Sprintf(", changed by commit %d", now.Revision)
		} else {
			text += ", removed"
		}
		list = append(list, text)
	}
	if more := len(events) - most; more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	return fmt.Errorf("%w: %d items were changed since it was scheduled: %s", ErrConflict, len(events), strings.Join(list, "; "))
}

// lapse ends a timer without its events.
func (k *Timekeeper) lapse(ctx context.Context, name, cause string, due func(*projector.State) (projector.Timer, error)) (Result, error) {
	res, err := k.settle(ctx, Request{Actor: system, Exempt: true}, func(s *projector.State) ([]eventlog.Event, string, error) {
		if _, err := due(s); err != nil {
			return nil, "", err
		}
		return []eventlog.Event{&eventlog.TimerFailed{Name: name, Cause: short(cause)}}, "", nil
	})
	if err != nil && !errors.Is(err, errPassed) {
		err = fmt.Errorf("end timer %s: %w", name, err)
	}
	return res, err
}

// refusal reports an error for which trying again would not help.
func refusal(err error) bool {
	var f *eventlog.FieldError
	return errors.Is(err, ErrGuarded) || errors.Is(err, ErrForbidden) || errors.Is(err, ErrConflict) || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrPrecondition) || errors.As(err, &f)
}

// short cuts a cause to what an event takes.
func short(text string) string {
	if len(text) <= eventlog.MaxReason {
		return text
	}
	return strings.ToValidUTF8(text[:eventlog.MaxReason-3], "") + "…"
}

// settle commits what decide says at the log's head. What is too large to be
// decided on the loop is decided at the published state, and stored only if it
// still says the same at the head.
func (k *Timekeeper) settle(ctx context.Context, r Request, decide decision) (Result, error) {
	at := k.a.State()
	events, reason, err := decide(at)
	if err != nil {
		return Result{}, err
	}
	r.Reason = reason
	if len(events) <= eventlog.MaxCommitEvents/2 {
		r.Prepare = func(s *projector.State) ([]eventlog.Event, error) {
			events, _, err := decide(s)
			return events, err
		}
		res, err := k.a.Append(ctx, r)
		if !errors.Is(err, ErrTooLarge) {
			return res, err
		}
		r.Prepare = nil
	}
	r.Events = events
	basis := BasisOf(at, events)
	r.Check = func(s *projector.State) error {
		now, _, err := decide(s)
		if err == nil && len(now) != len(events) {
			err = fmt.Errorf("%w: what is to be done has changed meanwhile", errMoved)
		}
		if err == nil && basis.Check(s, events) != nil {
			err = fmt.Errorf("%w: what it is about was changed meanwhile", errMoved)
		}
		return err
	}
	return k.a.Append(ctx, r)
}

var errMoved = errors.New("the state has moved")
