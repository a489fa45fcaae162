package history

import (
	"context"
	"fmt"
	"slices"

	"dvr/eventlog"
	"dvr/projector"
)

// fact is something in force that has to do with the way.
type fact struct {
	revision  eventlog.Revision
	relevance Relevance
	text      string
}

// standing adds the commits that set what is in force: what the way rests on,
// what was considered, and what keeps it from where it would go.
func (a *Archive) standing(ctx context.Context, st *projector.State, e *Explanation, all map[eventlog.Revision]*Reason) error {
	facts := e.facts(st)
	facts = append(facts, e.blocking(st)...)
	var unknown []eventlog.Revision
	for _, f := range facts {
		if all[f.revision] == nil {
			unknown = append(unknown, f.revision)
		}
	}
	commits, err := CommitsAt(ctx, a.log, unknown)
	if err != nil {
		return err
	}
	for _, f := range facts {
		r := all[f.revision]
		if r == nil {
			c, retained := commits[f.revision]
			if !retained {
				continue
			}
			r = &Reason{Commit: c, Relevance: Concerns}
			all[f.revision] = r
		}
		if slices.Index(byRelevance, f.relevance) < slices.Index(byRelevance, r.Relevance) {
			r.Relevance = f.relevance
		}
		if len(r.Why) < maxEventsTold && !slices.Contains(r.Why, f.text) {
			r.Why = append(r.Why, f.text)
		}
	}
	return nil
}

// facts are the candidates, the links used and the drained routers on the way.
func (e *Explanation) facts(st *projector.State) []fact {
	var out []fact
	for i := range e.Hops {
		h := &e.Hops[i]
		for _, m := range append([]Match{h.Match}, h.Passed...) {
			for j := range m.Judged {
				k := &m.Judged[j]
				f := fact{k.Revision, Candidate, routeText(&k.RouteAnnounced)}
				if k.Chosen {
					f.relevance = Used
				}
				out = append(out, f)
			}
			if m.Revision > 0 && !slices.ContainsFunc(m.Judged, func(j projector.Judged) bool { return j.Revision == m.Revision }) {
				out = append(out, fact{m.Revision, Candidate, "a withdrawn route to " + m.Prefix.String()})
			}
		}
		for j := range h.Links {
			out = append(out, fact{h.Links[j].Revision, Used, "link " + linkText(&h.Links[j])})
		}
		if r, ok := st.Router(h.Router); ok && r.Drained != eventlog.DrainNone {
			out = append(out, fact{r.Revision, Used, fmt.Sprintf("router %s is drained (%s)", r.Router, r.Drained)})
		}
	}
	return out
}

// blocking are the links that are down and the routers that are drained on the
// way that packets would take if all links were up and no router drained.
func (e *Explanation) blocking(st *projector.State) []fact {
	down := map[eventlog.LinkID]projector.Link{}
	c := eventlog.Commit{Time: st.Time()}
	for l := range st.Links() {
		if usable(&l) || len(c.Events) >= maxRestored {
			continue
		}
		down[l.LinkID] = l
		up := l.LinkSet
		up.Down = false
		c.Events = append(c.Events, &up)
		for seer, seen := range l.Observed {
			if seen == eventlog.ObservedDown {
				c.Events = append(c.Events, &eventlog.LinkObserved{LinkID: l.LinkID, Router: seer, State: eventlog.ObservedUp})
			}
		}
	}
	for r := range st.Routers() {
		if r.Drained != eventlog.DrainNone && len(c.Events) < maxRestored {
			open := r.RouterSet
			open.Drained = eventlog.DrainNone
			c.Events = append(c.Events, &open)
		}
	}
	if len(c.Events) == 0 {
		return nil
	}
	would, err := st.Try(&c)
	if err != nil {
		return nil // these events are of kinds that every fold takes
	}
	var out []fact
	ideal := Explain(would, e.Hops[0].Router, e.Address)
	for i := range ideal.Hops {
		h := &ideal.Hops[i]
		for j := range h.Links {
			l, ok := down[h.Links[j].LinkID]
			if !ok {
				continue
			}
			if l.Down {
				out = append(out, fact{l.Revision, Blocks, "link " + linkText(&l) + " is down"})
			}
			for seer, seen := range l.Observed {
				if seen == eventlog.ObservedDown {
					out = append(out, fact{st.Seen(l.LinkID, seer), Blocks, fmt.Sprintf("link %s is seen down by %s", linkText(&l), seer)})
				}
			}
		}
		passes := slices.ContainsFunc(e.Hops, func(k Hop) bool { return k.Router == h.Router })
		if r, ok := st.Router(h.Router); ok && r.Drained != eventlog.DrainNone && !passes {
			out = append(out, fact{r.Revision, Blocks, fmt.Sprintf("router %s is drained (%s)", r.Router, r.Drained)})
		}
	}
	return out
}

func linkText(l *projector.Link) string {
	text := string(l.A) + "-" + string(l.B)
	if l.Name != "" {
		text += "/" + l.Name
	}
	return text
}

func routeText(r *eventlog.RouteAnnounced) string {
	text := "route " + r.Destination.String()
	if r.Type != eventlog.Unicast {
		text += " " + r.Type.String()
	}
	if r.NextHop.IsValid() {
		text += " via " + r.NextHop.String()
	}
	if r.Interface != "" {
		text += " dev " + r.Interface
	}
	if r.Router != eventlog.AllRouters {
		text += " of " + string(r.Router)
	}
	return text
}
