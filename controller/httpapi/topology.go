package httpapi

import (
	"net/http"
	"net/netip"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"dvr/controller/service"
	"dvr/eventlog"
)

func pathRouter(c echo.Context, name string) (eventlog.RouterID, error) {
	v, err := pathValue(c, name)
	if err != nil {
		return "", err
	}
	field := "router"
	if name != "id" {
		field = name
	}
	return routerID(field, v)
}

// changed answers a mutation of a router or link. A PUT answers 200 whether or
// not it made the item, as that of a destination does: a repetition under the
// same key must get the same answer, and the log does not say what was before.
func (s *Server) changed(c echo.Context, id func(object), status string, r *service.Receipt) error {
	if r.Preview != nil {
		return s.previewed(c, r.Preview)
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	id(o)
	o.str("status", status)
	s.receipt(c, o, r)
	o.end()
	return send(c, codeOf(http.StatusOK, r), b)
}

// change reads what a PUT or DELETE of a router or link has in common.
func (s *Server) change(c echo.Context, params []string, path func(q *query) (string, error), body any) (service.Mutation, *query, error) {
	r := c.Request()
	q, err := parseQuery(r.URL.RawQuery, params)
	if err != nil {
		return service.Mutation{}, nil, err
	}
	b := getBuffer()
	defer putBuffer(b)
	if body == nil {
		if err := noBody(r); err != nil {
			return service.Mutation{}, nil, err
		}
	} else {
		if err := readBody(r, b, maxObjectBody); err != nil {
			return service.Mutation{}, nil, err
		}
		if err := decodeObject(b.b, body); err != nil {
			return service.Mutation{}, nil, err
		}
	}
	p, err := path(&q)
	if err != nil {
		return service.Mutation{}, nil, err
	}
	m, err := mutation(r, &q, p, b.b)
	return m, &q, err
}

type routerBody struct {
	Router      *string        `json:"router"`
	Description string         `json:"description"`
	Tags        []string       `json:"tags"`
	Drained     string         `json:"drained"`
	Probes      jsontext.Value `json:"probes"` // read as an event's are
}

func (s *Server) putRouter(c echo.Context) error {
	var body routerBody
	var id eventlog.RouterID
	m, _, err := s.change(c, writeParams, func(*query) (p string, err error) {
		id, err = pathRouter(c, "id")
		return "/v1/routers/" + string(id), err
	}, &body)
	if err != nil {
		return err
	}
	if body.Router != nil && *body.Router != string(id) {
		return fieldError("router", "is not that of the path, %s", id)
	}
	set := &eventlog.RouterSet{Router: id, Description: body.Description, Tags: tagList(body.Tags), Drained: eventlog.Drain(body.Drained)}
	if body.Probes != nil {
		if set.Probes, err = eventlog.DecodeProbes(body.Probes); err != nil {
			return err
		}
	}
	rec, err := s.service.SetRouter(c.Request().Context(), &m, set)
	if err != nil {
		return err
	}
	return s.changed(c, func(o object) { o.str("router", string(id)) }, "router set", &rec)
}

func (s *Server) deleteRouter(c echo.Context) error {
	var id eventlog.RouterID
	m, _, err := s.change(c, writeParams, func(*query) (p string, err error) {
		id, err = pathRouter(c, "id")
		return "/v1/routers/" + string(id), err
	}, nil)
	if err != nil {
		return err
	}
	rec, err := s.service.RemoveRouter(c.Request().Context(), &m, id)
	if err != nil {
		return err
	}
	return s.changed(c, func(o object) { o.str("router", string(id)) }, "router removed", &rec)
}

func router(o object, r *service.Router) {
	o.str("router", string(r.Router.Router))
	o.bool("declared", r.Declared)
	o.bool("dataplane", r.DataPlane)
	o.optional("description", r.Description)
	if len(r.Tags) > 0 {
		strs(o, "tags", r.Tags)
	}
	o.optional("drained", string(r.Drained))
	if len(r.Probes) == 0 {
		return
	}
	o.list("probes")
	for _, p := range r.Probes {
		e := o.object()
		if p.NextHop.IsValid() {
			e.addr("next_hop", p.NextHop)
		}
		e.optional("interface", p.Interface)
		e.uint("interval_ms", uint64(p.Interval))
		e.end()
		o.next()
	}
	o.endList()
}

func (s *Server) getRouter(c echo.Context) error {
	q, err := parseQuery(c.Request().URL.RawQuery, readParams)
	if err != nil {
		return err
	}
	id, err := pathRouter(c, "id")
	if err != nil {
		return err
	}
	how, err := q.read()
	if err != nil {
		return err
	}
	r, err := s.service.Router(c.Request().Context(), how, id)
	if err != nil {
		return err
	}
	s.setView(c.Response().Header(), r.View)
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	router(o, &r)
	o.uint("changed", uint64(r.Revision))
	return sendItem(c, o, r.Tag, r.View)
}

// view reads the parameters of a read and finds its state, local by default.
func (s *Server) view(c echo.Context, params []string) (service.View, error) {
	q, err := parseQuery(c.Request().URL.RawQuery, params)
	if err != nil {
		return service.View{}, err
	}
	how, err := q.read()
	if err != nil {
		return service.View{}, err
	}
	v, err := s.service.View(c.Request().Context(), how, false)
	if err == nil {
		s.setView(c.Response().Header(), v)
	}
	return v, err
}

func (s *Server) listRouters(c echo.Context) error {
	v, err := s.view(c, readParams)
	if err != nil {
		return err
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.list("routers")
	for r := range s.service.Routers(v) {
		e := o.object()
		router(e, &r)
		e.uint("revision", uint64(r.Revision))
		e.end()
		o.next()
	}
	o.endList()
	o.uint("revision", uint64(v.State.Position().Revision))
	stale(o, v)
	o.end()
	return send(c, http.StatusOK, b)
}

// linkBody is the object of PUT /v1/links/{a}/{b}; its a and b are the path's.
type linkBody struct {
	CostAB     *linkCost `json:"cost_ab"`
	CostBA     *linkCost `json:"cost_ba"`
	AddressA   []string  `json:"address_a"`
	AddressB   []string  `json:"address_b"`
	InterfaceA string    `json:"interface_a"`
	InterfaceB string    `json:"interface_b"`
	Down       bool      `json:"down"`
	Tags       []string  `json:"tags"`
}

// linkCost is known by its type where a value is not one: see expected.
type linkCost uint32

// linkPath reads /v1/links/{a}/{b}?name=. swapped: the path names the greater
// router first, so the body's sides are exchanged too.
func linkPath(c echo.Context, q *query) (id eventlog.LinkID, swapped bool, err error) {
	if id.A, err = pathRouter(c, "a"); err != nil {
		return id, false, err
	}
	if id.B, err = pathRouter(c, "b"); err != nil {
		return id, false, err
	}
	id.Name = q.get("name")
	if id.A == id.B {
		return id, false, fieldError("b", "must be another router than a")
	}
	if id.A > id.B {
		id.A, id.B, swapped = id.B, id.A, true
	}
	return id, swapped, nil
}

var (
	linkWriteParams = with(writeParams, "name")
	linkReadParams  = with(readParams, "name")
)

func (s *Server) putLink(c echo.Context) error {
	var body linkBody
	var id eventlog.LinkID
	var swapped bool
	m, _, err := s.change(c, linkWriteParams, func(q *query) (p string, err error) {
		id, swapped, err = linkPath(c, q)
		return linkCanonical(c, id, swapped), err
	}, &body)
	if err != nil {
		return err
	}
	l := &eventlog.LinkSet{LinkID: id, CostAB: 1, CostBA: 1, InterfaceA: body.InterfaceA, InterfaceB: body.InterfaceB, Down: body.Down}
	if body.CostAB != nil {
		l.CostAB = uint32(*body.CostAB)
	}
	if body.CostBA != nil {
		l.CostBA = uint32(*body.CostBA)
	}
	if l.AddressA, err = addresses("address_a", body.AddressA); err != nil {
		return err
	}
	if l.AddressB, err = addresses("address_b", body.AddressB); err != nil {
		return err
	}
	l.Tags = tagList(body.Tags)
	if swapped {
		l.CostAB, l.CostBA = l.CostBA, l.CostAB
		l.AddressA, l.AddressB = l.AddressB, l.AddressA
		l.InterfaceA, l.InterfaceB = l.InterfaceB, l.InterfaceA
	}
	rec, err := s.service.SetLink(c.Request().Context(), &m, l)
	if err != nil {
		return err
	}
	return s.changed(c, func(o object) { linkID(o, id) }, "link set", &rec)
}

// linkCanonical keeps the order of the path, which gives the body its meaning.
func linkCanonical(_ echo.Context, id eventlog.LinkID, swapped bool) string {
	if swapped {
		id.A, id.B = id.B, id.A
	}
	return "/v1/links/" + string(id.A) + "/" + string(id.B)
}

func addresses(field string, list []string) ([]netip.Addr, error) {
	var out []netip.Addr
	for i, v := range list {
		a, err := eventlog.ParseAddr(v)
		if err != nil {
			return nil, named(field, err)
		}
		if i == 2 {
			return nil, fieldError(field, "has more than one IPv4 and one IPv6 address")
		}
		out = append(out, a)
	}
	if len(out) == 2 && out[0].Is6() && out[1].Is4() {
		out[0], out[1] = out[1], out[0]
	}
	return out, nil
}

func linkID(o object, id eventlog.LinkID) {
	o.str("a", string(id.A))
	o.str("b", string(id.B))
	o.optional("name", id.Name)
}

func (s *Server) deleteLink(c echo.Context) error {
	var id eventlog.LinkID
	m, _, err := s.change(c, linkWriteParams, func(q *query) (p string, err error) {
		id, _, err = linkPath(c, q)
		return linkCanonical(c, id, false), err
	}, nil)
	if err != nil {
		return err
	}
	rec, err := s.service.RemoveLink(c.Request().Context(), &m, id)
	if err != nil {
		return err
	}
	return s.changed(c, func(o object) { linkID(o, id) }, "link removed", &rec)
}

func link(o object, l *service.Link) {
	linkID(o, l.LinkID)
	o.uint("cost_ab", uint64(l.CostAB))
	o.uint("cost_ba", uint64(l.CostBA))
	for _, side := range []struct {
		key  string
		list []netip.Addr
	}{{"address_a", l.AddressA}, {"address_b", l.AddressB}} {
		if len(side.list) == 0 {
			continue
		}
		o.list(side.key)
		for _, a := range side.list {
			o.text(a.String())
			o.next()
		}
		o.endList()
	}
	o.optional("interface_a", l.InterfaceA)
	o.optional("interface_b", l.InterfaceB)
	o.bool("down", l.Down)
	if len(l.Tags) > 0 {
		strs(o, "tags", l.Tags)
	}
	if len(l.Observed) > 0 {
		o.key("observed")
		e := o.object()
		for _, side := range []eventlog.RouterID{l.A, l.B} {
			if state, ok := l.Observed[side]; ok {
				e.str(string(side), string(state))
			}
		}
		e.end()
		o.next()
	}
}

// exportTopology streams the declared routers and links as lines that an
// import takes back.
func (s *Server) exportTopology(c echo.Context) error {
	v, err := s.view(c, readParams)
	if err != nil {
		return err
	}
	w := c.Response()
	w.Header()["Content-Type"] = ndjsonType
	w.WriteHeader(http.StatusOK)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	b := getBuffer()
	defer putBuffer(b)
	out := stream{c: c, b: b}
	for r := range v.State.Routers() {
		if r.Declared {
			b.b = append(eventlog.AppendEvent(b.b, &r.RouterSet), '\n')
			if !out.step() {
				return out.ended
			}
		}
	}
	for l := range v.State.Links() {
		b.b = append(eventlog.AppendEvent(b.b, &l.LinkSet), '\n')
		if !out.step() {
			return out.ended
		}
	}
	out.flush()
	return out.ended
}

func (s *Server) getLink(c echo.Context) error {
	q, err := parseQuery(c.Request().URL.RawQuery, linkReadParams)
	if err != nil {
		return err
	}
	id, _, err := linkPath(c, &q)
	if err != nil {
		return err
	}
	how, err := q.read()
	if err != nil {
		return err
	}
	l, err := s.service.Link(c.Request().Context(), how, id)
	if err != nil {
		return err
	}
	s.setView(c.Response().Header(), l.View)
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	link(o, &l)
	o.uint("changed", uint64(l.Revision))
	return sendItem(c, o, l.Tag, l.View)
}

func (s *Server) listLinks(c echo.Context) error {
	v, err := s.view(c, readParams)
	if err != nil {
		return err
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.list("links")
	for l := range v.State.Links() {
		e := o.object()
		link(e, &service.Link{Link: l})
		e.uint("revision", uint64(l.Revision))
		e.end()
		o.next()
	}
	o.endList()
	o.uint("revision", uint64(v.State.Position().Revision))
	stale(o, v)
	o.end()
	return send(c, http.StatusOK, b)
}
