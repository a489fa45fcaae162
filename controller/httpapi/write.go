package httpapi

import (
	"crypto/sha256"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"dvr/controller/service"
	"dvr/eventlog"
)

// anonymous is the actor of a request that names none.
const anonymous = "anonymous"

// mutation reads what all writes have in common. path is the canonical one.
func mutation(r *http.Request, q *query, path string, body []byte) (m service.Mutation, err error) {
	h := r.Header
	m.Actor, m.Source = anonymous, source(r)
	if v := h["X-Dvr-Actor"]; len(v) > 0 {
		if m.Actor = v[0]; len(v) > 1 || !printable(m.Actor, 128) || m.Actor == eventlog.SystemActor {
			return m, fieldError("X-DVR-Actor", "must be 1 to 128 printable ASCII characters, once, and not %s", eventlog.SystemActor)
		}
	}
	caller(h, &m)
	if v := h["Idempotency-Key"]; len(v) > 0 {
		if m.ID = v[0]; len(v) > 1 || !goodKey(m.ID) {
			return m, fieldError("Idempotency-Key", "must be 1 to 100 printable ASCII characters without slash, once")
		}
	}
	m.Reason = q.get("reason")
	if len(m.Reason) > 1024 {
		return m, fieldError("reason", "is longer than 1024 bytes")
	}
	if m.Wait, err = q.waitMode(); err != nil {
		return m, err
	}
	if m.Timeout, err = q.timeout(); err != nil {
		return m, err
	}
	if m.Require, err = q.require(); err != nil {
		return m, err
	}
	if len(m.Require) > 0 && m.Wait != service.WaitInstalled {
		return m, fieldError("require", "has a meaning only with wait=installed")
	}
	match, err := tags(h, "If-Match")
	if err != nil {
		return m, err
	}
	none, err := tags(h, "If-None-Match")
	if err != nil {
		return m, err
	}
	m.IfMatch, m.IfNoneMatch = match.Precondition, none.Precondition
	if q.n > 0 {
		if m.Care, err = q.care(); err != nil {
			return m, err
		}
	}
	m.Request = requestHash(r.Method, path, q, body)
	return m, nil
}

// goodKey is the rule for what a caller may call a change: the ids of an
// import's commits are made of such a key, a slash and a number.
func goodKey(s string) bool { return printable(s, 100) && !strings.Contains(s, "/") }

func printable(s string, most int) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= most
}

// requestHash is the hash of the canonical form of a request (decision 1).
func requestHash(method, path string, q *query, body []byte) (out eventlog.RequestHash) {
	b := getBuffer()
	defer putBuffer(b)
	b.b = append(b.b, "dvr request 1\n"...)
	b.b = append(append(b.b, method...), '\n')
	b.b = q.effect(append(b.b, path...))
	b.b = append(b.b, '\n')
	b.b = append(b.b, body...)
	sum := sha256.Sum256(b.b)
	copy(out[:], sum[:])
	return out
}

// pathValue is a path parameter; a path that came escaped is unescaped here.
func pathValue(c echo.Context, name string) (string, error) {
	v := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return v, nil
	}
	out, err := url.PathUnescape(v)
	if err != nil {
		return "", fieldError("path", "is not well escaped")
	}
	return out, nil
}

// pathDestination reads /routes/10.1.0.0/16 and /routes/10.1.0.0%2F16.
func pathDestination(c echo.Context) (netip.Prefix, error) {
	v, err := pathValue(c, "*")
	if err != nil {
		return netip.Prefix{}, err
	}
	p, err := eventlog.ParsePrefix(v)
	return p, named("destination", err)
}

// noBody refuses a body where none is expected.
func noBody(r *http.Request) error {
	n := r.ContentLength
	if n < 0 { // of unknown length; it may be empty
		var b [1]byte
		got, _ := io.ReadFull(r.Body, b[:])
		n = int64(got)
	}
	if n > 0 {
		return fieldError("body", "is not expected here")
	}
	return nil
}

// madeCommit marks the context of a call that made a commit.
const madeCommit = "commit"

// receipt puts the members that every answer of a mutation has, and headers.
func (s *Server) receipt(c echo.Context, o object, r *service.Receipt) {
	h := c.Response().Header()
	s.setPosition(h, r.Position)
	if r.Replayed {
		h[headerReplayed] = yes
	} else if !r.NoChange {
		c.Set(madeCommit, true)
	}
	o.uint("revision", uint64(r.Position.Revision))
	pledge(o, r)
	if r.Wait != service.WaitInstalled {
		return
	}
	strs(o, "installed", r.Installed)
	if len(r.Disconnected) > 0 {
		strs(o, "disconnected", r.Disconnected)
	}
	if !r.Complete() {
		strs(o, "pending", r.Pending)
		o.list("failed")
		for _, f := range r.Failed {
			i := o.object()
			i.str("router", string(f.Router))
			i.optional("sink", f.Sink)
			i.optional("prefix", f.Prefix)
			i.str("reason", f.Reason)
			i.end()
			o.next()
		}
		o.endList()
	}
}

// codeOf is the success code, or 202 while installation is incomplete.
func codeOf(success int, r *service.Receipt) int {
	if r.Wait == service.WaitInstalled && !r.Complete() {
		return http.StatusAccepted
	}
	return success
}

// written answers a mutation of a destination.
func (s *Server) written(c echo.Context, success int, destination netip.Prefix, status string, r *service.Receipt) error {
	if r.Preview != nil {
		return s.previewed(c, r.Preview)
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.prefix("destination", destination)
	o.str("status", status)
	s.receipt(c, o, r)
	o.end()
	return send(c, codeOf(success, r), b)
}

// postRoute is the hot path.
func (s *Server) postRoute(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, writeParams)
	if err != nil {
		return err
	}
	if q.get("timeout") == "" && q.get("wait") != "installed" {
		defer brief(r).end()
	}
	body := getBuffer()
	defer putBuffer(body)
	if err := readBody(r, body, maxObjectBody); err != nil {
		return err
	}
	route, err := decodeRoute(body.b)
	if err != nil {
		return err
	}
	m, err := mutation(r, &q, "/routes", body.b)
	if err != nil {
		return err
	}
	rec, err := s.service.PutRoute(r.Context(), &m, route)
	if err != nil {
		return err
	}
	return s.written(c, http.StatusCreated, route.Destination, "route added", &rec)
}

func (s *Server) putRoute(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, writeParams)
	if err != nil {
		return err
	}
	destination, err := pathDestination(c)
	if err != nil {
		return err
	}
	defer s.bodies.meter(r)()
	body := getBuffer()
	defer putBuffer(body)
	if err := readBody(r, body, maxCandidatesBody); err != nil {
		return err
	}
	router, routes, listed, err := decodeCandidates(body.b, destination.String())
	if err != nil {
		return err
	}
	m, err := mutation(r, &q, "/routes/"+destination.String(), body.b)
	if err != nil {
		return err
	}
	rec, err := s.service.ReplaceRoutes(r.Context(), &m, router, destination, routes)
	if err != nil {
		if !listed {
			err = outOf("candidates[0]", err)
		}
		return err
	}
	return s.written(c, http.StatusOK, destination, "route replaced", &rec)
}

var deleteParams = with(writeParams, "next_hop", "router")

func (s *Server) deleteRoute(c echo.Context) error {
	q, err := parseQuery(c.Request().URL.RawQuery, deleteParams)
	if err != nil {
		return err
	}
	destination, err := pathDestination(c)
	if err != nil {
		return err
	}
	if err := noBody(c.Request()); err != nil {
		return err
	}
	f := service.RouteFilter{}
	if f.Router, err = q.router(""); err != nil {
		return err
	}
	if f.NextHop, err = q.addr("next_hop"); err != nil {
		return err
	}
	return s.remove(c, &q, "/routes/"+destination.String(), nil, destination, f)
}

var deleteQueryParams = with(deleteParams, "destination")

// deleteByQuery is DELETE /routes, the destination in the query or a JSON body.
func (s *Server) deleteByQuery(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, deleteQueryParams)
	if err != nil {
		return err
	}
	body := getBuffer()
	defer putBuffer(body)
	var given struct {
		Destination *string `json:"destination"`
		NextHop     *string `json:"next_hop"`
		Router      *string `json:"router"`
	}
	if r.ContentLength != 0 {
		if err := readBody(r, body, maxObjectBody); err != nil {
			return err
		}
		if err := decodeObject(body.b, &given); err != nil {
			return err
		}
	}
	// Empty is not absent: a filter that is empty by mistake would withdraw the rest, too.
	either := func(name string, inBody *string) (text string, err error) {
		switch {
		case inBody == nil:
			return q.get(name), nil
		case q.has(name):
			return "", fieldError(name, "is given twice, in the query and the body")
		}
		return *inBody, nil
	}
	text, err := either("destination", given.Destination)
	if err != nil {
		return err
	}
	if text == "" {
		return fieldError("destination", "is missing")
	}
	destination, err := eventlog.ParsePrefix(text)
	if err != nil {
		return named("destination", err)
	}
	f := service.RouteFilter{}
	router, err := either("router", given.Router)
	switch {
	case err != nil:
		return err
	case router == string(eventlog.AllRouters):
		f.Router = eventlog.AllRouters
	case given.Router != nil || q.has("router"):
		if f.Router, err = routerID("router", router); err != nil {
			return err
		}
	}
	nextHop, err := either("next_hop", given.NextHop)
	if err != nil {
		return err
	}
	if given.NextHop != nil || q.has("next_hop") {
		if f.NextHop, err = eventlog.ParseAddr(nextHop); err != nil {
			return named("next_hop", err)
		}
	}
	return s.remove(c, &q, "/routes", body.b, destination, f)
}

func (s *Server) remove(c echo.Context, q *query, path string, body []byte, destination netip.Prefix, f service.RouteFilter) error {
	m, err := mutation(c.Request(), q, path, body)
	if err != nil {
		return err
	}
	rec, err := s.service.DeleteRoutes(c.Request().Context(), &m, destination, f)
	if err != nil {
		return err
	}
	return s.written(c, http.StatusOK, destination, "route deleted", &rec)
}
