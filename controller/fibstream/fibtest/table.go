package fibtest

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"

	"dvr/controller/fibpb"
	"dvr/controller/fibstream/itemhash"
)

// Table is a received FIB: the slow, obvious form.
type Table struct {
	Prefixes map[netip.Prefix]itemhash.Class
	Classes  map[itemhash.Class]*Class

	// Of the delta being received.
	delta    uint64
	kind     fibpb.DeltaChunk_Kind
	buckets  []byte
	ids      map[uint32]itemhash.Class
	named    map[netip.Prefix]bool
	mentions map[itemhash.Class]bool
}

// Class is a path class as the table holds it.
type Class struct {
	VRF      string
	Group    []itemhash.NextHop
	prefixes int
	sum      itemhash.Digest
}

// NewTable is an empty table.
func NewTable() *Table {
	return &Table{Prefixes: map[netip.Prefix]itemhash.Class{}, Classes: map[itemhash.Class]*Class{}}
}

// Receiving reports that a delta has begun and not ended.
func (t *Table) Receiving() bool { return t.delta != 0 }

// Abort forgets where a delta was cut; what it did stays.
func (t *Table) Abort() { t.delta = 0 }

// Apply applies a chunk and checks it against the protocol; ended is true
// after the last one of a delta.
func (t *Table) Apply(c *fibpb.DeltaChunk) (ended bool, err error) {
	if c.GetDelta() == 0 {
		return false, fmt.Errorf("a chunk of delta 0")
	}
	if t.delta == 0 {
		t.delta, t.kind, t.buckets = c.GetDelta(), c.GetKind(), append([]byte(nil), c.GetBuckets()...)
		t.ids = map[uint32]itemhash.Class{}
		t.named, t.mentions = map[netip.Prefix]bool{}, map[itemhash.Class]bool{}
	}
	if c.GetDelta() != t.delta || c.GetKind() != t.kind {
		return false, fmt.Errorf("a chunk of delta %d within delta %d", c.GetDelta(), t.delta)
	}
	if n := len(c.GetBuckets()); n != 0 && (n != 128 || t.kind != fibpb.DeltaChunk_FULL) {
		return false, fmt.Errorf("buckets of %d bytes in a delta of kind %s", n, t.kind)
	}
	for _, x := range c.GetClasses() {
		if len(x.GetId()) != 16 {
			return false, fmt.Errorf("a class id of %d bytes", len(x.GetId()))
		}
		id := itemhash.Class(x.GetId())
		if _, twice := t.ids[x.GetIndex()]; twice {
			return false, fmt.Errorf("class index %d twice", x.GetIndex())
		}
		t.ids[x.GetIndex()] = id
		t.mentions[id] = true
		if t.Classes[id] == nil {
			t.Classes[id] = &Class{VRF: x.GetVrf()}
		}
	}
	for _, g := range c.GetGroups() {
		id, ok := t.ids[g.GetIndex()]
		if !ok {
			return false, fmt.Errorf("a group of the unknown class %d", g.GetIndex())
		}
		hops, err := decodeHops(g.GetNextHops())
		if err != nil {
			return false, err
		}
		t.Classes[id].Group = hops
	}
	if err := t.columns(c.GetSet(), true); err != nil {
		return false, fmt.Errorf("set: %w", err)
	}
	if err := t.columns(c.GetRemoved(), false); err != nil {
		return false, fmt.Errorf("removed: %w", err)
	}
	for _, b := range c.GetGroupsWithdrawn() {
		if len(b) != 16 {
			return false, fmt.Errorf("a withdrawn class id of %d bytes", len(b))
		}
		t.drop(itemhash.Class(b))
	}
	if !c.GetEnd() {
		return false, nil
	}
	if t.kind == fibpb.DeltaChunk_FULL {
		t.reconcile()
	}
	for id, x := range t.Classes {
		if x.prefixes == 0 {
			delete(t.Classes, id)
		} else if x.Group == nil {
			return false, fmt.Errorf("class %x has prefixes and no group", id)
		}
	}
	t.delta = 0
	return true, nil
}

// reconcile removes what a full delta did not name.
func (t *Table) reconcile() {
	for p, id := range t.Prefixes {
		if !t.named[p] && t.covers(itemhash.Bucket(p, t.Classes[id].VRF)) {
			t.remove(p)
		}
	}
	for id := range maps.Clone(t.Classes) {
		if !t.mentions[id] {
			t.drop(id)
		}
	}
}

func (t *Table) covers(bucket int) bool {
	return len(t.buckets) == 0 || t.buckets[bucket/8]&(1<<(bucket%8)) != 0
}

func (t *Table) drop(id itemhash.Class) {
	for p, of := range t.Prefixes {
		if of == id {
			t.remove(p)
		}
	}
	delete(t.Classes, id)
}

func (t *Table) remove(p netip.Prefix) {
	id, ok := t.Prefixes[p]
	if !ok {
		return
	}
	x := t.Classes[id]
	x.prefixes--
	x.sum = x.sum.Sub(itemhash.Prefix(p, id, x.VRF))
	delete(t.Prefixes, p)
}

func (t *Table) put(p netip.Prefix, id itemhash.Class) {
	t.remove(p)
	x := t.Classes[id]
	x.prefixes++
	x.sum = x.sum.Add(itemhash.Prefix(p, id, x.VRF))
	t.Prefixes[p] = id
}

func (t *Table) columns(c *fibpb.Columns, set bool) error {
	n4, n6 := len(c.GetLength4()), len(c.GetLength6())
	if len(c.GetAddress4()) != 4*n4 || len(c.GetAddress6()) != 16*n6 ||
		(set || len(c.GetClass4()) != 0) && len(c.GetClass4()) != 4*n4 ||
		(set || len(c.GetClass6()) != 0) && len(c.GetClass6()) != 4*n6 {
		return fmt.Errorf("columns of unequal length")
	}
	one := func(a netip.Addr, length uint8, classes []byte, i int) error {
		p := netip.PrefixFrom(a, int(length))
		if !p.IsValid() || p != p.Masked() {
			return fmt.Errorf("prefix %s/%d", a, length)
		}
		if !set {
			t.remove(p)
			return nil
		}
		index := binary.LittleEndian.Uint32(classes[4*i:])
		id, ok := t.ids[index]
		if !ok {
			return fmt.Errorf("prefix %s of the unknown class %d", p, index)
		}
		if t.Classes[id] == nil {
			return fmt.Errorf("prefix %s of a class that was withdrawn", p)
		}
		t.named[p] = true
		t.put(p, id)
		return nil
	}
	for i := range n4 {
		v := binary.LittleEndian.Uint32(c.GetAddress4()[4*i:])
		a := netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
		if err := one(a, c.GetLength4()[i], c.GetClass4(), i); err != nil {
			return err
		}
	}
	for i := range n6 {
		a := netip.AddrFrom16([16]byte(c.GetAddress6()[16*i : 16*i+16]))
		if err := one(a, c.GetLength6()[i], c.GetClass6(), i); err != nil {
			return err
		}
	}
	return nil
}

func decodeHops(list []*fibpb.NextHop) ([]itemhash.NextHop, error) {
	hops := make([]itemhash.NextHop, 0, len(list))
	for _, h := range list {
		x := itemhash.NextHop{Type: uint8(h.GetType()), Weight: uint16(h.GetWeight()), Interface: h.GetInterface(), Via: h.GetVia()}
		if len(h.GetAddress()) != 0 {
			a, ok := netip.AddrFromSlice(h.GetAddress())
			if !ok {
				return nil, fmt.Errorf("a next hop with an address of %d bytes", len(h.GetAddress()))
			}
			x.Address = a
		}
		hops = append(hops, x)
	}
	return hops, nil
}

// Digest is the FIB digest. Cost: one hash a class.
func (t *Table) Digest() itemhash.Digest {
	var d itemhash.Digest
	for id, x := range t.Classes {
		if x.prefixes > 0 {
			d = d.Add(x.sum).Add(itemhash.Group(id, x.Group))
		}
	}
	return d
}

// Buckets are the 1,024 sums of prefix items as Hello carries them; nil for an
// empty table. Cost: two hashes a prefix.
func (t *Table) Buckets() []byte {
	if len(t.Prefixes) == 0 {
		return nil
	}
	var sums [1024]itemhash.Digest
	for p, id := range t.Prefixes {
		vrf := t.Classes[id].VRF
		b := itemhash.Bucket(p, vrf)
		sums[b] = sums[b].Add(itemhash.Prefix(p, id, vrf))
	}
	out := make([]byte, 0, 1024*16)
	for _, d := range sums {
		out = append(out, d.Bytes()...)
	}
	return out
}

// Lookup is the longest match.
func (t *Table) Lookup(a netip.Addr) (netip.Prefix, itemhash.Class, bool) {
	for bits := a.BitLen(); bits >= 0; bits-- {
		p, _ := a.Prefix(bits)
		if id, ok := t.Prefixes[p]; ok {
			return p, id, true
		}
	}
	return netip.Prefix{}, itemhash.Class{}, false
}

// Spoil changes the table behind the protocol's back, for tests of repair: it
// removes one prefix (prefix) and weighs a group anew (group).
func (t *Table) Spoil(prefix, group bool) {
	for p := range t.Prefixes {
		if prefix {
			t.remove(p)
			break
		}
	}
	for _, x := range t.Classes {
		if group && x.prefixes > 0 && len(x.Group) > 0 {
			x.Group[0].Weight += 7
			break
		}
	}
}
