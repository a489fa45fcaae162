package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// read reads the files and checks that they fit together.
func (f Files) read() (*material, error) {
	if f.CA == "" {
		return nil, errors.New("a certificate authority is needed beside certificate and key: its file says whom to trust")
	}
	if (f.Cert == "") != (f.Key == "") {
		return nil, errors.New("certificate and key come together: one of the two files is not named")
	}
	m := &material{pool: x509.NewCertPool()}
	var err error
	if m.cas, err = ReadCertificates(f.CA); err != nil {
		return nil, err
	}
	for _, ca := range m.cas {
		if !ca.IsCA {
			return nil, fmt.Errorf("%s: %s is no authority: name the file of the one that issued the certificates", f.CA, ca.Subject)
		}
		m.pool.AddCert(ca)
	}
	if f.Cert != "" {
		if err := m.pair(f); err != nil {
			return nil, err
		}
	}
	if f.CRL != "" {
		if m.revoked, err = m.readCRL(f.CRL); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *material) pair(f Files) error {
	cert, err := os.ReadFile(f.Cert)
	if err != nil {
		return err
	}
	key, err := os.ReadFile(f.Key)
	if err != nil {
		return err
	}
	if m.cert, err = tls.X509KeyPair(cert, key); err != nil {
		return fmt.Errorf("%s, %s: %w", f.Cert, f.Key, err)
	}
	m.leaf = m.cert.Leaf
	between := x509.NewCertPool()
	for _, raw := range m.cert.Certificate[1:] {
		if c, err := x509.ParseCertificate(raw); err == nil {
			between.AddCert(c)
		}
	}
	// The dates are not this check's: an expired certificate must be seen to be
	// expired, and a clock may be wrong.
	if _, err := m.leaf.Verify(x509.VerifyOptions{Roots: m.pool, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, CurrentTime: m.leaf.NotBefore}); err != nil {
		return fmt.Errorf("%s was not issued by an authority of %s: %w", f.Cert, f.CA, err)
	}
	return nil
}

// readCRL reads the serial numbers that one of the authorities has revoked.
func (m *material) readCRL(file string) (map[string]struct{}, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(raw); block != nil {
		return nil, fmt.Errorf("%s is PEM, and etcd reads DER: openssl crl -in %s -outform DER -out FILE", file, file)
	}
	list, err := x509.ParseRevocationList(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, ca := range m.cas {
		if list.CheckSignatureFrom(ca) == nil {
			out := make(map[string]struct{}, len(list.RevokedCertificateEntries))
			for _, e := range list.RevokedCertificateEntries {
				out[e.SerialNumber.String()] = struct{}{}
			}
			return out, nil
		}
	}
	return nil, fmt.Errorf("%s was not signed by an authority that is trusted here", file)
}

// ReadCertificates reads the certificates of a PEM file, at least one.
func ReadCertificates(file string) ([]*x509.Certificate, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return out, nil
}
