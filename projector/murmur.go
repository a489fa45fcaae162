package projector

import (
	"encoding/binary"
	"math/bits"
)

// Constants of MurmurHash3_x64_128 (Austin Appleby, public domain).
const (
	murmurC1 = 0x87c37b91114253d5
	murmurC2 = 0x4cf5ad432745937f
)

func murmurK1(k uint64) uint64 { return bits.RotateLeft64(k*murmurC1, 31) * murmurC2 }

func murmurK2(k uint64) uint64 { return bits.RotateLeft64(k*murmurC2, 33) * murmurC1 }

func murmurBlock(h1, h2, k1, k2 uint64) (uint64, uint64) {
	h1 ^= murmurK1(k1)
	h1 = (bits.RotateLeft64(h1, 27)+h2)*5 + 0x52dce729
	h2 ^= murmurK2(k2)
	h2 = (bits.RotateLeft64(h2, 31)+h1)*5 + 0x38495ab5
	return h1, h2
}

func murmurMix(k uint64) uint64 {
	k = (k ^ k>>33) * 0xff51afd7ed558ccd
	k = (k ^ k>>33) * 0xc4ceb9fe1a85ec53
	return k ^ k>>33
}

func murmurEnd(h1, h2 uint64, n int) Digest {
	h1 ^= uint64(n)
	h2 ^= uint64(n)
	h1 += h2
	h2 += h1
	h1, h2 = murmurMix(h1), murmurMix(h2)
	h1 += h2
	h2 += h1
	return Digest{Lo: h1, Hi: h2}
}

// murmur is MurmurHash3_x64_128 of b; the digests use seed 0. It does not allocate.
func murmur(b []byte, seed uint32) Digest {
	n := len(b)
	h1, h2 := uint64(seed), uint64(seed)
	for len(b) >= 16 {
		h1, h2 = murmurBlock(h1, h2, binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]))
		b = b[16:]
	}
	if len(b) > 8 {
		h2 ^= murmurK2(littleEndian(b[8:]))
		b = b[:8]
	}
	if len(b) > 0 {
		h1 ^= murmurK1(littleEndian(b))
	}
	return murmurEnd(h1, h2, n)
}

// littleEndian reads up to 8 bytes.
func littleEndian(b []byte) (x uint64) {
	for i, c := range b {
		x |= uint64(c) << (8 * i)
	}
	return x
}
