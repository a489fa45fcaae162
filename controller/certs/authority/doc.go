// Package authority is a small certificate authority in a directory, for those
// who have none: ca.crt, ca.key, ca.crl (what was revoked), and the certificates
// that it issued in <kind>/<name>.crt with their keys in <kind>/<name>.key.
//
// All keys are ECDSA P-256, which everything that reads them takes (browsers do
// not take Ed25519). Keys are readable by their owner only. Every file is
// replaced as a whole. It keeps no list of what it issued: what a certificate
// says is in it, and what is revoked is told by the certificate. Decision 21.
package authority
