package pmap

import (
	"cmp"
	"encoding/binary"
	"iter"
	"math/bits"
	"net/netip"
)

// V4 is a canonical IPv4 prefix: the address in host order above 8 bits of
// length. Numeric order is (address, length): a prefix comes before everything within it.
type V4 uint64

// Key4 packs a canonical IPv4 prefix.
func Key4(p netip.Prefix) V4 {
	a := p.Addr().As4()
	return V4(binary.BigEndian.Uint32(a[:]))<<8 | V4(p.Bits())
}

// Addr4 is the prefix of an address alone.
func Addr4(a netip.Addr) V4 {
	b := a.As4()
	return V4(binary.BigEndian.Uint32(b[:]))<<8 | 32
}

// Addr is the address in host order.
func (k V4) Addr() uint32 { return uint32(k >> 8) }

// Bits is the length.
func (k V4) Bits() int { return int(uint8(k)) }

// Prefix unpacks.
func (k V4) Prefix() netip.Prefix {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], k.Addr())
	return netip.PrefixFrom(netip.AddrFrom4(b), k.Bits())
}

// Compare orders by address, then length.
func (k V4) Compare(o V4) int { return cmp.Compare(k, o) }

// Search counts the smaller keys.
func (k V4) Search(keys []V4) int { return searchUint(keys, k) }

// Common is the longest prefix that contains both.
func (k V4) Common(o V4) V4 {
	return k.Cut(min(k.Bits(), o.Bits(), bits.LeadingZeros32(k.Addr()^o.Addr())))
}

// Cut is the prefix of that length which contains k; n ≤ Bits.
func (k V4) Cut(n int) V4 { return k>>8&^(1<<(32-n)-1)<<8 | V4(n) }

// V6 is a canonical IPv6 prefix, ordered like V4.
type V6 struct {
	Hi, Lo uint64
	Len    uint8
}

// Key6 packs a canonical IPv6 prefix.
func Key6(p netip.Prefix) V6 {
	a := p.Addr().As16()
	return V6{binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:]), uint8(p.Bits())}
}

// Addr6 is the prefix of an address alone.
func Addr6(a netip.Addr) V6 {
	b := a.As16()
	return V6{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), 128}
}

// Addr is the address in network order.
func (k V6) Addr() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:8], k.Hi)
	binary.BigEndian.PutUint64(b[8:], k.Lo)
	return b
}

// Bits is the length.
func (k V6) Bits() int { return int(k.Len) }

// Prefix unpacks.
func (k V6) Prefix() netip.Prefix { return netip.PrefixFrom(netip.AddrFrom16(k.Addr()), k.Bits()) }

func (k V6) less(o *V6) bool {
	if k.Hi != o.Hi {
		return k.Hi < o.Hi
	}
	if k.Lo != o.Lo {
		return k.Lo < o.Lo
	}
	return k.Len < o.Len
}

// Compare orders by address, then length.
func (k V6) Compare(o V6) int {
	switch {
	case k == o:
		return 0
	case k.less(&o):
		return -1
	}
	return 1
}

// Search counts the smaller keys.
func (k V6) Search(keys []V6) int {
	lo, hi := 0, len(keys)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if keys[mid].less(&k) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// Common is the longest prefix that contains both.
func (k V6) Common(o V6) V6 {
	n := bits.LeadingZeros64(k.Hi ^ o.Hi)
	if n == 64 {
		n += bits.LeadingZeros64(k.Lo ^ o.Lo)
	}
	return k.Cut(min(k.Bits(), o.Bits(), n))
}

// Cut is the prefix of that length which contains k; n ≤ Bits.
func (k V6) Cut(n int) V6 {
	c := V6{k.Hi, 0, uint8(n)}
	if n > 64 {
		c.Lo = k.Lo &^ (1<<(128-n) - 1)
	} else {
		c.Hi &^= 1<<(64-n) - 1
	}
	return c
}

// Prefix is a key that is a packed prefix: V4 or V6.
type Prefix[K any] interface {
	Key[K]
	Bits() int
	Common(K) K
	Cut(n int) K
}

// Covering iterates over the prefixes that contain q, itself included, the
// longest first: the first is the longest match. Cost: a Floor for each and
// for each place where a neighbour hides it, typically 2 to 4.
func Covering[K Prefix[K], V any](v View[K, V], q K) iter.Seq2[K, *V] {
	return func(yield func(K, *V) bool) {
		// What covers q and lies before the floor f of a bound covers f too,
		// so it is no longer than what f and q have in common; and if it is f
		// itself, shorter.
		bound := q
		for {
			f, p := v.Floor(bound)
			if p == nil {
				return
			}
			bound = f.Common(q)
			if bound != f {
				continue
			}
			if !yield(f, p) || f.Bits() == 0 {
				return
			}
			bound = f.Cut(f.Bits() - 1)
		}
	}
}

// Longest is the longest prefix that contains q; nil: none.
func Longest[K Prefix[K], V any](v View[K, V], q K) (K, *V) {
	for bound := q; ; {
		f, p := v.Floor(bound)
		if p == nil {
			return f, nil
		}
		if bound = f.Common(q); bound == f {
			return f, p
		}
	}
}

// Within iterates in ascending order over the prefixes that q contains, itself included.
func Within[K Prefix[K], V any](v View[K, V], q K) iter.Seq2[K, *V] { return WithinFrom(v, q, q) }

// WithinFrom is Within without what is below from.
func WithinFrom[K Prefix[K], V any](v View[K, V], q, from K) iter.Seq2[K, *V] {
	if from.Compare(q) < 0 {
		from = q
	}
	return func(yield func(K, *V) bool) {
		for k, p := range v.From(from) {
			if k.Common(q) != q || !yield(k, p) {
				return
			}
		}
	}
}
