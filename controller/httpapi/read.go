package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/netip"
	"slices"

	"github.com/labstack/echo/v4"

	"dvr/controller/service"
	"dvr/eventlog"
	"dvr/projector"
)

// flushAt is how much of a streamed answer is gathered before it is written.
const flushAt = 32 << 10

// stream writes what gathers in b. A client that went away ends it.
type stream struct {
	c     echo.Context
	b     *buffer
	ended error
}

// step writes b out when enough has gathered; false: the client is gone.
func (s *stream) step() bool {
	if len(s.b.b) < flushAt {
		return true
	}
	return s.flush()
}

func (s *stream) flush() bool {
	if s.ended == nil {
		_, s.ended = s.c.Response().Write(s.b.b)
		s.b.b = s.b.b[:0]
	}
	if s.ended == nil {
		s.ended = s.c.Request().Context().Err()
	}
	return s.ended == nil
}

var tableParams = with(readParams, "router")

// getTable is the seed's GET /routes: a map from destination to best route.
func (s *Server) getTable(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, tableParams)
	if err != nil {
		return err
	}
	router, err := q.router(eventlog.AllRouters)
	if err != nil {
		return err
	}
	how, err := q.read()
	if err != nil {
		return err
	}
	v, err := s.service.Table(r.Context(), how, router)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	s.setView(h, v)
	h["Content-Type"] = jsonType
	c.Response().WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	b := getBuffer()
	defer putBuffer(b)
	out := stream{c: c, b: b}
	o := b.object()
	o.key("routes")
	b.b = append(b.b, '{')
	sep := false // the comma goes before: a flush may lie between two members
	for d := range v.State.Vector(router, netip.Prefix{}) {
		if sep {
			b.next()
		}
		sep = true
		b.b = append(d.Prefix.AppendTo(append(b.b, '"')), '"', ':')
		decision(b, &d)
		if !out.step() {
			return out.ended
		}
	}
	b.b = append(b.b, '}', ',')
	o.uint("revision", uint64(v.State.Position().Revision))
	stale(o, v)
	o.end()
	b.b = append(b.b, '\n')
	out.flush()
	return out.ended
}

func stale(o object, v service.View) {
	if v.Stale {
		o.bool("stale", true)
	}
}

// decision puts the best route of a destination in the seed's shape:
// destination, next_hop and metric are always there.
func decision(b *buffer, d *projector.Decision) {
	o := b.object()
	o.prefix("destination", d.Prefix)
	first := projector.NextHop{}
	if len(d.NextHops) > 0 {
		first = d.NextHops[0]
	}
	o.addr("next_hop", first.Address)
	o.uint("metric", d.Metric)
	o.uint("preference", uint64(d.Preference))
	if first.Type != eventlog.Unicast {
		o.str("type", first.Type.String())
	}
	o.optional("interface", first.Interface)
	o.optional("via", string(first.Via))
	if len(d.NextHops) > 1 {
		nextHops(o, d.NextHops)
	}
	o.uint("revision", uint64(d.Revision))
	o.end()
}

func nextHops(o object, hops []projector.NextHop) { nextHopList(o, "next_hops", hops) }

func nextHopList(o object, name string, hops []projector.NextHop) {
	o.list(name)
	for _, n := range hops {
		h := o.object()
		h.addr("next_hop", n.Address)
		h.uint("weight", uint64(n.Weight))
		if n.Type != eventlog.Unicast {
			h.str("type", n.Type.String())
		}
		h.optional("interface", n.Interface)
		h.optional("via", string(n.Via))
		h.end()
		o.next()
	}
	o.endList()
}

// route puts the members of a stored route, defaults included where short.
func route(o object, r *eventlog.RouteAnnounced) {
	o.str("router", string(r.Router))
	o.prefix("destination", r.Destination)
	if r.NextHop.IsValid() {
		o.addr("next_hop", r.NextHop)
	}
	o.uint("metric", uint64(r.Metric))
	if r.Type != eventlog.Unicast {
		o.str("type", r.Type.String())
	}
	o.optional("interface", r.Interface)
	if r.Origin != eventlog.DefaultOrigin {
		o.str("origin", r.Origin)
	}
	o.uint("preference", uint64(r.Preference))
	o.uint("weight", uint64(r.Weight))
	if r.Recursive {
		o.bool("recursive", true)
	}
	if r.ViaDefault {
		o.bool("via_default", true)
	}
	if len(r.Tags) > 0 {
		strs(o, "tags", r.Tags)
	}
}

func (s *Server) getRoute(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, tableParams)
	if err != nil {
		return err
	}
	destination, err := pathDestination(c)
	if err != nil {
		return err
	}
	router, err := q.router(eventlog.AllRouters)
	if err != nil {
		return err
	}
	how, err := q.read()
	if err != nil {
		return err
	}
	d, err := s.service.Route(r.Context(), how, destination, router)
	h := c.Response().Header()
	if d.State != nil {
		s.setView(h, d.View) // also of the state that has no such destination
	}
	if err != nil {
		return err
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.prefix("destination", d.Prefix)
	o.str("router", string(d.Router))
	if d.Decided {
		o.key("best")
		decision(b, &d.Decision)
		b.next()
	}
	judgedList(o, d.Judged)
	return sendItem(c, o, d.Tag, d.View)
}

// sendItem ends the object of one item, sets its ETag and answers 304 where
// If-None-Match has it. What an item shows depends on more than its own
// changes (on links, on ?router=, on data planes), so the tag tells the
// revision of the last change, which If-Match is about, and a hash of what is
// shown but for the revision of the state.
func sendItem(c echo.Context, o object, t service.Tag, v service.View) error {
	return sendVersion(c, o, t, v.State.Position().Revision, v.Stale)
}

// sendVersion is sendItem for an item as it was at a revision.
func sendVersion(c echo.Context, o object, t service.Tag, at eventlog.Revision, isStale bool) error {
	tag := etagOf(t, o.b)
	h := c.Response().Header()
	h["Etag"] = []string{tag}
	p, err := tags(c.Request().Header, "If-None-Match")
	if err != nil {
		return err
	}
	if p.Any || slices.Contains(p.texts, tag) {
		return c.NoContent(http.StatusNotModified)
	}
	o.uint("revision", uint64(at))
	if isStale {
		o.bool("stale", true)
	}
	o.end()
	return send(c, http.StatusOK, o.buffer)
}

// etagOf is the tag of an item of which so much is shown.
func etagOf(t service.Tag, shown []byte) string {
	sum := sha256.Sum256(shown)
	return etag(t, sum[:8])
}

var lookupParams = with(readParams, "address", "router", "source")

func (s *Server) lookup(c echo.Context) error {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, lookupParams)
	if err != nil {
		return err
	}
	a, err := q.addr("address")
	if err != nil {
		return err
	}
	if !a.IsValid() {
		return fieldError("address", "is missing")
	}
	dataplane := false
	switch q.get("source") {
	case "dataplane":
		dataplane = true
	case "controller":
	default:
		if q.has("source") {
			return fieldError("source", "must be controller or dataplane")
		}
	}
	router, err := q.router(eventlog.AllRouters)
	if err != nil {
		return err
	}
	if dataplane && router == eventlog.AllRouters {
		return fieldError("router", "must name the router whose data plane is asked")
	}
	how, err := q.read()
	if err != nil {
		return err
	}
	l, err := s.service.Lookup(r.Context(), how, router, a, dataplane)
	if l.Position.LogID != "" {
		s.setPosition(c.Response().Header(), l.Position)
	}
	if l.Stale {
		c.Response().Header()[headerStale] = yes
	}
	if err != nil {
		return err
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.str("address", a.String())
	o.str("router", string(router))
	o.prefix("destination", l.Prefix)
	o.str("class", hex.EncodeToString(l.Class[:]))
	nextHops(o, l.NextHops)
	o.uint("revision", uint64(l.Position.Revision))
	o.str("source", l.Source)
	if l.Stale {
		o.bool("stale", true)
	}
	o.end()
	return send(c, http.StatusOK, b)
}
