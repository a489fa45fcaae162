package appender

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dvr/eventlog"
	"dvr/projector"
)

// system is the actor of what the product itself appends.
const system = "system"

// validate checks the form of c and of its events, naming the member at fault.
func validate(c *eventlog.Commit) error {
	c.Time = placeholderTime
	for i, e := range c.Events {
		switch e.(type) {
		case *eventlog.RouteAnnounced, *eventlog.RouteWithdrawn:
			// by far the most frequent, and not reserved
		case *eventlog.EpochStarted, *eventlog.CommitStaged:
			return fmt.Errorf("events[%d]: %s: %w", i, e.Kind(), ErrReserved)
		case *eventlog.ClockStepped, *eventlog.LevelRaised:
			if c.Actor != system {
				return fmt.Errorf("events[%d]: %s: %w", i, e.Kind(), ErrReserved)
			}
		}
	}
	if len(c.Events) <= eventlog.MaxCommitEvents {
		return c.Validate()
	}
	// What will be staged is checked in pieces, each as a commit would be, and for
	// items in two of them.
	if err := eventlog.Distinct(c.Events); err != nil {
		return err
	}
	part := *c
	for from := 0; from < len(c.Events); from += eventlog.MaxCommitEvents {
		part.Events = c.Events[from:min(from+eventlog.MaxCommitEvents, len(c.Events))]
		if err := part.Validate(); err != nil {
			return shift(err, from)
		}
	}
	return nil
}

// CheckForm reports what Append would find wrong with the form of r and of its
// events (not of those that Prepare gives): for who passes requests on.
func CheckForm(r Request) error {
	c := commitOf(&r)
	return validate(&c)
}

// shift moves the index in an error about a piece of a commit to the whole.
func shift(err error, by int) error {
	var f *eventlog.FieldError
	if by == 0 || !errors.As(err, &f) {
		return err
	}
	rest, ok := strings.CutPrefix(f.Field, "events[")
	if !ok {
		return err
	}
	number, rest, _ := strings.Cut(rest, "]")
	n, convErr := strconv.Atoi(number)
	if convErr != nil {
		return err
	}
	return &eventlog.FieldError{Field: fmt.Sprintf("events[%d]%s", n+by, rest), Reason: f.Reason}
}

// encode validates p's events and writes their stored form, unless they are
// too large for a batch: then large is true, and bytes what their stage takes.
// It runs in the caller's goroutine.
func (p *Pending) encode() (large bool, bytes int64, err error) {
	c := &p.commit
	if err := validate(c); err != nil {
		return false, 0, err
	}
	if len(c.Events) <= eventlog.MaxCommitEvents {
		p.form.encode(c)
		if len(p.form.bytes)+maxGrowth <= maxLoneCommit {
			return false, 0, nil
		}
		return true, int64(len(p.form.bytes)), nil
	}
	return true, int64(len(eventlog.AppendEventLines(nil, c.Events[:sample]))) / sample * int64(len(c.Events)), nil
}

// sample is of how many events the size of a large commit is estimated.
const sample = 512

// maxLoneCommit is what one commit may take so that it and its batch line
// stay within format 1.
const maxLoneCommit = eventlog.MaxCommitBytes - lineRoom

// prepare runs the request's functions on the loop. A panic in them refuses
// the request and nothing else.
func (p *Pending) prepare(s *projector.State) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrFault, r)
		}
	}()
	r := &p.request
	if r.Check != nil {
		if err := r.Check(s); err != nil {
			return err
		}
	}
	if r.Prepare == nil {
		return nil
	}
	c := &p.commit
	if c.Events, err = r.Prepare(s); err != nil {
		return err
	}
	p.confirm()
	if len(c.Events) > eventlog.MaxCommitEvents {
		return fmt.Errorf("%w: %d events", ErrTooLarge, len(c.Events))
	}
	if err := validate(c); err != nil {
		return err
	}
	if p.form.encode(c); len(p.form.bytes)+maxGrowth > maxLoneCommit {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, len(p.form.bytes))
	}
	return nil
}

// judgeReferences refuses events that speak of what is not there, where the
// fold would otherwise keep something that nobody can reach.
func judgeReferences(s *projector.State, c *eventlog.Commit) error {
	for i, e := range c.Events {
		o, ok := e.(*eventlog.LinkObserved)
		if !ok {
			continue
		}
		if _, known := s.Link(o.LinkID); known {
			continue
		}
		if !slices.ContainsFunc(c.Events[:i], func(e eventlog.Event) bool {
			set, ok := e.(*eventlog.LinkSet)
			return ok && set.LinkID == o.LinkID
		}) {
			return &eventlog.FieldError{Field: fmt.Sprintf("events[%d].name", i), Reason: "no such link"}
		}
	}
	return nil
}

// OnlyItself is why a route is refused that resolves through itself alone.
const OnlyItself = "lies in the route's own destination, and no other route resolves it: announce that first, or this one without recursive"

// judgeRecursion refuses a commit that leaves a route which it announces with
// nothing but itself to resolve its next hop. The order of its events means
// nothing, so it is judged at their end; frozen is the state before it. Cost: a look
// at each event, and the commit folded once more where a route holds its next hop.
func judgeRecursion(frozen func() *projector.State, c *eventlog.Commit) error {
	var after *projector.State
	for i, e := range c.Events {
		r, ok := e.(*eventlog.RouteAnnounced)
		if !ok || !projector.HoldsItsNextHop(r) {
			continue
		}
		if after == nil {
			trial := *c
			var err error
			if after, err = frozen().Try(&trial); err != nil {
				return err
			}
		}
		if now, there := after.Route(r.RouteID); there && after.OnlyItself(&now.RouteAnnounced) {
			return &eventlog.FieldError{Field: fmt.Sprintf("events[%d].next_hop", i), Reason: OnlyItself}
		}
	}
	return nil
}
