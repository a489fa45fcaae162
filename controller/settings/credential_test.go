package settings

import (
	"strings"
	"testing"
)

// TestCredentialSettings: secrets are not shown, and keys come from nobody in between.
func TestCredentialSettings(t *testing.T) {
	s, err := load(t, nil, []string{"JOIN=127.0.0.1:9091", "JOIN_TOKEN=dvr_id_secret", "RATE_LIMIT=50", "OIDC_ISSUER=https://login.example.org/realm", "OIDC_AUDIENCE=dvr"}, "")
	if err != nil || s.JoinToken != "dvr_id_secret" || s.RateLimit != 50 || s.OIDC.Issuer == "" || s.OIDC.ActorClaim != "sub" || s.OIDC.GroupsClaim != "groups" {
		t.Fatalf("%+v, %v", s, err)
	}
	for _, e := range s.Entries() {
		if strings.Contains(e.Value, "secret") {
			t.Errorf("%s is shown as %s", e.Name, e.Value)
		}
	}
	for _, good := range []string{"http://127.0.0.1:8080", "http://localhost/x", "http://[::1]:1"} {
		if _, err := load(t, nil, []string{"OIDC_ISSUER=" + good, "OIDC_AUDIENCE=dvr"}, ""); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"http://login.example.org", "login.example.org", "ftp://localhost", "https://u:p@login.example.org", "https://login.example.org?x=1"} {
		if _, err := load(t, nil, []string{"OIDC_ISSUER=" + bad, "OIDC_AUDIENCE=dvr"}, ""); err == nil || !strings.Contains(err.Error(), "OIDC_ISSUER") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for name, environ := range map[string][]string{"OIDC_AUDIENCE": {"OIDC_ISSUER=https://login.example.org"}, "RATE_LIMIT": {"RATE_LIMIT=-1"}} {
		if _, err := load(t, nil, environ, ""); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
