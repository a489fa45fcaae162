package authority_test

import (
	"crypto/x509"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestReplacedCertificatesAreRevokedWithTheirSuccessors: who has the key has
// each certificate that was made for it, until it ends.
func TestReplacedCertificatesAreRevokedWithTheirSuccessors(t *testing.T) {
	a := made(t)
	now := time.Now()
	a.Now = func() time.Time { return now }
	issue := func() *x509.Certificate {
		c, err := a.Issue(r1, nil, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	renew := func(lifetime time.Duration) *x509.Certificate {
		c, err := a.Renew(a.Files(r1).Cert, lifetime)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	holds := func(what string, cert *x509.Certificate, want ...*x509.Certificate) {
		t.Helper()
		got, err := a.Serials(cert)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if len(got) != len(want) || !slices.EqualFunc(got, want, func(n *big.Int, c *x509.Certificate) bool { return n.Cmp(c.SerialNumber) == 0 }) {
			t.Errorf("%s: %v of %d certificates", what, got, len(want))
		}
	}

	first := issue()
	holds("never renewed", first, first)
	other, err := a.Issue(node1, nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := a.Renew(a.Files(node1).Cert, 3*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	second, third := renew(3*time.Hour), renew(4*time.Hour)
	holds("renewed twice", third, third, first, second)
	holds("an older copy of the file", first, first, second, third)
	holds("another key", other, other, renewed)

	now = now.Add(2 * time.Hour) // the first has ended
	holds("later", third, third, second)
	fourth := renew(5 * time.Hour)
	holds("ended ones are forgotten", fourth, fourth, second, third)

	if err := os.WriteFile(filepath.Join(a.Dir, "replaced.crt"), []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Serials(fourth); err == nil {
		t.Error("a damaged file is taken for an empty one")
	}
	if _, err := a.Renew(a.Files(r1).Cert, time.Hour); err == nil {
		t.Error("renewed, although what is replaced cannot be kept")
	}
}
