package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"dvr/eventlog"
)

// OIDCPrefix begins the actors of the identity provider: none of them can be
// called like the actor of a token.
const OIDCPrefix = "oidc:"

// Bounds of what is kept and asked of the identity provider.
const (
	verifiedKept = 4096            // JWTs that were verified
	verifiedFor  = 5 * time.Minute // at most, and never beyond their expiry
	fetchTime    = 2 * time.Second
	fetchPause   = time.Second // between two requests, but for the first few
	fetchBurst   = 5
)

// algorithms are the signatures that count: none whose key the cluster would share
// with the identity provider, and not "none".
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}

// OIDCOptions of an OIDC.
type OIDCOptions struct {
	Issuer, Audience        string
	ActorClaim, GroupsClaim string
	Now                     func() time.Time
	Client                  *http.Client // nil: an ordinary one
}

// OIDC verifies the JWTs of an identity provider. It finds the provider's keys by
// its discovery document, when the first JWT comes. Safe for concurrent use.
type OIDC struct {
	options OIDCOptions
	client  *http.Client

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier // nil: not found yet
	verified map[[32]byte]verified
}

// verified is what a JWT said.
type verified struct {
	actor  string
	groups []string
	until  time.Time
}

// NewOIDC asks nobody yet.
func NewOIDC(o OIDCOptions) *OIDC {
	client := &http.Client{Timeout: fetchTime}
	if o.Client != nil {
		client.Transport = o.Client.Transport
	}
	client.Transport = &patient{next: client.Transport, left: fetchBurst, now: o.Now}
	return &OIDC{options: o, client: client, verified: map[[32]byte]verified{}}
}

// Verify implements Verifier. Cost: one SHA-256 for a JWT that was verified
// lately, else its signature; a request to the provider where its key is new.
func (o *OIDC) Verify(jwt string) (actor string, groups []string, err error) {
	if actor, groups, ok := o.Verified(jwt); ok {
		return actor, groups, nil
	}
	var v verified
	key, now := sha256.Sum256([]byte(jwt)), o.options.Now()
	ctx, cancel := context.WithTimeout(oidc.ClientContext(context.Background(), o.client), 2*fetchTime)
	defer cancel()
	verifier, err := o.find(ctx)
	if err != nil {
		return "", nil, err
	}
	token, err := verifier.Verify(ctx, jwt)
	if err != nil {
		return "", nil, reason(err)
	}
	if v, err = o.read(token); err != nil {
		return "", nil, err
	}
	if v.until = now.Add(verifiedFor); token.Expiry.Before(v.until) {
		v.until = token.Expiry
	}
	o.keep(key, v, now)
	return v.actor, v.groups, nil
}

// Verified implements Verifier.
func (o *OIDC) Verified(jwt string) (actor string, groups []string, ok bool) {
	key, now := sha256.Sum256([]byte(jwt)), o.options.Now()
	o.mu.Lock()
	v, ok := o.verified[key]
	o.mu.Unlock()
	return v.actor, v.groups, ok && now.Before(v.until)
}

// reason is why a JWT is not taken, without anything of it.
func reason(err error) error {
	var expired *oidc.TokenExpiredError
	if errors.As(err, &expired) {
		return errors.New("the JWT has expired")
	}
	return errors.New("the JWT is not one of the identity provider for this cluster: its signature, issuer, audience or form is not right")
}

// find is the provider's verifier, looked for until it was found once.
func (o *OIDC) find(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	o.mu.Lock()
	v := o.verifier
	o.mu.Unlock()
	if v != nil {
		return v, nil
	}
	provider, err := oidc.NewProvider(ctx, o.options.Issuer)
	if err != nil {
		return nil, errors.New("the identity provider (OIDC_ISSUER) cannot be asked for its keys")
	}
	// Its keys are fetched later, under another context than this call's.
	keys := oidc.ClientContext(context.Background(), o.client)
	v = provider.VerifierContext(keys, &oidc.Config{ClientID: o.options.Audience, SupportedSigningAlgs: algorithms, Now: o.options.Now})
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.verifier == nil {
		o.verifier = v
	}
	return o.verifier, nil
}

// read takes the actor and the groups out of a verified JWT.
func (o *OIDC) read(token *oidc.IDToken) (v verified, err error) {
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		return v, errors.New("the JWT's claims are not an object")
	}
	name, ok := claims[o.options.ActorClaim].(string)
	if !ok || name == "" {
		return v, fmt.Errorf("the JWT has no text in the claim %s (OIDC_ACTOR_CLAIM)", o.options.ActorClaim)
	}
	v.actor = OIDCPrefix + name
	if eventlog.CheckActor(v.actor) != nil {
		return v, fmt.Errorf("the JWT's claim %s cannot be an actor's name", o.options.ActorClaim)
	}
	switch g := claims[o.options.GroupsClaim].(type) {
	case string:
		v.groups = []string{g}
	case []any:
		for _, x := range g {
			if s, ok := x.(string); ok {
				v.groups = append(v.groups, s)
			}
		}
	}
	return v, nil
}

// keep remembers a JWT; where there are too many, those that are over go first,
// then any.
func (o *OIDC) keep(key [32]byte, v verified, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.verified) >= verifiedKept {
		for k, old := range o.verified {
			if !now.Before(old.until) {
				delete(o.verified, k)
			}
		}
	}
	for k := range o.verified {
		if len(o.verified) < verifiedKept {
			break
		}
		delete(o.verified, k)
	}
	o.verified[key] = v
}

// patient keeps JWTs with made-up keys from having the provider asked without end.
type patient struct {
	next http.RoundTripper // nil: the default one
	now  func() time.Time
	mu   sync.Mutex
	left int
	last time.Time
}

var errTooOften = errors.New("the identity provider was asked a moment ago")

func (p *patient) RoundTrip(r *http.Request) (*http.Response, error) {
	if !p.may() {
		return nil, errTooOften
	}
	if p.next == nil {
		return http.DefaultTransport.RoundTrip(r)
	}
	return p.next.RoundTrip(r)
}

func (p *patient) may() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if back := int(now.Sub(p.last) / fetchPause); back > 0 {
		p.left, p.last = min(fetchBurst, p.left+back), now
	}
	p.left--
	if p.left < 0 {
		p.left = 0
		return false
	}
	return true
}
