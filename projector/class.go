package projector

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync/atomic"

	"dvr/eventlog"
)

// ClassID names a path class: what a set of candidates means for forwarding,
// at every router, whatever the links do (decision 3).
type ClassID [16]byte

// classHeader begins what a class id hashes.
const classHeader = "dvr class 1\n"

// classOf derives the class of a destination's usable candidates, in any
// order, and the lowest of their metrics; false: none forwards, such a set has
// no class. slot is not set. Cost: one SHA-256; sets are interned, so this runs
// once a distinct set.
func classOf(candidates []*eventlog.RouteAnnounced) (c *class, base uint32, usable bool) {
	base = eventlog.MetricUnusable
	for _, r := range candidates {
		base = min(base, r.Metric)
	}
	if base == eventlog.MetricUnusable {
		return nil, 0, false
	}
	type record struct {
		bytes []byte
		path  path
	}
	records := make([]record, 0, len(candidates))
	for _, r := range candidates {
		if r.Metric != eventlog.MetricUnusable {
			records = append(records, record{appendClassRecord(nil, r, base), pathOf(r, base)})
		}
	}
	slices.SortFunc(records, func(a, b record) int { return bytes.Compare(a.bytes, b.bytes) })
	records = slices.CompactFunc(records, func(a, b record) bool { return bytes.Equal(a.bytes, b.bytes) })
	c = &class{paths: make([]path, len(records)), numbers: make([]atomic.Int32, len(records))}
	text := []byte(classHeader)
	for i, r := range records {
		text = append(text, r.bytes...)
		c.paths[i] = r.path
		c.recursive = c.recursive || r.path.recursive
	}
	sum := sha256.Sum256(text)
	c.id = ClassID(sum[:16])
	c.words = wordsOf(c.id)
	return c, base, true
}

// classOfOne is the id that classOf gives the candidate r alone, without the
// class; the scratch is given back.
func classOfOne(scratch []byte, r *eventlog.RouteAnnounced) (ClassID, []byte) {
	scratch = appendClassRecord(append(scratch[:0], classHeader...), r, r.Metric)
	sum := sha256.Sum256(scratch)
	return ClassID(sum[:16]), scratch
}

// appendClassRecord appends what of a candidate forwards, its metric relative
// to the lowest of the set.
func appendClassRecord(dst []byte, c *eventlog.RouteAnnounced, lowest uint32) []byte {
	dst = append(dst, byte(len(c.Router)))
	dst = append(dst, c.Router...)
	dst = append(dst, byte(len(c.VRF)))
	dst = append(dst, c.VRF...)
	dst = append(dst, c.Preference)
	dst = binary.BigEndian.AppendUint32(dst, c.Metric-lowest)
	family, address := wireAddr(c.NextHop)
	dst = append(dst, byte(c.Type), family)
	dst = append(dst, address[:]...)
	dst = append(dst, byte(len(c.Interface)))
	dst = append(dst, c.Interface...)
	dst = binary.BigEndian.AppendUint16(dst, c.Weight)
	var flags byte
	if c.Recursive {
		flags |= 1
	}
	if c.ViaDefault {
		flags |= 2
	}
	return append(dst, flags)
}
