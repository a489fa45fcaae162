package service

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
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
	// ExpiresIn > 0: what the commit sets is taken back after that time.
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
	case c.NotBefore != 0 && c.ExpiresIn != 0:
		return invalid("expires_in", "has no meaning beside not_before yet")
	}
	return nil
}

// timedName is the name of a timer that no other has.
func timedName(prefix string) string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + hex.EncodeToString(b[:])
}

// timerEvents is how many events a timer of a lifetime takes; more are several timers.
const timerEvents = 1000

// lifetime adds to events the timers that take back what they set.
func lifetime(events []eventlog.Event, name string, at int64) []eventlog.Event {
	out := append([]eventlog.Event(nil), events...)
	var ends []eventlog.Event
	n := 0
	flush := func() {
		if len(ends) > 0 {
			n++
			out = append(out, &eventlog.TimerSet{Name: fmt.Sprintf("%s.%d", name, n), At: at, Events: ends})
			ends = nil
		}
	}
	for _, e := range events {
		if end := projector.Removal(e); end != nil {
			if ends = append(ends, end); len(ends) == timerEvents {
				flush()
			}
		}
	}
	flush()
	return out
}

// scheduled is the timer that holds events until at.
func scheduled(events []eventlog.Event, name string, at int64, within time.Duration, proposer string) ([]eventlog.Event, error) {
	if within > 0 {
		events = append(append([]eventlog.Event(nil), events...), &eventlog.ConfirmationOpened{Deadline: at + within.Milliseconds()})
	}
	if len(events) > eventlog.MaxCommitEvents {
		return nil, fmt.Errorf("%d events: %w: a scheduled change has at most %d", len(events), ErrTooLarge, eventlog.MaxCommitEvents)
	}
	return []eventlog.Event{&eventlog.TimerSet{Name: name, At: at, Events: events, Proposer: proposer}}, nil
}

// timed is an Operation whose events are scheduled or have a lifetime.
type timed struct {
	Inner    namedOperation `json:"inner"`
	Timer    string         `json:"timer"`
	At       int64          `json:"at"`
	Lifetime bool           `json:"lifetime,omitempty"`
	Confirm  time.Duration  `json:"confirm,omitempty"`
	Proposer string         `json:"proposer,omitempty"`
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
	return scheduled(events, o.Timer, o.At, o.Confirm, o.Proposer)
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
	switch {
	case care.ExpiresIn > 0:
		timer, at = timedName(appender.LifetimeTimer), now+care.ExpiresIn.Milliseconds()
		if c.Operation != nil {
			c.Operation = &timed{Inner: namedOperation{c.Operation}, Timer: timer, At: at, Lifetime: true}
		} else {
			c.Events = lifetime(c.Events, timer, at)
		}
	case care.Propose && !care.DryRun: // a preview shows what it would do
		timer, at = timedName(appender.ProposalTimer), now+ProposalFor.Milliseconds()
		if c.Operation != nil {
			c.Operation = &timed{Inner: namedOperation{c.Operation}, Timer: timer, At: at, Proposer: m.Actor}
		} else if c.Events, err = scheduled(c.Events, timer, at, 0, m.Actor); err != nil {
			return "", 0, err
		}
	case care.NotBefore > 0 && !care.DryRun: // a preview shows what it will do
		timer, at = timedName(appender.ScheduledTimer), care.NotBefore
		c.ConfirmWithin = 0
		if c.Operation != nil {
			c.Operation = &timed{Inner: namedOperation{c.Operation}, Timer: timer, At: at, Confirm: care.ConfirmWithin}
		} else if c.Events, err = scheduled(c.Events, timer, at, care.ConfirmWithin, ""); err != nil {
			return "", 0, err
		}
	}
	return timer, at, nil
}
