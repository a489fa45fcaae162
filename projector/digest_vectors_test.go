package projector

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"dvr/eventlog"
)

var update = flag.Bool("update", false, "rewrite golden files")

// vectorsHeader explains the file to its readers in other languages.
const vectorsHeader = `# Test vectors of decision 3, read by the Go and the C++ tests. Written by
#   go test ./projector -run TestDigestVectors -update
# One record a line, fields divided by one space; "-" is an empty field; bytes in hex, numbers in decimal.
# A digest is the hex of its 16 wire bytes: h1 then h2, little-endian each.
#
# murmur BYTES DIGEST                                   MurmurHash3_x64_128, seed 0
# prefix FAMILY LENGTH ADDRESS CLASS VRF DIGEST BUCKET  ADDRESS: 4 or 16 bytes, network order; VRF: text
# group CLASS HOPS ITEM DIGEST                          HOPS in canonical order; ITEM: the bytes hashed
# canonical HOPS HOPS                                   next hops in any order; the group made of them
# class CLASS ROUTES                                    class id of candidates; "-": not usable
# add A B SUM, sub A B DIFFERENCE                       digests
# fib DIGEST                                            sum of every prefix and group digest above
#
# HOPS: next hops divided by ";", each TYPE,ADDRESS,WEIGHT,INTERFACE,VIA; TYPE: 0 unicast, 1 blackhole, 2 unreachable, 3 prohibit.
# ROUTES: candidates divided by ";", each ROUTER,VRF,PREFERENCE,METRIC,TYPE,ADDRESS,INTERFACE,WEIGHT,FLAGS.
`

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func addrHex(a netip.Addr) string { return orDash(hex.EncodeToString(a.AsSlice())) }

func hopsText(hops []NextHop) string {
	var parts []string
	for _, h := range hops {
		parts = append(parts, fmt.Sprintf("%d,%s,%d,%s,%s", h.Type, addrHex(h.Address), h.Weight, orDash(h.Interface), orDash(string(h.Via))))
	}
	return orDash(strings.Join(parts, ";"))
}

func routesText(routes []*eventlog.RouteAnnounced) string {
	var parts []string
	for _, r := range routes {
		flags := 0
		if r.Recursive {
			flags |= 1
		}
		if r.ViaDefault {
			flags |= 2
		}
		parts = append(parts, fmt.Sprintf("%s,%s,%d,%d,%d,%s,%s,%d,%d", r.Router, orDash(r.VRF), r.Preference, r.Metric, r.Type, addrHex(r.NextHop), orDash(r.Interface), r.Weight, flags))
	}
	return strings.Join(parts, ";")
}

// vectorClass is a class id with all bytes different.
func vectorClass(i int) (c ClassID) {
	for j := range c {
		c[j] = byte(i*16 + j + 1)
	}
	return c
}

var (
	hop4   = netip.MustParseAddr("192.168.1.1")
	hop4b  = netip.MustParseAddr("192.168.1.2")
	hop6   = netip.MustParseAddr("2001:db8::1")
	hopLL  = netip.MustParseAddr("fe80::1")
	groups = [][]NextHop{
		{{Address: hop4, Weight: 1}},
		{{Address: hop6, Weight: 1}},
		{{Address: hopLL, Weight: 1, Interface: "eth0"}},
		{{Weight: 1, Interface: "wg0"}},
		{{Weight: 1}},
		{{Type: eventlog.Blackhole, Weight: 1}},
		{{Type: eventlog.Unreachable, Weight: 1}},
		{{Type: eventlog.Prohibit, Weight: 1}},
		{{Address: hop4, Weight: 256, Interface: "abcdefghijklmno"}},
		{{Address: hop4, Weight: 1, Interface: "eth1", Via: "r2"}},
		{{Address: hop6, Weight: 1, Interface: "eth1", Via: eventlog.RouterID(strings.Repeat("r", 63))}},
		{{Weight: 1, Via: "r2"}},
		{{Address: hop4, Weight: 1}, {Address: hop4b, Weight: 3}},
		{{Weight: 1, Interface: "wg0"}, {Address: hop4, Weight: 1}, {Address: hop4, Weight: 1, Via: "r2"}, {Address: hop6, Weight: 2}},
	}
	unsorted = [][]NextHop{
		{{Address: hop6, Weight: 2}, {Address: hop4, Weight: 1}, {Weight: 1, Interface: "wg0"}},
		{{Address: hop4, Weight: 5}, {Address: hop4b, Weight: 1}, {Address: hop4, Weight: 7}},
		{{Address: hop4, Weight: 40000}, {Address: hop4, Weight: 40000}},
		{{Type: eventlog.Blackhole, Weight: 1}, {Address: hop4, Weight: 1}, {Type: eventlog.Prohibit, Weight: 1}},
		{{Type: eventlog.Prohibit, Weight: 1}, {Type: eventlog.Unreachable, Weight: 2}, {Type: eventlog.Unreachable, Weight: 2}},
		{{Address: hop4, Weight: 1, Via: "r3"}, {Address: hop4, Weight: 1, Via: "r2"}, {Address: hop4, Weight: 1}},
		{{Address: hop4, Weight: 256}, {Address: hop4b, Weight: 1}},
		{{Address: hop4, Weight: 1, Interface: "eth10"}, {Address: hop4, Weight: 1, Interface: "eth9"}, {Address: hop4, Weight: 1, Interface: "e"}},
		many(70),
	}
)

// many is n next hops, the greatest first.
func many(n int) (hops []NextHop) {
	for i := range n {
		hops = append(hops, NextHop{Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(n - i)}), Weight: 1})
	}
	return hops
}

func route(router, hop string, metric uint32, more ...func(*eventlog.RouteAnnounced)) *eventlog.RouteAnnounced {
	r := &eventlog.RouteAnnounced{Metric: metric, Preference: 1, Weight: 1}
	r.Router = eventlog.RouterID(router)
	if hop != "" {
		r.NextHop = netip.MustParseAddr(hop)
	}
	for _, m := range more {
		m(r)
	}
	return r
}

type routeSet = []*eventlog.RouteAnnounced

var routeSets = []routeSet{
	{route("*", "192.168.1.1", 0)},
	{route("r1", "192.168.1.1", 100)},
	{route("r1", "192.168.1.1", 100), route("r2", "192.168.2.1", 70)},
	{route("r2", "192.168.2.1", 7), route("r1", "192.168.1.1", 37), route("r1", "192.168.1.1", 37)},
	{route("r1", "2001:db8::1", eventlog.MetricUnusable-1), route("r1", "192.168.1.1", eventlog.MetricUnusable)},
	{route("r1", "192.168.1.1", eventlog.MetricUnusable)},
	{route("r1", "fe80::1", 5, func(r *eventlog.RouteAnnounced) { r.Interface, r.Weight = "eth0", 256 })},
	{route("r1", "10.9.0.1", 5, func(r *eventlog.RouteAnnounced) { r.Recursive, r.Preference = true, 200 })},
	{route("r1", "10.9.0.1", 5, func(r *eventlog.RouteAnnounced) { r.Recursive, r.ViaDefault, r.VRF = true, true, "blue" })},
	{route("*", "", 0, func(r *eventlog.RouteAnnounced) { r.Type = eventlog.Blackhole }), route("*", "192.168.1.1", 0)},
}

func digestVectors() []byte {
	var out bytes.Buffer
	out.WriteString(vectorsHeader)
	line := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	b := make([]byte, 65)
	for i := range b {
		b[i] = byte(i*151 + 7)
	}
	for n := range 65 {
		line("murmur %s %s", orDash(hex.EncodeToString(b[:n])), murmur(b[:n], 0))
	}
	line("murmur %s %s", hex.EncodeToString([]byte("hello")), murmur([]byte("hello"), 0))
	line("murmur %s %s", hex.EncodeToString(b)+strings.Repeat("ff", 200), murmur(append(bytes.Clone(b), bytes.Repeat([]byte{0xff}, 200)...), 0))

	var fib Digest
	for i, s := range []string{
		"0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "192.0.2.128/25", "192.0.2.1/32", "255.255.255.255/32", "128.0.0.0/1",
		"::/0", "2001:db8::/32", "2001:db8:1:2:3:4:5:6/128", "fe80::/10", "2001:db8:ffff:ffff::/64", "8000::/1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
	} {
		p := netip.MustParsePrefix(s)
		family := 4
		if p.Addr().Is6() {
			family = 6
		}
		for _, vrf := range []string{"", "blue", strings.Repeat("v", 63)} {
			for _, class := range []ClassID{{}, vectorClass(i)} {
				d := prefixItem(p, class, vrf)
				fib = fib.Add(d)
				line("prefix %d %d %s %x %s %s %d", family, p.Bits(), addrHex(p.Addr()), class, orDash(vrf), d, bucketOf(p, vrf))
			}
		}
	}
	for i, g := range append(groups, canonicalGroup(many(70))) {
		d := groupItem(vectorClass(i), g)
		fib = fib.Add(d)
		line("group %x %s %x %s", vectorClass(i), hopsText(g), appendGroupItem(nil, vectorClass(i), g), d)
	}
	for _, g := range unsorted {
		in := hopsText(g)
		line("canonical %s %s", in, hopsText(canonicalGroup(append([]NextHop(nil), g...))))
	}
	for _, r := range routeSets {
		id := "-"
		if c, _, ok := classOf(r); ok {
			id = hex.EncodeToString(c.id[:])
		}
		line("class %s %s", id, routesText(r))
	}
	all := Digest{^uint64(0), ^uint64(0)}
	for _, p := range [][2]Digest{{{}, {}}, {{1, 0}, {2, 0}}, {{^uint64(0), 0}, {1, 0}}, {all, {1, 0}}, {all, all}, {{}, {1, 0}}, {{0, 1}, {1, 0}}, {murmur([]byte("a"), 0), murmur([]byte("b"), 0)}} {
		line("add %s %s %s", p[0], p[1], p[0].Add(p[1]))
		line("sub %s %s %s", p[0], p[1], p[0].Sub(p[1]))
	}
	line("fib %s", fib)
	return out.Bytes()
}

func TestDigestVectors(t *testing.T) {
	const file = "testdata/digest-vectors.txt"
	got := digestVectors()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			t.Fatalf("line %d differs: these bytes are the wire format, they change only with a new digest version\ngot  %s\nwant %s", i+1, at(g, i), at(w, i))
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(end)"
}
