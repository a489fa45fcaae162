package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
)

// Secure is the transport of New for an https base: it trusts the authorities
// in the file ca and shows the operator's certificate in cert with its key, all
// PEM, read again at each connection, so that a renewed certificate needs no
// restart. Only nodes are believed, at the name or address of the base; TLS 1.3
// is the least. Errors: of the files. It does not know what was revoked.
func Secure(ca, cert, key string) (*http.Client, error) {
	raw, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", ca)
	}
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: roots, VerifyConnection: isNode,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(cert, key)
			return &pair, err
		},
	}
	return &http.Client{Transport: t}, nil
}

// isNode refuses another program of the same authority.
func isNode(s tls.ConnectionState) error {
	nodes, all := 0, 0
	for _, u := range s.PeerCertificates[0].URIs {
		if u.Scheme == "dvr" {
			all++
			if u.Host == "node" {
				nodes++
			}
		}
	}
	if nodes != 1 || all != 1 {
		return errors.New("what answers is no DVR node, by its certificate")
	}
	return nil
}
