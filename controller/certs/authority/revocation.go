package authority

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"slices"
	"time"

	"dvr/controller/durable"
)

// crlLifetime: nobody judges a list by its age, since a lapsed one would end all
// connections and an older one is no protection.
const crlLifetime = CALifetime

// Revoke adds serial numbers to the list; those on it stay where they are. It
// gives the number of those that are new.
func (a *Authority) Revoke(serials ...*big.Int) (int, error) {
	list, err := a.revoked()
	if err != nil {
		return 0, err
	}
	added := 0
	for _, s := range serials {
		if s.Sign() <= 0 {
			return 0, fmt.Errorf("%v is no serial number", s)
		}
		if !contains(list, s) {
			list = append(list, x509.RevocationListEntry{SerialNumber: s, RevocationTime: a.now().UTC()})
			added++
		}
	}
	if added == 0 {
		return 0, nil
	}
	return added, a.writeCRL(list)
}

// Revoked are the serial numbers on the list.
func (a *Authority) Revoked() ([]*big.Int, error) {
	list, err := a.revoked()
	out := make([]*big.Int, len(list))
	for i := range list {
		out[i] = list[i].SerialNumber
	}
	return out, err
}

func (a *Authority) revoked() ([]x509.RevocationListEntry, error) {
	raw, err := os.ReadFile(a.CRLFile())
	if errors.Is(err, fs.ErrNotExist) {
		// An empty list in its place would let in what was revoked.
		return nil, fmt.Errorf("%s is missing: put it back from a copy", a.CRLFile())
	}
	if err != nil {
		return nil, err
	}
	list, err := x509.ParseRevocationList(raw)
	if err == nil {
		err = list.CheckSignatureFrom(a.Cert)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.CRLFile(), err)
	}
	return list.RevokedCertificateEntries, nil
}

func contains(list []x509.RevocationListEntry, serial *big.Int) bool {
	return slices.ContainsFunc(list, func(e x509.RevocationListEntry) bool { return e.SerialNumber.Cmp(serial) == 0 })
}

func (a *Authority) writeCRL(list []x509.RevocationListEntry) error {
	now := a.now()
	raw, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(now.UnixNano()), ThisUpdate: now, NextUpdate: now.Add(crlLifetime + time.Hour), RevokedCertificateEntries: list,
	}, a.Cert, a.key)
	if err != nil {
		return err
	}
	return durable.Write(a.CRLFile(), raw, 0o644)
}
