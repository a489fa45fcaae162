package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"dvr/controller/certs"
)

// Lifetimes where none is asked for.
const (
	Lifetime   = 90 * 24 * time.Hour
	CALifetime = 10 * 365 * 24 * time.Hour
)

// skew is how much a clock may be behind the authority's.
const skew = 5 * time.Minute

// Errors, beside those of the file system.
var (
	// ErrExists: nothing that was issued is written over.
	ErrExists = errors.New("it exists already")
	// ErrNone: the directory holds no authority, or not its key.
	ErrNone = errors.New("no certificate authority here")
	// ErrForeign: the certificate is of another authority.
	ErrForeign = errors.New("it was not issued by this authority")
)

// Authority issues and revokes certificates. One process uses a directory at a time.
type Authority struct {
	Dir  string
	Cert *x509.Certificate
	// Now is the clock; nil: time.Now.
	Now func() time.Time

	key crypto.Signer
}

// Files of an authority and of what it issued.
func (a *Authority) path(parts ...string) string {
	return filepath.Join(append([]string{a.Dir}, parts...)...)
}

// CAFile is the certificate that everybody trusts.
func (a *Authority) CAFile() string { return a.path("ca.crt") }

// CRLFile is the list of what was revoked, DER.
func (a *Authority) CRLFile() string { return a.path("ca.crl") }

// Files are those of a certificate, whether or not it was issued.
func (a *Authority) Files(id certs.Identity) certs.Files {
	return certs.Files{CA: a.CAFile(), CRL: a.CRLFile(), Cert: a.path(string(id.Kind), id.Name+".crt"), Key: a.path(string(id.Kind), id.Name+".key")}
}

func (a *Authority) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

// Init makes an authority in dir. Errors: ErrExists.
func Init(dir string, lifetime time.Duration, now func() time.Time) (*Authority, error) {
	a := &Authority{Dir: dir, Now: now}
	for _, name := range []string{"ca.crt", "ca.key"} {
		if _, err := os.Lstat(a.path(name)); !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s", ErrExists, a.path(name))
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, began := serialNumber(), a.now()
	t := &x509.Certificate{
		// A name of its own, so that two authorities in one file are told apart.
		SerialNumber: serial, Subject: pkix.Name{CommonName: fmt.Sprintf("DVR authority %x", serial.Bytes()[:4])},
		NotBefore: began.Add(-skew), NotAfter: began.Add(lifetime),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	raw, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	if a.Cert, err = x509.ParseCertificate(raw); err != nil {
		return nil, err
	}
	a.key = key
	// The certificate comes last: where it is, everything is.
	if err := writeKey(a.path("ca.key"), key); err != nil {
		return nil, err
	}
	if err := a.writeCRL(nil); err != nil {
		return nil, err
	}
	return a, writeCert(a.CAFile(), raw)
}

// Open is the authority in dir. Errors: ErrNone.
func Open(dir string) (*Authority, error) {
	a := &Authority{Dir: dir}
	list, err := certs.ReadCertificates(a.CAFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is missing; `dvr cert init` makes one", ErrNone, a.CAFile())
	}
	if err != nil {
		return nil, err
	}
	key, err := readKey(a.path("ca.key"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is missing; certificates are issued where the authority was made", ErrNone, a.path("ca.key"))
	}
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		if public, ok := c.PublicKey.(*ecdsa.PublicKey); ok && public.Equal(key.Public()) {
			a.Cert, a.key = c, key
			return a, nil
		}
	}
	return nil, fmt.Errorf("%s is not the key of %s", a.path("ca.key"), a.CAFile())
}

// Issue makes a key and a certificate for id, which a node's or an operator's
// program shows. hosts are the names and addresses by which a node is dialled.
// Errors: ErrExists.
func (a *Authority) Issue(id certs.Identity, hosts []string, lifetime time.Duration) (*x509.Certificate, error) {
	if err := id.Check(); err != nil {
		return nil, err
	}
	if id.Kind != certs.Node && len(hosts) > 0 {
		return nil, fmt.Errorf("only nodes are dialled: a certificate of kind %s has no hosts", id.Kind)
	}
	f := a.Files(id)
	for _, name := range []string{f.Cert, f.Key} {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s; `dvr cert renew` goes on with it", ErrExists, name)
		}
	}
	t, err := template(id, hosts)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	raw, cert, err := a.sign(t, key.Public(), lifetime)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(f.Cert), 0o700); err != nil {
		return nil, err
	}
	if err := writeKey(f.Key, key); err != nil {
		return nil, err
	}
	return cert, writeCert(f.Cert, raw)
}

// Renew replaces the certificate in the file by one that says the same and ends
// later. The key stays, so that certificate and key fit together at every
// moment; for another key issue anew. What is replaced is good until it ends, so
// that it is revoked with its successor (Serials). Errors: ErrForeign.
func (a *Authority) Renew(file string, lifetime time.Duration) (*x509.Certificate, error) {
	list, err := certs.ReadCertificates(file)
	if err != nil {
		return nil, err
	}
	old := list[0]
	id, err := certs.Of(old)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := old.CheckSignatureFrom(a.Cert); err != nil {
		return nil, fmt.Errorf("%s: %w", file, ErrForeign)
	}
	if revoked, err := a.revoked(); err != nil {
		return nil, err
	} else if contains(revoked, old.SerialNumber) {
		return nil, fmt.Errorf("%s: %w: delete it with its key and issue another", file, certs.ErrRevoked)
	}
	t, err := template(id, Hosts(old))
	if err != nil {
		return nil, err
	}
	raw, cert, err := a.sign(t, old.PublicKey, lifetime)
	if err != nil {
		return nil, err
	}
	if err := a.keep(old, cert); err != nil {
		return nil, err
	}
	return cert, writeCert(file, raw)
}

func (a *Authority) sign(t *x509.Certificate, public crypto.PublicKey, lifetime time.Duration) ([]byte, *x509.Certificate, error) {
	now := a.now()
	end := now.Add(lifetime)
	if lifetime <= 0 {
		return nil, nil, errors.New("a certificate must be valid for some time")
	}
	if end.After(a.Cert.NotAfter) {
		return nil, nil, fmt.Errorf("the authority itself ends at %s, before the certificate would: issue it for less time, or make a new authority", a.Cert.NotAfter.UTC().Format("2006-01-02"))
	}
	t.SerialNumber, t.NotBefore, t.NotAfter = serialNumber(), now.Add(-skew), end
	raw, err := x509.CreateCertificate(rand.Reader, t, a.Cert, public, a.key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(raw)
	return raw, cert, err
}

func serialNumber() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:])  // never fails
	b[0] = b[0]&0x7f | 0x40 // positive, and 16 bytes in every form
	return new(big.Int).SetBytes(b[:])
}
