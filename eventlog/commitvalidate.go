package eventlog

import "fmt"

// Validate checks the form of the commit and of each of its events, and that
// no two are about the same item. Revision and Epoch, which the appender
// gives, are not looked at. The error is a *FieldError such as
// "events[3].destination".
func (c *Commit) Validate() error {
	if err := c.validateLine(); err != nil {
		return err
	}
	if len(c.Events) > MaxCommitEvents {
		return &FieldError{Field: "events", Reason: tooMany(MaxCommitEvents)}
	}
	if len(c.Events) > 1 {
		for i, e := range c.Events {
			if e != nil && e.Kind() == KindCommitStaged {
				return &FieldError{Field: fmt.Sprintf("events[%d].kind", i), Reason: "commit.staged must be the only event of its commit"}
			}
		}
	}
	return validateEvents(c.Events, nil, "")
}

// validateLine checks the members of the commit line.
func (c *Commit) validateLine() error {
	var r rules
	r.check("id", printableReason(c.ID, MaxID))
	r.check("time", timeReason(c.Time))
	r.check("actor", labelReason(c.Actor, MaxActor))
	if c.Source != "" {
		r.check("source", printableReason(c.Source, maxSource))
	}
	if c.For != "" {
		r.check("for", labelReason(c.For, MaxActor))
	}
	r.check("reason", textReason(c.Reason, MaxReason))
	if len(c.Forced) > maxForced {
		r.check("forced", tooMany(maxForced))
	}
	for i, name := range c.Forced {
		if reason := nameReason(name); reason != "" {
			r.check(fmt.Sprintf("forced[%d]", i), reason)
		}
	}
	if len(c.Reverts) > MaxCommitEvents {
		r.check("reverts", tooMany(MaxCommitEvents))
	}
	for i, rev := range c.Reverts {
		if rev == 0 {
			r.check(fmt.Sprintf("reverts[%d]", i), "must be 1 or more")
		}
	}
	if len(c.Via) > maxVia {
		r.check("via", tooMany(maxVia))
	}
	for i, v := range c.Via {
		if reason := viaReason(v); reason != "" {
			r.check(fmt.Sprintf("via[%d]", i), reason)
		}
	}
	return r.done()
}

// movesClock says that the commit may be dated before the one before it.
func (c *Commit) movesClock() bool {
	for _, e := range c.Events {
		switch e.(type) {
		case *EpochStarted, *ClockStepped:
			return true
		}
	}
	return false
}

// epochStarted is the commit's event of that kind, nil without one.
func (c *Commit) epochStarted() *EpochStarted {
	for _, e := range c.Events {
		if s, ok := e.(*EpochStarted); ok {
			return s
		}
	}
	return nil
}
