package cli

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"dvr/controller/certs"
)

// distrust says of a failed handshake which side refused whose certificate, why as
// far as this side knows, and what to do; "": err is something else.
func (c *connection) distrust(err error) string {
	text := err.Error()
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	refused := func(why string) string { return "This command refused the node's certificate: " + why }
	switch {
	case strings.Contains(text, "remote error: tls:"):
		return c.refusedBy(text)
	case strings.Contains(text, "gave HTTP response to HTTPS client"), strings.Contains(text, "first record does not look like a TLS handshake"):
		return "The node speaks clear text there: leave --cacert, --cert and --key (DVR_CA_FILE, …) out, or is another port meant?"
	case errors.As(err, &authority):
		if c.files.CA == "" {
			return refused("it is of an authority that this machine does not know. Name the ca.crt of the one that issued it: --cacert FILE or DVR_CA_FILE")
		}
		return refused(fmt.Sprintf("it was not issued by the authority in --cacert (%s). Take the ca.crt of the one that did", c.files.CA))
	case errors.As(err, &host):
		return refused("it is not for the host that was called. Call the node by a host that its certificate names, or issue it anew with that `--host` (`dvr cert issue node`)")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return refused("it has ended, or has not begun by this machine's clock. `dvr cert renew` where the authority is, and put the file in place at the node")
	case errors.Is(err, certs.ErrRevoked):
		return refused(fmt.Sprintf("it is in the list of revoked ones, --crl (%s)", c.files.CRL))
	case errors.Is(err, certs.ErrKind), errors.Is(err, certs.ErrNoIdentity):
		return refused("it is no node's, so what answers there is not the API of one")
	case strings.Contains(text, "tls:"), strings.Contains(text, "x509:"):
		return refused("see `dvr cert show " + strings.TrimSpace(c.files.CA) + "`")
	}
	return ""
}

// refusedBy is distrust where the node has refused ours; text has its alert.
func (c *connection) refusedBy(text string) string {
	const log = "The node's log says why, after \"a connection was refused\"."
	if c.files.Cert == "" {
		return "The node asks for a certificate, and none was shown: --cert and --key, or DVR_CERT_FILE and DVR_KEY_FILE, of `dvr cert issue operator NAME`."
	}
	shown := fmt.Sprintf("The node refused the certificate in --cert (%s): ", c.files.Cert)
	credentials, err := c.credentials()
	if err != nil || credentials.Own() == nil {
		return shown + log
	}
	leaf := credentials.Own()
	owner, err := certs.Of(leaf)
	const anew = "`dvr cert issue operator NAME` makes one."
	switch now := time.Now(); {
	case err != nil:
		return shown + err.Error() + ". " + anew
	case owner.Kind != certs.Operator:
		return fmt.Sprintf("%sit is of %s, and the API is for those of kind operator. %s", shown, owner, anew)
	case now.After(leaf.NotAfter):
		return fmt.Sprintf("%sit has ended (%s). `dvr cert renew` where the authority is.", shown, leaf.NotAfter.UTC().Format(time.RFC3339))
	case strings.Contains(text, "unknown certificate authority"):
		return shown + "its authority is none that the node trusts (CA_FILE there). " + log
	}
	return fmt.Sprintf("%sit is of %s and good until %s here, so it was revoked, or the node's clock or CA_FILE differs. %s", shown, owner, leaf.NotAfter.UTC().Format(time.RFC3339), log)
}
