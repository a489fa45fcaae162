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

var diffParams = with(freshParams, "from", "to", "router", "limit", "cursor")

// diff is what changed between two states: a page of changes, or all as NDJSON.
// A cursor is the number of changes before it: both states are past, so their
// order is the same each time.
func (s *Server) diff(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, diffParams)
	if err != nil {
		return err
	}
	if !q.has("from") {
		return fieldError("from", "is missing: a revision or a time")
	}
	var from, to service.Moment
	if from.Revision, from.Time, err = q.at("from"); err != nil {
		return err
	}
	if to.Revision, to.Time, err = q.at("to"); err != nil {
		return err
	}
	router, err := q.router("")
	if err != nil {
		return err
	}
	limit, err := q.count("limit", defaultPage, service.MaxPage)
	if err != nil {
		return err
	}
	skip, err := q.revision("cursor")
	if err != nil {
		return named("cursor", err)
	}
	if skip > 0 && (to == service.Moment{}) {
		return fieldError("cursor", "needs to, without which the newest state is meant, another one each time")
	}
	how, err := q.read()
	if err != nil {
		return err
	}
	lines, err := wantsLines(r)
	if err != nil {
		return err
	}
	if lines && (q.has("limit") || q.has("cursor")) {
		return fieldError("limit", "has no meaning for a stream of everything")
	}
	d, err := s.service.Diff(r.Context(), how, from, to, router)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	s.setPosition(h, d.To.Position())
	b := getBuffer()
	defer putBuffer(b)
	if lines {
		return s.diffLines(c, d, b)
	}
	o := b.object()
	ends(o, d)
	o.list("changes")
	n, next := uint64(0), uint64(0)
	for l := range d.Lines() {
		if n++; n <= uint64(skip) {
			continue
		}
		if n > uint64(skip)+uint64(limit) {
			next = n - 1
			break
		}
		diffLine(b, &l)
		b.next()
		if n%1024 == 0 && r.Context().Err() != nil {
			return r.Context().Err()
		}
	}
	o.endList()
	if next > 0 {
		o.uint("next", next)
		h[headerCursor] = []string{number64(next)}
	}
	o.uint("revision", uint64(d.To.Position().Revision))
	o.end()
	return send(c, http.StatusOK, b)
}

// ends puts which states are compared.
func ends(o object, d *history.Diff) {
	for _, e := range []struct {
		name  string
		state *projector.State
	}{{"from", d.From}, {"to", d.To}} {
		o.key(e.name)
		p := o.object()
		p.uint("revision", uint64(e.state.Position().Revision))
		logTime(p, e.state.Time())
		p.end()
		o.next()
	}
	strs(o, "routers", d.Routers)
}

// diffLines streams a header line, the changes, and an end line, without which
// the stream was cut.
func (s *Server) diffLines(c echo.Context, d *history.Diff, b *buffer) error {
	w := c.Response()
	w.Header()["Content-Type"] = ndjsonType
	w.WriteHeader(http.StatusOK)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	out := stream{c: c, b: b}
	o := b.object()
	o.str("kind", "diff")
	ends(o, d)
	o.end()
	b.b = append(b.b, '\n')
	n := uint64(0)
	for l := range d.Lines() {
		n++
		diffLine(b, &l)
		b.b = append(b.b, '\n')
		if !out.step() {
			return out.ended
		}
	}
	e := b.object()
	e.str("kind", "end")
	e.uint("changes", n)
	e.end()
	b.b = append(b.b, '\n')
	out.flush()
	return out.ended
}

// diffLine puts one change: kind route, item, group or entry.
func diffLine(b *buffer, l *history.Line) {
	o := b.object()
	switch {
	case l.Route != nil:
		o.str("kind", "route")
		o.str("change", changeOf(l.Route.Before != nil, l.Route.After != nil))
		any := l.Route.After
		if any == nil {
			any = l.Route.Before
		}
		o.prefix("destination", any.Destination)
		for _, side := range []struct {
			name string
			c    *projector.Candidate
		}{{"before", l.Route.Before}, {"after", l.Route.After}} {
			if side.c != nil {
				o.key(side.name)
				e := o.object()
				route(e, &side.c.RouteAnnounced)
				e.uint("revision", uint64(side.c.Revision))
				e.end()
				o.next()
			}
		}
	case l.Item != nil:
		o.str("kind", "item")
		o.str("change", changeOf(l.Item.Before != nil, l.Item.After != nil))
		for _, side := range []struct {
			name string
			e    eventlog.Event
		}{{"before", l.Item.Before}, {"after", l.Item.After}} {
			if side.e != nil {
				o.key(side.name)
				o.b = append(eventlog.AppendEvent(o.b, side.e), ',')
			}
		}
		o.uint("revision", uint64(l.Item.Revision))
	case l.Group != nil:
		o.str("kind", "group")
		o.str("router", string(l.Router))
		o.str("change", changeOf(l.Group.Before != nil, l.Group.After != nil))
		o.str("class", hex.EncodeToString(l.Group.Class[:]))
		o.uint("prefixes", uint64(l.Group.Prefixes))
		o.list("examples")
		for _, p := range l.Group.Examples {
			o.b = append(p.AppendTo(append(o.b, '"')), '"', ',')
		}
		o.endList()
		beforeAfter(o, l.Group.Before, l.Group.After)
	case l.Entry != nil:
		o.str("kind", "entry")
		o.str("router", string(l.Router))
		o.str("change", changeOf(l.Entry.Before != nil, l.Entry.After != nil))
		o.prefix("destination", l.Entry.Prefix)
		beforeAfter(o, l.Entry.Before, l.Entry.After)
	}
	o.end()
}

func changeOf(before, after bool) string {
	switch {
	case !before:
		return "added"
	case !after:
		return "removed"
	}
	return "changed"
}

// beforeAfter puts next hops; a side that is not there has none.
func beforeAfter(o object, before, after []projector.NextHop) {
	if before != nil {
		nextHopList(o, "before", before)
	}
	if after != nil {
		nextHopList(o, "after", after)
	}
}
