package appender

import (
	"bytes"
	"errors"
	"fmt"

	"dvr/eventlog"
	"dvr/projector"
)

var (
	// ErrUnauthenticated: nobody, or nobody any more, was authenticated; nothing was stored.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrForbidden: the actor may not do what is asked; nothing was stored. Most
	// often it is a projector.DeniedError, too.
	ErrForbidden = errors.New("forbidden")
)

// MaxTokens is how many tokens there may be.
const MaxTokens = 10000

// forbidden is an ErrForbidden with its cause, whose text says it all.
type forbidden struct{ *projector.DeniedError }

func (forbidden) Is(target error) bool { return target == ErrForbidden }
func (f forbidden) Unwrap() error      { return f.DeniedError }

// authentic refuses a principal whose token was revoked or has expired by now.
func authentic(a *projector.Access, p *projector.Principal, now int64) error {
	if a.Holds(p, now) {
		return nil
	}
	return fmt.Errorf("%w: the token of %s was revoked or has expired", ErrUnauthenticated, p.Actor)
}

// authorize refuses a commit at s, the state that it applies to, that its
// principal may not make, and one that would lock everybody out. now is log time
// where the commit will be. Cost while authorization is not in force: a look an
// event.
func authorize(s *projector.State, r *Request, c *eventlog.Commit, now int64) error {
	a := s.Access()
	if err := access(s, a, c.Events); err != nil {
		return err
	}
	if err := proposals(s, r, c); err != nil {
		return err
	}
	if err := twoActors(s, r, c); err != nil {
		return err
	}
	if !r.Outside || !a.Enabled() {
		return nil
	}
	if r.Principal == nil {
		if c.Actor == system && nodesOwn(s, c.Events) {
			return nil
		}
		return fmt.Errorf("%w: authorization is in force", ErrUnauthenticated)
	}
	if err := authentic(a, r.Principal, now); err != nil {
		return err
	}
	if err := a.Allow(s, r.Principal, c.Events); err != nil {
		var d *projector.DeniedError
		if errors.As(err, &d) {
			return forbidden{d}
		}
		return err
	}
	if len(c.Events) == 0 {
		// What changes nothing is remembered under its id all the same.
		if any, _ := a.Rank(r.Principal); any < projector.RankOperator {
			return fmt.Errorf("%w: %s has %s", ErrForbidden, r.Principal.Actor, any)
		}
	}
	return nil
}

// approves reports whether c is what somebody else proposed.
func approves(s *projector.State, c *eventlog.Commit) bool {
	for _, e := range c.Events {
		if f, ok := e.(*eventlog.TimerFired); ok {
			t, there := s.Timer(f.Name)
			return there && t.Proposer != "" && t.Proposer != c.Actor
		}
	}
	return false
}

// proposals holds a proposal to its proposer, and its approval to what it is: all
// that was proposed, nothing else, by somebody else. What the system fires is its own.
func proposals(s *projector.State, r *Request, c *eventlog.Commit) error {
	for i, e := range c.Events {
		switch e := e.(type) {
		case *eventlog.TimerSet:
			if e.Proposer != "" && e.Proposer != c.Actor {
				return &eventlog.FieldError{Field: fmt.Sprintf("events[%d].proposer", i), Reason: "must be the actor of the commit"}
			}
		case *eventlog.TimerFired:
			t, there := s.Timer(e.Name)
			switch {
			case !there:
				return fmt.Errorf("%w: there is no %s", ErrConflict, e.Name)
			case !r.Outside && t.Proposer == "":
			case t.Proposer == "":
				return fmt.Errorf("%w: %s is no proposal", ErrForbidden, e.Name)
			case t.Proposer == c.Actor:
				return fmt.Errorf("%w: %s has proposed %s: somebody else approves it", ErrForbidden, c.Actor, e.Name)
			case !proposed(&t, c.Events):
				return fmt.Errorf("%w: not what %s holds", ErrConflict, e.Name)
			}
		}
	}
	return nil
}

// proposed reports whether events are those of a proposal and its end.
func proposed(t *projector.Timer, events []eventlog.Event) bool {
	if len(events) != len(t.Events)+1 {
		return false
	}
	for i, e := range t.Events {
		if e != events[i] && !bytes.Equal(eventlog.AppendEvent(nil, e), eventlog.AppendEvent(nil, events[i])) {
			return false
		}
	}
	return true
}

// access is what holds of events about roles and tokens whoever makes them.
func access(s *projector.State, a *projector.Access, events []eventlog.Event) error {
	about, timed := -1, false
	for i, e := range events {
		switch e := e.(type) {
		case *eventlog.TokenSet:
			about = i
			was, there := s.Item(e).Event.(*eventlog.TokenSet)
			switch {
			case !there && a.Tokens() >= MaxTokens:
				return fmt.Errorf("%w: there are %d tokens already; revoke some", ErrConflict, MaxTokens)
			case there && !uses(was, e):
				return fmt.Errorf("%w: there is a token %s already", ErrConflict, e.ID)
			}
		case *eventlog.RoleSet:
			about = i
			for j, g := range e.Grants {
				if projector.RankOf(g.Role) == projector.RankNone {
					return &eventlog.FieldError{Field: fmt.Sprintf("events[%d].grants[%d].role", i, j), Reason: "must be viewer, operator or admin"}
				}
			}
		case *eventlog.RoleRemoved, *eventlog.TokenRemoved, *eventlog.AuthEnabled, *eventlog.AuthDisabled:
			about = i
		case *eventlog.ConfirmationOpened:
			timed = true
		case *eventlog.TimerSet:
			timed = true
			for j, n := range e.Events {
				switch n.(type) {
				case *eventlog.RoleSet, *eventlog.RoleRemoved:
					if e.Proposer != "" {
						continue // which is done at once and for good, or never
					}
					return &eventlog.FieldError{Field: fmt.Sprintf("events[%d].events[%d]", i, j), Reason: "is about roles, which change at once and for good"}
				}
			}
		}
	}
	if about < 0 {
		return nil
	}
	if timed {
		return &eventlog.FieldError{Field: fmt.Sprintf("events[%d]", about), Reason: "is about roles or tokens, which change at once and for good: without confirm_within, not_before and expires_in"}
	}
	if !a.KeepsAdmin(events) {
		return fmt.Errorf("%w: nobody would have the role admin without a scope", ErrConflict)
	}
	return nil
}

// uses reports whether set changes nothing, or writes into a join token who has
// used it.
func uses(was, set *eventlog.TokenSet) bool {
	same := *was
	same.Node = set.Node
	return same == *set && (was.Node == set.Node || was.Join && was.Node == "")
}

// nodesOwn reports whether events are what a node says for itself: what its data
// planes see, and that another node has used its join token.
func nodesOwn(s *projector.State, events []eventlog.Event) bool {
	if len(events) == 0 {
		return false
	}
	for _, e := range events {
		switch e := e.(type) {
		case *eventlog.LinkObserved, *eventlog.NextHopObserved:
		case *eventlog.TokenSet:
			if was, there := s.Item(e).Event.(*eventlog.TokenSet); !there || !uses(was, e) {
				return false
			}
		default:
			return false
		}
	}
	return true
}
