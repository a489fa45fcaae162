package client_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"dvr/controller/certs"
	"dvr/controller/certs/certstest"
	"dvr/controller/httpapi/client"
)

// TestSecure: a node is called as the operator, and nobody else is believed.
func TestSecure(t *testing.T) {
	ca, other := certstest.New(t), certstest.New(t)
	serve := func(c *certs.Credentials) string {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, _ := certs.OfRequest(r)
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"version":"`+id.String()+`","go":"","log_format":1,"max_level":1,"fib_protocol":1}`)
		}))
		s.TLS = c.Server(false, []string{"h2", "http/1.1"}, certs.Operator)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL
	}
	f := ca.Make(certs.Operator, "alice")
	h, err := client.Secure(f.CA, f.Cert, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	a, err := client.New(serve(ca.Load(certs.Node, "node-1")), h).GetVersion(t.Context())
	if err != nil || a.Value.Version != "dvr://operator/alice" {
		t.Errorf("%+v, %v", a, err)
	}
	for name, c := range map[string]*certs.Credentials{"another authority": other.Load(certs.Node, "node-1"), "an operator": ca.Load(certs.Operator, "bob")} {
		if _, err := client.New(serve(c), h).GetVersion(t.Context()); err == nil {
			t.Errorf("%s is believed", name)
		}
	}
	for _, files := range [][3]string{{"/nowhere", f.Cert, f.Key}, {f.Key, f.Cert, f.Key}, {f.CA, f.Cert, f.CA}} {
		if _, err := client.Secure(files[0], files[1], files[2]); err == nil {
			t.Errorf("%v can be used", files)
		}
	}
}
