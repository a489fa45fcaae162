package httpapi

import (
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"dvr/controller/auth"
	"dvr/controller/service"
)

// shown is a connection whose other side showed a certificate of that identity;
// empty: none.
func shown(identity string) *tls.ConnectionState {
	if identity == "" {
		return &tls.ConnectionState{}
	}
	u, _ := url.Parse(identity)
	c := &x509.Certificate{URIs: []*url.URL{u}, NotAfter: time.Now().Add(time.Hour)}
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}, VerifiedChains: [][]*x509.Certificate{{c}}}
}

// TestCertificatesAndTokens: an operator's certificate is an actor of its name, a
// token does without one, a node's certificate is for the membership alone.
func TestCertificatesAndTokens(t *testing.T) {
	a, k := enforced(t)
	believing := &auth.Authenticator{State: a.app.State, Now: time.Now, Certificates: true}
	a.throne.LocalAppender = service.AuthenticatingWriter(a.app, believing)
	a.server.auth = believing
	call := func(state *tls.ConnectionState, method, target, body string, headers ...string) int {
		t.Helper()
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		r.Host, r.TLS = "127.0.0.1:9090", state
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		a.server.Handler().ServeHTTP(w, r)
		return w.Code
	}
	route := `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`
	out := `{"destination":"0.0.0.0/0","next_hop":"192.0.2.1"}`
	for i, c := range []struct {
		identity, method, target, body string
		header                         string
		want                           int
	}{
		{"dvr://operator/oscar", "POST", "/routes", route, "", 201},
		{"dvr://operator/ned", "POST", "/routes", out, "", 403},
		{"dvr://operator/nora", "GET", "/routes", "", "", 403},
		{"dvr://operator/oscar", "GET", "/v1/auth", "", "", 403},
		{"dvr://operator/root", "GET", "/v1/auth", "", "", 200},
		{"dvr://operator/system", "POST", "/routes", route, "", 401},
		{"dvr://operator/oscar", "GET", "/v1/auth", "", k.as("root"), 200}, // the token says more
		{"dvr://operator/root", "GET", "/v1/auth", "", k.as("oscar"), 403}, // and less
		{"dvr://operator/root", "GET", "/v1/auth", "", "Authorization: Bearer forged", 401},
		{"", "POST", "/routes", route, k.as("oscar"), 201},
		{"", "POST", "/routes", route, "Authorization: Bearer cert:root", 401},
		{"", "GET", "/v1/cluster/members", "", "", 401},
		{"dvr://operator/nora", "GET", "/v1/cluster/members", "", "", 200},
		{"dvr://node/node-2", "GET", "/v1/cluster/members", "", "", 200},
		{"dvr://node/node-2", "POST", "/v1/cluster/members", `{"node_id":"node-4","raft":"127.0.0.1:8304"}`, "", 200},
		{"dvr://node/node-2", "GET", "/routes", "", "", 401},
		{"dvr://node/node-2", "POST", "/routes", route, "", 401},
		{"dvr://dataplane/r1", "GET", "/routes", "", "", 401},
		{"dvr://dataplane/r1", "POST", "/v1/cluster/members", `{"node_id":"node-4","raft":"127.0.0.1:8304"}`, "", 401},
	} {
		var headers []string
		if c.header != "" {
			headers = []string{c.header}
		}
		if got := call(shown(c.identity), c.method, c.target, c.body, headers...); got != c.want {
			t.Errorf("%d: %s %s as %s: %d, want %d", i, c.method, c.target, c.identity, got, c.want)
		}
	}
	// Who is nobody, in clear text, is not believed to have shown one, and nor is a node that cannot prove itself.
	believing.Certificates = false
	if got := call(shown("dvr://operator/root"), "GET", "/v1/auth", ""); got != 401 {
		t.Errorf("without proof between nodes: %d", got)
	}
	believing.Certificates = true
	// Where authorization is off, a header stands for no certificate.
	a.must("POST", "/v1/commits", `{"events":[{"kind":"auth.disabled"}]}`, k.as("root"))
	if got := call(shown(""), "GET", "/routes", "", k.as("root")); got != 401 {
		t.Errorf("off, by a header: %d", got)
	}
	if got := call(shown("dvr://operator/nora"), "GET", "/routes", ""); got != 200 {
		t.Errorf("off, by a certificate: %d", got)
	}
}
