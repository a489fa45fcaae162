package authority

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"slices"

	"dvr/controller/certs"
	"dvr/controller/durable"
)

// replacedFile holds the certificates that renewals have replaced or made and
// that have not ended: they are good with the same key.
func (a *Authority) replacedFile() string { return a.path("replaced.crt") }

// replaced are the certificates of replacedFile that have not ended.
func (a *Authority) replaced() ([]*x509.Certificate, error) {
	list, err := certs.ReadCertificates(a.replacedFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var good []*x509.Certificate
	for _, c := range list {
		if a.now().Before(c.NotAfter) {
			good = append(good, c)
		}
	}
	return good, err
}

// keep adds a certificate that is about to be replaced and its successor; those
// that have ended go.
func (a *Authority) keep(made ...*x509.Certificate) error {
	list, err := a.replaced()
	if err != nil {
		return err
	}
	var raw []byte
	for _, c := range made {
		if !slices.ContainsFunc(list, c.Equal) {
			list = append(list, c)
		}
	}
	for _, c := range list {
		raw = append(raw, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return durable.Write(a.replacedFile(), raw, 0o644)
}

// Serials are the serial number of a certificate and of those that renewals have
// replaced by it or it by: who has its key can show any of them until it ends, so they
// are revoked together.
func (a *Authority) Serials(cert *x509.Certificate) ([]*big.Int, error) {
	list, err := a.replaced()
	if err != nil {
		return nil, err
	}
	serials := []*big.Int{cert.SerialNumber}
	for _, c := range list {
		if public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && public.Equal(cert.PublicKey) && c.SerialNumber.Cmp(cert.SerialNumber) != 0 {
			serials = append(serials, c.SerialNumber)
		}
	}
	return serials, nil
}
