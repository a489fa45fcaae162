package httpapi

import (
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"dvr/controller/service"
	"dvr/eventlog"
)

// confirmCommit is POST /v1/commits/{revision}/confirm. What would take it back,
// or do it later, is refused: a confirmation has no inverse, and a deadline.
func (s *Server) confirmCommit(c echo.Context) error {
	var n uint64
	m, _, err := s.change(c, fixedParams, func(*query) (p string, err error) {
		if n, err = number(c.Param("revision")); err != nil {
			err = fieldError("revision", "must be a whole number")
		}
		return "/v1/commits/" + c.Param("revision") + "/confirm", err
	}, nil)
	if err != nil {
		return err
	}
	rec, err := s.service.Confirm(c.Request().Context(), &m, eventlog.Revision(n))
	if err != nil {
		return err
	}
	return s.changed(c, func(o object) { o.uint("commit", n) }, "confirmed", &rec)
}

// listed answers a list of items that are there at a state.
func (s *Server) listed(c echo.Context, key string, each func(v service.View, b *buffer)) error {
	v, err := s.view(c, readParams)
	if err != nil {
		return err
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.list(key)
	each(v, b)
	o.endList()
	o.uint("revision", uint64(v.State.Position().Revision))
	stale(o, v)
	o.end()
	return send(c, http.StatusOK, b)
}

// listConfirmations is GET /v1/confirmations: the commits that wait for theirs.
func (s *Server) listConfirmations(c echo.Context) error {
	return s.listed(c, "confirmations", func(v service.View, b *buffer) {
		for k := range v.State.Confirmations() {
			o := b.object()
			o.uint("commit", uint64(k.Revision))
			o.time("confirm_by", time.UnixMilli(k.Deadline))
			o.uint("changes", uint64(len(k.Inverse)))
			o.end()
			b.next()
		}
	})
}

// stored puts an item as the log has it, with the revision of its last change.
func stored(b *buffer, e eventlog.Event, r eventlog.Revision) {
	o := b.object()
	o.uint("revision", uint64(r))
	event(o, "event", e)
	o.end()
	b.next()
}

func (s *Server) listTimers(c echo.Context) error {
	return s.listed(c, "timers", func(v service.View, b *buffer) {
		for t := range v.State.Timers() {
			stored(b, &t.TimerSet, t.Revision)
		}
	})
}

func (s *Server) listGuards(c echo.Context) error {
	return s.listed(c, "guards", func(v service.View, b *buffer) {
		for g := range v.State.Guards() {
			stored(b, &g.GuardSet, g.Revision)
		}
	})
}

func (s *Server) listFreezes(c echo.Context) error {
	return s.listed(c, "freezes", func(v service.View, b *buffer) {
		for f := range v.State.Freezes() {
			stored(b, &f.FreezeSet, f.Revision)
		}
	})
}

// pathName reads the name of a guard, freeze or timer.
func pathName(c echo.Context) (string, error) {
	v, err := pathValue(c, "name")
	if err != nil {
		return "", err
	}
	return v, named("name", eventlog.CheckName(v))
}

// removal is DELETE of an item with a name.
func (s *Server) removal(c echo.Context, path, status string, of func(name string) eventlog.Event) error {
	var name string
	m, _, err := s.change(c, writeParams, func(*query) (p string, err error) {
		name, err = pathName(c)
		return path + name, err
	}, nil)
	if err != nil {
		return err
	}
	rec, err := s.service.RemoveItem(c.Request().Context(), &m, of(name))
	if err != nil {
		return err
	}
	return s.changed(c, func(o object) { o.str("name", name) }, status, &rec)
}

func (s *Server) cancelTimer(c echo.Context) error {
	return s.removal(c, "/v1/timers/", "timer cancelled", func(name string) eventlog.Event { return &eventlog.TimerCancelled{Name: name} })
}

// approve is POST /v1/timers/{name}/approve: another actor's proposal is committed.
func (s *Server) approve(c echo.Context) error {
	var name string
	m, _, err := s.change(c, fixedParams, func(*query) (p string, err error) {
		name, err = pathName(c)
		return "/v1/timers/" + name + "/approve", err
	}, nil)
	if err != nil {
		return err
	}
	rec, err := s.service.Approve(c.Request().Context(), &m, name)
	if err != nil {
		return err
	}
	return s.changed(c, func(o object) { o.str("name", name) }, "approved", &rec)
}

func (s *Server) deleteGuard(c echo.Context) error {
	return s.removal(c, "/v1/guards/", "guard removed", func(name string) eventlog.Event { return &eventlog.GuardRemoved{Name: name} })
}

func (s *Server) deleteFreeze(c echo.Context) error {
	return s.removal(c, "/v1/freezes/", "freeze removed", func(name string) eventlog.Event { return &eventlog.FreezeRemoved{Name: name} })
}

// setting is PUT of a guard or freeze; of makes its event when the body is read.
func (s *Server) setting(c echo.Context, path, status string, body any, of func(name string) (eventlog.Event, error)) error {
	var name string
	m, _, err := s.change(c, writeParams, func(*query) (p string, err error) {
		name, err = pathName(c)
		return path + name, err
	}, body)
	if err != nil {
		return err
	}
	e, err := of(name)
	if err != nil {
		return err
	}
	rec, err := s.service.SetPolicy(c.Request().Context(), &m, e)
	if err != nil {
		return err
	}
	return s.changed(c, func(o object) { o.str("name", name) }, status, &rec)
}

// guardBody is the object of PUT /v1/guards/{name}.
type guardBody struct {
	Type     string   `json:"type"`
	Prefixes []string `json:"prefixes"`
	Routers  []string `json:"routers"`
	Actor    string   `json:"actor"`
	Origin   string   `json:"origin"`
	Percent  uint32   `json:"percent"`
	Above    uint64   `json:"above"`
	Limit    uint64   `json:"limit"`
}

func (s *Server) putGuard(c echo.Context) error {
	var body guardBody
	return s.setting(c, "/v1/guards/", "guard set", &body, func(name string) (eventlog.Event, error) {
		prefixes, routers, err := scopeOf(body.Prefixes, body.Routers)
		return &eventlog.GuardSet{
			Name: name, Type: body.Type, Prefixes: prefixes, Routers: routers,
			Actor: body.Actor, Origin: body.Origin, Percent: body.Percent, Above: body.Above, Limit: body.Limit,
		}, err
	})
}

// freezeBody is the object of PUT /v1/freezes/{name}; times are RFC 3339.
type freezeBody struct {
	Prefixes []string   `json:"prefixes"`
	Routers  []string   `json:"routers"`
	From     *time.Time `json:"from"`
	Until    *time.Time `json:"until"`
	All      bool       `json:"all"` // said where no prefix and no router is
}

func (s *Server) putFreeze(c echo.Context) error {
	var body freezeBody
	return s.setting(c, "/v1/freezes/", "freeze set", &body, func(name string) (eventlog.Event, error) {
		prefixes, routers, err := scopeOf(body.Prefixes, body.Routers)
		if named := len(prefixes)+len(routers) > 0; err == nil && named == body.All {
			err = fieldError("all", "must be true where no prefixes and routers are named, and only there: then every route, router and link is frozen")
		}
		e := &eventlog.FreezeSet{Name: name, Prefixes: prefixes, Routers: routers}
		if body.From != nil {
			e.From = body.From.UnixMilli()
		}
		if body.Until != nil {
			e.Until = body.Until.UnixMilli()
		}
		return e, err
	})
}

// scopeOf reads what a guard or freeze is about, in the log's order.
func scopeOf(prefixes, routers []string) ([]netip.Prefix, []eventlog.RouterID, error) {
	var p []netip.Prefix
	for _, v := range prefixes {
		x, err := eventlog.ParsePrefix(v)
		if err != nil {
			return nil, nil, named("prefixes", err)
		}
		p = append(p, x)
	}
	slices.SortFunc(p, netip.Prefix.Compare)
	var r []eventlog.RouterID
	for _, v := range routers {
		x, err := routerID("routers", v)
		if err != nil {
			return nil, nil, err
		}
		r = append(r, x)
	}
	slices.Sort(r)
	return slices.Compact(p), slices.Compact(r), nil
}
