package itemhash

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// Digest is a sum of hashes modulo 2¹²⁸.
type Digest struct{ Lo, Hi uint64 }

// Add is d + e.
func (d Digest) Add(e Digest) Digest {
	lo, carry := bits.Add64(d.Lo, e.Lo, 0)
	hi, _ := bits.Add64(d.Hi, e.Hi, carry)
	return Digest{lo, hi}
}

// Sub is d − e.
func (d Digest) Sub(e Digest) Digest {
	lo, borrow := bits.Sub64(d.Lo, e.Lo, 0)
	hi, _ := bits.Sub64(d.Hi, e.Hi, borrow)
	return Digest{lo, hi}
}

// Bytes is the form on the wire.
func (d Digest) Bytes() []byte {
	b := binary.LittleEndian.AppendUint64(nil, d.Lo)
	return binary.LittleEndian.AppendUint64(b, d.Hi)
}

// Class names a path class.
type Class [16]byte

// NextHop is a member of a group; an invalid Address means none.
type NextHop struct {
	Type      uint8
	Address   netip.Addr
	Weight    uint16
	Interface string
	Via       string
}

func hash(b []byte) Digest {
	lo, hi := Sum(b)
	return Digest{lo, hi}
}

// Prefix is the hash of the prefix item.
func Prefix(p netip.Prefix, c Class, vrf string) Digest {
	var room [64]byte
	b := append(room[:0], 1)
	b = appendAddr(b, p.Addr(), uint8(p.Bits()))
	b = append(b, c[:]...)
	return hash(append(b, vrf...))
}

// appendAddr appends family, length and 16 bytes of address.
func appendAddr(b []byte, a netip.Addr, length uint8) []byte {
	var bytes16 [16]byte
	family := byte(6)
	if a.Is4() {
		family = 4
		a4 := a.As4()
		copy(bytes16[:], a4[:])
	} else {
		bytes16 = a.As16()
	}
	return append(append(b, family, length), bytes16[:]...)
}

// Bucket is the bucket of a prefix, 0…1023.
func Bucket(p netip.Prefix, vrf string) int { return int(Prefix(p, Class{}, vrf).Lo & 1023) }

// Group is the hash of the group item; the order of hops does not matter.
func Group(c Class, hops []NextHop) Digest {
	records := make([][]byte, len(hops))
	for i, h := range hops {
		records[i] = record(h)
	}
	slices.SortFunc(records, bytes.Compare)
	b := append([]byte{2}, c[:]...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(hops)))
	for _, r := range records {
		b = append(b, r...)
	}
	return hash(b)
}

func record(h NextHop) []byte {
	b := []byte{h.Type}
	var address [16]byte
	switch {
	case !h.Address.IsValid():
		b = append(b, 0)
	case h.Address.Is4():
		b = append(b, 4)
		a := h.Address.As4()
		copy(address[:], a[:])
	default:
		b = append(b, 6)
		address = h.Address.As16()
	}
	b = append(b, address[:]...)
	b = binary.LittleEndian.AppendUint16(b, h.Weight)
	b = append(append(b, byte(len(h.Interface))), h.Interface...)
	return append(append(b, byte(len(h.Via))), h.Via...)
}
