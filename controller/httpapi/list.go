package httpapi

import (
	"math"
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"

	"dvr/controller/service"
	"dvr/eventlog"
)

const defaultPage = 1000

var listParams = with(readParams, "router", "within", "covering", "next_hop", "tag", "limit", "cursor", "offset", "total")

// listRoutes is GET /v1/routes: a page of the stored routes, or all as NDJSON.
// offset leaves out what comes first, total counts all: both for who looks into
// the middle of a long list, at the cost of passing over what is not shown (some
// milliseconds a million). Beside offset there is no cursor: no state is kept
// for it.
func (s *Server) listRoutes(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, listParams)
	if err != nil {
		return err
	}
	var f service.Query
	if f.Router, err = q.router(""); err != nil {
		return err
	}
	if f.NextHop, err = q.addr("next_hop"); err != nil {
		return err
	}
	if f.Within, err = q.prefix("within"); err != nil {
		return err
	}
	if f.Covering, err = covering(&q); err != nil {
		return err
	}
	if f.Tag = q.get("tag"); f.Tag == "" && q.has("tag") {
		return fieldError("tag", "must be a tag")
	}
	limit, err := q.count("limit", defaultPage, service.MaxPage)
	if err != nil {
		return err
	}
	offset, err := q.revision("offset")
	if err != nil {
		return fieldError("offset", "must be a whole number")
	}
	total := q.get("total") == "true"
	if q.has("total") && !total && q.get("total") != "false" {
		return fieldError("total", "must be true or false")
	}
	// How many there are in all the state knows; how many a filter admits takes a pass over them.
	counting := total && f != (service.Query{})
	how, err := q.read()
	if err != nil {
		return err
	}
	if q.has("cursor") {
		for _, name := range []string{"offset", "total"} {
			if q.has(name) {
				return fieldError(name, "has no meaning beside a cursor, which says where it goes on")
			}
		}
		// A cursor names the state that it goes on with.
		for _, name := range readParams[:2] {
			if q.has(name) {
				return fieldError(name, "has no meaning beside a cursor, which is about one revision")
			}
		}
	}
	lines, err := wantsLines(r)
	if err != nil {
		return err
	}
	for _, name := range []string{"limit", "offset", "total"} {
		if lines && q.has(name) {
			return fieldError(name, "has no meaning for a stream of everything")
		}
	}
	p, err := s.service.Page(r.Context(), how, f, q.get("cursor"))
	if err != nil {
		return err
	}
	s.setView(c.Response().Header(), p.View)
	if lines {
		return s.exportRoutes(c, p)
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.list("routes")
	count := p.State.Stats().Routes
	if counting {
		count = p.Count()
	}
	if offset > 0 {
		p.Skip(int(min(offset, math.MaxInt32)))
	}
	n, next := 0, ""
	for cand := range p.Routes() {
		if n == limit { // one more exists
			if !q.has("offset") {
				if next, err = p.Next(s.service); err != nil {
					return err
				}
			}
			break
		}
		n++
		e := o.object()
		route(e, &cand.RouteAnnounced)
		e.uint("revision", uint64(cand.Revision))
		e.end()
		o.next()
		p.Mark()
	}
	o.endList()
	if next != "" {
		o.str("next", next)
		c.Response().Header()[headerCursor] = []string{next}
	}
	if total {
		o.uint("total", uint64(count))
	}
	o.uint("revision", uint64(p.State.Position().Revision))
	stale(o, p.View)
	o.end()
	return send(c, http.StatusOK, b)
}

// covering takes a prefix or an address.
func covering(q *query) (netip.Prefix, error) {
	if v := q.get("covering"); v != "" && !strings.Contains(v, "/") {
		a, err := q.addr("covering")
		if err != nil {
			return netip.Prefix{}, err
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return q.prefix("covering")
}

// exportRoutes streams routes as lines that an import takes back.
func (s *Server) exportRoutes(c echo.Context, p *service.Page) error {
	w := c.Response()
	w.Header()["Content-Type"] = ndjsonType
	w.WriteHeader(http.StatusOK)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	b := getBuffer()
	defer putBuffer(b)
	out := stream{c: c, b: b}
	for cand := range p.Routes() {
		b.b = append(eventlog.AppendEvent(b.b, &cand.RouteAnnounced), '\n')
		if !out.step() {
			return out.ended
		}
	}
	out.flush()
	return out.ended
}

var vectorParams = with(readParams, "limit", "after", "cursor")

// vector is a router's distance vector, in order of prefix; after, or cursor,
// continues it.
func (s *Server) vector(c echo.Context) error {
	l, err := s.listing(c)
	if err != nil {
		return err
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.str("router", string(l.router))
	o.list("vector")
	n := 0
	var last, next netip.Prefix
	for d := range l.State.Vector(l.router, l.after) {
		if n == l.limit {
			next = last
			break
		}
		n++
		last = d.Prefix
		e := o.object()
		e.prefix("destination", d.Prefix)
		e.uint("metric", d.Metric)
		e.uint("preference", uint64(d.Preference))
		var via []eventlog.RouterID
		for _, h := range d.NextHops {
			if h.Via != "" && (len(via) == 0 || via[len(via)-1] != h.Via) {
				via = append(via, h.Via)
			}
		}
		strs(e, "via", via)
		strs(e, "origin", d.Origins)
		nextHops(e, d.NextHops)
		e.uint("revision", uint64(d.Revision))
		e.end()
		o.next()
	}
	return l.end(c, b, o, next)
}
