package projector

import (
	"crypto/subtle"
	"iter"
	"slices"
	"strings"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// The roles, each of which includes the one before.
const (
	RoleViewer   = "viewer"
	RoleOperator = "operator"
	RoleAdmin    = "admin"
)

// Rank orders the roles; RankNone is no role at all.
type Rank uint8

// The ranks of the roles.
const (
	RankNone Rank = iota
	RankViewer
	RankOperator
	RankAdmin
)

// RankOf is the rank of a role; an unknown one has none.
func RankOf(role string) Rank {
	switch role {
	case RoleViewer:
		return RankViewer
	case RoleOperator:
		return RankOperator
	case RoleAdmin:
		return RankAdmin
	}
	return RankNone
}

// String is the role's name.
func (r Rank) String() string {
	return [...]string{"no role", RoleViewer, RoleOperator, RoleAdmin}[min(r, RankAdmin)]
}

// Prefixes of what a commit's via tells.
const (
	viaToken = "token:"
	// GroupPrefix begins the actor that stands for a group of the identity provider.
	GroupPrefix = "group:"
)

// Principal is an actor that was authenticated. Immutable.
type Principal struct {
	Actor string
	Via   []string // as the commit's: the token's id, or groups, in order
}

// PrincipalOf is who made a commit. Without authorization it has no Via.
func PrincipalOf(c *eventlog.Commit) Principal { return Principal{c.Actor, c.Via} }

// ByToken reports whether p came with a token, and not by a certificate or an
// identity provider.
func (p *Principal) ByToken() bool { return p.token() != "" }

// token is the id of the token that p came with; "": none.
func (p *Principal) token() string {
	if len(p.Via) == 1 {
		if id, ok := strings.CutPrefix(p.Via[0], viaToken); ok {
			return id
		}
	}
	return ""
}

// Token is a token as it is at a state.
type Token struct {
	eventlog.TokenSet
	Revision  eventlog.Revision
	Principal Principal // who comes with it
}

// Access says who may do what at a state, compiled. Immutable, safe for
// concurrent use.
type Access struct {
	enabled bool
	tokens  map[string]*Token
	roles   map[string]*standing
}

// standing is what an actor or a group may do.
type standing struct {
	grants []eventlog.Grant
	rank   Rank // of the highest grant
	free   Rank // of the highest grant without scope
}

func newAccess(items pmap.View[pmap.String, *item]) *Access {
	a := &Access{enabled: items.Has(itemKeyOf(itemAuth))}
	for _, it := range itemsOf(items, pmap.String(rune(itemRole))) {
		if a.roles == nil {
			a.roles = map[string]*standing{}
		}
		e := it.event.(*eventlog.RoleSet)
		a.roles[e.Actor] = standingOf(e.Grants)
	}
	for _, it := range itemsOf(items, pmap.String(rune(itemToken))) {
		if a.tokens == nil {
			a.tokens = map[string]*Token{}
		}
		e := it.event.(*eventlog.TokenSet)
		a.tokens[e.ID] = &Token{*e, it.rev, Principal{e.Actor, []string{viaToken + e.ID}}}
	}
	return a
}

func standingOf(grants []eventlog.Grant) *standing {
	s := &standing{grants: grants}
	for i := range grants {
		g := &grants[i]
		s.rank = max(s.rank, RankOf(g.Role))
		if !scoped(g) {
			s.free = max(s.free, RankOf(g.Role))
		}
	}
	return s
}

// Access is who may do what. Cost: O(1) while no guard, freeze, role or token changes.
func (s *State) Access() *Access { return s.Policy().access }

// Enabled reports whether callers must be authenticated.
func (a *Access) Enabled() bool { return a.enabled }

// Tokens is how many there are.
func (a *Access) Tokens() int { return len(a.tokens) }

// Token finds a token that a secret with that SHA-256 opens, and that has not
// expired at now (Unix milliseconds); nil: there is none. Join tokens are found,
// too. Cost: a lookup and a comparison in constant time, no allocation.
func (a *Access) Token(id string, secret *[32]byte, now int64) *Token {
	t := a.tokens[id]
	if t == nil || subtle.ConstantTimeCompare(t.SHA256[:], secret[:]) != 1 || t.expired(now) {
		return nil
	}
	return t
}

func (t *Token) expired(now int64) bool { return t.Expires != 0 && now >= t.Expires }

// Holds reports whether p is still who it was authenticated as: its token is
// neither revoked nor expired at now, nor another's. Who came otherwise is.
func (a *Access) Holds(p *Principal, now int64) bool {
	id := p.token()
	if id == "" {
		return true
	}
	t := a.tokens[id]
	return t != nil && t.Actor == p.Actor && !t.Join && !t.expired(now)
}

// standings iterates over those of the actor and of its groups.
func (a *Access) standings(p *Principal) iter.Seq[*standing] {
	return func(yield func(*standing) bool) {
		if s := a.roles[p.Actor]; s != nil && !yield(s) {
			return
		}
		for _, v := range p.Via {
			if strings.HasPrefix(v, GroupPrefix) {
				if s := a.roles[v]; s != nil && !yield(s) {
					return
				}
			}
		}
	}
}

// Rank is the highest that p has anywhere; free is the highest without scope.
func (a *Access) Rank(p *Principal) (anywhere, free Rank) {
	for s := range a.standings(p) {
		anywhere, free = max(anywhere, s.rank), max(free, s.free)
	}
	return anywhere, free
}

// Grants are those of p and its groups.
func (a *Access) Grants(p *Principal) (out []eventlog.Grant) {
	for s := range a.standings(p) {
		out = append(out, s.grants...)
	}
	return out
}

// HasRole reports whether an actor or group has any role.
func (a *Access) HasRole(actor string) bool { return a.roles[actor] != nil }

// KeepsAdmin reports whether after the events, where authorization is in force
// then, there still is an actor that is admin without scope. Events that are not
// about roles and authorization cost a look each.
func (a *Access) KeepsAdmin(events []eventlog.Event) bool {
	enabled, touched, admins := a.adminsAfter(events)
	return !touched || !enabled || admins > 0
}

// AdminsAfter is whether authorization is in force after the events, and how many
// actors and groups are admin without scope then. Cost: O(actors with a role).
func (a *Access) AdminsAfter(events []eventlog.Event) (enabled bool, admins int) {
	enabled, touched, admins := a.adminsAfter(events)
	if !touched {
		for _, s := range a.roles {
			if s.free == RankAdmin {
				admins++
			}
		}
	}
	return enabled, admins
}

// Widens reports whether a role.set gives its actor what it has not.
func (a *Access) Widens(e *eventlog.RoleSet) bool {
	var has []eventlog.Grant
	if s := a.roles[e.Actor]; s != nil {
		has = s.grants
	}
	return slices.ContainsFunc(e.Grants, func(g eventlog.Grant) bool {
		return !slices.ContainsFunc(has, func(h eventlog.Grant) bool {
			return h.Role == g.Role && slices.Equal(h.Prefixes, g.Prefixes) && slices.Equal(h.Routers, g.Routers) && slices.Equal(h.Tags, g.Tags) && slices.Equal(h.Keys, g.Keys)
		})
	})
}

// adminsAfter is AdminsAfter; where no event touches it, admins are not counted.
func (a *Access) adminsAfter(events []eventlog.Event) (enabled, touched bool, admins int) {
	enabled, touched, changed := a.changes(events)
	if !touched {
		return enabled, false, 0
	}
	for _, admin := range changed {
		if admin {
			admins++
		}
	}
	for actor, s := range a.roles {
		if _, over := changed[actor]; !over && s.free == RankAdmin {
			admins++
		}
	}
	return enabled, true, admins
}

// changes is whether authorization is in force after the events, whether they are
// about that or roles, and of whose roles they are: admin without scope or not.
func (a *Access) changes(events []eventlog.Event) (enabled, touched bool, changed map[string]bool) {
	enabled = a.enabled
	for _, e := range events {
		switch e := e.(type) {
		case *eventlog.AuthEnabled:
			enabled, touched = true, true
		case *eventlog.AuthDisabled:
			enabled, touched = false, true
		case *eventlog.RoleSet, *eventlog.RoleRemoved:
			if changed == nil {
				changed = map[string]bool{}
			}
			touched = true
			if set, ok := e.(*eventlog.RoleSet); ok {
				changed[set.Actor] = standingOf(set.Grants).free == RankAdmin
			} else {
				changed[e.(*eventlog.RoleRemoved).Actor] = false
			}
		}
	}
	return enabled, touched, changed
}

// LastAdminToken is the token that events revoke and that was the last one by which
// an admin without scope came in at now (Unix milliseconds); "": there is none, or
// authorization is off behind the events. Cost: a look an event where no token is
// revoked, else O(tokens).
func (a *Access) LastAdminToken(events []eventlog.Event, now int64) string {
	tokens := map[string]*eventlog.TokenSet(nil) // that are touched, as they are after the events; nil: revoked
	revoked := false
	for _, e := range events {
		switch e := e.(type) {
		case *eventlog.TokenRemoved:
			if tokens == nil {
				tokens = map[string]*eventlog.TokenSet{}
			}
			tokens[e.ID], revoked = nil, true
		case *eventlog.TokenSet:
			if tokens == nil {
				tokens = map[string]*eventlog.TokenSet{}
			}
			tokens[e.ID] = e
		}
	}
	if !revoked {
		return ""
	}
	enabled, _, changed := a.changes(events)
	if !enabled {
		return ""
	}
	opens := func(t *eventlog.TokenSet, admin bool) bool {
		return admin && !t.Join && (t.Expires == 0 || now < t.Expires)
	}
	was := func(actor string) bool { r := a.roles[actor]; return r != nil && r.free == RankAdmin }
	is := func(actor string) bool {
		if admin, ok := changed[actor]; ok {
			return admin
		}
		return was(actor)
	}
	for _, t := range tokens {
		if t != nil && opens(t, is(t.Actor)) {
			return ""
		}
	}
	last := ""
	for id, t := range a.tokens {
		after, touched := tokens[id]
		switch {
		case !touched && opens(&t.TokenSet, is(t.Actor)):
			return ""
		case touched && after == nil && opens(&t.TokenSet, was(t.Actor)) && (last == "" || id < last):
			last = id
		}
	}
	return last
}

// Tokens iterates over the tokens by id.
func (s *State) Tokens() iter.Seq[Token] {
	return collect(s, itemToken, func(it *item) Token {
		e := *it.event.(*eventlog.TokenSet)
		return Token{e, it.rev, Principal{e.Actor, []string{viaToken + e.ID}}}
	})
}

// scoped reports whether a grant is not about everything.
func scoped(g *eventlog.Grant) bool {
	return len(g.Prefixes)+len(g.Routers)+len(g.Tags)+len(g.Keys) > 0
}

// sharesTag reports whether two sorted lists have a tag in common.
func sharesTag(a, b []string) bool {
	return slices.ContainsFunc(a, func(t string) bool { return slices.Contains(b, t) })
}
