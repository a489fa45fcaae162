package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"dvr/controller/certs"
	"dvr/controller/cluster"
	"dvr/controller/gate"
	"dvr/controller/history"
	"dvr/controller/service"
	"dvr/eventlog"
)

// kind is a row of the table from errors to answers.
type kind struct {
	err    error
	status int
	slug   string
	title  string
	retry  int // seconds of Retry-After; 0: none
}

// Errors of this package's own.
var (
	errContentType = errors.New("unsupported content type")
	errBodyTooBig  = errors.New("the body is too large")
	errNoEncoding  = errors.New("unsupported content encoding")
	errNotAccepted = errors.New("not acceptable")
	errPanic       = errors.New("internal error")
	errExternal    = errors.New("the members of an external etcd are changed with etcdctl")
)

// kinds is searched from the top: the first that errors.Is wins.
var kinds = []kind{
	{gate.ErrForeignHost, http.StatusForbidden, "foreign-host", "Foreign host", 0},
	{gate.ErrCrossSite, http.StatusForbidden, "cross-site", "Cross-site request", 0},
	{certs.ErrNoCertificate, http.StatusUnauthorized, "unauthenticated", "Not authenticated", 0},
	{certs.ErrExpired, http.StatusUnauthorized, "unauthenticated", "Not authenticated", 0},
	{certs.ErrNoIdentity, http.StatusUnauthorized, "unauthenticated", "Not authenticated", 0},
	{certs.ErrKind, http.StatusForbidden, "forbidden", "Not allowed", 0},
	{service.ErrUnauthenticated, http.StatusUnauthorized, "unauthenticated", "Not authenticated", 0},
	{service.ErrForbidden, http.StatusForbidden, "forbidden", "Forbidden", 0},
	{errContentType, http.StatusUnsupportedMediaType, "content-type", "Unsupported content type", 0},
	{errNoEncoding, http.StatusUnsupportedMediaType, "content-encoding", "Unsupported content encoding", 0},
	{errNotAccepted, http.StatusNotAcceptable, "not-acceptable", "Not acceptable", 0},
	{errBodyTooBig, http.StatusRequestEntityTooLarge, "too-large", "Too large", 0},
	{service.ErrTooLarge, http.StatusRequestEntityTooLarge, "too-large", "Too large", 0},
	{service.ErrBodyLate, http.StatusRequestTimeout, "body-late", "The body did not end in time", 0},
	{service.ErrRequired, http.StatusNotFound, "unknown-router", "Unknown router", 0},
	{service.ErrUnknownRouter, http.StatusNotFound, "unknown-router", "Unknown router", 0},
	{service.ErrNotFound, http.StatusNotFound, "not-found", "Not found", 0},
	{service.ErrPrecondition, http.StatusPreconditionFailed, "precondition-failed", "Precondition failed", 0},
	{service.ErrIDReused, http.StatusUnprocessableEntity, "idempotency-key-reused", "Idempotency key reused", 0},
	{service.ErrNoDataPlane, http.StatusConflict, "no-dataplane", "No data plane is connected", 0},
	{service.ErrGuarded, http.StatusConflict, "guarded", "Refused by a guard rail", 0},
	{service.ErrReferred, http.StatusConflict, "referred-to", "Still referred to", 0},
	{service.ErrConflict, http.StatusConflict, "conflict", "Conflict", 0},
	{service.ErrKeyQuota, http.StatusInsufficientStorage, "kv-quota", "Key-value quota used up", 0},
	{service.ErrGone, http.StatusGone, "gone", "No longer retained", 0},
	{cluster.ErrNotFound, http.StatusNotFound, "no-such-member", "No such member", 0},
	{cluster.ErrExists, http.StatusConflict, "member-exists", "There is such a member already", 0},
	{cluster.ErrFull, http.StatusConflict, "too-many-voters", "Too many voters", 0},
	{cluster.ErrQuorum, http.StatusConflict, "would-lose-quorum", "The cluster would lose its quorum", 0},
	{cluster.ErrLevel, http.StatusConflict, "below-level", "The node is older than the log", 0},
	{cluster.ErrRole, http.StatusConflict, "role", "Not in this role", 0},
	{cluster.ErrNotReady, http.StatusServiceUnavailable, "not-ready", "The learner has not caught up", 1},
	{cluster.ErrBusy, http.StatusServiceUnavailable, "joining", "Another node is joining", 1},
	{errExternal, http.StatusConflict, "external-etcd", "An external etcd", 0},
	{service.ErrOutcomeUnknown, http.StatusGatewayTimeout, "outcome-unknown", "Outcome unknown", 0},
	{service.ErrUnseen, http.StatusGatewayTimeout, "stored-unseen", "Stored, not shown here yet", 0},
	{service.ErrOverloaded, http.StatusTooManyRequests, "overloaded", "Overloaded", 1},
	{service.ErrBehind, http.StatusServiceUnavailable, "behind", "This node is behind", 1},
	{service.ErrUnavailable, http.StatusServiceUnavailable, "unavailable", "Unavailable", 2},
	{eventlog.ErrNoSpace, http.StatusServiceUnavailable, "no-space", "The log's store is full", 30},
	{eventlog.ErrUnavailable, http.StatusServiceUnavailable, "unavailable", "Unavailable", 2},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, "timeout", "Timed out", 2},
	{context.Canceled, 499, "cancelled", "The client went away", 0},
}

// fieldOf names the part of the request that is at fault where the error alone tells.
var fieldOf = map[error]string{
	gate.ErrForeignHost:      "Host",
	errContentType:           "Content-Type",
	errNoEncoding:            "Content-Encoding",
	errNotAccepted:           "Accept",
	errBodyTooBig:            "body",
	service.ErrBodyLate:      "body",
	service.ErrRequired:      "require",
	service.ErrUnknownRouter: "router",
	service.ErrIDReused:      "Idempotency-Key",
}

// rowOf finds the answer for an error; field is empty unless one is at fault.
func rowOf(err error) (row kind, field string) {
	var unsupported *service.UnsupportedError
	if errors.As(err, &unsupported) {
		return kind{status: http.StatusBadRequest, slug: "not-supported", title: "Not supported yet"}, unsupported.Field
	}
	var f *eventlog.FieldError
	if errors.As(err, &f) {
		return kind{status: http.StatusBadRequest, slug: "invalid", title: "Invalid request"}, f.Field
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			field := fieldOf[k.err]
			if c := (*gate.CrossSiteError)(nil); errors.As(err, &c) {
				field = c.Header
			}
			return k, field
		}
	}
	var h *echo.HTTPError
	if errors.As(err, &h) {
		switch h.Code {
		case http.StatusNotFound:
			return kind{status: h.Code, slug: "not-found", title: "Not found"}, ""
		case http.StatusMethodNotAllowed:
			return kind{status: h.Code, slug: "method-not-allowed", title: "Method not allowed"}, ""
		}
		return kind{status: h.Code, slug: "http", title: http.StatusText(h.Code)}, ""
	}
	return kind{status: http.StatusInternalServerError, slug: "internal", title: "Internal error"}, ""
}

// problem answers with err. Nothing may have been written yet.
func (s *Server) problem(c echo.Context, err error) {
	row, field := rowOf(err)
	if row.status == http.StatusPreconditionFailed {
		field = preconditions(c.Request().Header)
	}
	detail := err.Error()
	var h *echo.HTTPError
	switch {
	case errors.As(err, &h):
		detail = c.Request().Method + " " + c.Request().URL.Path + ": " + http.StatusText(h.Code)
	case row.status == http.StatusInternalServerError:
		s.log.Error("request failed", logRequest(c, err)...)
		detail = "internal error; the node's log says more"
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.problem(row, detail, c.Request().URL.Path)
	o.optional("field", short(field))
	var m *service.MutationError
	if errors.As(err, &m) && m.ID != "" && row.status >= 500 {
		o.str("id", m.ID)
	}
	if u := (*service.UnledError)(nil); errors.As(err, &u) && u.Node != "" && row.status >= 500 {
		name := "last_leader"
		if u.Leads {
			name = "leader"
		}
		o.key(name)
		l := b.object()
		l.str("node_id", u.Node)
		l.optional("api", u.API)
		l.end()
		b.next()
	}
	if g := (*history.GoneError)(nil); errors.As(err, &g) {
		o.uint("oldest_revision", uint64(g.Oldest))
	}
	var e *extended
	if errors.As(err, &e) {
		e.more(b)
	}
	o.end()
	header := c.Response().Header()
	if row.status == http.StatusUnauthorized {
		header["Www-Authenticate"] = challenge
	}
	if row.retry > 0 {
		header.Set("Retry-After", strconv.Itoa(row.retry))
	}
	if header.Get(headerPosition) == "" {
		s.setPosition(header, s.service.Position())
	}
	header["Content-Type"] = problemType
	c.Response().WriteHeader(row.status)
	if c.Request().Method != http.MethodHead {
		_, _ = c.Response().Write(append(b.b, '\n'))
	}
}

// challenge is what RFC 6750 asks of a 401.
var challenge = []string{`Bearer realm="dvr"`}

// preconditions names the headers that a 412 is about.
func preconditions(h http.Header) string {
	var names []string
	for _, name := range []string{"If-Match", "If-None-Match"} {
		if len(h[name]) > 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// unconditional refuses preconditions, each by its name, of what has no one item
// that they could be about.
func unconditional(m *service.Mutation, what string) error {
	for _, p := range []struct {
		name string
		set  bool
	}{{"If-Match", m.IfMatch.Set()}, {"If-None-Match", m.IfNoneMatch.Set()}} {
		if p.set {
			return fieldError(p.name, "has no meaning for %s", what)
		}
	}
	return nil
}

// Names and values at fault are the caller's and may be as long as a body.
const maxTold = 512

// short cuts a text that is told to who sent most of it.
func short(s string) string {
	if len(s) <= maxTold {
		return s
	}
	return strings.ToValidUTF8(s[:maxTold/2], "") + " … " + strings.ToValidUTF8(s[len(s)-maxTold/4:], "")
}

// problem puts the members that every problem has.
func (o object) problem(row kind, detail, path string) {
	detail, path = short(detail), short(path)
	o.str("type", "/problems/"+row.slug)
	o.str("title", row.title)
	o.uint("status", uint64(row.status))
	o.str("detail", detail)
	o.str("instance", path)
	o.str("error", detail)
}

// extended is an error whose problem has further members.
type extended struct {
	error
	more func(*buffer)
}

func (e *extended) Unwrap() error { return e.error }
