package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Files are where a program's credentials are, in PEM but for CRL.
type Files struct {
	CA   string // the authorities that are trusted
	Cert string // the program's own, with intermediates if any
	Key  string // of Cert
	CRL  string // revoked certificates, DER, signed by an authority of CA; empty: none are
}

// None says that no file is named: clear text.
func (f Files) None() bool { return f == Files{} }

// Credentials are files as they are now. They are read again when one of them
// has changed, at the next handshake; what cannot be read or does not fit
// together leaves the last that did in force, and is logged. Safe for
// concurrent use; nil means clear text.
type Credentials struct {
	files Files
	log   *zap.Logger
	now   func() time.Time

	mu      sync.Mutex // of looking at the files
	seen    []fs.FileInfo
	failed  string // the last failure that was logged
	current atomic.Pointer[material]

	live connections
}

// material is the content of the files. Immutable.
type material struct {
	cert    tls.Certificate
	leaf    *x509.Certificate
	cas     []*x509.Certificate
	pool    *x509.CertPool
	revoked map[string]struct{} // serial numbers; nil: no list
}

// Load reads the files; CA is needed, Cert and Key come together or not at all
// (a caller that shows none). Errors name the file and say what is wrong with
// it. log may be nil.
func Load(f Files, log *zap.Logger) (*Credentials, error) {
	if log == nil {
		log = zap.NewNop()
	}
	c := &Credentials{files: f, log: log, now: time.Now, live: connections{of: map[*standing]struct{}{}}}
	seen, err := f.stat()
	if err != nil {
		return nil, err
	}
	m, err := f.read()
	if err != nil {
		return nil, err
	}
	c.seen = seen
	c.current.Store(m)
	if f.Key != "" && seen[2].Mode().Perm()&0o007 != 0 {
		log.Warn("everybody on this machine can read the private key: chmod 600", zap.String("file", f.Key))
	}
	return c, nil
}

// fresh is the content of the files as they are now. Cost: a stat each.
func (c *Credentials) fresh() *material {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, err := c.files.stat()
	if err == nil && slices.EqualFunc(seen, c.seen, same) {
		return c.current.Load()
	}
	var m *material
	if err == nil {
		m, err = c.files.read()
	}
	if err != nil {
		if err.Error() != c.failed { // it is looked at again and again
			c.failed = err.Error()
			c.log.Warn("the certificates have changed and cannot be used: those from before stay in force", zap.Error(err))
		}
		return c.current.Load()
	}
	c.failed, c.seen = "", seen
	c.current.Store(m)
	if m.leaf != nil {
		c.log.Info("the certificates were read again", zap.String("serial", m.leaf.SerialNumber.Text(16)), zap.Time("not_after", m.leaf.NotAfter))
	}
	return m
}

// Own is the program's own certificate; nil where it has none. The caller must not change it.
func (c *Credentials) Own() *x509.Certificate {
	if c == nil {
		return nil
	}
	return c.fresh().leaf
}

// Expiry is when the program's certificate ends, and the first of the authorities
// that it trusts, as read last. It looks at no file.
func (c *Credentials) Expiry() (own, authority time.Time) {
	m := c.current.Load()
	if m.leaf != nil {
		own = m.leaf.NotAfter
	}
	for i, ca := range m.cas {
		if i == 0 || ca.NotAfter.Before(authority) {
			authority = ca.NotAfter
		}
	}
	return own, authority
}

// Files is what Load was given, for those that read the files themselves.
func (c *Credentials) Files() Files {
	if c == nil {
		return Files{}
	}
	return c.files
}

// Scheme of URLs.
func (c *Credentials) Scheme() string {
	if c == nil {
		return "http"
	}
	return "https"
}

// Server is how a listener speaks TLS: each handshake with the files as they
// are then. Callers must show a certificate of one of the kinds; with optional
// set they need not show any. protocols are ALPN's.
func (c *Credentials) Server(optional bool, protocols []string, kinds ...Kind) *tls.Config {
	auth := tls.RequireAndVerifyClientCert
	if optional {
		auth = tls.VerifyClientCertIfGiven
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			m := c.fresh()
			return &tls.Config{
				MinVersion: tls.VersionTLS13, NextProtos: protocols, Certificates: []tls.Certificate{m.cert},
				ClientAuth: auth, ClientCAs: m.pool,
				// A resumed session would not be held to what was revoked since.
				SessionTicketsDisabled: true,
				VerifyConnection: func(s tls.ConnectionState) error {
					if len(s.PeerCertificates) == 0 {
						return nil // admitted by ClientAuth
					}
					if err := m.admit(s.PeerCertificates, kinds); err != nil {
						c.log.Warn("a connection was refused", zap.Stringer("from", hello.Conn.RemoteAddr()), zap.Error(err))
						return err
					}
					if g, ok := hello.Conn.(*connection); ok {
						g.verified(s.PeerCertificates[0])
					}
					return nil
				},
			}, nil
		},
	}
}

// Client is how a connection to one of the kinds is made, with the files as
// they are now: make it anew for each. The server's name is checked, too.
func (c *Credentials) Client(kinds ...Kind) *tls.Config {
	m := c.fresh()
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: m.pool,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &m.cert, nil },
		VerifyConnection:     func(s tls.ConnectionState) error { return m.admit(s.PeerCertificates, kinds) },
	}
}

// Dial connects to one of the kinds, within the timeout: in TLS, or in clear
// text where c is nil. It fits http.Transport's DialContext and DialTLSContext.
func (c *Credentials) Dial(timeout time.Duration, kinds ...Kind) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}
	if c == nil {
		return d.DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return (&tls.Dialer{NetDialer: d, Config: c.Client(kinds...)}).DialContext(ctx, network, address)
	}
}

// admit judges a chain that TLS has verified.
func (m *material) admit(chain []*x509.Certificate, kinds []Kind) error {
	if err := m.current(chain); err != nil {
		return err
	}
	id, err := Of(chain[0])
	return Require(id, err, kinds...)
}

// current refuses what was revoked.
func (m *material) current(chain []*x509.Certificate) error {
	for _, cert := range chain {
		if _, ok := m.revoked[cert.SerialNumber.String()]; ok {
			return fmt.Errorf("%w: serial %x, %s", ErrRevoked, cert.SerialNumber, cert.Subject)
		}
	}
	return nil
}

func (f Files) list() []string { return []string{f.CA, f.Cert, f.Key, f.CRL} }

// stat looks at the files in the order of list; nil where none is named.
func (f Files) stat() ([]fs.FileInfo, error) {
	out := make([]fs.FileInfo, 4)
	for i, name := range f.list() {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		out[i] = info
	}
	return out, nil
}

func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
