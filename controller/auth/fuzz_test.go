package auth

import (
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"

	"dvr/eventlog"
	"dvr/projector"
)

// FuzzCredential: nothing but a token that is in the log and a JWT that the
// provider signed is anybody's, whatever is made of them; a refusal tells nothing
// of what was sent.
func FuzzCredential(f *testing.F) {
	i := newIssuer(f)
	now := time.Unix(oidcNow, 0)
	text, id, hash := NewToken()
	fold := projector.NewFold("log")
	if err := fold.Apply(&eventlog.Commit{Revision: 1, ID: "c", Actor: "x", Time: 1000, Events: []eventlog.Event{
		&eventlog.TokenSet{ID: id, Actor: "alice", SHA256: hash},
	}}, eventlog.Hash{}); err != nil {
		f.Fatal(err)
	}
	s := fold.State()
	good := oidctest.SignIDToken(i.key, "k1", "RS256", claims(i.URL, `,"groups":["a"]`))
	a := &Authenticator{
		State: func() *projector.State { return s }, Now: func() time.Time { return now },
		OIDC: NewOIDC(OIDCOptions{Issuer: i.URL, Audience: "dvr", ActorClaim: "sub", GroupsClaim: "groups", Now: func() time.Time { return now }}),
	}
	part := strings.Split(good, ".")
	for _, seed := range []string{text, good, "", "dvr_", "dvr__", "dvr_" + id + "_", part[0] + "." + part[1] + ".", part[1] + "." + part[0] + "." + part[2], "eyJhbGciOiJub25lIn0." + part[1] + ".", "cert:alice", strings.Repeat(".", 5)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, credential string) {
		for what, ask := range map[string]func(string) (*projector.Principal, error){"authenticated": a.Authenticate, "recognized": a.Recognize} {
			p, err := ask(credential)
			switch {
			case err == nil && (p == nil || credential != text && !sameJWT(credential, good)):
				t.Fatalf("%q is %s as %+v", credential, what, p)
			case err != nil && len(credential) > 60 && strings.Contains(err.Error(), credential):
				t.Fatalf("the refusal tells the credential: %v", err)
			}
		}
		if tok, err := a.Join(credential); err == nil {
			t.Fatalf("%q joins: %+v", credential, tok)
		}
	})
}

// sameJWT tells whether two JWTs have the same header and claims: of a signature
// base64 has several spellings.
func sameJWT(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	return len(x) == 3 && x[0] == y[0] && x[1] == y[1]
}
