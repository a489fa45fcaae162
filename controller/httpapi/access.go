package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"dvr/controller/auth"
	"dvr/controller/certs"
	"dvr/controller/cluster"
	"dvr/controller/service"
	"dvr/eventlog"
	"dvr/projector"
)

// class is who may make a call while authorization is in force.
type class uint8

const (
	unclassified class = iota // nobody
	public                    // anybody
	found                     // who came with a certificate, and anybody in clear text; else viewer
	reads                     // viewer
	changes                   // operator, of any scope: the appender judges what is changed
	administers               // admin without scope
	joins                     // admin without scope, or a join token: the call looks at it
)

// classes is the table of calls and who may make them. A call that is not in it
// is nobody's while authorization is in force; a test finds it.
var classes = map[string]class{
	"GET /health": public, "GET /livez": public, "GET /readyz": public, "GET /version": public, "GET /v1/whoami": public,
	// Nodes find each other by it, and the launcher its nodes.
	"GET /v1/cluster/members": found,

	"GET /metrics": reads, "GET /cluster/status": reads, "GET /v1/status": reads,
	"GET /routes": reads, "GET /routes/*": reads, "GET /v1/routes": reads, "GET /v1/lookup": reads,
	"GET /v1/diff": reads, "GET /v1/explain": reads, "GET /v1/blame/*": reads, "GET /v1/watch": reads,
	"GET /v1/commits": reads, "GET /v1/commits/:revision": reads, "GET /v1/confirmations": reads, "GET /v1/timers": reads,
	"GET /v1/guards": reads, "GET /v1/freezes": reads,
	"GET /v1/routers": reads, "GET /v1/routers/:id": reads, "GET /v1/routers/:id/vector": reads, "GET /v1/routers/:id/rib": reads, "GET /v1/routers/:id/fib": reads,
	"GET /v1/links": reads, "GET /v1/links/:a/:b": reads, "GET /v1/topology": reads, "GET /v1/dataplanes": reads,
	"GET /kv": reads, "GET /kv/*": reads, "GET /v1/kv/history/*": reads, "GET /v1/kv/watch": reads,

	"POST /routes": changes, "DELETE /routes": changes, "PUT /routes/*": changes, "DELETE /routes/*": changes,
	"POST /v1/routes/import": changes, "POST /v1/topology/import": changes, "POST /v1/commits": changes,
	"POST /v1/commits/:revision/confirm": changes, "POST /v1/rollback": changes, "DELETE /v1/timers/:name": changes, "POST /v1/timers/:name/approve": changes,
	"PUT /v1/guards/:name": changes, "DELETE /v1/guards/:name": changes, "PUT /v1/freezes/:name": changes, "DELETE /v1/freezes/:name": changes,
	"PUT /v1/routers/:id": changes, "DELETE /v1/routers/:id": changes, "PUT /v1/links/:a/:b": changes, "DELETE /v1/links/:a/:b": changes,
	"POST /v1/routers/:id/drain": changes, "POST /v1/routers/:id/undrain": changes,
	"POST /v1/links/:a/:b/down": changes, "PUT /v1/links/:a/:b/down": changes, "POST /v1/links/:a/:b/up": changes, "PUT /v1/links/:a/:b/up": changes,
	"PUT /kv/*": changes, "DELETE /kv/*": changes,
	"POST /v1/dataplanes/:router/audit": changes,

	"GET /v1/auth": administers, "GET /v1/audit": administers, "GET /v1/backup": administers, "GET /v1/archive": administers,
	"DELETE /v1/cluster/members/:id": administers, "POST /v1/cluster/members/:id/promote": administers, "POST /v1/cluster/leader": administers,
	"POST /v1/cluster/members": joins,
}

// callerHeader has the name of who was authenticated, and the credential, from admission on. No
// request can bring it: a header's name holds no space.
const callerHeader = "dvr caller"

// bearer is the credential of a request; "": none.
func bearer(h http.Header) (string, error) {
	v := h["Authorization"]
	if len(v) == 0 {
		return "", nil
	}
	scheme, credential, ok := strings.Cut(v[0], " ")
	if credential = strings.TrimSpace(credential); len(v) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") || credential == "" || strings.HasPrefix(credential, auth.CertificatePrefix) {
		return "", fmt.Errorf("%w: the header Authorization must be Bearer and a token, once", service.ErrUnauthenticated)
	}
	return credential, nil
}

// errNobody: authorization is in force and the request has no credential.
var errNobody = fmt.Errorf("%w: this cluster asks who you are: send Authorization: Bearer and a token (--token, DVR_TOKEN)", service.ErrUnauthenticated)

// identify says who makes a request, and by which credential: the one in the
// header, or else an operator's certificate. nil without an error: nobody said so.
// For a source that has been refused too often no signature is checked.
func (s *Server) identify(r *http.Request) (*projector.Principal, string, error) {
	credential, err := bearer(r.Header)
	if err != nil {
		return nil, "", err
	}
	if credential == "" && r.TLS != nil {
		if id, err := certs.OfRequest(r); err == nil && id.Kind == certs.Operator {
			credential = auth.CertificatePrefix + id.Name
		}
	}
	if credential == "" {
		return nil, "", nil
	}
	if s.strangers.Spent(r.RemoteAddr, time.Now()) {
		p, err := s.auth.Recognize(credential)
		return p, credential, err
	}
	p, err := s.auth.Authenticate(credential)
	return p, credential, err
}

// byNode reports whether a request comes from another node of the cluster, as its
// certificate says.
func byNode(r *http.Request) bool {
	if r.TLS == nil {
		return false
	}
	id, err := certs.OfRequest(r)
	return err == nil && id.Kind == certs.Node
}

// uncertified reports a request by TLS without a certificate: it was let in for
// what its header says.
func uncertified(r *http.Request) bool { return r.TLS != nil && len(r.TLS.PeerCertificates) == 0 }

// admit refuses a call that its caller may not make, at the state of this node.
// Cost while authorization is not in force: two atomic loads.
func (s *Server) admit(r *http.Request, k class) error {
	access := s.auth.State().Access()
	switch {
	case !access.Enabled():
		if uncertified(r) && len(r.Header["Authorization"]) > 0 {
			return certs.ErrNoCertificate // nobody else could say who it is
		}
		return nil
	case k == public:
		return nil
	case strings.HasPrefix(r.URL.Path, "/v1/cluster/") && byNode(r):
		return nil
	case k == found && !uncertified(r):
		return nil
	}
	p, credential, err := s.identify(r)
	if k == joins && err != nil { // it may be a join token
		return nil
	}
	switch {
	case err != nil:
		return err
	case p == nil:
		return errNobody
	}
	r.Header[callerHeader] = []string{p.Actor, credential}
	if err := s.hurried(p.Actor); err != nil {
		return err
	}
	rank, free := access.Rank(p)
	need := projector.RankViewer
	switch k {
	case changes:
		need = projector.RankOperator
	case administers, joins:
		need = projector.RankAdmin
		if free < need && rank >= need {
			return fmt.Errorf("%w: %s is admin within a scope, and this call needs one without", service.ErrForbidden, p.Actor)
		}
		if free >= need {
			return nil
		}
	case unclassified:
		return fmt.Errorf("%w: this call", service.ErrForbidden)
	}
	if rank < need {
		return fmt.Errorf("%w: %s has %s, and this call needs %s", service.ErrForbidden, p.Actor, rank, need)
	}
	return nil
}

// caller fills in who asks for a mutation.
func caller(h http.Header, m *service.Mutation) {
	v := h[callerHeader]
	if len(v) < 2 {
		return
	}
	if m.Actor != anonymous && m.Actor != v[0] {
		m.Caller.For = m.Actor
	}
	m.Actor, m.Caller.Credential = v[0], v[1]
}

// relayed is the context of a call that another node may have to make in turn,
// as the same caller.
func relayed(r *http.Request) context.Context {
	credential, err := bearer(r.Header)
	if err != nil || credential == "" {
		return r.Context()
	}
	return cluster.WithCredential(r.Context(), credential)
}

// useJoinToken lets a node in that comes with a join token: by its first use the
// token becomes that node's.
func (s *Server) useJoinToken(r *http.Request, node string) error {
	if !s.auth.State().Access().Enabled() || len(r.Header[callerHeader]) > 0 || byNode(r) {
		return nil
	}
	credential, err := bearer(r.Header)
	if err != nil {
		return err
	}
	if credential == "" {
		return fmt.Errorf("%w: a node joins with a token: `dvr auth join-token` makes one, JOIN_TOKEN is where the node takes it from", service.ErrUnauthenticated)
	}
	t, err := s.auth.Join(credential)
	if err != nil {
		return err
	}
	return s.service.UseJoinToken(r.Context(), t.ID, node, source(r))
}

// whoAmI is GET /v1/whoami.
func (s *Server) whoAmI(c echo.Context) error {
	r := c.Request()
	if _, err := parseQuery(r.URL.RawQuery, nil); err != nil {
		return err
	}
	st := s.auth.State()
	access := st.Access()
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.bool("authorization", access.Enabled())
	if access.Enabled() {
		p, _, err := s.identify(r)
		if err != nil {
			return err
		}
		if p != nil {
			rank, _ := access.Rank(p)
			o.str("actor", p.Actor)
			if rank > projector.RankNone {
				o.str("role", rank.String())
			}
			if len(p.Via) > 0 {
				strs(o, "via", p.Via)
			}
			grants(o, access.Grants(p))
		}
	}
	o.uint("revision", uint64(st.Position().Revision))
	o.end()
	s.setPosition(c.Response().Header(), st.Position())
	return send(c, http.StatusOK, b)
}

// grants puts what an actor may do.
func grants(o object, list []eventlog.Grant) {
	o.list("grants")
	for _, g := range list {
		i := o.object()
		i.str("role", g.Role)
		if len(g.Prefixes) > 0 {
			i.list("prefixes")
			for _, p := range g.Prefixes {
				i.b = append(append(append(i.b, '"'), p.String()...), '"', ',')
			}
			i.endList()
		}
		for _, l := range []struct {
			name string
			list []string
		}{{"tags", g.Tags}, {"keys", g.Keys}} {
			if len(l.list) > 0 {
				strs(i, l.name, l.list)
			}
		}
		if len(g.Routers) > 0 {
			strs(i, "routers", g.Routers)
		}
		i.end()
		o.next()
	}
	o.endList()
}

// listAccess is GET /v1/auth: who may do what, and the tokens without their hashes.
func (s *Server) listAccess(c echo.Context) error {
	v, err := s.view(c, readParams)
	if err != nil {
		return err
	}
	b := getBuffer()
	defer putBuffer(b)
	o := b.object()
	o.bool("enabled", v.State.Access().Enabled())
	o.list("roles")
	for r := range v.State.Roles() {
		i := o.object()
		i.str("actor", r.Actor)
		grants(i, r.Grants)
		i.uint("revision", uint64(r.Revision))
		i.end()
		o.next()
	}
	o.endList()
	o.list("tokens")
	for t := range v.State.Tokens() {
		i := o.object()
		i.str("id", t.ID)
		i.str("actor", t.Actor)
		if t.Expires != 0 {
			i.time("expires", time.UnixMilli(t.Expires))
		}
		if t.Join {
			i.bool("join", true)
			i.optional("node", t.Node)
		}
		i.uint("revision", uint64(t.Revision))
		i.end()
		o.next()
	}
	o.endList()
	o.uint("revision", uint64(v.State.Position().Revision))
	stale(o, v)
	o.end()
	return send(c, http.StatusOK, b)
}

// authenticator is the Config's, or one that knows tokens alone.
func authenticator(c *Config) *auth.Authenticator {
	if c.Auth != nil {
		return c.Auth
	}
	return &auth.Authenticator{State: c.Service.State, Now: time.Now}
}
