package authority

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"dvr/controller/certs"
)

var hostName = regexp.MustCompile(`^(?i)(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// template is what a certificate says but for number and dates.
func template(id certs.Identity, hosts []string) (*x509.Certificate, error) {
	u, err := url.Parse(id.String())
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: id.Name}, URIs: []*url.URL{u},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	if id.Kind != certs.Node {
		return t, nil
	}
	t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	t.DNSNames = []string{certs.PeerName}
	for _, h := range hosts {
		if a, err := netip.ParseAddr(h); err == nil {
			if a.IsUnspecified() {
				return nil, fmt.Errorf("host %q is every address: name those by which the node is dialled", h)
			}
			t.IPAddresses = append(t.IPAddresses, a.AsSlice())
			continue
		}
		if len(h) > 253 || !hostName.MatchString(h) || strings.EqualFold(h, certs.PeerName) {
			return nil, fmt.Errorf("host %q is neither a name nor an address; it has no port", h)
		}
		if !slices.Contains(t.DNSNames, h) {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	return t, nil
}

// Hosts are the names and addresses by which the owner of a certificate is dialled.
func Hosts(c *x509.Certificate) []string {
	var out []string
	for _, n := range c.DNSNames {
		if n != certs.PeerName {
			out = append(out, n)
		}
	}
	for _, ip := range c.IPAddresses {
		out = append(out, ip.String())
	}
	return out
}
