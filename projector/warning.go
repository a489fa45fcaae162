package projector

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"dvr/eventlog"
)

// The kinds of warnings about a change.
const (
	WarnLost       = "prefix-lost"    // a prefix leaves a FIB
	WarnBlackhole  = "blackhole"      // what was forwarded is discarded
	WarnLoop       = "recursion-loop" // a recursive next hop resolves through its own route
	WarnUnresolved = "unresolved"     // a recursive next hop resolves no more
	WarnFamily     = "ipv4-next-hop"  // IPv6 prefixes come to a next hop that has an IPv4 address only
	WarnManagement = "management"     // the way to an address of the cluster or of a link changes
)

// Warning is something that an operator would want to know before a change.
// Those of one kind at one router are one warning.
type Warning struct {
	Kind     string
	Router   eventlog.RouterID
	Prefixes int            // how many it is about; 0: it is not about prefixes
	Examples []netip.Prefix // a few of them
	Text     string
}

// Warnings judges the effect at one router. management is addresses whose path
// should not change unnoticed. Cost: O(entries and groups that the effect names +
// management), lookups each.
func (c *Comparison) Warnings(e *Effect, management []netip.Addr) []Warning {
	w := warner{c: c, router: e.Router, now: c.after.view(e.Router)}
	for i := range e.Entries {
		x := &e.Entries[i]
		w.moved([]netip.Prefix{x.Prefix}, 1, x.Before, x.After)
	}
	for i := range e.Groups {
		g := &e.Groups[i]
		w.moved(g.Examples, g.Prefixes, g.Before, g.After)
	}
	var out []Warning
	if rest := e.Removed - w.lost.Prefixes; rest > 0 && e.EntriesLeftOut+e.GroupsLeftOut > 0 {
		w.lost.Prefixes = e.Removed // those that are not named, too
	}
	if n := w.lost.Prefixes; n > 0 {
		first := "it"
		w.lost.Text = countOf(n) + " leave the table"
		if n > 1 {
			first = "the first"
		} else if len(w.lost.Examples) > 0 {
			w.lost.Text = w.lost.Examples[0].String() + " leaves the table"
		}
		switch {
		case w.uncovered:
			w.lost.Text += ", and nothing covers " + first
		case w.cover.IsValid():
			w.lost.Text += ", falling to " + w.cover.String()
		}
		out = append(out, w.lost)
	}
	if n := w.hole.Prefixes; n > 0 {
		w.hole.Text = countOf(n) + " once forwarded to: now discarded"
		out = append(out, w.hole)
	}
	if n := w.family.Prefixes; n > 0 {
		w.family.Text = countOf(n) + " of IPv6 over a next hop that has an IPv4 address only: a link needs an IPv6 address for them"
		out = append(out, w.family)
	}
	out = append(out, w.recursion()...)
	if x, ok := w.management(management); ok {
		out = append(out, x)
	}
	return out
}

type warner struct {
	c          *Comparison
	router     eventlog.RouterID
	now        *view
	lost, hole Warning
	family     Warning
	cover      netip.Prefix // what the first lost prefix falls to
	uncovered  bool         // nothing
}

// countOf is n prefixes in words.
func countOf(n int) string {
	if n == 1 {
		return "1 prefix"
	}
	return strconv.Itoa(n) + " prefixes"
}

func unicast(hops []NextHop) bool { return len(hops) > 0 && hops[0].Type == eventlog.Unicast }

// overIPv4: it is a neighbour's IPv4 address.
func overIPv4(h NextHop) bool { return h.Via != "" && h.Address.Is4() }

// moved takes in n prefixes whose next hops were a and are b.
func (w *warner) moved(examples []netip.Prefix, n int, a, b []NextHop) {
	add := func(to *Warning, kind string) {
		to.Kind, to.Router = kind, w.router
		to.Prefixes += n
		for _, p := range examples {
			if len(to.Examples) < namedExamples {
				to.Examples = append(to.Examples, p)
			}
		}
	}
	if len(examples) > 0 && examples[0].Addr().Is6() && slices.ContainsFunc(b, overIPv4) && !slices.ContainsFunc(a, overIPv4) {
		add(&w.family, WarnFamily)
	}
	switch {
	case a != nil && b == nil:
		add(&w.lost, WarnLost)
		if len(examples) == 0 {
			return
		}
		d, ok := w.covering(examples[0])
		if !w.uncovered && !w.cover.IsValid() {
			w.cover, w.uncovered = d.Prefix, !ok
		}
		if ok && unicast(a) && !unicast(d.NextHops) {
			add(&w.hole, WarnBlackhole)
		}
	case unicast(a) && b != nil && !unicast(b):
		add(&w.hole, WarnBlackhole)
	}
}

// covering is what packets to p meet after the change.
func (w *warner) covering(p netip.Prefix) (Decision, bool) {
	for at, e := range w.c.after.covering(placeOf(p)) {
		if d, ok := w.now.decide(at, e); ok {
			return d, true
		}
	}
	return Decision{}, false
}

// recursion finds the recursive paths that are usable before and not after.
func (w *warner) recursion() []Warning {
	type lost struct {
		hop      netip.Addr
		circular bool
	}
	was := w.c.before.view(w.router)
	found := map[lost]int{}
	for _, c := range w.c.after.recursive {
		for i := range c.paths {
			p := &c.paths[i]
			if !p.recursive || w.now.remote(p) {
				continue
			}
			k := pathKey{c, i}
			now := w.now.resolution(p)
			if _, ok := now.paths[k]; ok {
				continue
			}
			if old := classIn(w.c.before, c.id); old != nil {
				before := was.resolution(p)
				_, ok := before.paths[pathKey{old, i}]
				if !ok && (!now.circular[k] || before.circular[pathKey{old, i}]) {
					continue // it was not usable before either
				}
			}
			a := c.paths[i].nextHop
			account := w.c.after.classes.Ptr(c.id.mapKey())
			found[lost{a, now.circular[k]}] += int(account.n4) + int(account.n6)
		}
	}
	var out []Warning
	for l, n := range found {
		x := Warning{Kind: WarnUnresolved, Router: w.router, Prefixes: n, Text: fmt.Sprintf("recursive next hop %s of %s does not resolve", l.hop, countOf(n))}
		if l.circular {
			x.Kind, x.Text = WarnLoop, fmt.Sprintf("recursive next hop %s of %s resolves through its own route", l.hop, countOf(n))
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b Warning) int {
		if a.Prefixes != b.Prefixes {
			return b.Prefixes - a.Prefixes
		}
		return slices.Compare([]byte(a.Text), []byte(b.Text))
	})
	return out[:min(len(out), 2*namedExamples)]
}

func classIn(s *State, id ClassID) *class {
	if a := s.classes.Ptr(id.mapKey()); a != nil {
		return a.class
	}
	return nil
}

// management finds the first addresses that are reached otherwise.
func (w *warner) management(addresses []netip.Addr) (Warning, bool) {
	x := Warning{Kind: WarnManagement, Router: w.router}
	for _, a := range addresses {
		was, had := w.c.before.Lookup(w.router, a)
		is, has := w.c.after.Lookup(w.router, a)
		if had == has && slices.Equal(was.NextHops, is.NextHops) {
			continue
		}
		x.Prefixes++
		if len(x.Examples) < namedExamples {
			x.Examples = append(x.Examples, netip.PrefixFrom(a, a.BitLen()))
		}
		if x.Prefixes == 1 {
			x.Text = fmt.Sprintf("%s is reached otherwise", a)
			if had && !has {
				x.Text = fmt.Sprintf("%s is not reached any more", a)
			}
		}
	}
	if x.Prefixes > 1 {
		x.Text += fmt.Sprintf(", and %d more", x.Prefixes-1)
	}
	return x, x.Prefixes > 0
}
