package authority_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dvr/controller/certs"
	"dvr/controller/certs/authority"
)

var (
	node1 = certs.Identity{Kind: certs.Node, Name: "node-1"}
	r1    = certs.Identity{Kind: certs.DataPlane, Name: "r1"}
)

func made(t *testing.T) *authority.Authority {
	t.Helper()
	a, err := authority.Init(filepath.Join(t.TempDir(), "ca"), authority.CALifetime, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestInitWritesOverNothing(t *testing.T) {
	a := made(t)
	if _, err := authority.Init(a.Dir, authority.CALifetime, nil); !errors.Is(err, authority.ErrExists) {
		t.Fatalf("again: %v", err)
	}
	again, err := authority.Open(a.Dir)
	if err != nil || again.Cert.SerialNumber.Cmp(a.Cert.SerialNumber) != 0 {
		t.Fatalf("it is another now: %v", err)
	}
	if err := os.Remove(a.CAFile()); err != nil { // the key alone is an authority's, too
		t.Fatal(err)
	}
	if _, err := authority.Init(a.Dir, authority.CALifetime, nil); !errors.Is(err, authority.ErrExists) {
		t.Fatalf("over the key: %v", err)
	}
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	if _, err := authority.Open(t.TempDir()); !errors.Is(err, authority.ErrNone) || !strings.Contains(err.Error(), "dvr cert init") {
		t.Fatalf("nothing there: %v", err)
	}
	a := made(t)
	key := filepath.Join(a.Dir, "ca.key")
	other := made(t)
	raw, err := os.ReadFile(filepath.Join(other.Dir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := authority.Open(a.Dir); err == nil || !strings.Contains(err.Error(), "is not the key of") {
		t.Fatalf("another's key: %v", err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if _, err := authority.Open(a.Dir); !errors.Is(err, authority.ErrNone) {
		t.Fatalf("no key: %v", err)
	}
}

func TestIssuedCertificates(t *testing.T) {
	a := made(t)
	cert, err := a.Issue(node1, []string{"10.0.0.1", "node-1.example.net", "::1"}, authority.Lifetime)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := certs.Of(cert); err != nil || id != node1 {
		t.Errorf("it is of %v, %v", id, err)
	}
	if want := []string{"node-1.example.net", "10.0.0.1", "::1"}; !slices.Equal(authority.Hosts(cert), want) {
		t.Errorf("hosts %v, want %v", authority.Hosts(cert), want)
	}
	if !slices.Contains(cert.DNSNames, certs.PeerName) {
		t.Errorf("etcd would not take it for a member: %v", cert.DNSNames)
	}
	if !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
		t.Error("it is not good for a server")
	}
	for _, name := range []string{a.Files(node1).Key, filepath.Join(a.Dir, "ca.key")} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if _, err := a.Issue(node1, nil, authority.Lifetime); !errors.Is(err, authority.ErrExists) || !strings.Contains(err.Error(), "renew") {
		t.Errorf("again: %v", err)
	}
	for _, id := range []certs.Identity{r1, {Kind: certs.Operator, Name: "alice@example.net"}, {Kind: certs.Inspector, Name: "bob"}} {
		cert, err := a.Issue(id, nil, authority.Lifetime)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := certs.Of(cert); err != nil || got != id {
			t.Errorf("%v: it is of %v, %v", id, got, err)
		}
		if slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || len(cert.DNSNames)+len(cert.IPAddresses) > 0 {
			t.Errorf("%v could stand for a controller: %v %v", id, cert.ExtKeyUsage, cert.DNSNames)
		}
	}
}

func TestIssueRefuses(t *testing.T) {
	a := made(t)
	for _, c := range []struct {
		id    certs.Identity
		hosts []string
		live  time.Duration
		want  string
	}{
		{certs.Identity{Kind: "root", Name: "x"}, nil, time.Hour, "no kind"},
		{certs.Identity{Kind: certs.Node, Name: "../x"}, nil, time.Hour, "no name of a node"},
		{certs.Identity{Kind: certs.Node, Name: ""}, nil, time.Hour, "no name"},
		{certs.Identity{Kind: certs.DataPlane, Name: "r1@x"}, nil, time.Hour, "no name"},
		{certs.Identity{Kind: certs.Operator, Name: "a/b"}, nil, time.Hour, "no name"},
		{r1, []string{"10.0.0.1"}, time.Hour, "only nodes are dialled"},
		{node1, []string{"10.0.0.1:9090"}, time.Hour, "no port"},
		{node1, []string{"0.0.0.0"}, time.Hour, "every address"},
		{node1, []string{certs.PeerName}, time.Hour, "neither a name"},
		{node1, []string{"a b"}, time.Hour, "neither a name"},
		{node1, nil, 0, "valid for some time"},
		{node1, nil, 11 * 365 * 24 * time.Hour, "the authority itself ends"},
	} {
		if _, err := a.Issue(c.id, c.hosts, c.live); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v %v: %v, want %q", c.id, c.hosts, err, c.want)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(a.Dir, "*", "*")); len(files) > 0 {
		t.Errorf("what was refused left %v", files)
	}
}

func TestRenewalKeepsTheKey(t *testing.T) {
	a := made(t)
	old, err := a.Issue(node1, []string{"10.0.0.1"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	f := a.Files(node1)
	key, err := os.ReadFile(f.Key)
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := a.Renew(f.Cert, authority.Lifetime)
	if err != nil {
		t.Fatal(err)
	}
	if !renewed.NotAfter.After(old.NotAfter) || renewed.SerialNumber.Cmp(old.SerialNumber) == 0 {
		t.Errorf("it is the old one: %v, serial %x", renewed.NotAfter, renewed.SerialNumber)
	}
	if id, err := certs.Of(renewed); err != nil || id != node1 || !slices.Equal(authority.Hosts(renewed), []string{"10.0.0.1"}) {
		t.Errorf("it says %v, %v, %v", id, authority.Hosts(renewed), err)
	}
	if public, ok := renewed.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(old.PublicKey) {
		t.Error("it is of another key")
	}
	if now, err := os.ReadFile(f.Key); err != nil || string(now) != string(key) {
		t.Errorf("the key was touched: %v", err)
	}
	if _, err := certs.Load(f, nil); err != nil {
		t.Errorf("it cannot be used: %v", err)
	}
	if _, err := made(t).Renew(f.Cert, authority.Lifetime); !errors.Is(err, authority.ErrForeign) {
		t.Errorf("by another authority: %v", err)
	}
}

func TestRevocation(t *testing.T) {
	a := made(t)
	cert, err := a.Issue(r1, nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{1, 0} { // a second time changes nothing
		if n, err := a.Revoke(cert.SerialNumber); err != nil || n != want {
			t.Fatalf("time %d: %d more, %v", i, n, err)
		}
	}
	if n, err := a.Revoke(big.NewInt(7)); err != nil || n != 1 {
		t.Fatalf("another: %d more, %v", n, err)
	}
	list, err := a.Revoked()
	if err != nil || len(list) != 2 || list[0].Cmp(cert.SerialNumber) != 0 {
		t.Fatalf("the list has %v, %v", list, err)
	}
	if _, err := a.Renew(a.Files(r1).Cert, time.Hour); !errors.Is(err, certs.ErrRevoked) {
		t.Errorf("what was revoked was renewed: %v", err)
	}
	if _, err := a.Revoke(big.NewInt(-1)); err == nil {
		t.Error("-1 is a serial number")
	}
	// An empty list in place of a lost one would let in what was revoked.
	if err := os.Remove(a.CRLFile()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Revoke(big.NewInt(8)); err == nil || !strings.Contains(err.Error(), "from a copy") {
		t.Errorf("without the list: %v", err)
	}
}
