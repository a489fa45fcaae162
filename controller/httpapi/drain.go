package httpapi

import (
	"strings"

	"github.com/labstack/echo/v4"

	"dvr/eventlog"
)

var drainParams = with(writeParams, "hard")

// setDrain is POST …/drain and …/undrain: whether a router is taken out of
// transit alone, its other attributes stay. A repetition changes nothing.
func (s *Server) setDrain(c echo.Context) error {
	params, verb, drain := writeParams, "undrain", eventlog.DrainNone
	if strings.HasSuffix(c.Path(), "/drain") {
		params, verb, drain = drainParams, "drain", eventlog.DrainSoft
	}
	var id eventlog.RouterID
	m, _, err := s.change(c, params, func(q *query) (p string, err error) {
		if id, err = pathRouter(c, "id"); err != nil {
			return "", err
		}
		p = "/v1/routers/" + string(id) + "/" + verb
		hard, err := q.flag("hard")
		if hard {
			p, drain = p+"?hard=true", eventlog.DrainHard
		}
		return p, err
	}, nil)
	if err != nil {
		return err
	}
	rec, err := s.service.SetDrain(c.Request().Context(), &m, id, drain)
	if err != nil {
		return err
	}
	return s.changed(c, func(o object) { o.str("router", string(id)) }, "router "+verb+"ed", &rec)
}
