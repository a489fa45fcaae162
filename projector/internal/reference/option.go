package reference

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"

	"dvr/eventlog"
)

// ClassID names a path class.
type ClassID [16]byte

// NextHop is one member of a group; it converts to the projector's.
type NextHop struct {
	Type      eventlog.RouteType
	Address   netip.Addr
	Interface string
	Weight    uint16
	Via       eventlog.RouterID
}

// option is one way to reach a prefix.
type option struct {
	preference uint8
	metric     uint64
	hops       []NextHop
	origins    []eventlog.RouterID
}

func (o option) compare(p option) int {
	return cmp.Or(cmp.Compare(o.preference, p.preference), cmp.Compare(o.metric, p.metric))
}

// best joins the equally best options into one.
func best(options []option) (option, bool) {
	if len(options) == 0 {
		return option{}, false
	}
	top := slices.MinFunc(options, option.compare)
	out := option{preference: top.preference, metric: top.metric}
	for _, o := range options {
		if o.compare(top) == 0 {
			out.hops = append(out.hops, o.hops...)
			out.origins = append(out.origins, o.origins...)
		}
	}
	out.hops = canonical(out.hops)
	slices.Sort(out.origins)
	out.origins = slices.Compact(out.origins)
	return out, true
}

// encode is the record of a next hop in a group item.
func encode(h NextHop) []byte {
	b := append([]byte{byte(h.Type)}, address(h.Address)...)
	b = append(b, byte(h.Weight), byte(h.Weight>>8), byte(len(h.Interface)))
	b = append(b, h.Interface...)
	b = append(b, byte(len(h.Via)))
	return append(b, h.Via...)
}

// canonical is the group of equally good next hops.
func canonical(hops []NextHop) []NextHop {
	var out []NextHop
next:
	for _, h := range hops {
		for _, o := range hops {
			if o.Type < h.Type {
				continue next
			}
		}
		for i := range out {
			same := out[i]
			same.Weight = h.Weight
			if same == h {
				out[i].Weight = uint16(min(int(out[i].Weight)+int(h.Weight), 65535))
				continue next
			}
		}
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b NextHop) int { return bytes.Compare(encode(a), encode(b)) })
	return out[:min(len(out), 64)]
}

// Longest is the longest prefix of the table that contains a, by linear scan;
// the default route only where asked.
func Longest[V any](table map[netip.Prefix]V, a netip.Addr, viaDefault bool) (netip.Prefix, bool) {
	found, ok := netip.Prefix{}, false
	for p := range table {
		if p.Contains(a) && (p.Bits() > 0 || viaDefault) && (!ok || p.Bits() > found.Bits()) {
			found, ok = p, true
		}
	}
	return found, ok
}
