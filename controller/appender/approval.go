package appender

import (
	"fmt"
	"strings"

	"dvr/eventlog"
	"dvr/projector"
)

// leastAdmins is how many actors must be admin without scope while a guard asks
// for two: who approves that it is lifted is one that did not propose it.
const leastAdmins = 2

// powers is what of a commit gives somebody the power to approve, while a guard
// asks for two actors: one that could make the second by itself would be both.
func powers(s *projector.State, r *Request, c *eventlog.Commit) (out []projector.Breach) {
	policy, a := s.Policy(), s.Access()
	guards := policy.Approving()
	if len(guards) == 0 || !r.Outside || !a.Enabled() {
		return nil
	}
	for _, e := range c.Events {
		if e, ok := e.(*eventlog.RoleSet); ok && a.Widens(e) {
			// A log of an older program may have one admin, who makes the second so.
			if _, admins := a.AdminsAfter(nil); admins < leastAdmins {
				return nil
			}
			out = append(out, projector.Breach{Name: guards[0], Text: "what " + e.Actor + " may do becomes more with the consent of a second actor", By: projector.ByApproval})
		}
	}
	return out
}

// twoActors refuses what would let one actor be both of the two that a guard asks
// for, and cannot be proposed; and what would leave nobody to approve. Cost
// without such a guard and without such an event: a look an event.
func twoActors(s *projector.State, r *Request, c *eventlog.Commit) error {
	if !r.Outside {
		return nil
	}
	a := s.Access()
	guards := s.Policy().Approving()
	about := false // who may approve, or whether anybody must
	after := map[string]bool{}
	for _, name := range guards {
		after[name] = true
	}
	for _, e := range c.Events {
		switch e := e.(type) {
		case *eventlog.GuardSet:
			about = true
			after[e.Name] = e.Type == eventlog.GuardApproval
		case *eventlog.GuardRemoved:
			after[e.Name] = false
		case *eventlog.RoleSet, *eventlog.RoleRemoved, *eventlog.AuthEnabled:
			about = true
		case *eventlog.AuthDisabled:
			if len(guards) > 0 && a.Enabled() {
				return fmt.Errorf("%w: guard %s asks for two actors, whom nobody tells apart without authorization: remove it first (--propose, and another admin's `dvr approve`)", ErrForbidden, strings.Join(guards, ", "))
			}
		case *eventlog.TokenSet:
			if len(guards) == 0 || !a.Enabled() || e.Join || e.Actor == c.Actor || !a.HasRole(e.Actor) {
				continue
			}
			if was, there := s.Item(e).Event.(*eventlog.TokenSet); there && uses(was, e) {
				continue
			}
			return fmt.Errorf("%w: guard %s asks for two actors, and who has a token of %s is %s: %s makes its own; or its roles are taken, the token is made, and the roles are proposed anew",
				ErrForbidden, strings.Join(guards, ", "), e.Actor, e.Actor, e.Actor)
		}
	}
	if !about {
		return nil
	}
	asks := ""
	for name, is := range after {
		if is && (asks == "" || name < asks) {
			asks = name
		}
	}
	if asks == "" {
		return nil
	}
	if enabled, admins := a.AdminsAfter(c.Events); enabled && admins < leastAdmins {
		return fmt.Errorf("%w: guard %s asks for two actors, and %d would be admin without a scope: nobody could approve that it is lifted; make a second one first", ErrConflict, asks, admins)
	}
	return nil
}
