package projector

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// place is a prefix taken apart: the address as two big-endian words (IPv4 in
// the upper half of hi) and the length.
type place struct {
	hi, lo uint64
	bits   uint8
	v6     bool
}

func placeOf(p netip.Prefix) place {
	a := p.Addr()
	if a.Is4() {
		b := a.As4()
		return place{hi: uint64(binary.BigEndian.Uint32(b[:])) << 32, bits: uint8(p.Bits())}
	}
	b := a.As16()
	return place{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), uint8(p.Bits()), true}
}

func placeOfAddr(a netip.Addr) place {
	return placeOf(netip.PrefixFrom(a, a.BitLen()))
}

func (p place) prefix() netip.Prefix {
	if p.v6 {
		return netip.PrefixFrom(netip.AddrFrom16(p.as16()), int(p.bits))
	}
	return netip.PrefixFrom(addr4(uint32(p.hi>>32)), int(p.bits))
}

func (p place) as16() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:8], p.hi)
	binary.BigEndian.PutUint64(b[8:], p.lo)
	return b
}

func addr4(a uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.AddrFrom4(b)
}

// key4 orders by address, then length.
func (p place) key4() pmap.V4 { return pmap.V4(p.hi>>24 | uint64(p.bits)) }

func place4(k pmap.V4) place { return place{hi: uint64(k) >> 8 << 32, bits: uint8(k)} }

// key6 orders by address, then length.
func (p place) key6() pmap.V6 { return pmap.V6{Hi: p.hi, Lo: p.lo, Len: p.bits} }

func place6(k pmap.V6) place { return place{k.Hi, k.Lo, k.Len, true} }

// before is the order of places of one family.
func (p place) before(o place) bool { return p.key6().Compare(o.key6()) < 0 }

// words is a 16-byte identity as the two little-endian words that the hash reads.
type words struct{ a, b uint64 }

func wordsOf(id [16]byte) words {
	return words{binary.LittleEndian.Uint64(id[:8]), binary.LittleEndian.Uint64(id[8:])}
}

// The prefix item of decision 3 is 35 bytes: a head of three, the address, the
// class id. Its blocks are put together by shifting, without a buffer.
func (p place) blocks(id words) (h1, h2, rest uint64) {
	head := uint64(0x01 | 4<<8)
	if p.v6 {
		head = 0x01 | 6<<8
	}
	head |= uint64(p.bits) << 16
	a0, a1 := bits.ReverseBytes64(p.hi), bits.ReverseBytes64(p.lo)
	h1, h2 = murmurBlock(0, 0, head|a0<<24, a0>>40|a1<<24)
	h1, h2 = murmurBlock(h1, h2, a1>>40|id.a<<24, id.a>>40|id.b<<24)
	return h1, h2, id.b >> 40
}

// item is the hash of the prefix item in the default VRF.
func (p place) item(id words) Digest {
	h1, h2, rest := p.blocks(id)
	return murmurEnd(h1^murmurK1(rest), h2, 35)
}

// routeItem is the state digest's item of a route with this body.
func (p place) routeItem(b *body, rev eventlog.Revision) Digest {
	if b.route.VRF != "" {
		buf := appendPrefixItem(make([]byte, 0, 128), p.prefix(), b.id, b.route.VRF)
		return hashItem(binary.LittleEndian.AppendUint64(buf, uint64(rev)))
	}
	h1, h2, rest := p.blocks(b.words)
	return murmurEnd(h1^murmurK1(rest|uint64(rev)<<24), h2^murmurK2(uint64(rev)>>40), 43)
}
