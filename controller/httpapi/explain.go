package httpapi

import (
	"encoding/hex"
	"net/http"

	"github.com/labstack/echo/v4"

	"dvr/controller/history"
	"dvr/controller/service"
	"dvr/eventlog"
	"dvr/projector"
)

var explainParams = with(readParams, "address", "router")

// explain is the way of an address from a router to its exits, with the reasons.
func (s *Server) explain(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, explainParams)
	if err != nil {
		return err
	}
	a, err := q.addr("address")
	if err != nil {
		return err
	}
	if !a.IsValid() {
		return fieldError("address", "is missing")
	}
	router, err := q.router(eventlog.AllRouters)
	if err != nil {
		return err
	}
	how, err := q.read()
	if err != nil {
		return err
	}
	e, err := s.service.Explain(r.Context(), how, router, a)
	if e.State != nil {
		s.setView(c.Response().Header(), e.View)
	}
	if err != nil {
		return err
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.str("address", e.Address.String())
	o.str("router", string(router))
	o.str("outcome", string(e.Outcome))
	o.list("hops")
	for i := range e.Hops {
		explainedHop(b, &e, &e.Hops[i])
		b.next()
	}
	o.endList()
	if e.Cut {
		o.bool("cut", true)
	}
	o.list("commits")
	for i := range e.Reasons.List {
		reason(b, &e.Reasons.List[i])
		b.next()
	}
	o.endList()
	o.uint("left_out", uint64(e.Reasons.LeftOut))
	o.uint("searched_to", uint64(e.Reasons.SearchedTo))
	o.uint("revision", uint64(e.State.Position().Revision))
	stale(o, e.View)
	o.end()
	return send(c, http.StatusOK, b)
}

func explainedHop(b *buffer, e *service.Explained, h *history.Hop) {
	o := b.object()
	o.str("router", string(h.Router))
	o.uint("distance", uint64(h.Distance))
	if h.Decided {
		o.prefix("destination", h.Decision.Prefix)
		o.uint("metric", h.Decision.Metric)
		o.uint("preference", uint64(h.Decision.Preference))
		o.str("class", hex.EncodeToString(h.Decision.Class[:]))
		strs(o, "origins", h.Decision.Origins)
		nextHops(o, h.Decision.NextHops)
		o.uint("changed", uint64(h.Match.Revision))
		judgedList(o, h.Match.Judged)
	}
	if len(h.Passed) > 0 {
		o.list("passed_over")
		for i := range h.Passed {
			p := o.object()
			p.prefix("destination", h.Passed[i].Prefix)
			p.uint("changed", uint64(h.Passed[i].Revision))
			judgedList(p, h.Passed[i].Judged)
			p.end()
			o.next()
		}
		o.endList()
	}
	if len(h.Links) > 0 {
		o.list("links")
		for i := range h.Links {
			l := o.object()
			link(l, &service.Link{Link: h.Links[i]})
			l.uint("revision", uint64(h.Links[i].Revision))
			l.end()
			o.next()
		}
		o.endList()
	}
	strs(o, "next", h.Next)
	if len(h.Exits) > 0 {
		nextHopList(o, "exits", h.Exits)
	}
	if got, ok := e.Installed[h.Router]; ok {
		o.key("installed")
		i := o.object()
		switch {
		case got.Err != nil:
			i.str("unknown", got.Err.Error())
		default:
			i.bool("agrees", got.Agrees)
			if got.Prefix.IsValid() {
				i.prefix("destination", got.Prefix)
				nextHops(i, got.NextHops)
			}
			i.uint("revision", uint64(got.Position.Revision))
		}
		i.end()
		o.next()
	}
	o.end()
}

// judgedList puts candidates with the decision about each.
func judgedList(o object, list []projector.Judged) {
	o.list("candidates")
	for i := range list {
		j := &list[i]
		e := o.object()
		route(e, &j.RouteAnnounced)
		e.bool("chosen", j.Chosen)
		e.optional("why", j.Why)
		e.uint("metric_here", j.Metric)
		e.uint("revision", uint64(j.Revision))
		e.end()
		o.next()
	}
	o.endList()
}

// reason puts a commit with what it has to do with the way.
func reason(b *buffer, r *history.Reason) {
	o := b.object()
	commitMembers(o, &r.Commit)
	strs(o, "forced", r.Forced)
	o.str("relevance", string(r.Relevance))
	strs(o, "why", r.Why)
	if r.Relevance == history.Changed {
		o.key("changed")
		c := o.object()
		c.str("router", string(r.Router))
		c.str("before", r.Before)
		c.str("after", r.After)
		c.end()
		o.next()
	}
	if len(r.Events) > 0 {
		o.list("events")
		for _, e := range r.Events {
			o.b = append(eventlog.AppendEvent(o.b, e), ',')
		}
		o.endList()
	}
	o.end()
}

// commitNamed puts who made a commit, when and why, and the events that were looked for.
func commitNamed(b *buffer, k *history.Commit, events bool) {
	o := b.object()
	commitMembers(o, k)
	if events {
		o.list("events")
		for _, e := range k.Events {
			o.b = append(eventlog.AppendEvent(o.b, e), ',')
		}
		o.endList()
	}
	o.end()
}

func commitMembers(o object, k *history.Commit) {
	o.uint("revision", uint64(k.Revision))
	logTime(o, k.Time)
	o.str("actor", k.Actor)
	o.optional("source", k.Source)
	o.optional("for", k.For)
	o.optional("reason", k.Reason)
	o.str("id", k.ID)
	if len(k.Reverts) > 0 {
		o.list("reverts")
		for _, r := range k.Reverts {
			o.num(uint64(r))
		}
		o.endList()
	}
	o.uint("n", uint64(k.N))
}
