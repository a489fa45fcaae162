package fibstream

import (
	"encoding/binary"

	"dvr/controller/fibpb"
	"dvr/projector"
)

// encoder cuts deltas into chunks. It has one chunk and its column buffers,
// which are used again as soon as send has returned: gRPC has encoded the
// message by then. Not safe for concurrent use.
type encoder struct {
	limit int // encoded bytes of a chunk
	chunk fibpb.DeltaChunk
	set   fibpb.Columns
	gone  fibpb.Columns
	size  int // of the chunk so far, at most what it will take
}

// Upper bounds on encoded sizes.
const (
	chunkOverhead  = 512 // kind, buckets, end, position, digest, lengths of columns
	classOverhead  = 32
	groupOverhead  = 16
	hopOverhead    = 40
	bytesPerSet4   = 9
	bytesPerSet6   = 21
	bytesWithdrawn = 18
)

// encode sends d as the chunks of the delta with that number: the dictionary
// first, then additions, then removals, so that a receiver can apply chunk by chunk.
func (e *encoder) encode(number uint64, d *projector.Delta, send func(*fibpb.DeltaChunk) error) error {
	e.begin(number, d)
	flush := func() error {
		if err := send(&e.chunk); err != nil {
			return err
		}
		e.begin(number, d)
		return nil
	}
	for i := range d.Classes {
		c := &d.Classes[i]
		n := classOverhead + len(c.VRF)
		for j := range c.NextHops {
			n += hopOverhead + len(c.NextHops[j].Interface) + len(c.NextHops[j].Via)
		}
		if c.NextHops != nil {
			n += groupOverhead
		}
		if e.size+n > e.limit && e.size > chunkOverhead {
			if err := flush(); err != nil {
				return err
			}
		}
		e.size += n
		e.class(uint32(i), c)
	}
	for block := range d.Sets() {
		if err := e.columns(&e.set, block, func() { e.chunk.Set = &e.set }, flush); err != nil {
			return err
		}
	}
	if err := e.columns(&e.gone, &d.Removed, func() { e.chunk.Removed = &e.gone }, flush); err != nil {
		return err
	}
	for i := range d.Withdrawn {
		if e.size+bytesWithdrawn > e.limit {
			if err := flush(); err != nil {
				return err
			}
		}
		e.size += bytesWithdrawn
		e.chunk.GroupsWithdrawn = append(e.chunk.GroupsWithdrawn, d.Withdrawn[i][:])
	}
	e.chunk.End = true
	e.chunk.Position = position(d.To)
	e.chunk.Digest = d.Digest.Bytes()
	return send(&e.chunk)
}

// begin empties the chunk.
func (e *encoder) begin(number uint64, d *projector.Delta) {
	c := &e.chunk
	c.Delta = number
	c.Kind = fibpb.DeltaChunk_INCREMENTAL
	c.Buckets = nil
	if d.Full {
		c.Kind = fibpb.DeltaChunk_FULL
		if d.Buckets != nil {
			c.Buckets = d.Buckets[:]
		}
	}
	clear(c.Classes)
	clear(c.Groups)
	c.Classes, c.Groups, c.GroupsWithdrawn = c.Classes[:0], c.Groups[:0], c.GroupsWithdrawn[:0]
	c.Set, c.Removed, c.End, c.Position, c.Digest = nil, nil, false, nil, nil
	for _, x := range []*fibpb.Columns{&e.set, &e.gone} {
		x.Address4, x.Length4, x.Class4 = x.Address4[:0], x.Length4[:0], x.Class4[:0]
		x.Address6, x.Length6, x.Class6 = x.Address6[:0], x.Length6[:0], x.Class6[:0]
	}
	e.size = chunkOverhead
}

func (e *encoder) class(index uint32, c *projector.ClassGroup) {
	e.chunk.Classes = append(e.chunk.Classes, &fibpb.Class{Index: index, Id: c.ID[:], Vrf: c.VRF})
	if c.NextHops == nil {
		return
	}
	g := &fibpb.Group{Index: index, NextHops: make([]*fibpb.NextHop, len(c.NextHops))}
	for i := range c.NextHops {
		h := &c.NextHops[i]
		g.NextHops[i] = &fibpb.NextHop{
			Type: fibpb.NextHop_Type(h.Type), Interface: h.Interface, Weight: uint32(h.Weight), Via: string(h.Via),
		}
		if h.Address.IsValid() {
			g.NextHops[i].Address = h.Address.AsSlice()
		}
	}
	e.chunk.Groups = append(e.chunk.Groups, g)
}

// columns appends all of from to the chunk's columns, flushing what is full.
func (e *encoder) columns(to *fibpb.Columns, from *projector.Columns, use func(), flush func() error) error {
	for i := 0; i < len(from.Addr4); {
		n := min((e.limit-e.size)/bytesPerSet4, len(from.Addr4)-i)
		if n <= 0 {
			if err := flush(); err != nil {
				return err
			}
			continue
		}
		use()
		for _, a := range from.Addr4[i : i+n] {
			to.Address4 = binary.LittleEndian.AppendUint32(to.Address4, a)
		}
		to.Length4 = append(to.Length4, from.Len4[i:i+n]...)
		if len(from.Class4) != 0 {
			for _, c := range from.Class4[i : i+n] {
				to.Class4 = binary.LittleEndian.AppendUint32(to.Class4, c)
			}
		}
		e.size += n * bytesPerSet4
		i += n
	}
	for i := 0; i < len(from.Addr6); {
		n := min((e.limit-e.size)/bytesPerSet6, len(from.Addr6)-i)
		if n <= 0 {
			if err := flush(); err != nil {
				return err
			}
			continue
		}
		use()
		for j := range from.Addr6[i : i+n] {
			to.Address6 = append(to.Address6, from.Addr6[i+j][:]...)
		}
		to.Length6 = append(to.Length6, from.Len6[i:i+n]...)
		if len(from.Class6) != 0 {
			for _, c := range from.Class6[i : i+n] {
				to.Class6 = binary.LittleEndian.AppendUint32(to.Class6, c)
			}
		}
		e.size += n * bytesPerSet6
		i += n
	}
	return nil
}
