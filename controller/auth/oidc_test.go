package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"
)

// issuer is an identity provider of the test's own.
type issuer struct {
	*httptest.Server
	idp   *oidctest.Server
	key   *rsa.PrivateKey
	asked atomic.Int64
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key, idp: &oidctest.Server{PublicKeys: []oidctest.PublicKey{{PublicKey: key.Public(), KeyID: "k1", Algorithm: "RS256"}}}}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		i.idp.ServeHTTP(w, r)
	}))
	i.idp.SetIssuer(i.URL)
	t.Cleanup(i.Close)
	return i
}

const oidcNow = 1_800_000_000

func claims(iss, more string) string {
	return fmt.Sprintf(`{"iss":%q,"aud":"dvr","sub":"alice","exp":%d,"nbf":%d,"iat":%d%s}`, iss, oidcNow+600, oidcNow-10, oidcNow-10, more)
}

// unsigned is a JWT with a header and a signature of the test's choice.
func unsigned(header, claims string, sign func(input string) []byte) string {
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64([]byte(header)) + "." + b64([]byte(claims))
	return input + "." + b64(sign(input))
}

func TestOIDC(t *testing.T) {
	i := newIssuer(t)
	now := time.Unix(oidcNow, 0)
	o := NewOIDC(OIDCOptions{Issuer: i.URL, Audience: "dvr", ActorClaim: "sub", GroupsClaim: "groups", Now: func() time.Time { return now }})
	sign := func(claims string) string { return oidctest.SignIDToken(i.key, "k1", "RS256", claims) }
	good := sign(claims(i.URL, `,"groups":["net-ops","staff",7]`))
	for range 3 {
		actor, groups, err := o.Verify(good)
		if err != nil || actor != "oidc:alice" || strings.Join(groups, " ") != "net-ops staff" {
			t.Fatalf("%s %v %v", actor, groups, err)
		}
	}
	if n := i.asked.Load(); n != 2 {
		t.Errorf("the provider was asked %d times", n)
	}
	if _, groups, err := o.Verify(sign(claims(i.URL, `,"groups":"one"`))); err != nil || len(groups) != 1 {
		t.Errorf("%v %v", groups, err)
	}

	if _, _, ok := o.Verified(good); !ok {
		t.Error("it was verified and is not known")
	}
	if _, _, ok := o.Verified(good[:len(good)-1]); ok {
		t.Error("another one is known")
	}

	thief, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(i.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	all := claims(i.URL, `,"groups":["net-ops"]`)
	body := strings.Split(good, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	for what, jwt := range map[string]string{
		"empty": "", "no JWT": "abc", "two parts": body[0] + "." + body[1], "no signature": body[0] + "." + body[1] + ".",
		"another's signature": body[0] + "." + b64([]byte(all+" ")) + "." + body[2],
		"alg none":            unsigned(`{"alg":"none","kid":"k1"}`, all, func(string) []byte { return nil }),
		"alg None":            unsigned(`{"alg":"None","kid":"k1"}`, all, func(string) []byte { return nil }),
		"no alg":              unsigned(`{"kid":"k1"}`, all, func(string) []byte { return []byte("x") }),
		"the public key as HMAC": unsigned(`{"alg":"HS256","kid":"k1"}`, all, func(in string) []byte {
			return mac(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), in)
		}),
		"another key":            oidctest.SignIDToken(thief, "k1", "RS256", all),
		"another key, own name":  oidctest.SignIDToken(thief, "k9", "RS256", all),
		"another kind of key":    oidctest.SignIDToken(curve, "k1", "ES256", all),
		"a key of its own in it": unsigned(`{"alg":"RS256","jwk":{"kty":"oct","k":"AAAA"}}`, all, func(string) []byte { return []byte("x") }),
		"expired":                sign(strings.Replace(all, fmt.Sprint(oidcNow+600), fmt.Sprint(oidcNow-1), 1)),
		"without end":            sign(fmt.Sprintf(`{"iss":%q,"aud":"dvr","sub":"alice"}`, i.URL)),
		"not yet":                sign(strings.Replace(all, `"nbf":`+fmt.Sprint(oidcNow-10), `"nbf":`+fmt.Sprint(oidcNow+3600), 1)),
		"for others":             sign(strings.Replace(all, `"aud":"dvr"`, `"aud":"shop"`, 1)),
		"for nobody":             sign(strings.Replace(all, `"aud":"dvr",`, ``, 1)),
		"of others":              sign(claims("https://login.example.org", "")),
		"of nobody":              sign(strings.Replace(all, fmt.Sprintf(`"iss":%q,`, i.URL), ``, 1)),
		"without actor":          sign(strings.Replace(all, `"sub":"alice"`, `"sub":""`, 1)),
		"actor too long":         sign(strings.Replace(all, `"sub":"alice"`, `"sub":"`+strings.Repeat("a", 200)+`"`, 1)),
		"actor of two lines":     sign(strings.Replace(all, `"sub":"alice"`, `"sub":"a\nb"`, 1)),
	} {
		now = now.Add(2 * time.Second) // the provider may be asked again
		if actor, _, err := o.Verify(jwt); err == nil {
			t.Errorf("%s: taken as %s", what, actor)
		} else if jwt != "" && strings.Contains(err.Error(), jwt) {
			t.Errorf("%s: the error tells the JWT", what)
		}
	}
	if actor, _, err := o.Verify(good); err != nil || actor != "oidc:alice" {
		t.Errorf("afterwards: %s %v", actor, err)
	}
	// A new key is found, by JWTs with it; made-up ones have the provider asked now and then alone.
	fresh, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	before := i.asked.Load()
	for n := range 50 {
		_, _, _ = o.Verify(oidctest.SignIDToken(thief, fmt.Sprint("made-up-", n), "RS256", all))
	}
	if n := i.asked.Load() - before; n > fetchBurst {
		t.Errorf("the provider was asked %d times for made-up keys", n)
	}
	i.idp.PublicKeys = append(i.idp.PublicKeys, oidctest.PublicKey{PublicKey: fresh.Public(), KeyID: "k2", Algorithm: "RS256"})
	signed := oidctest.SignIDToken(fresh, "k2", "RS256", all)
	for range 20 { // who comes right when a fetch ends may be given its outcome
		now = now.Add(10 * time.Second)
		if _, _, err = o.Verify(signed); err == nil {
			break
		}
	}
	if err != nil {
		t.Errorf("a new key: %v", err)
	}
	// What was verified once ends with its time.
	now = time.Unix(oidcNow+601, 0)
	if _, _, err := o.Verify(good); err == nil {
		t.Error("an expired JWT is remembered")
	}
	if len(o.verified) > verifiedKept {
		t.Error("too many are kept")
	}
}

func mac(key []byte, input string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(input))
	return h.Sum(nil)
}

// TestOIDCLater: a provider that is not there at first is found when it is.
func TestOIDCLater(t *testing.T) {
	i := newIssuer(t)
	var down atomic.Bool
	handler := i.Config.Handler
	i.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		handler.ServeHTTP(w, r)
	})
	now := time.Unix(oidcNow, 0)
	o := NewOIDC(OIDCOptions{Issuer: i.URL, Audience: "dvr", ActorClaim: "sub", GroupsClaim: "groups", Now: func() time.Time { return now }})
	jwt := oidctest.SignIDToken(i.key, "k1", "RS256", claims(i.URL, ""))
	down.Store(true)
	if _, _, err := o.Verify(jwt); err == nil {
		t.Fatal("verified by nobody")
	}
	down.Store(false)
	if _, _, err := o.Verify(jwt); err != nil {
		t.Error(err)
	}
}

func TestVerifiedIsBounded(t *testing.T) {
	o := NewOIDC(OIDCOptions{Now: time.Now})
	now := time.Unix(oidcNow, 0)
	for n := range 3 * verifiedKept {
		o.keep(sha256.Sum256([]byte(fmt.Sprint(n))), verified{until: now.Add(time.Hour)}, now)
	}
	if len(o.verified) != verifiedKept {
		t.Errorf("%d are kept", len(o.verified))
	}
}
