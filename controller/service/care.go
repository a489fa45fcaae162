package service

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"dvr/controller/appender"
	"dvr/eventlog"
	"dvr/projector"
)

// Care is what a mutation asks for beyond being done now and for good.
type Care struct {
	// DryRun: nothing is stored; the receipt has a Preview instead.
	DryRun bool
	// Force passes guard rails and freezes; the mutation must have a reason.
	Force bool
	// ConfirmWithin > 0: the commit undoes itself unless it is confirmed in that time.
	ConfirmWithin time.Duration
	// NotBefore schedules the commit for that point of log time, Unix milliseconds; 0: now.
	NotBefore int64
	// Propose stores the change as a proposal, which another actor may approve.
	Propose bool
	// ExpiresIn > 0: what the commit changes is undone after that time, which
	// counts from when the change is made.
	ExpiresIn time.Duration
}

// Bounds of the times in a Care.
const (
	MinConfirmWithin = time.Second
	MaxConfirmWithin = 7 * 24 * time.Hour
	ProposalFor      = 3 * 24 * time.Hour   // then a proposal lapses
	MaxAhead         = 366 * 24 * time.Hour // of what is scheduled, and of lifetimes
)

// check refuses what makes no sense, naming the parameter.
func (c *Care) check(reason string, now int64) error {
	switch {
	case c.Force && reason == "":
		return invalid("reason", "is missing: what is done by force needs one")
	case c.ConfirmWithin != 0 && (c.ConfirmWithin < MinConfirmWithin || c.ConfirmWithin > MaxConfirmWithin):
		return invalid("confirm_within", "must be from %s to %s", MinConfirmWithin, MaxConfirmWithin)
	case c.ExpiresIn != 0 && (c.ExpiresIn < time.Second || c.ExpiresIn > MaxAhead):
		return invalid("expires_in", "must be from 1s to %s", MaxAhead)
	case c.NotBefore != 0 && c.NotBefore <= now:
		return invalid("not_before", "is in the past")
	case c.NotBefore > now+MaxAhead.Milliseconds():
		return invalid("not_before", "is more than a year ahead")
	case c.Propose && (c.NotBefore != 0 || c.ExpiresIn != 0 || c.ConfirmWithin != 0 || c.Force):
		return invalid("propose", "has no meaning beside not_before, expires_in, confirm_within and force yet")
	}
	return nil
}

// timedName is the name of a timer that no other has.
func timedName(prefix string) string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + hex.EncodeToString(b[:])
}

// lifetime adds to events the timer that undoes them.
func lifetime(events []eventlog.Event, name string, at int64) []eventlog.Event {
	return append(slices.Clip(events), &eventlog.TimerSet{Name: name, At: at, Undo: true})
}

// schedule is when and how a change is to be made that is not made at once.
type schedule struct {
	Timer  string        `json:"timer"`
	At     int64         `json:"at"`
	Ends   int64         `json:"ends,omitempty"`  // of what it changes, once made at At; 0: never
	Until  string        `json:"until,omitempty"` // the timer of that
	Within time.Duration `json:"confirm,omitempty"`
	// Proposer: the change is made only when another actor approves it, until At.
	Proposer string `json:"proposer,omitempty"`
	// Unchanged: only if nobody changes meanwhile what it is about.
	Unchanged bool `json:"unchanged,omitempty"`
}

// timer holds events until they are due.
func (p *schedule) timer(events []eventlog.Event) ([]eventlog.Event, error) {
	if p.Ends > 0 {
		events = lifetime(events, p.Until, p.Ends)
	}
	if p.Within > 0 {
		events = append(slices.Clip(events), &eventlog.ConfirmationOpened{Deadline: p.At + p.Within.Milliseconds()})
	}
	if len(events) > eventlog.MaxCommitEvents {
		return nil, fmt.Errorf("%d events: %w: a scheduled change has at most %d", len(events), ErrTooLarge, eventlog.MaxCommitEvents)
	}
	return []eventlog.Event{&eventlog.TimerSet{Name: p.Timer, At: p.At, Events: events, Proposer: p.Proposer, Unchanged: p.Unchanged}}, nil
}

// timed is an Operation whose events are scheduled or have a lifetime.
type timed struct {
	Inner namedOperation `json:"inner"`
	schedule
	Lifetime bool `json:"lifetime,omitempty"`
}

func (o *timed) Kind() string { return "timed" }

func (o *timed) Decide(st *projector.State) ([]eventlog.Event, error) {
	events, err := o.Inner.Operation.Decide(st)
	if err != nil || len(events) == 0 {
		return nil, err
	}
	if o.Lifetime {
		return lifetime(events, o.Timer, o.At), nil
	}
	return o.timer(events)
}

// computed is an Operation of events that were computed from a state.
type computed struct {
	Events []eventOf[eventlog.Event] `json:"events"`
	Basis  *appender.Basis           `json:"basis"`
}

func (o *computed) Kind() string { return "computed" }

func (o *computed) Decide(st *projector.State) ([]eventlog.Event, error) {
	events := make([]eventlog.Event, len(o.Events))
	for i := range events {
		events[i] = o.Events[i].Event
	}
	return events, o.Basis.Check(st, events)
}

// namedOperation is an Operation with its kind beside it.
type namedOperation struct{ Operation Operation }

func (n namedOperation) MarshalJSON() ([]byte, error) {
	raw, err := json.Marshal(n.Operation)
	if err != nil {
		return nil, err
	}
	return json.Marshal(struct {
		Kind string          `json:"kind"`
		Raw  json.RawMessage `json:"operation"`
	}{n.Operation.Kind(), raw})
}

func (n *namedOperation) UnmarshalJSON(raw []byte) error {
	var in struct {
		Kind string          `json:"kind"`
		Raw  json.RawMessage `json:"operation"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return err
	}
	fresh, ok := operations[in.Kind]
	if !ok || in.Kind == "timed" {
		return fmt.Errorf("operation %q: this node does not know it yet", in.Kind)
	}
	n.Operation = fresh()
	return json.Unmarshal(in.Raw, n.Operation)
}

// care makes c what the mutation's Care asks for. The name is that of the timer
// which it sets, if any.
func (s *Service) care(m *Mutation, c *Change) (timer string, at int64, err error) {
	care := m.Care
	st := s.appender.State()
	now := max(st.Time(), time.Now().UnixMilli())
	if err := care.check(m.Reason, now); err != nil {
		return "", 0, err
	}
	c.Force, c.ConfirmWithin = care.Force, care.ConfirmWithin
	later := care.Propose || care.NotBefore > 0
	switch {
	case later && care.DryRun: // a preview shows what it would do
	case later:
		p := schedule{Timer: timedName(appender.ScheduledTimer), At: care.NotBefore, Within: care.ConfirmWithin, Unchanged: c.Basis != nil}
		if care.Propose {
			p = schedule{Timer: timedName(appender.ProposalTimer), At: now + ProposalFor.Milliseconds(), Proposer: m.Actor, Unchanged: c.Basis != nil}
		}
		if care.ExpiresIn > 0 {
			p.Until, p.Ends = timedName(appender.LifetimeTimer), p.At+care.ExpiresIn.Milliseconds()
		}
		c.ConfirmWithin = 0
		if c.Basis != nil && len(c.Events) <= eventlog.MaxCommitEvents {
			o := &computed{Events: make([]eventOf[eventlog.Event], len(c.Events)), Basis: c.Basis}
			for i, e := range c.Events {
				o.Events[i].Event = e
			}
			c.Operation, c.Events, c.Basis = o, nil, nil
		}
		if c.Operation != nil {
			c.Operation = &timed{Inner: namedOperation{c.Operation}, schedule: p}
		} else if c.Events, err = p.timer(c.Events); err != nil {
			return "", 0, err
		}
		return p.Timer, p.At, nil
	case care.ExpiresIn > 0:
		timer, at = timedName(appender.LifetimeTimer), now+care.ExpiresIn.Milliseconds()
		if c.Operation != nil {
			c.Operation = &timed{Inner: namedOperation{c.Operation}, schedule: schedule{Timer: timer, At: at}, Lifetime: true}
		} else {
			c.Events = lifetime(c.Events, timer, at)
		}
	}
	return timer, at, nil
}
