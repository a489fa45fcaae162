package projector

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/big"
	"net/netip"
	"slices"
	"testing"

	"dvr/eventlog"

	"pgregory.net/rapid"
)

func TestMurmurKnownVectors(t *testing.T) {
	for _, c := range []struct {
		in     string
		h1, h2 uint64
	}{
		{"", 0, 0},
		{"hello", 0xcbd8a7b341bd9b02, 0x5b1e906a48ae1d19},
		{"The quick brown fox jumps over the lazy dog", 0xe34bbc7bbc071b6c, 0x7a433ca9c49a9347},
	} {
		if got := murmur([]byte(c.in), 0); got != (Digest{c.h1, c.h2}) {
			t.Errorf("murmur(%q) = %x", c.in, got)
		}
	}
}

// TestMurmurVerification is SMHasher's self-test: the hash of the hashes of
// 256 keys under 256 seeds begins with the value published for x64_128.
func TestMurmurVerification(t *testing.T) {
	var key, hashes []byte
	for i := range 256 {
		hashes = murmur(key, uint32(256-i)).Append(hashes)
		key = append(key, byte(i))
	}
	if got := uint32(murmur(hashes, 0).Lo); got != 0x6384ba69 {
		t.Errorf("verification value %#x, want 0x6384ba69", got)
	}
}

func anyPrefix() *rapid.Generator[netip.Prefix] {
	return rapid.Custom(func(t *rapid.T) netip.Prefix {
		b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address")
		if rapid.Bool().Draw(t, "v4") {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte(b)), rapid.IntRange(0, 32).Draw(t, "length")).Masked()
		}
		return netip.PrefixFrom(netip.AddrFrom16([16]byte(b)), rapid.IntRange(0, 128).Draw(t, "length")).Masked()
	})
}

// The specialised hashes must equal the hash of the item's bytes as the
// decision writes them down.
func TestPrefixItemIsTheHashOfItsBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPrefix().Draw(t, "prefix")
		class := ClassID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "class"))
		vrf := rapid.SampledFrom([]string{"", "", "b", "blue"}).Draw(t, "vrf")
		item := []byte{1, 6, byte(p.Bits())}
		if p.Addr().Is4() {
			item[1] = 4
		}
		item = append(item, p.Addr().AsSlice()...)
		item = append(item, make([]byte, 19-len(item))...)
		item = append(item, class[:]...)
		item = append(item, vrf...)
		if got := appendPrefixItem(nil, p, class, vrf); !bytes.Equal(got, item) {
			t.Fatalf("item %x, want %x", got, item)
		}
		if got, want := prefixItem(p, class, vrf), hashItem(item); got != want {
			t.Fatalf("prefixItem = %v, want %v", got, want)
		}
		clear(item[19:35])
		if got, want := bucketOf(p, vrf), int(binary.LittleEndian.Uint16(hashItem(item).Bytes())&1023); got != want {
			t.Fatalf("bucket %d, want %d", got, want)
		}
	})
}

func TestDigestArithmetic(t *testing.T) {
	digest := rapid.Custom(func(t *rapid.T) Digest {
		word := rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{0, 1, ^uint64(0), 1 << 63}))
		return Digest{word.Draw(t, "lo"), word.Draw(t, "hi")}
	})
	number := func(d Digest) *big.Int {
		n := new(big.Int).SetUint64(d.Hi)
		return n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(d.Lo))
	}
	mod := new(big.Int).Lsh(big.NewInt(1), 128)
	rapid.Check(t, func(t *rapid.T) {
		a, b := digest.Draw(t, "a"), digest.Draw(t, "b")
		sum := new(big.Int).Add(number(a), number(b))
		if got := number(a.Add(b)); got.Cmp(sum.Mod(sum, mod)) != 0 {
			t.Fatalf("%v + %v = %v", a, b, got)
		}
		if a.Add(b).Sub(b) != a {
			t.Fatalf("%v + %v − %v", a, b, b)
		}
		back, err := ParseDigest(a.String())
		if err != nil || back != a {
			t.Fatalf("ParseDigest(%q) = %v, %v", a, back, err)
		}
		back, err = DigestFromBytes(a.Bytes())
		if err != nil || back != a {
			t.Fatalf("DigestFromBytes(%x) = %v, %v", a.Bytes(), back, err)
		}
	})
	for _, s := range []string{"", "0", "zz", "00112233445566778899aabbccddee", "00112233445566778899aabbccddeeff00", "0x112233445566778899aabbccddeeff"} {
		if _, err := ParseDigest(s); !errors.Is(err, ErrDigest) {
			t.Errorf("ParseDigest(%q): %v", s, err)
		}
	}
	if _, err := DigestFromBytes(make([]byte, 15)); !errors.Is(err, ErrDigest) {
		t.Errorf("DigestFromBytes of 15 bytes: %v", err)
	}
}

func TestDigestDoesNotAllocate(t *testing.T) {
	p4, p6 := netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/32")
	var sum Digest
	if n := testing.AllocsPerRun(100, func() {
		sum = sum.Add(prefixItem(p4, vectorClass(1), "")).Add(prefixItem(p6, vectorClass(1), "")).
			Add(prefixItem(p4, vectorClass(1), "blue")).Add(groupItem(vectorClass(1), groups[13]))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	_ = sum
}

func TestCanonicalGroup(t *testing.T) {
	hop := rapid.Custom(func(t *rapid.T) NextHop {
		return NextHop{
			Type:      rapid.SampledFrom([]eventlog.RouteType{eventlog.Unicast, eventlog.Unicast, eventlog.Unicast, eventlog.Blackhole, eventlog.Prohibit}).Draw(t, "type"),
			Address:   rapid.SampledFrom([]netip.Addr{{}, hop4, hop4b, hop6}).Draw(t, "address"),
			Interface: rapid.SampledFrom([]string{"", "", "e", "eth0"}).Draw(t, "interface"),
			Via:       rapid.SampledFrom([]eventlog.RouterID{"", "", "r2"}).Draw(t, "via"),
			Weight:    rapid.SampledFrom([]uint16{1, 1, 2, 256, 65535}).Draw(t, "weight"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOfN(hop, 1, 120).Draw(t, "hops")
		got := canonicalGroup(slices.Clone(in))
		shuffled := rapid.Permutation(in).Draw(t, "shuffled")
		if again := canonicalGroup(slices.Clone(shuffled)); !slices.Equal(got, again) {
			t.Fatalf("depends on the order: %v, %v", got, again)
		}
		if len(got) == 0 || len(got) > 64 {
			t.Fatalf("%d next hops", len(got))
		}
		for i, h := range got {
			if i > 0 && bytes.Compare(appendNextHop(nil, &got[i-1]), appendNextHop(nil, &h)) >= 0 {
				t.Fatalf("not sorted: %v", got)
			}
			sum := 0
			for _, o := range in {
				if o.Type < h.Type {
					t.Fatalf("type %d wins over %d", h.Type, o.Type)
				}
				if w := int(o.Weight); true {
					if o.Weight = h.Weight; o == h {
						sum += w
					}
				}
			}
			if int(h.Weight) != min(sum, 65535) {
				t.Fatalf("weight of %v, want %d", h, sum)
			}
		}
	})
	if canonicalGroup(nil) != nil {
		t.Error("the empty group is nil")
	}
}

func TestClassOf(t *testing.T) {
	base := func() routeSet { return routeSet{route("r1", "192.168.1.1", 10), route("r2", "192.168.2.1", 20)} }
	want, _, ok := classOf(base())
	if !ok {
		t.Fatal("not usable")
	}
	same := map[string]func(routeSet) routeSet{
		"order":                 func(r routeSet) routeSet { slices.Reverse(r); return r },
		"all metrics raised":    func(r routeSet) routeSet { r[0].Metric += 5; r[1].Metric += 5; return r },
		"origin, tags, expiry":  func(r routeSet) routeSet { r[0].Origin, r[0].Tags, r[0].Expires = "bgp", []string{"x"}, 9; return r },
		"an unusable candidate": func(r routeSet) routeSet { return append(r, route("r3", "192.168.3.1", eventlog.MetricUnusable)) },
		"an equal record":       func(r routeSet) routeSet { return append(r, route("r2", "192.168.2.1", 20)) },
		"another destination":   func(r routeSet) routeSet { r[0].Destination = netip.MustParsePrefix("10.0.0.0/8"); return r },
	}
	for name, f := range same {
		if got, _, ok := classOf(f(base())); !ok || got.id != want.id {
			t.Errorf("%s changes the class", name)
		}
	}
	differs := map[string]func(routeSet) routeSet{
		"router":       func(r routeSet) routeSet { r[0].Router = "r3"; return r },
		"vrf":          func(r routeSet) routeSet { r[0].VRF = "blue"; return r },
		"preference":   func(r routeSet) routeSet { r[0].Preference = 2; return r },
		"one metric":   func(r routeSet) routeSet { r[0].Metric++; return r },
		"type":         func(r routeSet) routeSet { r[0].Type = eventlog.Blackhole; return r },
		"next hop":     func(r routeSet) routeSet { r[0].NextHop = hop6; return r },
		"no next hop":  func(r routeSet) routeSet { r[0].NextHop = netip.Addr{}; return r },
		"interface":    func(r routeSet) routeSet { r[0].Interface = "eth0"; return r },
		"weight":       func(r routeSet) routeSet { r[0].Weight = 2; return r },
		"recursive":    func(r routeSet) routeSet { r[0].Recursive = true; return r },
		"via default":  func(r routeSet) routeSet { r[0].ViaDefault = true; return r },
		"one less":     func(r routeSet) routeSet { return r[:1] },
		"one unusable": func(r routeSet) routeSet { r[1].Metric = eventlog.MetricUnusable; return r },
	}
	for name, f := range differs {
		if got, _, ok := classOf(f(base())); !ok || got.id == want.id {
			t.Errorf("%s does not change the class", name)
		}
	}
	for _, r := range []*eventlog.RouteAnnounced{route("r1", "192.168.1.1", 10), route("*", "2001:db8::1", 0)} {
		one, _, _ := classOf(routeSet{r})
		if id, _ := classOfOne([]byte("scratch"), r); id != one.id {
			t.Errorf("%v alone: %x, want %x", r.NextHop, id, one.id)
		}
	}
	if _, _, ok := classOf(nil); ok {
		t.Error("the empty set has a class")
	}
}

func BenchmarkPrefixItem(b *testing.B) {
	var sum Digest
	p4, p6 := netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/32")
	b.Run("v4", func(b *testing.B) {
		for b.Loop() {
			sum = sum.Add(prefixItem(p4, vectors1, ""))
		}
	})
	b.Run("v6", func(b *testing.B) {
		for b.Loop() {
			sum = sum.Add(prefixItem(p6, vectors1, ""))
		}
	})
	_ = sum
}

var vectors1 = vectorClass(1)
