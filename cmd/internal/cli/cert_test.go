package cli

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dvr/controller/certs"
	"dvr/controller/certs/authority"
	"dvr/controller/certs/certstest"
)

func shownCertificates(t *testing.T, args ...string) []certificate {
	t.Helper()
	code, out, message := executed(t, append([]string{"cert", "show", "-o", "json"}, args...)...)
	if code != ExitOK {
		t.Fatalf("show: %d, %s", code, message)
	}
	var answer struct{ Certificates []certificate }
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Certificates
}

// TestCertVerbs goes from nothing to certificates, renewed and revoked.
func TestCertVerbs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	if code, _, message := executed(t, "cert", "issue", "node", "n1", "--dir", dir); code != ExitFailure || !strings.Contains(message, "dvr cert init") {
		t.Errorf("without an authority: %d, %s", code, message)
	}
	for _, args := range []string{
		"init", "issue node n1 --host 10.0.0.1 --days 40", "issue dataplane r1 --days 10", "issue operator alice", "issue inspector bob",
	} {
		if code, _, message := executed(t, append(append([]string{"cert"}, strings.Fields(args)...), "--dir", dir)...); code != ExitOK {
			t.Fatalf("%s: %d, %s", args, code, message)
		}
	}
	for _, c := range []struct {
		args string
		code int
	}{
		{"init", ExitFailure}, // there is one
		{"issue node n1", ExitFailure},
		{"issue root n1", ExitUsage},
		{"issue node ../n1", ExitUsage},
		{"issue node", ExitUsage},
		{"issue node n2 --days 0", ExitUsage},
		{"revoke", ExitUsage},
		{"revoke --serial xyz", ExitUsage},
		{"renew /nowhere.crt", ExitFailure},
		{"show /nowhere.crt", ExitFailure},
		{"issue node n2 --endpoint x", ExitUsage}, // it calls nobody
	} {
		if code, _, message := executed(t, append(append([]string{"cert"}, strings.Fields(c.args)...), "--dir", dir)...); code != c.code {
			t.Errorf("%s: %d, %s", c.args, code, message)
		}
	}
	names := func(all []certificate) string {
		var parts []string
		for _, k := range all {
			parts = append(parts, k.Kind)
		}
		return strings.Join(parts, " ")
	}
	all := shownCertificates(t, "--dir", dir)
	if names(all) != "authority node dataplane operator inspector" || all[1].Name != "n1" || all[1].Days != 39 || strings.Join(all[1].Hosts, ",") != "localhost,10.0.0.1,127.0.0.1,::1" {
		t.Errorf("shown: %+v", all)
	}
	info, err := os.Stat(filepath.Join(dir, "node", "n1.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info, err)
	}

	// Without FILE those that end soon are renewed, and no others.
	if code, out, message := executed(t, "cert", "renew", "--within", "20", "--dir", dir); code != ExitOK || !strings.Contains(out, "r1.crt") || strings.Contains(out, "n1.crt") {
		t.Errorf("renew: %d, %s, %s", code, message, out)
	}
	if now := shownCertificates(t, "--dir", dir); now[2].Days != 89 || now[2].Serial == all[2].Serial || now[1].Serial != all[1].Serial {
		t.Errorf("renewed: %+v", now)
	}
	if code, _, message := executed(t, "cert", "revoke", filepath.Join(dir, "dataplane", "r1.crt"), "--serial", all[4].Serial, "--dir", dir); code != ExitOK {
		t.Fatalf("revoke: %d, %s", code, message)
	}
	// With the renewed one that which it replaced, whose key is the same.
	if a, err := authority.Open(dir); err != nil {
		t.Error(err)
	} else if revoked, err := a.Revoked(); err != nil || len(revoked) != 3 || !slices.ContainsFunc(revoked, func(n *big.Int) bool { return n.Text(16) == all[2].Serial }) {
		t.Errorf("on the list: %v, %v", revoked, err)
	}
	if now := shownCertificates(t, "--dir", dir); !now[2].Revoked || !now[4].Revoked || now[1].Revoked {
		t.Errorf("revoked: %+v", now)
	}
	if one := shownCertificates(t, filepath.Join(dir, "operator", "alice.crt")); names(one) != "operator" {
		t.Errorf("one: %+v", one)
	}
}

// TestDistrust: what this side cannot make a server show in a test, and what is not
// about certificates at all.
func TestDistrust(t *testing.T) {
	bare, showing := &connection{}, &connection{files: certs.Files{CA: "ca.crt", Cert: "absent.crt", Key: "absent.key", CRL: "ca.crl"}}
	for what, x := range map[string]struct {
		c    *connection
		err  error
		want string
	}{
		"nothing of TLS":    {showing, errors.New("connection refused"), ""},
		"another host":      {showing, fmt.Errorf("a: %w", x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"}), "not for the host that was called"},
		"revoked":           {showing, fmt.Errorf("a: %w", certs.ErrRevoked), "--crl (ca.crl)"},
		"no node":           {showing, fmt.Errorf("a: %w", certs.ErrKind), "it is no node's"},
		"nameless":          {showing, fmt.Errorf("a: %w", certs.ErrNoIdentity), "it is no node's"},
		"something else":    {showing, errors.New("tls: no supported versions"), "dvr cert show ca.crt"},
		"none shown":        {bare, errors.New("remote error: tls: certificate required"), "none was shown: --cert"},
		"unreadable by now": {showing, errors.New("remote error: tls: bad certificate"), "The node refused the certificate in --cert (absent.crt): The node's log"},
	} {
		if got := x.c.distrust(x.err); x.want == "" && got != "" || !strings.Contains(got, x.want) {
			t.Errorf("%s: %q", what, got)
		}
	}
}

// TestCallsInTLS: host:port means https with --cacert, the node learns who
// calls, and what is wrong is said with what helps.
func TestCallsInTLS(t *testing.T) {
	ca, other := certstest.New(t), certstest.New(t)
	serving := func(c *certs.Credentials) string {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, err := certs.OfRequest(r)
			if err != nil || id.Kind != certs.Operator {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			_, _ = io.WriteString(w, `{"position":{"revision":7},"node_id":"`+id.Name+`"}`)
		}))
		s.TLS = c.Server(true, []string{"http/1.1"}, certs.Operator)
		s.Config.ErrorLog = nil
		s.StartTLS()
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "https://")
	}
	node, stranger := serving(ca.Load(certs.Node, "n1")), serving(other.Load(certs.Node, "n1"))
	alice := ca.Make(certs.Operator, "alice")
	plane := ca.Make(certs.DataPlane, "r1")
	past := ca.At(time.Now().Add(-48 * time.Hour))
	late, ended := past.Make(certs.Operator, "late"), serving(past.Load(certs.Node, "n9"))
	foreign := other.Make(certs.Operator, "eve")
	both := filepath.Join(t.TempDir(), "both.crt")
	var authorities []byte
	for _, name := range []string{alice.CA, foreign.CA} {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		authorities = append(authorities, raw...)
	}
	if err := os.WriteFile(both, authorities, 0o600); err != nil {
		t.Fatal(err)
	}
	clear := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(clear.Close)
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"good":                  {[]string{"--endpoint", node, "--cacert", alice.CA, "--cert", alice.Cert, "--key", alice.Key}, ExitOK, `"alice"`},
		"another authority":     {[]string{"--endpoint", stranger, "--cacert", alice.CA, "--cert", alice.Cert, "--key", alice.Key}, ExitUnavailable, "This command refused the node's certificate: it was not issued by the authority in --cacert (" + alice.CA},
		"a data plane's":        {[]string{"--endpoint", node, "--cacert", plane.CA, "--cert", plane.Cert, "--key", plane.Key}, ExitUnavailable, "The node refused the certificate in --cert (" + plane.Cert + "): it is of dvr://dataplane/r1, and the API is for those of kind operator"},
		"of another authority":  {[]string{"--endpoint", node, "--cacert", both, "--cert", foreign.Cert, "--key", foreign.Key}, ExitUnavailable, "The node refused the certificate in --cert (" + foreign.Cert + "): its authority is none that the node trusts"},
		"not of one's own":      {[]string{"--endpoint", node, "--cacert", alice.CA, "--cert", foreign.Cert, "--key", foreign.Key}, ExitUsage, "was not issued by an authority"},
		"one that has ended":    {[]string{"--endpoint", node, "--cacert", alice.CA, "--cert", late.Cert, "--key", late.Key}, ExitUnavailable, "it has ended ("},
		"a node's has ended":    {[]string{"--endpoint", ended, "--cacert", alice.CA, "--cert", alice.Cert, "--key", alice.Key}, ExitUnavailable, "This command refused the node's certificate: it has ended"},
		"a node in clear text":  {[]string{"--endpoint", "https://" + strings.TrimPrefix(clear.URL, "http://"), "--cacert", alice.CA}, ExitUnavailable, "speaks clear text"},
		"no key":                {[]string{"--endpoint", node, "--cacert", alice.CA, "--cert", alice.Cert}, ExitUsage, "come together"},
		"no authority":          {[]string{"--endpoint", node, "--cert", alice.Cert, "--key", alice.Key}, ExitUsage, "whom to trust"},
		"absent":                {[]string{"--endpoint", node, "--cacert", "/nowhere"}, ExitUsage, "/nowhere"},
		"https without cacert":  {[]string{"--endpoint", "https://" + node}, ExitUnavailable, "--cacert FILE"},
		"a certificate missing": {[]string{"--endpoint", node, "--cacert", alice.CA}, ExitDenied, "403"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, message := executed(t, append(c.args, "--timeout", "20s", "status", "-o", "json")...)
			if code != c.code || !strings.Contains(out+message, c.want) {
				t.Errorf("exit %d, %s%s", code, out, message)
			}
		})
	}
	t.Run("ready, as a container asks that has a node's certificate", func(t *testing.T) {
		n1, probed := ca.Make(certs.Node, "n1"), ca.Load(certs.Node, "n1")
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if len(r.TLS.PeerCertificates) > 0 {
				w.WriteHeader(http.StatusForbidden)
			}
			_, _ = io.WriteString(w, `{"status":"ready","transport":"tls","revision":7}`)
		}))
		s.TLS = probed.Server(true, []string{"http/1.1"}, certs.Operator)
		s.StartTLS()
		defer s.Close()
		t.Setenv("DVR_CA_FILE", n1.CA)
		t.Setenv("DVR_CERT_FILE", n1.Cert)
		t.Setenv("DVR_KEY_FILE", n1.Key)
		code, out, message := executed(t, "--endpoint", strings.TrimPrefix(s.URL, "https://"), "--timeout", "20s", "ready")
		if code != ExitOK || out != "ready at revision 7, transport tls\n" {
			t.Errorf("exit %d, %s%s", code, out, message)
		}
	})
	t.Run("by the environment", func(t *testing.T) {
		t.Setenv("DVR_CA_FILE", alice.CA)
		t.Setenv("DVR_CERT_FILE", alice.Cert)
		t.Setenv("DVR_KEY_FILE", alice.Key)
		t.Setenv("DVR_ENDPOINTS", node)
		if code, out, message := executed(t, "status", "-o", "json"); code != ExitOK || !strings.Contains(out, `"alice"`) {
			t.Errorf("exit %d, %s%s", code, out, message)
		}
	})
}
