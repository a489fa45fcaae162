// Package auth says whose a credential is: a token that the log knows, or a JWT
// of the identity provider. What its actor may do is projector.Access's.
package auth
