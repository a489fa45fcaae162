package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// Kind is what the owner of a certificate is.
type Kind string

// Kinds.
const (
	Node      Kind = "node"      // a member or observer: everything between nodes, and nothing as an operator
	DataPlane Kind = "dataplane" // of the router that it names, and of no other
	Operator  Kind = "operator"  // a person or program that calls the API
	Inspector Kind = "inspector" // reads the log at the etcd client port
)

// Kinds in the order in which they are listed.
var Kinds = []Kind{Node, DataPlane, Operator, Inspector}

// Identity is whose a certificate is: dvr://<kind>/<name>.
type Identity struct {
	Kind Kind
	Name string // a node's id, a data plane's router, or who somebody is
}

// String is the URI, as certificates have it.
func (i Identity) String() string { return scheme + "://" + string(i.Kind) + "/" + i.Name }

// Errors of what a certificate says.
var (
	// ErrNoCertificate: the connection is clear text, or its other side showed no certificate.
	ErrNoCertificate = errors.New("no certificate was shown")
	// ErrNoIdentity: the certificate does not say, in exactly one URI, whose it is.
	ErrNoIdentity = errors.New("the certificate does not say whose it is")
	// ErrKind: the certificate is of another kind than may do this.
	ErrKind = errors.New("wrong kind of certificate")
	// ErrName: the certificate is of the right kind and somebody else's.
	ErrName = errors.New("somebody else's certificate")
	// ErrRevoked: the certificate is in the list of revoked ones.
	ErrRevoked = errors.New("the certificate was revoked")
	// ErrExpired: it was valid when the connection began and is no longer.
	ErrExpired = errors.New("the certificate has expired")
)

const scheme = "dvr"

// PeerName is among the names of every node's certificate and of no other: etcd
// asks for it between members, since it does not look at URIs.
const PeerName = "node.dvr.internal"

// Check says whether the identity can be put into a certificate.
func (i Identity) Check() error {
	if !slices.Contains(Kinds, i.Kind) {
		return fmt.Errorf("%q is no kind of certificate: want node, dataplane, operator or inspector", i.Kind)
	}
	if !i.named() {
		return fmt.Errorf("%q is no name of a %s: a letter or digit, then letters, digits, '.', '_', '-'; of operators and inspectors also '@', '+'", i.Name, i.Kind)
	}
	return nil
}

// named judges the name. Each request asks, so no regular expression does it.
func (i Identity) named() bool {
	person := i.Kind == Operator || i.Kind == Inspector
	longest := 63
	if person {
		longest = 127
	}
	for at := range len(i.Name) {
		switch c := i.Name[at]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case at > 0 && (c == '.' || c == '_' || c == '-'):
		case at > 0 && person && (c == '@' || c == '+'):
		default:
			return false
		}
	}
	return i.Name != "" && len(i.Name) <= longest
}

// Of is whose a certificate is. It does not verify the certificate. Errors: ErrNoIdentity.
func Of(leaf *x509.Certificate) (Identity, error) {
	var found Identity
	for _, u := range leaf.URIs {
		if u.Scheme != scheme {
			continue
		}
		if found != (Identity{}) {
			return Identity{}, fmt.Errorf("%w: it has two names, %s and %s", ErrNoIdentity, found, u)
		}
		name, _ := strings.CutPrefix(u.Path, "/")
		id := Identity{Kind(u.Host), name}
		if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.RawPath != "" || u.Opaque != "" || !slices.Contains(Kinds, id.Kind) || !id.named() {
			return Identity{}, fmt.Errorf("%w: %q is not dvr://<kind>/<name>", ErrNoIdentity, u)
		}
		found = id
	}
	if found == (Identity{}) {
		return found, fmt.Errorf("%w: it needs a URI dvr://<kind>/<name> among its alternative names (`dvr cert issue` puts it there)", ErrNoIdentity)
	}
	return found, nil
}

// OfState is who is at the other side of a connection whose certificate was
// verified. Errors: ErrNoCertificate, ErrNoIdentity, ErrExpired.
func OfState(s *tls.ConnectionState) (Identity, error) {
	if s == nil || len(s.PeerCertificates) == 0 || len(s.VerifiedChains) == 0 {
		return Identity{}, ErrNoCertificate
	}
	if leaf := s.PeerCertificates[0]; time.Now().After(leaf.NotAfter) {
		return Identity{}, fmt.Errorf("%w: it ended at %s", ErrExpired, leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return Of(s.PeerCertificates[0])
}

// OfRequest is who sent a request to a listener of Credentials.Server. Errors:
// as OfState. It costs some 100 ns and no allocation.
func OfRequest(r *http.Request) (Identity, error) { return OfState(r.TLS) }

// OfPeer is who made the gRPC call with the server's context. Errors: as OfState.
func OfPeer(ctx context.Context) (Identity, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Identity{}, ErrNoCertificate
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return Identity{}, ErrNoCertificate
	}
	return OfState(&info.State)
}

// Require is nil where an identity that was asked for is of one of the kinds.
// Errors: err itself, ErrKind.
func Require(id Identity, err error, kinds ...Kind) error {
	if err != nil {
		return err
	}
	if !slices.Contains(kinds, id.Kind) {
		return fmt.Errorf("%w: this is of %s, and %s is wanted", ErrKind, id, oneOf(kinds))
	}
	return nil
}

func oneOf(kinds []Kind) string {
	parts := make([]string, len(kinds))
	for i, k := range kinds {
		parts[i] = string(k)
	}
	return "one of kind " + strings.Join(parts, " or ")
}
