package projector

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
)

// Digest is a set hash: a sum modulo 2¹²⁸ of the hashes of the items
// (decision 3). The zero Digest is that of the empty set. It detects
// divergence; it does not resist an adversary.
type Digest struct{ Lo, Hi uint64 }

// ErrDigest: the text or bytes are not a digest.
var ErrDigest = errors.New("a digest is 16 bytes, in text 32 hex digits")

// Add is the digest of the union of two disjoint sets.
func (d Digest) Add(o Digest) Digest {
	lo, carry := bits.Add64(d.Lo, o.Lo, 0)
	hi, _ := bits.Add64(d.Hi, o.Hi, carry)
	return Digest{lo, hi}
}

// Sub undoes Add.
func (d Digest) Sub(o Digest) Digest {
	lo, borrow := bits.Sub64(d.Lo, o.Lo, 0)
	hi, _ := bits.Sub64(d.Hi, o.Hi, borrow)
	return Digest{lo, hi}
}

// Bytes is the wire form: Lo then Hi, little-endian.
func (d Digest) Bytes() []byte { return d.Append(make([]byte, 0, 16)) }

// Append appends the wire form.
func (d Digest) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, d.Lo)
	return binary.LittleEndian.AppendUint64(dst, d.Hi)
}

// String is 32 hex digits of Bytes.
func (d Digest) String() string { return hex.EncodeToString(d.Bytes()) }

// DigestFromBytes reads the wire form. Errors: ErrDigest.
func DigestFromBytes(b []byte) (Digest, error) {
	if len(b) != 16 {
		return Digest{}, fmt.Errorf("%d bytes: %w", len(b), ErrDigest)
	}
	return Digest{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}, nil
}

// ParseDigest reads the text form. Errors: ErrDigest.
func ParseDigest(s string) (Digest, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 16 {
		return Digest{}, fmt.Errorf("%.40q: %w", s, ErrDigest)
	}
	return DigestFromBytes(b)
}

// hashItem is H of decision 3.
func hashItem(b []byte) Digest { return murmur(b, 0) }

// prefixItem hashes the prefix item of a canonical prefix. Cost: about 10 ns
// in the default VRF; it never allocates for VRF names within their limit.
func prefixItem(p netip.Prefix, class ClassID, vrf string) Digest {
	a := p.Addr()
	if vrf != "" {
		buf := make([]byte, 0, 128)
		return hashItem(appendPrefixItem(buf, p, class, vrf))
	}
	if a.Is4() {
		b := a.As4()
		return prefixItem4(binary.BigEndian.Uint32(b[:]), uint8(p.Bits()), class)
	}
	b := a.As16()
	return prefixItem6(&b, uint8(p.Bits()), class)
}

// appendPrefixItem appends the item's bytes:
// 0x01 ‖ family ‖ length ‖ address (16) ‖ class id (16) ‖ vrf.
func appendPrefixItem(dst []byte, p netip.Prefix, class ClassID, vrf string) []byte {
	family, address := wireAddr(p.Addr())
	dst = append(dst, 0x01, family, byte(p.Bits()))
	dst = append(dst, address[:]...)
	dst = append(dst, class[:]...)
	return append(dst, vrf...)
}

// wireAddr is the family (0 none, 4, 6) and the 16 bytes that items carry.
func wireAddr(a netip.Addr) (family byte, b [16]byte) {
	switch {
	case a.Is4():
		v4 := a.As4()
		copy(b[:], v4[:])
		return 4, b
	case a.Is6():
		return 6, a.As16()
	}
	return 0, b
}

// prefixItem4 is prefixItem of an IPv4 prefix in the default VRF, its 35 bytes put
// straight into the hash's words; addr in host order.
func prefixItem4(addr uint32, length uint8, class ClassID) Digest {
	k := 0x01 | 4<<8 | uint64(length)<<16 | uint64(bits.ReverseBytes32(addr))<<24
	h1, h2 := murmurBlock(0, 0, k, 0)
	return prefixItemEnd(h1, h2, 0, &class)
}

// prefixItem6 is prefixItem of an IPv6 prefix in the default VRF.
func prefixItem6(addr *[16]byte, length uint8, class ClassID) Digest {
	lo, hi := binary.LittleEndian.Uint64(addr[:8]), binary.LittleEndian.Uint64(addr[8:])
	h1, h2 := murmurBlock(0, 0, 0x01|6<<8|uint64(length)<<16|lo<<24, lo>>40|hi<<24)
	return prefixItemEnd(h1, h2, hi>>40, &class)
}

// prefixItemEnd hashes the last 19 bytes of an item of 35: the address's last
// three and the class id.
func prefixItemEnd(h1, h2, address uint64, class *ClassID) Digest {
	lo, hi := binary.LittleEndian.Uint64(class[:8]), binary.LittleEndian.Uint64(class[8:])
	h1, h2 = murmurBlock(h1, h2, address|lo<<24, lo>>40|hi<<24)
	h1 ^= murmurK1(hi >> 40)
	return murmurEnd(h1, h2, 35)
}

// bucketOf is the bucket of a prefix.
func bucketOf(p netip.Prefix, vrf string) int {
	return int(prefixItem(p, ClassID{}, vrf).Lo % buckets)
}

// buckets is the number of sums that a resuming data plane offers.
const buckets = 1024
