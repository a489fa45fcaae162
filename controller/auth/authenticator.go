package auth

import (
	"fmt"
	"strings"
	"time"

	"dvr/controller/appender"
	"dvr/eventlog"
	"dvr/projector"
)

// ErrUnauthenticated: the credential is nobody's at present.
var ErrUnauthenticated = appender.ErrUnauthenticated

// Verifier checks credentials of an identity provider.
type Verifier interface {
	// Verify gives the actor and the groups of a JWT. Errors say what is wrong
	// with it and hold nothing of it.
	Verify(jwt string) (actor string, groups []string, err error)
	// Verified gives the same of a JWT that was verified lately, at the cost of a
	// hash; false: it was not.
	Verified(jwt string) (actor string, groups []string, ok bool)
}

// Authenticator says whose a credential is at this node. Safe for concurrent use.
type Authenticator struct {
	// State is the newest one of this node.
	State func() *projector.State
	// Now is the wall clock.
	Now func() time.Time
	// OIDC checks what is no token; nil: that is nobody's.
	OIDC Verifier
	// Certificates: nodes prove to each other who they are, so what one says of an
	// operator's certificate, CertificatePrefix and its name, is believed.
	Certificates bool
}

// CertificatePrefix begins what stands for an operator's certificate between the
// API and the node that appends. No client may send it.
const CertificatePrefix = "cert:"

// Authenticate gives whose credential it is. Errors: ErrUnauthenticated. Cost of
// a token: one SHA-256 and a lookup, no allocation.
func (a *Authenticator) Authenticate(credential string) (*projector.Principal, error) {
	return a.authenticate(credential, a.oidc)
}

// Recognize is Authenticate at the cost of a token's whatever the credential: a
// JWT that was not verified lately is nobody's.
func (a *Authenticator) Recognize(credential string) (*projector.Principal, error) {
	return a.authenticate(credential, a.seen)
}

func (a *Authenticator) authenticate(credential string, jwt func(string) (*projector.Principal, error)) (*projector.Principal, error) {
	if name, ok := strings.CutPrefix(credential, CertificatePrefix); ok {
		if !a.Certificates || eventlog.CheckActor(name) != nil || name == eventlog.SystemActor {
			return nil, fmt.Errorf("%w: no certificate says so", ErrUnauthenticated)
		}
		return &projector.Principal{Actor: name, Via: []string{credential}}, nil
	}
	t, err := a.token(credential)
	switch {
	case err != nil:
		return nil, err
	case t == nil:
		return jwt(credential)
	case t.Join:
		return nil, fmt.Errorf("%w: this token admits a node to the cluster and nothing else", ErrUnauthenticated)
	}
	return &t.Principal, nil
}

// Join gives the join token that a credential is. Errors: ErrUnauthenticated.
func (a *Authenticator) Join(credential string) (*projector.Token, error) {
	t, err := a.token(credential)
	switch {
	case err != nil:
		return nil, err
	case t == nil || !t.Join:
		return nil, fmt.Errorf("%w: this is no join token", ErrUnauthenticated)
	}
	return t, nil
}

// token is nil without an error where the credential has not the form of one.
func (a *Authenticator) token(credential string) (*projector.Token, error) {
	id, hash, ok := ParseToken(credential)
	if !ok {
		return nil, nil
	}
	s := a.State()
	t := s.Access().Token(id, &hash, max(a.Now().UnixMilli(), s.Time()))
	if t == nil {
		return nil, fmt.Errorf("%w: the token is not known, was revoked or has expired", ErrUnauthenticated)
	}
	return t, nil
}

// maxGroups is how many groups of an actor count.
const maxGroups = 32

func (a *Authenticator) oidc(credential string) (*projector.Principal, error) {
	if a.OIDC == nil {
		return nil, fmt.Errorf("%w: this is no token of the form %s<id>_<secret>", ErrUnauthenticated, Prefix)
	}
	actor, groups, err := a.OIDC.Verify(credential)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnauthenticated, err)
	}
	return a.member(actor, groups), nil
}

func (a *Authenticator) seen(credential string) (*projector.Principal, error) {
	if a.OIDC != nil {
		if actor, groups, ok := a.OIDC.Verified(credential); ok {
			return a.member(actor, groups), nil
		}
	}
	return nil, fmt.Errorf("%w: this is no token, and no JWT that was verified lately", ErrUnauthenticated)
}

// member is an actor of the identity provider with those of his groups that have a role.
func (a *Authenticator) member(actor string, groups []string) *projector.Principal {
	p := &projector.Principal{Actor: actor}
	access := a.State().Access()
	for _, g := range groups { // those without roles are nobody's business
		if g = projector.GroupPrefix + g; access.HasRole(g) && len(p.Via) < maxGroups {
			p.Via = append(p.Via, g)
		}
	}
	return p
}
