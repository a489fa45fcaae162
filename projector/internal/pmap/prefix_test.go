package pmap

import (
	"cmp"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func less(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// prefixes draws nested and neighbouring prefixes: few address bits vary.
func prefixes(v6 bool) *rapid.Generator[netip.Prefix] {
	return rapid.Custom(func(t *rapid.T) netip.Prefix {
		if v6 {
			var b [16]byte
			for _, i := range []int{0, 7, 8, 15} {
				b[i] = rapid.SampledFrom([]byte{0, 0, 1, 0x80, 0xff}).Draw(t, "byte")
			}
			n := rapid.OneOf(rapid.IntRange(0, 128), rapid.SampledFrom([]int{0, 1, 8, 63, 64, 65, 127, 128})).Draw(t, "length")
			return netip.PrefixFrom(netip.AddrFrom16(b), n).Masked()
		}
		b := [4]byte{rapid.SampledFrom([]byte{0, 10, 0x80, 0xff}).Draw(t, "byte"), 3: rapid.SampledFrom([]byte{0, 1, 0x80, 0xff}).Draw(t, "byte")}
		b[1] = rapid.SampledFrom([]byte{0, 0, 1, 0xc0}).Draw(t, "byte")
		return netip.PrefixFrom(netip.AddrFrom4(b), rapid.IntRange(0, 32).Draw(t, "length")).Masked()
	})
}

// checkPrefixes compares order, matches and ranges with linear scans.
func checkPrefixes[K interface {
	Prefix[K]
	Prefix() netip.Prefix
}](t *rapid.T, v6 bool, key func(netip.Prefix) K, host func(netip.Addr) K) {
	all := rapid.SliceOfN(prefixes(v6), 0, 150).Draw(t, "prefixes")
	slices.SortFunc(all, less)
	all = slices.Compact(all)
	var m Map[K, netip.Prefix]
	for _, p := range rapid.Permutation(all).Draw(t, "order") {
		m.Set(key(p), p)
	}
	v := m.Freeze()
	i := 0
	for k, p := range v.All() {
		if *p != all[i] || k.Prefix() != *p {
			t.Fatalf("entry %d is %v %v, want %v", i, k, *p, all[i])
		}
		i++
	}
	for range 20 {
		q := prefixes(v6).Draw(t, "q")
		qk := key(q)
		if rapid.IntRange(0, 3).Draw(t, "host") == 0 {
			q = netip.PrefixFrom(q.Addr(), q.Addr().BitLen())
			if qk = host(q.Addr()); qk != key(q) {
				t.Fatalf("host key of %v", q)
			}
		}
		from := prefixes(v6).Draw(t, "from")
		var covering, within, after []netip.Prefix
		for _, p := range all {
			if p.Bits() <= q.Bits() && p.Contains(q.Addr()) {
				covering = append(covering, p)
			}
			if q.Bits() <= p.Bits() && q.Contains(p.Addr()) {
				within = append(within, p)
				if less(p, from) >= 0 {
					after = append(after, p)
				}
			}
			common := qk.Common(key(p))
			if n := commonBits(p, q); common.Prefix() != netip.PrefixFrom(q.Addr(), n).Masked() {
				t.Fatalf("%v and %v have %v in common", p, q, common.Prefix())
			}
			if got, want := qk.Compare(key(p)), less(q, p); got != want {
				t.Fatalf("Compare(%v, %v) = %d, want %d", q, p, got, want)
			}
		}
		slices.Reverse(covering)
		var got []netip.Prefix
		for k, p := range Covering(v, qk) {
			if k != key(*p) {
				t.Fatalf("Covering gave %v with the value of %v", k, *p)
			}
			got = append(got, *p)
		}
		if !slices.Equal(got, covering) {
			t.Fatalf("Covering(%v) = %v, want %v", q, got, covering)
		}
		if _, p := Longest(v, qk); (p != nil) != (len(covering) > 0) || p != nil && *p != covering[0] {
			t.Fatalf("Longest(%v) = %v, want %v", q, p, covering)
		}
		for k := range Covering(v, qk) {
			if k.Prefix() != covering[0] {
				t.Fatalf("first of Covering(%v) is %v", q, k)
			}
			break
		}
		got = nil
		for _, p := range Within(v, qk) {
			got = append(got, *p)
		}
		if !slices.Equal(got, within) {
			t.Fatalf("Within(%v) = %v, want %v", q, got, within)
		}
		got = nil
		for _, p := range WithinFrom(v, qk, key(from)) {
			got = append(got, *p)
		}
		if !slices.Equal(got, after) {
			t.Fatalf("WithinFrom(%v, %v) = %v, want %v", q, from, got, after)
		}
	}
}

func commonBits(p, q netip.Prefix) int {
	a, b := p.Addr().AsSlice(), q.Addr().AsSlice()
	n := 0
	for n < min(p.Bits(), q.Bits()) && a[n/8]>>(7-n%8)&1 == b[n/8]>>(7-n%8)&1 {
		n++
	}
	return n
}

func TestPrefixesAgainstLinearScan(t *testing.T) {
	t.Run("v4", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) { checkPrefixes(t, false, Key4, Addr4) })
	})
	t.Run("v6", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) { checkPrefixes(t, true, Key6, Addr6) })
	})
}
