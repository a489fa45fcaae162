package httpapi

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/labstack/echo/v4"

	"dvr/controller/service"
)

// maxWindow bounds the memory that a zstd stream may demand.
const maxWindow = 32 << 20

// importRoutes streams lines into commits.
func (s *Server) importRoutes(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, writeParams)
	if err != nil {
		return err
	}
	if err := contentType(r, "application/x-ndjson"); err != nil {
		return err
	}
	m, err := mutation(r, &q, "/v1/routes/import", nil)
	if err != nil {
		return err
	}
	if m.IfMatch.Set() || m.IfNoneMatch.Set() {
		return fieldError("If-Match", "has no meaning for an import")
	}
	coding, err := contentCoding(r)
	if err != nil {
		return err
	}
	cost := int64(importCost)
	if coding == "zstd" {
		cost = zstdCost
	}
	if err := s.bodies.take(cost); err != nil {
		return err
	}
	defer s.bodies.give(cost)
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
	got, err := s.service.Import(r.Context(), &m, body)
	h := c.Response().Header()
	if got.Position.LogID != "" {
		s.setPosition(h, got.Position)
	}
	if err != nil {
		return &extended{err, func(b *buffer) { imported(object{b}, &got) }}
	}
	if got.Accepted == 0 {
		first := got.Refused[0]
		err := fieldError(lineField(first), "%s", first.Reason)
		return &extended{err, func(b *buffer) { imported(object{b}, &got) }}
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	imported(o, &got)
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
