package reference

import (
	"encoding/hex"
	"math/big"
	"math/bits"
	"net/netip"
)

// FIB is a router's table from scratch.
type FIB struct {
	Prefixes map[netip.Prefix]ClassID
	Groups   map[ClassID][]NextHop
	// Ambiguous lists prefixes whose next hops differ from those of their
	// class at another prefix: the rules have failed.
	Ambiguous []netip.Prefix
}

// FIB gathers prefixes and groups.
func (v Vector) FIB() FIB {
	f := FIB{Prefixes: map[netip.Prefix]ClassID{}, Groups: map[ClassID][]NextHop{}}
	for p, d := range v {
		f.Prefixes[p] = d.Class
		if g, ok := f.Groups[d.Class]; ok && string(groupItem(d.Class, g)) != string(groupItem(d.Class, d.NextHops)) {
			f.Ambiguous = append(f.Ambiguous, p)
		}
		f.Groups[d.Class] = d.NextHops
	}
	return f
}

func prefixItem(p netip.Prefix, c ClassID) []byte {
	a := address(p.Addr())
	b := append([]byte{1, a[0], byte(p.Bits())}, a[1:]...)
	return append(b, c[:]...)
}

func groupItem(c ClassID, hops []NextHop) []byte {
	b := append([]byte{2}, c[:]...)
	b = append(b, byte(len(hops)), byte(len(hops)>>8))
	for _, h := range hops {
		b = append(b, encode(h)...)
	}
	return b
}

// Digest is the FIB digest in text form.
func (f FIB) Digest() string {
	sum := new(big.Int)
	for p, c := range f.Prefixes {
		sum.Add(sum, hash(prefixItem(p, c)))
	}
	for c, g := range f.Groups {
		sum.Add(sum, hash(groupItem(c, g)))
	}
	sum.Mod(sum, new(big.Int).Lsh(big.NewInt(1), 128))
	var b [16]byte
	sum.FillBytes(b[:])
	for i := range 8 {
		b[i], b[15-i] = b[15-i], b[i]
	}
	return hex.EncodeToString(b[:])
}

// hash is MurmurHash3_x64_128 with seed 0, byte for byte: h2·2⁶⁴ + h1.
func hash(b []byte) *big.Int {
	const c1, c2 = 0x87c37b91114253d5, 0x4cf5ad432745937f
	var h1, h2 uint64
	for at := 0; at < len(b); at += 16 {
		block := b[at:min(at+16, len(b))]
		var k1, k2 uint64
		for i, x := range block {
			if i < 8 {
				k1 |= uint64(x) << (8 * i)
			} else {
				k2 |= uint64(x) << (8 * (i - 8))
			}
		}
		h1 ^= bits.RotateLeft64(k1*c1, 31) * c2
		if len(block) == 16 {
			h1 = (bits.RotateLeft64(h1, 27)+h2)*5 + 0x52dce729
		}
		h2 ^= bits.RotateLeft64(k2*c2, 33) * c1
		if len(block) == 16 {
			h2 = (bits.RotateLeft64(h2, 31)+h1)*5 + 0x38495ab5
		}
	}
	mix := func(k uint64) uint64 {
		k ^= k >> 33
		k *= 0xff51afd7ed558ccd
		k ^= k >> 33
		k *= 0xc4ceb9fe1a85ec53
		return k ^ k>>33
	}
	h1 ^= uint64(len(b))
	h2 ^= uint64(len(b))
	h1 += h2
	h2 += h1
	h1, h2 = mix(h1), mix(h2)
	h1 += h2
	h2 += h1
	out := new(big.Int).SetUint64(h2)
	return out.Lsh(out, 64).Or(out, new(big.Int).SetUint64(h1))
}
