package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// Prefix begins every token, so that it is recognized where it should not be.
const Prefix = "dvr_"

const (
	idBytes     = 8
	secretBytes = 32
	// secretText is how long a secret is written.
	secretText = (secretBytes*8 + 4) / 5
)

var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewToken makes a token of 256 random bits. The id and the hash are for the
// log; text is for its holder alone.
func NewToken() (text, id string, hash [32]byte) {
	var b [idBytes + secretBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	id = encoding.EncodeToString(b[:idBytes])
	secret := encoding.EncodeToString(b[idBytes:])
	return Prefix + id + "_" + secret, id, sha256.Sum256([]byte(secret))
}

// ParseToken reads a token's id and the hash of its secret; false: it is none.
// Cost: one SHA-256 of a block, no allocation.
func ParseToken(text string) (id string, hash [32]byte, ok bool) {
	rest, ok := strings.CutPrefix(text, Prefix)
	if !ok {
		return "", hash, false
	}
	id, secret, ok := strings.Cut(rest, "_")
	if !ok || id == "" || len(secret) != secretText {
		return "", hash, false
	}
	var b [secretText]byte
	copy(b[:], secret)
	return id, sha256.Sum256(b[:]), true
}
