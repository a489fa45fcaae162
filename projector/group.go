package projector

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
)

// maxNextHops is the most that a group holds.
const maxNextHops = 64

// groupItem hashes the group item of a class. The next hops must be canonical
// (canonicalGroup). It allocates only for groups of more than about 16.
func groupItem(class ClassID, hops []NextHop) Digest {
	buf := make([]byte, 0, 512)
	return hashItem(appendGroupItem(buf, class, hops))
}

// appendGroupItem appends the item's bytes:
// 0x02 ‖ class id (16) ‖ count u16 LE ‖ the next hops.
func appendGroupItem(dst []byte, class ClassID, hops []NextHop) []byte {
	dst = append(dst, 0x02)
	dst = append(dst, class[:]...)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(hops)))
	for i := range hops {
		dst = appendNextHop(dst, &hops[i])
	}
	return dst
}

// appendNextHop appends the next hop's record, whose bytes order the group.
func appendNextHop(dst []byte, h *NextHop) []byte {
	family, address := wireAddr(h.Address)
	dst = append(dst, byte(h.Type), family)
	dst = append(dst, address[:]...)
	dst = binary.LittleEndian.AppendUint16(dst, h.Weight)
	dst = append(dst, byte(len(h.Interface)))
	dst = append(dst, h.Interface...)
	dst = append(dst, byte(len(h.Via)))
	return append(dst, h.Via...)
}

// canonicalGroup is the group of the equally good next hops of a router, in
// any order: only those of the lowest type stay, those that are equal but for
// the weight are one with the weights summed (at most 65,535), sorted by their
// records, the first 64. The argument's array is reused.
func canonicalGroup(hops []NextHop) []NextHop {
	if len(hops) == 0 {
		return nil
	}
	lowest := hops[0].Type
	for _, h := range hops {
		lowest = min(lowest, h.Type)
	}
	weights := make(map[NextHop]int, len(hops))
	out := hops[:0]
	for _, h := range hops {
		if h.Type != lowest {
			continue
		}
		w := int(h.Weight)
		h.Weight = 0
		if _, ok := weights[h]; !ok {
			out = append(out, h)
		}
		weights[h] += w
	}
	clear(hops[len(out):])
	for i := range out {
		out[i].Weight = uint16(min(weights[out[i]], math.MaxUint16))
	}
	var a, b []byte
	slices.SortFunc(out, func(x, y NextHop) int {
		a, b = appendNextHop(a[:0], &x), appendNextHop(b[:0], &y)
		return bytes.Compare(a, b)
	})
	if len(out) > maxNextHops {
		clear(out[maxNextHops:])
		out = out[:maxNextHops]
	}
	return out
}
