// Package certs is transport security: a program's certificate with the
// authority that it trusts, read again when the files change, and whose a
// certificate is.
//
// Whose it is says exactly one URI among its names, dvr://<kind>/<name>; every
// listener and every caller asks for kinds. TLS 1.3 is the least that is spoken.
// Where a program has no certificate its *Credentials is nil, and the methods
// of nil mean clear text. Decision 21.
package certs
