package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"dvr/controller/certs"
)

func leaf(t testing.TB, uris ...string) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{NotAfter: time.Now().Add(time.Hour)}
	for _, s := range uris {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		c.URIs = append(c.URIs, u)
	}
	return c
}

func TestWhoseACertificateIs(t *testing.T) {
	for _, c := range []struct {
		uris []string
		want string
	}{
		{[]string{"dvr://node/node-1"}, "dvr://node/node-1"},
		{[]string{"spiffe://example.net/x", "dvr://dataplane/R1.edge_2"}, "dvr://dataplane/R1.edge_2"},
		{[]string{"dvr://operator/alice@example.net"}, "dvr://operator/alice@example.net"},
		{nil, ""},
		{[]string{"spiffe://example.net/node/node-1"}, ""},
		{[]string{"dvr://node/a", "dvr://operator/a"}, ""}, // one that would be both
		{[]string{"dvr://node/a", "dvr://node/a"}, ""},
		{[]string{"dvr://root/a"}, ""},
		{[]string{"dvr://node/"}, ""},
		{[]string{"dvr://node"}, ""},
		{[]string{"dvr:///node/a"}, ""},
		{[]string{"dvr:node/a"}, ""},
		{[]string{"dvr://node/a/b"}, ""},
		{[]string{"dvr://node/a?x=1"}, ""},
		{[]string{"dvr://node/a#x"}, ""},
		{[]string{"dvr://u@node/a"}, ""},
		{[]string{"dvr://node:1/a"}, ""},
		{[]string{"dvr://node/a%2fb"}, ""},
		{[]string{"dvr://node/a%20b"}, ""},
		{[]string{"dvr://NODE/a"}, ""},
		{[]string{"dvr://dataplane/r1@x"}, ""},
		{[]string{"dvr://operator/@x"}, ""},
		{[]string{"dvr://node/" + strings.Repeat("n", 63)}, "dvr://node/" + strings.Repeat("n", 63)},
		{[]string{"dvr://node/" + strings.Repeat("n", 64)}, ""},
		{[]string{"dvr://operator/" + strings.Repeat("n", 128)}, ""},
	} {
		id, err := certs.Of(leaf(t, c.uris...))
		if c.want == "" {
			if !errors.Is(err, certs.ErrNoIdentity) {
				t.Errorf("%q: %v, %v", c.uris, id, err)
			}
			continue
		}
		if err != nil || id.String() != c.want {
			t.Errorf("%q: %v, %v", c.uris, id, err)
		}
	}
}

// TestOnlyVerifiedCertificatesCount: a request in clear text, without a
// certificate, or with one that nobody has verified or that has ended since, is nobody's.
func TestOnlyVerifiedCertificatesCount(t *testing.T) {
	good := leaf(t, "dvr://operator/alice")
	ended := leaf(t, "dvr://operator/alice")
	ended.NotAfter = time.Now().Add(-time.Second)
	state := func(c *x509.Certificate, verified bool) *tls.ConnectionState {
		s := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}}
		if verified {
			s.VerifiedChains = [][]*x509.Certificate{{c}}
		}
		return s
	}
	for name, c := range map[string]struct {
		state *tls.ConnectionState
		want  error
	}{
		"clear text":  {nil, certs.ErrNoCertificate},
		"none shown":  {&tls.ConnectionState{}, certs.ErrNoCertificate},
		"unverified":  {state(good, false), certs.ErrNoCertificate},
		"ended since": {state(ended, true), certs.ErrExpired},
		"no identity": {state(leaf(t), true), certs.ErrNoIdentity},
		"good":        {state(good, true), nil},
	} {
		id, err := certs.OfRequest(&http.Request{TLS: c.state})
		if !errors.Is(err, c.want) || c.want == nil && (err != nil || id.Name != "alice") {
			t.Errorf("%s: %v, %v", name, id, err)
		}
	}
	if _, err := certs.OfPeer(t.Context()); !errors.Is(err, certs.ErrNoCertificate) {
		t.Errorf("no gRPC call: %v", err)
	}
}

func TestRequire(t *testing.T) {
	alice := certs.Identity{Kind: certs.Operator, Name: "alice"}
	if err := certs.Require(alice, nil, certs.Node, certs.Operator); err != nil {
		t.Error(err)
	}
	if err := certs.Require(alice, nil, certs.Node); !errors.Is(err, certs.ErrKind) {
		t.Errorf("an operator passes for a node: %v", err)
	}
	if err := certs.Require(certs.Identity{}, certs.ErrExpired, certs.Node); !errors.Is(err, certs.ErrExpired) {
		t.Error(err)
	}
}

func BenchmarkOfRequest(b *testing.B) {
	c := leaf(b, "dvr://operator/alice")
	r := &http.Request{TLS: &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}, VerifiedChains: [][]*x509.Certificate{{c}}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := certs.OfRequest(r); err != nil {
			b.Fatal(err)
		}
	}
}
