package launcher

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"dvr/controller/certs"
	"dvr/controller/certs/authority"
)

// certificates is the launcher's authority, of a cluster in TLS: it issues what
// nodes, data planes and the launcher show, and renews it. nil: clear text.
type certificates struct {
	mu        sync.Mutex // of authority
	authority *authority.Authority
	own       *certs.Credentials // the listener's
	caller    *certs.Credentials // shown to nodes
}

// Certificates that the launcher itself has, and one for whoever started it.
var (
	listenerID = certs.Identity{Kind: certs.Node, Name: "launcher"}
	callerID   = certs.Identity{Kind: certs.Operator, Name: "launcher"}
	personID   = certs.Identity{Kind: certs.Operator, Name: "operator"}
)

const (
	certificatesName = "certs"
	// renewBefore is how long before its end a certificate is renewed, and
	// renewEvery how often that is looked at.
	renewBefore = authority.Lifetime / 3
	renewEvery  = 6 * time.Hour
)

// openCertificates opens the authority in dir, or makes it with the cluster.
func openCertificates(dir string, founding bool, listener net.Listener, log *zap.Logger) (*certificates, error) {
	dir = filepath.Join(dir, certificatesName)
	open := authority.Open
	if founding {
		open = func(dir string) (*authority.Authority, error) {
			a, err := authority.Init(dir, authority.CALifetime, nil)
			if errors.Is(err, authority.ErrExists) {
				return authority.Open(dir) // of a start that was cut short
			}
			return a, err
		}
	}
	a, err := open(dir)
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	c := &certificates{authority: a}
	host, _, _ := net.SplitHostPort(listener.Addr().String())
	for _, id := range []certs.Identity{listenerID, callerID, personID} {
		if _, err := c.files(id, host); err != nil {
			return nil, err
		}
	}
	if c.own, err = certs.Load(a.Files(listenerID), log.Named("tls")); err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	if c.caller, err = certs.Load(a.Files(callerID), log.Named("tls")); err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	return c, nil
}

// files are those of a certificate that is good for a while: issued where it is
// missing, renewed where it ends soon.
func (c *certificates) files(id certs.Identity, hosts ...string) (certs.Files, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.authority.Files(id)
	list, err := certs.ReadCertificates(f.Cert)
	switch {
	case err == nil && time.Until(list[0].NotAfter) >= renewBefore:
		return f, nil
	case err == nil:
		_, err = c.authority.Renew(f.Cert, authority.Lifetime)
	case id.Kind == certs.Node:
		_, err = c.authority.Issue(id, unspecified(append(hosts, "localhost", "127.0.0.1", "::1")), authority.Lifetime)
	default:
		_, err = c.authority.Issue(id, nil, authority.Lifetime)
	}
	if err != nil {
		return f, fmt.Errorf("certificate of %s: %w", id, err)
	}
	return f, nil
}

// unspecified leaves out addresses that nobody can dial, and repetitions.
func unspecified(hosts []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, h := range hosts {
		if ip := net.ParseIP(h); h == "" || seen[h] || ip != nil && ip.IsUnspecified() {
			continue
		}
		seen[h] = true
		out = append(out, h)
	}
	return out
}

// variables are the settings by which a process finds its files.
func variables(f certs.Files, prefix string) []string {
	return []string{prefix + "CA_FILE=" + f.CA, prefix + "CERT_FILE=" + f.Cert, prefix + "KEY_FILE=" + f.Key, prefix + "CRL_FILE=" + f.CRL}
}

// shown are the settings by which a process shows its certificate; none in clear text.
func (l *Launcher) shown(kind certs.Kind, id, prefix string) ([]string, error) {
	if l.certificates == nil {
		return nil, nil
	}
	f, err := l.certificates.files(certs.Identity{Kind: kind, Name: id})
	return variables(f, prefix), err
}

// renew keeps every certificate from ending while the launcher runs, which has
// no part in it otherwise: who uses them reads them again.
func (l *Launcher) renew() {
	if l.certificates == nil {
		return
	}
	t := time.NewTicker(renewEvery)
	defer t.Stop()
	for {
		ids := []certs.Identity{listenerID, callerID, personID}
		for _, id := range l.store.get().ids() {
			ids = append(ids, certs.Identity{Kind: certs.Node, Name: id})
			if l.options.DataPlanes {
				ids = append(ids, certs.Identity{Kind: certs.DataPlane, Name: id})
			}
		}
		for _, id := range ids {
			if _, err := l.certificates.files(id); err != nil {
				l.log.Error("a certificate cannot be renewed", zap.Error(err))
			}
		}
		select {
		case <-t.C:
		case <-l.ctx.Done():
			return
		}
	}
}

// tls is the launcher's own transport; nil: clear text.
func (l *Launcher) tls() *certs.Credentials {
	if l.certificates == nil {
		return nil
	}
	return l.certificates.own
}

// secured is the listener in TLS, or as it is.
func (l *Launcher) secured(raw net.Listener) net.Listener {
	own := l.tls()
	if own == nil {
		return raw
	}
	return tls.NewListener(own.Listen(raw), own.Server(true, []string{"http/1.1"}, certs.Operator))
}

// identified refuses who shows no operator's certificate.
func (l *Launcher) identified(r *http.Request) error {
	if l.certificates == nil {
		return nil
	}
	id, err := certs.OfRequest(r)
	return certs.Require(id, err, certs.Operator)
}
