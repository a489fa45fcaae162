package httpapi

import (
	"encoding/hex"
	"net/http"
	"net/netip"

	"github.com/labstack/echo/v4"

	"dvr/controller/service"
	"dvr/eventlog"
)

// listing is a page of a router's table by destination; after, or cursor,
// continues it.
type listing struct {
	service.Router
	router eventlog.RouterID
	limit  int
	after  netip.Prefix
}

// listing reads what the tables of a router have in common, and finds it.
func (s *Server) listing(c echo.Context) (l listing, err error) {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, vectorParams)
	if err != nil {
		return l, err
	}
	if l.router, err = pathRouter(c, "id"); err != nil {
		return l, err
	}
	if l.limit, err = q.count("limit", defaultPage, service.MaxPage); err != nil {
		return l, err
	}
	place, err := q.place()
	if err != nil {
		return l, err
	}
	if l.after, err = q.prefix(place); err != nil {
		return l, err
	}
	how, err := q.read()
	if err != nil {
		return l, err
	}
	if l.Router, err = s.service.Router(r.Context(), how, l.router); err == nil {
		s.setView(c.Response().Header(), l.View)
	}
	return l, err
}

// end closes the list and answers; next is where the following page begins.
func (l *listing) end(c echo.Context, b *buffer, o object, next netip.Prefix) error {
	o.endList()
	if next.IsValid() {
		o.str("next", next.String())
		c.Response().Header()[headerCursor] = []string{next.String()}
	}
	o.uint("revision", uint64(l.State.Position().Revision))
	stale(o, l.View)
	o.end()
	return send(c, http.StatusOK, b)
}

// rib is every candidate that a router has or could learn, which of them it
// chose, and why not the others. The limit counts destinations.
func (s *Server) rib(c echo.Context) error {
	l, err := s.listing(c)
	if err != nil {
		return err
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.str("router", string(l.router))
	o.list("rib")
	n := 0
	var last, next netip.Prefix
	for p, judged := range l.State.RIB(l.router, l.after) {
		if n == l.limit {
			next = last
			break
		}
		n++
		last = p
		e := o.object()
		e.prefix("destination", p)
		e.list("candidates")
		for i := range judged {
			j := &judged[i]
			d := e.object()
			route(d, &j.RouteAnnounced)
			d.bool("chosen", j.Chosen)
			d.optional("why", j.Why)
			d.uint("metric_here", j.Metric)
			d.uint("revision", uint64(j.Revision))
			d.end()
			e.next()
		}
		e.endList()
		e.end()
		o.next()
	}
	return l.end(c, b, o, next)
}

// fib is what a router forwards by: each prefix with its class and next hops,
// as its data plane is told.
func (s *Server) fib(c echo.Context) error {
	l, err := s.listing(c)
	if err != nil {
		return err
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.str("router", string(l.router))
	if !l.after.IsValid() {
		fib := l.State.FIB(l.router, nil)
		v4, v6 := fib.Len()
		o.str("digest", fib.Digest().String())
		o.uint("prefixes", uint64(v4+v6))
	}
	o.list("fib")
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
		e.str("class", hex.EncodeToString(d.Class[:]))
		nextHops(e, d.NextHops)
		e.end()
		o.next()
	}
	return l.end(c, b, o, next)
}
