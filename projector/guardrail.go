package projector

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// The guard rail of type max_shrink that is in force where none is set.
const (
	DefaultGuard         = "default"
	DefaultShrinkPercent = 20
	DefaultShrinkAbove   = 1000
)

// Breach is a guard rail or a freeze that a commit does not pass.
type Breach struct {
	Name string // of the guard or freeze
	Text string // what it forbids of the commit
	By   BreachKind
}

// BreachKind is what a commit does not pass.
type BreachKind string

// The kinds of breaches, as the commands that set and remove them are called.
const (
	ByGuard  BreachKind = "guard"
	ByFreeze BreachKind = "freeze"
	// ByApproval: it needs a second actor, and force does not do instead.
	ByApproval BreachKind = "approval"
	ByDefault  BreachKind = "" // the guard that is there where no other of its type is: it cannot be removed
)

// Policy is the guard rails and freezes in force, compiled, with who may do what. Immutable.
type Policy struct {
	protected, routes, shrink []eventlog.GuardSet
	freezes, approvals        []eventlog.FreezeSet // approvals: the guards of type needs_approval
	leastAbove                uint64               // of shrink
	leastPercent              uint64
	access                    *Access
}

type policyCell struct {
	once  sync.Once
	items pmap.View[pmap.String, *item] // let go when built
	built *Policy
}

func (c *policyCell) get() *Policy {
	c.once.Do(func() {
		c.built = newPolicy(c.items)
		c.items = pmap.View[pmap.String, *item]{}
	})
	return c.built
}

func newPolicy(items pmap.View[pmap.String, *item]) *Policy {
	p := &Policy{access: newAccess(items)}
	for _, it := range itemsOf(items, pmap.String(rune(itemGuard))) {
		switch g := *it.event.(*eventlog.GuardSet); g.Type {
		case eventlog.GuardProtected:
			p.protected = append(p.protected, g)
		case eventlog.GuardMaxRoutes:
			p.routes = append(p.routes, g)
		case eventlog.GuardMaxShrink:
			p.shrink = append(p.shrink, g)
		case eventlog.GuardApproval:
			p.approvals = append(p.approvals, eventlog.FreezeSet{Name: g.Name, Prefixes: g.Prefixes, Routers: g.Routers})
		}
	}
	if len(p.shrink) == 0 {
		p.shrink = []eventlog.GuardSet{{Name: DefaultGuard, Type: eventlog.GuardMaxShrink, Percent: DefaultShrinkPercent, Above: DefaultShrinkAbove}}
	}
	p.leastAbove, p.leastPercent = p.shrink[0].Above, uint64(p.shrink[0].Percent)
	for _, g := range p.shrink {
		p.leastAbove, p.leastPercent = min(p.leastAbove, g.Above), min(p.leastPercent, uint64(g.Percent))
	}
	for _, it := range itemsOf(items, pmap.String(rune(itemFreeze))) {
		p.freezes = append(p.freezes, *it.event.(*eventlog.FreezeSet))
	}
	return p
}

// Policy is what commits are held against. Cost: O(1) while no guard or freeze changes.
func (s *State) Policy() *Policy { return s.policy.get() }

// MayShrink reports whether a commit could take more prefixes out of a FIB than
// the guards on shrinking allow, by what its events are alone: if not, no FIB
// has to be compared. Cost: O(events).
func (p *Policy) MayShrink(s *State, events []eventlog.Event) bool {
	removed := uint64(0)
	for _, e := range events {
		switch e := e.(type) {
		case *eventlog.RouteAnnounced:
			if e.Metric != eventlog.MetricUnusable && !e.Recursive {
				continue // its prefix is usable wherever it was
			}
			removed++
			if s.resolvesThrough(e.Destination) {
				return true
			}
		case *eventlog.RouteWithdrawn:
			removed++
			if s.resolvesThrough(e.Destination) {
				return true
			}
		case *eventlog.RouterSet:
			was, _ := s.Item(e).Event.(*eventlog.RouterSet)
			if len(s.recursive) > 0 || e.Drained != eventlog.DrainNone && (was == nil || was.Drained != e.Drained) {
				return true
			}
		case *eventlog.LinkSet:
			was, _ := s.Item(e).Event.(*eventlog.LinkSet)
			if len(s.recursive) > 0 || was != nil && !was.Down && (e.Down || blinds(was, e)) {
				return true
			}
		case *eventlog.RouterRemoved:
			if len(s.recursive) > 0 {
				return true
			}
		case *eventlog.LinkRemoved:
			if was, ok := s.Item(e).Event.(*eventlog.LinkSet); ok && (len(s.recursive) > 0 || !was.Down) {
				return true
			}
		}
	}
	// A guard looks at FIBs of more than above prefixes.
	return removed*100 > p.leastPercent*(p.leastAbove+1)
}

// blinds reports whether an end of a link could be sent over before and cannot after.
func blinds(before, after *eventlog.LinkSet) bool {
	blind := func(iface string, there []netip.Addr) bool { return iface == "" && len(there) == 0 }
	return !blind(before.InterfaceA, before.AddressB) && blind(after.InterfaceA, after.AddressB) ||
		!blind(before.InterfaceB, before.AddressA) && blind(after.InterfaceB, after.AddressA)
}

// resolvesThrough reports whether a recursive next hop lies in the prefix.
func (s *State) resolvesThrough(p netip.Prefix) bool {
	for _, c := range s.recursive {
		for i := range c.paths {
			if c.paths[i].recursive && p.Contains(c.paths[i].nextHop) {
				return true
			}
		}
	}
	return false
}

// Shrinks is the breaches of a commit that takes a router's FIB from before to
// after prefixes.
func (p *Policy) Shrinks(router eventlog.RouterID, before, after int) []Breach {
	var out []Breach
	for i := range p.shrink {
		g := &p.shrink[i]
		if after >= before || uint64(before) <= g.Above || uint64(before-after)*100 <= uint64(g.Percent)*uint64(before) {
			continue
		}
		if len(g.Routers) > 0 && !slices.Contains(g.Routers, router) {
			continue
		}
		by := ByGuard
		if g.Name == DefaultGuard {
			by = ByDefault
		}
		out = append(out, Breach{g.Name, fmt.Sprintf("the table of %s would shrink from %d to %d prefixes, by more than %d %%", tableName(router), before, after, g.Percent), by})
	}
	return out
}

// Strands is the breaches of a commit after which a router's FIB lacks protected
// prefixes that it has before, whatever took them: a link, a drain, a next hop that
// resolves no more. after is compiled from before. Cost: the classes whose groups
// changed; where one of them is lost, a pass over the protected prefixes, up to the
// first of that class.
func (p *Policy) Strands(before, after *FIB) []Breach {
	if len(p.protected) == 0 {
		return nil
	}
	lost := map[ClassID]bool{}
	changedGroups(before, after, func(id ClassID, a, b []NextHop) {
		if len(a) > 0 && len(b) == 0 {
			lost[id] = true
		}
	})
	if len(lost) == 0 {
		return nil
	}
	var out []Breach
	for i := range p.protected {
		g := &p.protected[i]
		if at, in, ok := stranded(g, lost, before.state, after); ok {
			out = append(out, Breach{g.Name, fmt.Sprintf("%s, which is protected (%s), would leave the table of %s", at, in, tableName(after.router)), ByGuard})
		}
	}
	return out
}

// stranded finds the first prefix that the guard protects and that is lost with its class.
func stranded(g *eventlog.GuardSet, lost map[ClassID]bool, before *State, after *FIB) (at, in netip.Prefix, ok bool) {
	for _, in := range g.Prefixes {
		for p, e := range before.entries(in, netip.Prefix{}) {
			if e.set.class == nil || !lost[e.set.class.id] {
				continue
			}
			if c := after.state.classAt(p); c != nil && len(after.Group(c.id)) > 0 {
				continue // it has moved to another class
			}
			if len(g.Routers) == 0 || slices.ContainsFunc(e.set.bodies, func(b *body) bool {
				return b.route.Router == eventlog.AllRouters || slices.Contains(g.Routers, b.route.Router)
			}) {
				return p.prefix(), in, true
			}
		}
	}
	return at, in, false
}

func tableName(router eventlog.RouterID) string {
	if router == eventlog.AllRouters {
		return "every router"
	}
	return "router " + string(router)
}

// Approvals is the guards by which a commit needs the consent of a second actor,
// each once. What a proposal holds needs it when it is approved; what a schedule
// holds, at once. Cost: O(events × guards).
func (p *Policy) Approvals(events []eventlog.Event) []Breach {
	var out []Breach
	for i := range p.approvals {
		g := &p.approvals[i]
		if what := needsApproval(g, events); what != "" {
			out = append(out, Breach{g.Name, what + " changes with the consent of a second actor", ByApproval})
		}
	}
	return out
}

// Approving are the names of the guards of that kind, in order.
func (p *Policy) Approving() []string {
	var out []string
	for i := range p.approvals {
		out = append(out, p.approvals[i].Name)
	}
	return out
}

// needsApproval is what of the events the guard is about; "": nothing.
func needsApproval(g *eventlog.FreezeSet, events []eventlog.Event) string {
	for _, e := range events {
		what := frozen(g, e)
		switch e := e.(type) {
		case *eventlog.GuardSet:
			if e.Name == g.Name {
				what = "guard " + g.Name
			}
		case *eventlog.GuardRemoved:
			if e.Name == g.Name {
				what = "guard " + g.Name
			}
		case *eventlog.TimerSet:
			if e.Proposer == "" {
				what = needsApproval(g, e.Events)
				if e.Stage != nil {
					what = "timer " + e.Name
				}
			}
		}
		if what != "" {
			return what
		}
	}
	return ""
}

// Idle reports that nothing but shrinking is guarded.
func (p *Policy) Idle() bool { return len(p.protected)+len(p.routes)+len(p.freezes) == 0 }

// CountsOrigins reports whether Breaches needs the numbers of routes by origin.
func (p *Policy) CountsOrigins() bool {
	return slices.ContainsFunc(p.routes, func(g eventlog.GuardSet) bool { return g.Origin != "" })
}

// Breaches is the protected prefixes, the limits of routes and the freezes that
// a commit does not pass, each once. origins is how many routes of each origin
// there are in s (CountsOrigins). Cost: O(events × (guards + freezes)).
func (p *Policy) Breaches(s *State, c *eventlog.Commit, origins map[string]int) []Breach {
	var out []Breach
	for i := range p.protected {
		g := &p.protected[i]
		for _, e := range c.Events {
			id := aboutRoute(e)
			if id == nil || len(g.Routers) > 0 && id.Router != eventlog.AllRouters && !slices.Contains(g.Routers, id.Router) {
				continue
			}
			if in, ok := within(g.Prefixes, id.Destination); ok {
				out = append(out, Breach{g.Name, fmt.Sprintf("%s is protected (%s)", id.Destination, in), ByGuard})
				break
			}
		}
	}
	for i := range p.routes {
		g := &p.routes[i]
		if g.Actor != "" && g.Actor != authorOf(c) {
			continue
		}
		now, grows := s.routes, 0
		own := false // the actor's own are counted
		switch {
		case g.Origin != "":
			now = origins[g.Origin]
		case g.Actor != "":
			now, own = s.RoutesOf(g.Actor), true
		}
		for _, e := range c.Events {
			id := aboutRoute(e)
			if id == nil || g.Origin != "" && id.Origin != g.Origin {
				continue
			}
			was := s.Item(e)
			there := was.Event != nil && (!own || s.authorOf(was.Revision) == g.Actor)
			if removes := Removes(e); there && removes {
				grows--
			} else if !there && !removes {
				grows++
			}
		}
		if grows > 0 && uint64(now+grows) > g.Limit {
			what := "routes"
			if own {
				what = "routes of " + g.Actor
			}
			out = append(out, Breach{g.Name, fmt.Sprintf("%d %s would be more than %d", now+grows, what, g.Limit), ByGuard})
		}
	}
	for i := range p.freezes {
		f := &p.freezes[i]
		if f.From != 0 && c.Time < f.From || f.Until != 0 && c.Time >= f.Until {
			continue
		}
		for _, e := range c.Events {
			if what := frozen(f, e); what != "" {
				out = append(out, Breach{f.Name, what + " is frozen", ByFreeze})
				break
			}
		}
	}
	return out
}

func aboutRoute(e eventlog.Event) *eventlog.RouteID {
	switch e := e.(type) {
	case *eventlog.RouteAnnounced:
		return &e.RouteID
	case *eventlog.RouteWithdrawn:
		return &e.RouteID
	}
	return nil
}

// within finds the prefix of the list that p equals or lies in.
func within(list []netip.Prefix, p netip.Prefix) (netip.Prefix, bool) {
	for _, q := range list {
		if q.Bits() <= p.Bits() && q.Contains(p.Addr()) {
			return q, true
		}
	}
	return netip.Prefix{}, false
}

// frozen says what of e the freeze forbids to change; "": nothing.
func frozen(f *eventlog.FreezeSet, e eventlog.Event) string {
	all := len(f.Prefixes) == 0 && len(f.Routers) == 0
	routers := func(ids ...eventlog.RouterID) bool {
		return all || slices.ContainsFunc(ids, func(id eventlog.RouterID) bool { return slices.Contains(f.Routers, id) })
	}
	switch e := e.(type) {
	case *eventlog.RouteAnnounced, *eventlog.RouteWithdrawn:
		id := aboutRoute(e)
		_, in := within(f.Prefixes, id.Destination)
		in = in || len(f.Prefixes) == 0
		of := len(f.Routers) == 0 || id.Router == eventlog.AllRouters || routers(id.Router)
		if in && of {
			return id.Destination.String()
		}
	case *eventlog.RouterSet:
		if routers(e.Router) {
			return "router " + string(e.Router)
		}
	case *eventlog.RouterRemoved:
		if routers(e.Router) {
			return "router " + string(e.Router)
		}
	case *eventlog.LinkSet:
		if routers(e.A, e.B) {
			return fmt.Sprintf("link %s-%s", e.A, e.B)
		}
	case *eventlog.LinkRemoved:
		if routers(e.A, e.B) {
			return fmt.Sprintf("link %s-%s", e.A, e.B)
		}
	}
	return ""
}

// Census counts the routes of each origin, from one state to the next. The zero
// value is ready. Not safe for concurrent use.
type Census struct {
	at *State
	of map[string]int
}

// At is how many routes of each origin s has, which must be frozen. The map is
// valid until the next call. Cost: what differs from the state of the last call.
func (c *Census) At(s *State) map[string]int {
	before := c.at
	if before == nil {
		before = &State{}
		c.of = map[string]int{}
	}
	add := func(e *entry, by int) {
		if e == nil {
			return
		}
		for _, b := range e.set.bodies {
			c.of[b.route.Origin] += by
		}
	}
	pmap.Diff(before.v4, s.v4, sameSet, func(_ pmap.V4, a, b *entry) bool {
		add(a, -1)
		add(b, 1)
		return true
	})
	pmap.Diff(before.v6, s.v6, sameSet, func(_ pmap.V6, a, b *entry) bool {
		add(a, -1)
		add(b, 1)
		return true
	})
	c.at = s
	return c.of
}
