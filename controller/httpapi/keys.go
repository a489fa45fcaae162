package httpapi

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"dvr/controller/service"
	"dvr/eventlog"
)

// maxKeyBody holds the largest value with every byte escaped.
const maxKeyBody = 6*eventlog.MaxValue + 1024

// pathKey reads the key behind a prefix of the path. A key is any text, so what
// came is unescaped exactly once and nothing in it is a segment: "a/b" and
// "a%2Fb" are one key, "a%252Fb" is another, ".." and "//" are keys.
func pathKey(u *url.URL, prefix string) (string, error) {
	raw, ok := strings.CutPrefix(u.EscapedPath(), prefix)
	if !ok {
		return "", fieldError("path", "is not well formed: write %s unescaped", prefix)
	}
	key, err := url.PathUnescape(raw)
	if err != nil {
		return "", fieldError("key", "is not well escaped")
	}
	return key, named("key", eventlog.CheckKey(key))
}

// keyPath is the canonical path of a key.
func keyPath(key string) string { return "/kv/" + url.PathEscape(key) }

// decodeKeyBody reads {"value":"…"}.
func decodeKeyBody(body []byte) (string, error) {
	var given struct {
		Value *string `json:"value"`
	}
	if err := decodeObject(body, &given); err != nil {
		return "", err
	}
	switch {
	case given.Value == nil:
		return "", fieldError("value", "is missing")
	case *given.Value == "":
		return "", fieldError("value", "must not be empty")
	}
	return *given.Value, named("value", eventlog.CheckValue(*given.Value))
}

// keyShown puts the members of a key that its ETag is about.
func keyShown(b *buffer, key, value string, modified eventlog.Revision) object {
	o := b.object()
	o.str("key", key)
	o.str("value", value)
	o.uint("modified", uint64(modified))
	return o
}

func (s *Server) getKey(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, readParams)
	if err != nil {
		return err
	}
	key, err := pathKey(r.URL, "/kv/")
	if err != nil {
		return err
	}
	how, err := q.read()
	if err != nil {
		return err
	}
	k, err := s.service.Key(r.Context(), how, key)
	h := c.Response().Header()
	if k.Position.LogID != "" {
		s.setPosition(h, k.Position)
	}
	if k.Stale {
		h[headerStale] = yes
	}
	if err != nil {
		return err
	}
	b := getBuffer()
	defer putBuffer(b)
	return sendVersion(c, keyShown(b, k.Key.Key, k.Value, k.Revision), k.Tag, k.Position.Revision, k.Stale)
}

func (s *Server) putKey(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, writeParams)
	if err != nil {
		return err
	}
	key, err := pathKey(r.URL, "/kv/")
	if err != nil {
		return err
	}
	if r.ContentLength > maxKeyBody {
		return tooLong()
	}
	defer s.bodies.meter(r)()
	body := getBuffer()
	defer putBuffer(body)
	if err := readBody(r, body, maxKeyBody); err != nil {
		if len(body.b) > maxKeyBody {
			return tooLong()
		}
		return err
	}
	value, err := decodeKeyBody(body.b)
	if err != nil {
		return err
	}
	m, err := mutation(r, &q, keyPath(key), body.b)
	if err != nil {
		return err
	}
	rec, err := s.service.PutKey(r.Context(), &m, key, value)
	if err != nil {
		return err
	}
	if rec.Preview != nil {
		return s.previewed(c, rec.Preview)
	}
	b := getBuffer()
	defer putBuffer(b)
	shown := keyShown(b, key, value, rec.Position.Revision)
	c.Response().Header()["Etag"] = []string{etagOf(service.Tag{Epoch: rec.Position.Epoch, Revision: rec.Position.Revision}, shown.b)}
	b.b = b.b[:0]
	o := b.object()
	o.str("status", "success")
	o.str("key", key)
	s.receipt(c, o, &rec)
	o.end()
	return send(c, codeOf(http.StatusOK, &rec), b)
}

// tooLong is the answer to a body that no value of the right size needs.
func tooLong() error { return fieldError("value", "is longer than %d bytes", eventlog.MaxValue) }

func (s *Server) deleteKey(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, writeParams)
	if err != nil {
		return err
	}
	key, err := pathKey(r.URL, "/kv/")
	if err != nil {
		return err
	}
	if err := noBody(r); err != nil {
		return err
	}
	m, err := mutation(r, &q, keyPath(key), nil)
	if err != nil {
		return err
	}
	rec, existed, err := s.service.DeleteKey(r.Context(), &m, key)
	if err != nil {
		return err
	}
	if rec.Preview != nil {
		return s.previewed(c, rec.Preview)
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.str("status", "success")
	o.str("key", key)
	o.bool("existed", existed)
	s.receipt(c, o, &rec)
	o.end()
	return send(c, codeOf(http.StatusOK, &rec), b)
}

var keyListParams = with(readParams, "prefix", "limit", "cursor")

// listKeys is the seed's GET /kv: a flat map. It has no room for members of
// ours, so where it goes on is told in a header, before the first key; the page
// is walked twice and never held.
func (s *Server) listKeys(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, keyListParams)
	if err != nil {
		return err
	}
	limit, err := q.count("limit", 0, service.MaxPage)
	if err != nil {
		return err
	}
	how, err := q.read()
	if err != nil {
		return err
	}
	p, err := s.service.KeyPage(r.Context(), how, q.get("prefix"), q.get("cursor"))
	if err != nil {
		return err
	}
	h := c.Response().Header()
	s.setView(h, p.View)
	last := ""
	if limit > 0 {
		n := 0
		for k := range p.Keys() {
			if n == limit { // one more exists
				next, err := p.Next(s.service, last)
				if err != nil {
					return err
				}
				h[headerCursor] = []string{next}
				break
			}
			n, last = n+1, k.Key
		}
	}
	h["Content-Type"] = jsonType
	c.Response().WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	b := getBuffer()
	defer putBuffer(b)
	out := stream{c: c, b: b}
	b.b = append(b.b, '{')
	n := 0
	for k := range p.Keys() {
		if n == limit && limit > 0 {
			break
		}
		if n > 0 {
			b.next()
		}
		n++
		b.text(k.Key)
		b.b = append(b.b, ':')
		b.text(k.Value)
		if !out.step() {
			return out.ended
		}
	}
	b.b = append(b.b, '}', '\n')
	out.flush()
	return out.ended
}

var keyHistoryParams = with(freshParams, "before", "cursor", "limit")

// keyHistory is the commits that changed a key, newest first.
func (s *Server) keyHistory(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, keyHistoryParams)
	if err != nil {
		return err
	}
	key, err := pathKey(r.URL, "/v1/kv/history/")
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
	got, err := s.service.KeyHistory(r.Context(), how, key, before, limit)
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
	o.str("key", key)
	o.list("changes")
	for i := range got.Commits {
		k := &got.Commits[i]
		e := o.object()
		e.uint("revision", uint64(k.Revision))
		logTime(e, k.Time)
		e.str("actor", k.Actor)
		e.optional("reason", k.Reason)
		e.str("id", k.ID)
		keyChange(e, &k.Changes[0])
		e.end()
		o.next()
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

// keyChange puts what a change did.
func keyChange(o object, c *service.KeyChange) {
	if c.Deleted {
		o.str("event", "delete")
		return
	}
	o.str("event", "put")
	o.str("value", c.Value)
}

// logTime puts a commit's time.
func logTime(o object, ms int64) {
	o.key("time")
	o.b = append(eventlog.AppendTime(append(o.b, '"'), ms), '"', ',')
}
