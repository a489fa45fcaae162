package httpapi

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/labstack/echo/v4"

	"dvr/controller/service"
	"dvr/eventlog"
	"dvr/projector"
)

// previewed answers a dry run.
func (s *Server) previewed(c echo.Context, p *service.Preview) error {
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.str("status", "previewed")
	o.bool("dry_run", true)
	preview(o, p)
	o.end()
	s.setPosition(c.Response().Header(), p.Before)
	return send(c, http.StatusOK, b)
}

// preview puts the members of a preview.
func preview(o object, p *service.Preview) {
	o.uint("revision", uint64(p.Before.Revision))
	if p.Stale {
		o.bool("stale", true)
	}
	o.str("digest", p.Digest.String())
	o.uint("events", uint64(p.Events))
	if len(p.Forced) > 0 {
		strs(o, "forced", p.Forced)
	}
	o.key("intent")
	i := o.object()
	i.uint("added", uint64(p.Added))
	i.uint("changed", uint64(p.Changed))
	i.uint("removed", uint64(p.Removed))
	i.uint("same", uint64(p.Same))
	i.list("items")
	for _, x := range p.Items {
		e := o.object()
		event(e, "before", x.Before)
		event(e, "after", x.After)
		e.end()
		o.next()
	}
	i.endList()
	if left := p.Added + p.Changed + p.Removed - len(p.Items); left > 0 {
		i.uint("items_left_out", uint64(left))
	}
	i.end()
	o.next()
	o.list("routers")
	for _, e := range p.Routers {
		effect(o.object(), e)
		o.next()
	}
	o.endList()
	if p.RoutersLeftOut > 0 {
		o.uint("routers_left_out", uint64(p.RoutersLeftOut))
	}
	o.list("warnings")
	for _, w := range p.Warnings {
		e := o.object()
		e.str("kind", w.Kind)
		e.str("router", string(w.Router))
		e.uint("prefixes", uint64(w.Prefixes))
		prefixList(e, "examples", w.Examples)
		e.str("text", w.Text)
		e.end()
		o.next()
	}
	o.endList()
}

func event(o object, key string, e eventlog.Event) {
	if e == nil {
		return
	}
	o.key(key)
	o.b = append(eventlog.AppendEvent(o.b, e), ',')
}

func prefixList(o object, key string, list []netip.Prefix) {
	o.list(key)
	for _, p := range list {
		o.b = append(p.AppendTo(append(o.b, '"')), '"', ',')
	}
	o.endList()
}

// effect puts how a router's table differs.
func effect(o object, e *projector.Effect) {
	o.str("router", string(e.Router))
	o.uint("prefixes_before", uint64(e.Before))
	o.uint("prefixes", uint64(e.After))
	o.uint("added", uint64(e.Added))
	o.uint("removed", uint64(e.Removed))
	o.uint("changed", uint64(e.Changed))
	o.str("digest_before", e.DigestBefore.String())
	o.str("digest", e.Digest.String())
	o.list("entries")
	for _, x := range e.Entries {
		i := o.object()
		i.prefix("destination", x.Prefix)
		hopsOf(i, "before", x.Before)
		hopsOf(i, "after", x.After)
		i.end()
		o.next()
	}
	o.endList()
	if e.EntriesLeftOut > 0 {
		o.uint("entries_left_out", uint64(e.EntriesLeftOut))
	}
	o.list("groups")
	for _, g := range e.Groups {
		i := o.object()
		i.uint("prefixes", uint64(g.Prefixes))
		prefixList(i, "examples", g.Examples)
		hopsOf(i, "before", g.Before)
		hopsOf(i, "after", g.After)
		i.end()
		o.next()
	}
	o.endList()
	if e.GroupsLeftOut > 0 {
		o.uint("groups_left_out", uint64(e.GroupsLeftOut))
	}
	o.end()
}

// hopsOf puts next hops; absent where the prefix is not in the table.
func hopsOf(o object, key string, hops []projector.NextHop) {
	if hops != nil {
		nextHopList(o, key, hops)
	}
}

// pledge puts what is still to come of a change: its confirmation, its timer.
func pledge(o object, r *service.Receipt) {
	if !r.ConfirmBy.IsZero() {
		o.time("confirm_by", r.ConfirmBy)
	}
	if r.Timer != "" {
		o.str("timer", r.Timer)
		o.time("timer_at", time.UnixMilli(r.TimerAt))
	}
}
