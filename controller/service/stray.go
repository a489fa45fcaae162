package service

import (
	"fmt"
	"net/netip"
	"slices"

	"dvr/controller/appender"
	"dvr/eventlog"
	"dvr/projector"
)

// WarnStray is the kind of the warning about routes that are given to a router
// that nothing stands for, as one whose name was mistyped.
const WarnStray = "unknown-router"

// WarnFreezeAll is the kind of the warning about a freeze that names neither
// prefixes nor routers.
const WarnFreezeAll = "freeze-all"

// freezesAll warns of freezes of everything, which a forgotten member makes.
func freezesAll(events []eventlog.Event) (out []projector.Warning) {
	for _, e := range events {
		if f, ok := e.(*eventlog.FreezeSet); ok && len(f.Prefixes)+len(f.Routers) == 0 {
			out = append(out, projector.Warning{Kind: WarnFreezeAll, Router: eventlog.AllRouters, Text: "freeze " + f.Name + " is of every route, router and link"})
		}
	}
	return out
}

// WarnUnusable is the kind of the warning about a link over which nothing can be sent.
const WarnUnusable = "unusable-link"

// unusable warns of the links that the commit sets and that are not used from
// one of their ends, for want of an interface here or an address there.
func unusable(events []eventlog.Event) (out []projector.Warning) {
	for _, e := range events {
		l, ok := e.(*eventlog.LinkSet)
		if !ok {
			continue
		}
		for _, d := range []struct {
			from, to eventlog.RouterID
			iface    string
			address  []netip.Addr
		}{{l.A, l.B, l.InterfaceA, l.AddressB}, {l.B, l.A, l.InterfaceB, l.AddressA}} {
			if d.iface == "" && len(d.address) == 0 && len(out) < maxStrays {
				out = append(out, projector.Warning{Kind: WarnUnusable, Router: d.from, Text: fmt.Sprintf("link %s-%s is not used from %s: it has no interface there and no address at %s", l.A, l.B, d.from, d.to)})
			}
		}
	}
	return out
}

const (
	maxStrays     = 8 // warnings
	strayExamples = 4
)

// strays warns of the routers that the commit gives routes to and that, after
// it, are not declared, have no link and no data plane, by name. Cost:
// O(events), and O(links) where there is such a router.
func (s *Service) strays(t *appender.Trial) []projector.Warning {
	found := map[eventlog.RouterID]*projector.Warning{}
	stands := map[eventlog.RouterID]bool{eventlog.AllRouters: true}
	for _, e := range t.Commit.Events {
		a, ok := e.(*eventlog.RouteAnnounced)
		if !ok || stands[a.Router] {
			continue
		}
		w := found[a.Router]
		if w == nil {
			if r, _ := t.After.Router(a.Router); r.Declared || s.planes.Known(a.Router) {
				stands[a.Router] = true
				continue
			}
			w = &projector.Warning{Kind: WarnStray, Router: a.Router}
			found[a.Router] = w
		}
		w.Prefixes++
		if len(w.Examples) < strayExamples && !slices.Contains(w.Examples, a.Destination) {
			w.Examples = append(w.Examples, a.Destination)
		}
	}
	if len(found) == 0 {
		return nil
	}
	for l := range t.After.Links() {
		delete(found, l.A)
		delete(found, l.B)
	}
	var out []projector.Warning
	for _, w := range found {
		w.Text = fmt.Sprintf("router %s is not declared, has no link and no data plane: is the name right?", w.Router)
		out = append(out, *w)
	}
	slices.SortFunc(out, func(a, b projector.Warning) int {
		return slices.Compare([]byte(a.Router), []byte(b.Router))
	})
	return out[:min(len(out), maxStrays)]
}
