package httpapi

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/labstack/echo/v4"

	"dvr/controller/service"
	"dvr/eventlog"
)

// maxWindow bounds the memory that a zstd stream may demand.
const maxWindow = 32 << 20

var importParams = with(writeParams, "atomic", "mode", "scope", "allow_empty")

// importMode reads how an import is to be done. What is one commit by its nature
// is atomic.
func (q *query) importMode(m *service.Mutation, topology bool) (mode service.ImportMode, err error) {
	mode.Topology = topology
	if mode.Atomic, err = q.flag("atomic"); err != nil {
		return mode, err
	}
	switch v := q.get("mode"); {
	case v == "replace":
		mode.Replace = true
	case v != "merge" && q.has("mode"):
		return mode, fieldError("mode", "must be merge or replace")
	}
	if q.has("scope") {
		if !mode.Replace {
			return mode, fieldError("scope", "has a meaning only with mode=replace")
		}
		kind, name, _ := strings.Cut(q.get("scope"), ":")
		switch {
		case topology && (kind == "origin" || name == string(eventlog.AllRouters)):
			err = fieldError("scope", "must be tag:NAME or router:NAME for a topology")
		case kind == "router" && name == string(eventlog.AllRouters):
			mode.Scope.Router = eventlog.AllRouters
		case kind == "router":
			mode.Scope.Router, err = routerID("scope", name)
		case kind == "tag":
			mode.Scope.Tag, err = name, named("scope", eventlog.CheckTags([]string{name}))
		case kind == "origin":
			mode.Scope.Origin, err = name, named("scope", eventlog.CheckName(name))
		default:
			err = fieldError("scope", "must be tag:NAME, router:NAME or origin:NAME")
		}
		if err != nil {
			return mode, err
		}
	}
	if mode.AllowEmpty, err = q.flag("allow_empty"); err != nil {
		return mode, err
	}
	if mode.AllowEmpty && mode.Scope == (service.Scope{}) {
		return mode, fieldError("allow_empty", "has a meaning only with mode=replace and a scope")
	}
	if mode.Replace && q.has("atomic") && !mode.Atomic {
		return mode, fieldError("atomic", "must be true with mode=replace, which is one commit")
	}
	mode.Atomic = mode.Atomic || mode.Replace
	if c := m.Care; c != nil && !mode.Atomic {
		switch {
		case c.DryRun:
			mode.Atomic = true
		case c.ConfirmWithin > 0 || c.NotBefore > 0 || c.ExpiresIn > 0:
			return mode, fieldError("atomic", "must be true for an import that is confirmed, scheduled or limited: else it is many commits")
		case c.Force && m.Reason == "":
			return mode, fieldError("reason", "is missing: what is done by force needs one")
		}
	}
	return mode, nil
}

// importRoutes streams lines into commits.
func (s *Server) importRoutes(c echo.Context) error { return s.importLines(c, false) }

// importTopology does the same; what it replaces are routers and links.
func (s *Server) importTopology(c echo.Context) error { return s.importLines(c, true) }

func (s *Server) importLines(c echo.Context, topology bool) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, importParams)
	if err != nil {
		return err
	}
	if err := contentType(r, "application/x-ndjson"); err != nil {
		return err
	}
	// Without mode=replace both take the same lines and do the same, so a key is one for both.
	path := "/v1/routes/import"
	if topology && q.get("mode") == "replace" {
		path = "/v1/topology/import"
	}
	m, err := mutation(r, &q, path, nil)
	if err != nil {
		return err
	}
	if err := unconditional(&m, "an import"); err != nil {
		return err
	}
	mode, err := q.importMode(&m, topology)
	if err != nil {
		return err
	}
	coding, err := contentCoding(r)
	if err != nil {
		return err
	}
	cost := int64(importCost)
	if mode.Atomic {
		cost = atomicCost
	}
	if coding == "zstd" {
		cost += maxWindow
	}
	actor := authenticated(r)
	if err := s.bodies.take(actor, cost); err != nil {
		return err
	}
	defer s.bodies.give(actor, cost)
	limit := m.Timeout
	if limit <= 0 {
		limit = service.MaxTimeout
	}
	// Not every writer has deadlines (a test's has none); then the context alone ends it.
	_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now().Add(limit))
	body, done, err := decompressed(r, coding)
	if err != nil {
		return err
	}
	defer done()
	if actor != "" && s.rates != nil {
		m.Pace = func(ctx context.Context) error { return s.paced(ctx, actor) }
	}
	var got service.Imported
	if mode.Atomic {
		got, err = s.service.ImportAtomic(r.Context(), &m, mode, body)
	} else {
		got, err = s.service.Import(r.Context(), &m, body)
	}
	h := c.Response().Header()
	if got.Position.LogID != "" {
		s.setPosition(h, got.Position)
	}
	if err != nil {
		return &extended{err, func(b *buffer) { imported(object{b}, &got) }}
	}
	if got.Preview != nil {
		return s.previewed(c, got.Preview)
	}
	if got.Accepted == 0 && len(got.Refused) > 0 {
		first := got.Refused[0]
		err := fieldError(lineField(first), "%s", first.Reason)
		return &extended{err, func(b *buffer) { imported(object{b}, &got) }}
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	imported(o, &got)
	if mode.Atomic {
		o.uint("changes", uint64(got.Changes))
	}
	s.receipt(c, o, &got.Receipt)
	o.end()
	return send(c, codeOf(http.StatusOK, &got.Receipt), b)
}

func lineField(r service.Refused) string {
	if r.Field == "" {
		return fmt.Sprintf("line %d", r.Line)
	}
	return fmt.Sprintf("line %d: %s", r.Line, r.Field)
}

func imported(o object, i *service.Imported) {
	o.uint("accepted", uint64(i.Accepted))
	o.list("refused")
	for _, r := range i.Refused {
		e := o.object()
		e.uint("line", uint64(r.Line))
		e.optional("field", short(r.Field))
		e.str("reason", short(r.Reason))
		e.end()
		o.next()
	}
	o.endList()
	o.uint("refused_count", uint64(i.RefusedCount))
	o.uint("first_revision", uint64(i.First))
	o.uint("last_revision", uint64(i.Last))
	o.str("key", i.Key)
}

// decompressed reads a body of the coding.
func decompressed(r *http.Request, coding string) (io.Reader, func(), error) {
	nothing := func() {}
	switch coding {
	case "":
		return r.Body, nothing, nil
	case "gzip":
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil, nothing, fieldError("body", "is empty")
			}
			return nil, nothing, fieldError("body", "is not gzip")
		}
		return z, func() { _ = z.Close() }, nil
	case "zstd":
		z, err := zstd.NewReader(r.Body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nothing, fieldError("body", "is not zstd")
		}
		return z, z.Close, nil
	default:
		return nil, nothing, fmt.Errorf("%w %q: gzip or zstd", errNoEncoding, coding)
	}
}
