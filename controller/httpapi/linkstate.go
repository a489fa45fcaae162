package httpapi

import (
	"strings"

	"github.com/labstack/echo/v4"

	"dvr/eventlog"
)

// setLinkState is POST or PUT …/down and …/up: the administrative state alone,
// the link's other attributes stay. A repetition changes nothing.
func (s *Server) setLinkState(c echo.Context) error {
	down := strings.HasSuffix(c.Path(), "/down")
	state := "/up"
	if down {
		state = "/down"
	}
	var id eventlog.LinkID
	m, _, err := s.change(c, linkWriteParams, func(q *query) (p string, err error) {
		id, _, err = linkPath(c, q)
		return linkCanonical(c, id, false) + state, err
	}, nil)
	if err != nil {
		return err
	}
	rec, err := s.service.SetLinkState(c.Request().Context(), &m, id, down)
	if err != nil {
		return err
	}
	return s.changed(c, func(o object) { linkID(o, id) }, "link "+state[1:], &rec)
}
