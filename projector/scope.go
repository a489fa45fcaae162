package projector

import (
	"fmt"
	"slices"
	"strings"

	"dvr/eventlog"
)

// DeniedError is why a commit is not allowed.
type DeniedError struct {
	Actor string
	Event int // the first that is not allowed
	Kind  eventlog.Kind
	About string // what it is about, as far as that has a name
	Needs string // what would allow it
}

func (e *DeniedError) Error() string {
	what := string(e.Kind)
	if e.About != "" {
		what += " of " + e.About
	}
	return fmt.Sprintf("%s may not do this: events[%d], %s, needs %s", e.Actor, e.Event, what, e.Needs)
}

// Allow is nil where p may make a commit of the events at s, whose Access a is,
// else a *DeniedError about the first that it may not. Each event needs one grant
// that admits it. Pure. Cost: a look an event for an actor without scope, else
// O(events × grants).
func (a *Access) Allow(s *State, p *Principal, events []eventlog.Event) error {
	_, free := a.Rank(p)
	for i, e := range events {
		need := needs(s, e)
		if free >= need {
			continue
		}
		if need == RankOperator && a.admits(s, p, e) {
			continue
		}
		d := &DeniedError{Actor: p.Actor, Event: i, Kind: e.Kind(), About: about(e)}
		switch {
		case need > RankAdmin:
			d.Needs = "the system itself"
		case need == RankAdmin:
			d.Needs = "the role admin without a scope"
		default:
			d.Needs = "the role operator with a scope that holds it"
		}
		return d
	}
	return nil
}

// needs is the rank that an event needs without scope at s; RankAdmin+1:
// nobody's. To end a timer or a confirmation takes what its events take.
func needs(s *State, e eventlog.Event) Rank {
	switch e := e.(type) {
	case *eventlog.GuardSet, *eventlog.GuardRemoved, *eventlog.RoleSet, *eventlog.RoleRemoved,
		*eventlog.TokenSet, *eventlog.TokenRemoved, *eventlog.AuthEnabled, *eventlog.AuthDisabled:
		return RankAdmin
	case *eventlog.EpochStarted, *eventlog.LevelRaised, *eventlog.ClockStepped, *eventlog.TimerFailed:
		return RankAdmin + 1
	case *eventlog.TimerSet:
		return max(needsAll(s, e.Events), needsTimer(s, e.Name))
	case *eventlog.TimerCancelled:
		return needsTimer(s, e.Name)
	case *eventlog.TimerFired:
		return needsTimer(s, e.Name)
	case *eventlog.ConfirmationConfirmed:
		if c, ok := s.Confirmation(e.Revision); ok {
			return needsAll(s, c.Inverse)
		}
	case *eventlog.ConfirmationUndone: // by a rollback, before its time
		c, ok := s.Confirmation(e.Revision)
		if !ok {
			return RankAdmin + 1
		}
		return needsAll(s, c.Inverse)
	}
	return RankOperator
}

func needsTimer(s *State, name string) Rank {
	if t, ok := s.Timer(name); ok {
		return max(needsAll(s, t.Events), needsAll(s, t.Inverse))
	}
	return RankOperator
}

func needsAll(s *State, events []eventlog.Event) Rank {
	most := RankOperator
	for _, e := range events {
		most = max(most, needs(s, e))
	}
	return most
}

// admits reports whether a grant of p admits e.
func (a *Access) admits(s *State, p *Principal, e eventlog.Event) bool {
	switch e := e.(type) {
	case *eventlog.TimerSet: // what it holds may rest on different grants
		if _, there := s.Timer(e.Name); there && !a.admitsTimer(s, p, e.Name) {
			return false
		}
		return e.Stage == nil && a.admitsAll(s, p, e.Events)
	case *eventlog.TimerCancelled:
		return a.admitsTimer(s, p, e.Name)
	case *eventlog.TimerFired:
		return a.admitsTimer(s, p, e.Name)
	case *eventlog.ConfirmationOpened:
		return true
	case *eventlog.ConfirmationConfirmed:
		c, ok := s.Confirmation(e.Revision)
		return ok && a.admitsAll(s, p, c.Inverse)
	case *eventlog.ConfirmationUndone:
		c, ok := s.Confirmation(e.Revision)
		return ok && a.admitsAll(s, p, c.Inverse)
	}
	for st := range a.standings(p) {
		for i := range st.grants {
			if g := &st.grants[i]; RankOf(g.Role) >= RankOperator && admits(g, s, e) {
				return true
			}
		}
	}
	return false
}

func (a *Access) admitsTimer(s *State, p *Principal, name string) bool {
	t, ok := s.Timer(name)
	return ok && t.Stage == nil && a.admitsAll(s, p, t.Events) && a.admitsAll(s, p, t.Inverse)
}

func (a *Access) admitsAll(s *State, p *Principal, events []eventlog.Event) bool {
	for _, e := range events {
		if needs(s, e) != RankOperator || !a.admits(s, p, e) {
			return false
		}
	}
	return true
}

// admits reports whether a grant's scope holds what e is about, as it is at s
// and as it will be.
func admits(g *eventlog.Grant, s *State, e eventlog.Event) bool {
	if !scoped(g) {
		return true
	}
	if len(g.Prefixes)+len(g.Routers)+len(g.Tags) == 0 { // of keys alone
		key, ok := keyAbout(e)
		return ok && hasPrefix(g.Keys, key)
	}
	switch e := e.(type) {
	case *eventlog.RouteAnnounced:
		return onRoute(g, &e.RouteID) && tagged(g, s, e, e.Tags)
	case *eventlog.RouteWithdrawn:
		return onRoute(g, &e.RouteID) && tagged(g, s, e, nil)
	case *eventlog.RouterSet:
		return onRouters(g, e.Router) && tagged(g, s, e, e.Tags)
	case *eventlog.RouterRemoved:
		return onRouters(g, e.Router) && tagged(g, s, e, nil)
	case *eventlog.LinkSet:
		return onRouters(g, e.A, e.B) && tagged(g, s, e, e.Tags)
	case *eventlog.LinkRemoved:
		return onRouters(g, e.A, e.B) && tagged(g, s, e, nil)
	case *eventlog.LinkObserved:
		return onRouters(g, e.A, e.B) && len(g.Tags) == 0
	case *eventlog.NextHopObserved:
		return onRouters(g, e.Router) && len(g.Tags) == 0
	}
	key, ok := keyAbout(e)
	return ok && hasPrefix(g.Keys, key)
}

func onRoute(g *eventlog.Grant, id *eventlog.RouteID) bool {
	if len(g.Prefixes) > 0 {
		if _, ok := within(g.Prefixes, id.Destination); !ok {
			return false
		}
	}
	return len(g.Routers) == 0 || slices.Contains(g.Routers, id.Router)
}

// onRouters is about what concerns every prefix at routers.
func onRouters(g *eventlog.Grant, ids ...eventlog.RouterID) bool {
	if len(g.Prefixes) > 0 {
		return false
	}
	return len(g.Routers) == 0 || !slices.ContainsFunc(ids, func(id eventlog.RouterID) bool { return !slices.Contains(g.Routers, id) })
}

// tagged reports whether the item of e has one of the grant's tags, now where it
// is there, and with the tags that e gives it, where it sets it.
func tagged(g *eventlog.Grant, s *State, e eventlog.Event, tags []string) bool {
	if len(g.Tags) == 0 {
		return true
	}
	if !Removes(e) && !sharesTag(g.Tags, tags) {
		return false
	}
	switch was := s.Item(e).Event.(type) {
	case *eventlog.RouteAnnounced:
		return sharesTag(g.Tags, was.Tags)
	case *eventlog.RouterSet:
		return sharesTag(g.Tags, was.Tags)
	case *eventlog.LinkSet:
		return sharesTag(g.Tags, was.Tags)
	}
	return !Removes(e)
}

func keyAbout(e eventlog.Event) (string, bool) {
	switch e := e.(type) {
	case *eventlog.KeyPut:
		return e.Key, true
	case *eventlog.KeyDeleted:
		return e.Key, true
	}
	return "", false
}

func hasPrefix(prefixes []string, key string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(key, p) })
}

// About names what an event is about; "": that has no name.
func About(e eventlog.Event) string { return about(e) }

func about(e eventlog.Event) string {
	switch e := e.(type) {
	case *eventlog.RouteAnnounced:
		return e.Destination.String() + " at router " + string(e.Router)
	case *eventlog.RouteWithdrawn:
		return e.Destination.String() + " at router " + string(e.Router)
	case *eventlog.RouterSet:
		return string(e.Router)
	case *eventlog.RouterRemoved:
		return string(e.Router)
	case *eventlog.LinkSet:
		return string(e.A) + "-" + string(e.B)
	case *eventlog.LinkRemoved:
		return string(e.A) + "-" + string(e.B)
	case *eventlog.KeyPut:
		return e.Key
	case *eventlog.KeyDeleted:
		return e.Key
	}
	return ""
}
