package httpapi

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"dvr/controller/service"
	"dvr/eventlog"
)

// rollbackBody is the object of POST /v1/rollback.
type rollbackBody struct {
	To      uint64         `json:"to"`
	Commits []uint64       `json:"commits"`
	Actor   string         `json:"actor"`
	Tag     string         `json:"tag"`
	Router  string         `json:"router"`
	Within  string         `json:"within"`
	Since   jsontext.Value `json:"since"` // a revision, or a time
}

func (b *rollbackBody) read() (r service.Rollback, err error) {
	r = service.Rollback{To: eventlog.Revision(b.To), Actor: b.Actor, Tag: b.Tag}
	for _, c := range b.Commits {
		r.Commits = append(r.Commits, eventlog.Revision(c))
	}
	if b.Router != "" {
		if r.Router, err = routerID("router", b.Router); err != nil {
			return r, err
		}
	}
	if b.Within != "" {
		if r.Within, err = eventlog.ParsePrefix(b.Within); err != nil {
			return r, named("within", err)
		}
	}
	if len(b.Since) == 0 {
		return r, nil
	}
	text := string(b.Since)
	if n, err := strconv.ParseUint(text, 10, 63); err == nil && n > 0 {
		r.Since = eventlog.Revision(n)
		return r, nil
	}
	if text, err = strconv.Unquote(text); err == nil {
		if d, err := time.ParseDuration(text); err == nil && d > 0 {
			r.After = time.Now().Add(-d)
			return r, nil
		}
		if r.After, err = time.Parse(time.RFC3339, text); err == nil {
			return r, nil
		}
	}
	return r, fieldError("since", `must be a revision such as 42, a time such as "2026-11-22T03:00:00Z", or how long ago, such as "2h"`)
}

// rollback is POST /v1/rollback.
func (s *Server) rollback(c echo.Context) error {
	var body rollbackBody
	m, _, err := s.change(c, writeParams, func(*query) (string, error) { return "/v1/rollback", nil }, &body)
	if err != nil {
		return err
	}
	if err := unconditional(&m, "a rollback"); err != nil {
		return err
	}
	r, err := body.read()
	if err != nil {
		return err
	}
	rec, err := s.service.Rollback(c.Request().Context(), &m, r)
	if err != nil {
		var conflict *service.RollbackConflict
		if errors.As(err, &conflict) {
			return &extended{err, func(b *buffer) { conflicts(object{b}, conflict) }}
		}
		return err
	}
	if rec.Preview != nil {
		return s.previewed(c, rec.Preview)
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	status := "rolled back"
	if rec.NoChange {
		status = "nothing to roll back"
	}
	o.str("status", status)
	o.optional("id", rec.ID)
	s.receipt(c, o, &rec)
	o.end()
	return send(c, codeOf(http.StatusOK, &rec), b)
}

func conflicts(o object, e *service.RollbackConflict) {
	o.uint("conflict_count", uint64(e.Count))
	o.list("conflicts")
	for _, x := range e.List {
		i := o.object()
		i.uint("commit", uint64(x.Revision))
		i.str("actor", x.Actor)
		i.str("cause", x.Cause.String())
		event(i, "event", x.Event)
		i.end()
		o.next()
	}
	o.endList()
}
