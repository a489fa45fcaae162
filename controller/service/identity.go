package service

import (
	"math/rand/v2"
	"time"
)

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// newKey makes the key of an import that came without one: a ULID, so that
// keys sort by time. Unique by chance, not secret.
func newKey(now time.Time) string {
	var b [26]byte
	ms := uint64(now.UnixMilli())
	for i := 9; i >= 0; i-- {
		b[i] = crockford[ms&31]
		ms >>= 5
	}
	for i := 10; i < len(b); i++ {
		b[i] = crockford[rand.Uint64()&31]
	}
	return string(b[:])
}
