// Package certstest makes certificates for tests.
package certstest

import (
	"errors"
	"testing"
	"time"

	"dvr/controller/certs"
	"dvr/controller/certs/authority"
)

// CA is an authority in a temporary directory.
type CA struct {
	*authority.Authority
	t testing.TB
}

// New makes one.
func New(t testing.TB) *CA {
	t.Helper()
	// Old enough for certificates that have ended.
	a, err := authority.Init(t.TempDir(), authority.CALifetime, func() time.Time { return time.Now().Add(-30 * 24 * time.Hour) })
	if err != nil {
		t.Fatal(err)
	}
	a.Now = nil
	return &CA{a, t}
}

// At lets certificates be issued as if it were that time.
func (c *CA) At(at time.Time) *CA {
	a := *c.Authority
	a.Now = func() time.Time { return at }
	return &CA{&a, c.t}
}

// Make issues a certificate for a day, with loopback and the hosts where it is a
// node's, unless it was issued before, and gives its files.
func (c *CA) Make(kind certs.Kind, name string, hosts ...string) certs.Files {
	c.t.Helper()
	id := certs.Identity{Kind: kind, Name: name}
	if kind == certs.Node {
		hosts = append(hosts, "localhost", "127.0.0.1", "::1")
	}
	if _, err := c.Issue(id, hosts, 24*time.Hour); err != nil && !errors.Is(err, authority.ErrExists) {
		c.t.Fatal(err)
	}
	return c.Files(id)
}

// Load is Make, loaded.
func (c *CA) Load(kind certs.Kind, name string, hosts ...string) *certs.Credentials {
	c.t.Helper()
	k, err := certs.Load(c.Make(kind, name, hosts...), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return k
}
