package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

var auditParams = []string{"timeout"}

// auditDataPlane answers when the router's data plane has compared what its
// sinks keep outside of it and has set right what differed.
func (s *Server) auditDataPlane(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, auditParams)
	if err != nil {
		return err
	}
	router, err := pathRouter(c, "router")
	if err != nil {
		return err
	}
	timeout, err := q.timeout()
	if err != nil {
		return err
	}
	audits, err := s.service.Audit(r.Context(), router, timeout)
	if err != nil {
		return err
	}
	at := s.service.Position()
	s.setPosition(c.Response().Header(), at)
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.str("router", string(router))
	o.list("sinks")
	for _, a := range audits {
		e := o.object()
		e.str("name", a.Name)
		e.bool("complete", a.Complete)
		e.uint("entries", a.Entries)
		e.uint("failed", a.Failed)
		e.uint("took_ms", uint64(a.Took.Milliseconds()))
		e.list("differences")
		for _, d := range a.Differences {
			x := e.object()
			x.str("prefix", d.Prefix)
			x.str("cause", d.Cause)
			x.uint("count", d.Count)
			x.end()
			e.next()
		}
		e.endList()
		e.end()
		o.next()
	}
	o.endList()
	o.uint("revision", uint64(at.Revision))
	o.end()
	return send(c, http.StatusOK, b)
}
