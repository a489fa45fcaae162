package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"dvr/controller/service"
	"dvr/eventlog"
)

var blameParams = with(readParams, "before", "cursor", "limit")

// blame is who made a destination what it is, and what it went through before,
// newest first.
func (s *Server) blame(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, blameParams)
	if err != nil {
		return err
	}
	destination, err := pathDestination(c)
	if err != nil {
		return err
	}
	before, err := q.before()
	if err != nil {
		return err
	}
	limit, err := q.count("limit", 100, service.MaxHistory)
	if err != nil {
		return err
	}
	how, err := q.read()
	if err != nil {
		return err
	}
	got, err := s.service.Blame(r.Context(), how, destination, before, limit)
	h := c.Response().Header()
	if got.State != nil {
		s.setView(h, got.View)
	}
	if err != nil {
		return err
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.prefix("destination", got.Prefix)
	o.list("candidates")
	for i := range got.Candidates {
		k := &got.Candidates[i]
		e := o.object()
		route(e, &k.RouteAnnounced)
		e.uint("revision", uint64(k.Revision))
		if by, ok := got.Commits[k.Revision]; ok {
			e.key("commit")
			commitNamed(b, &by, false)
			b.next()
		}
		e.end()
		o.next()
	}
	o.endList()
	o.list("history")
	for i := range got.Earlier {
		commitNamed(b, &got.Earlier[i], true)
		b.next()
	}
	o.endList()
	if got.Before > 0 {
		o.uint("next", uint64(got.Before))
		h[headerCursor] = []string{number64(uint64(got.Before))}
	}
	o.uint("log_begins", uint64(got.Low))
	o.uint("revision", uint64(got.State.Position().Revision))
	stale(o, got.View)
	o.end()
	return send(c, http.StatusOK, b)
}

// before reads where a list that goes back continues: before, or cursor, which
// takes what DVR-Next-Cursor gave.
func (q *query) before() (eventlog.Revision, error) {
	place := "before"
	if q.has("cursor") {
		if place = "cursor"; q.has("before") {
			return 0, fieldError("cursor", "is given beside before")
		}
	}
	r, err := q.revision(place)
	if err == nil && q.has(place) && r == 0 {
		err = fieldError(place, "must be a revision from 1 on")
	}
	return r, err
}
