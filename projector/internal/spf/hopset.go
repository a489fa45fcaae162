package spf

import (
	"encoding/binary"
	"slices"
	"sync"
)

// maxSets bounds the sets of a table. A table that is full is left, and the
// next tree begins with a new one: sets of links that are long gone die with it.
const maxSets = 1 << 14

// hopTable numbers the sets of first hops that the trees of one source use, so
// that a set is compared and stored as one number; 0 is the empty set. Trees
// are updated by readers at the same time, hence the lock; what is numbered
// never changes.
type hopTable struct {
	mu     sync.Mutex
	sets   [][]uint32 // by number: hops, ascending; only appended to
	number map[string]uint32
	merged map[uint64]uint32 // the union of two, by both numbers
	key    []byte
}

func newHopTable() *hopTable {
	return &hopTable{sets: [][]uint32{nil}, number: map[string]uint32{}, merged: map[uint64]uint32{}}
}

func (t *hopTable) full() bool { return len(t.sets) > maxSets || len(t.merged) > 4*maxSets }

// numberOfOne is of for who does not hold the lock.
func (t *hopTable) numberOfOne(hop uint32) uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.of(hop)
}

// unionOf is union for who does not hold the lock.
func (t *hopTable) unionOf(a, b uint32) uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.union(a, b)
}

// of is the set with one hop. The lock is held.
func (t *hopTable) of(hop uint32) uint32 {
	one := [1]uint32{hop}
	return t.numberOf(one[:])
}

func (t *hopTable) numberOf(hops []uint32) uint32 {
	t.key = t.key[:0]
	for _, h := range hops {
		t.key = binary.LittleEndian.AppendUint32(t.key, h)
	}
	n, ok := t.number[string(t.key)]
	if !ok {
		n = uint32(len(t.sets))
		t.sets = append(t.sets, slices.Clone(hops))
		t.number[string(t.key)] = n
	}
	return n
}

// union of two sets. The lock is held.
func (t *hopTable) union(a, b uint32) uint32 {
	switch {
	case a == b || b == 0:
		return a
	case a == 0:
		return b
	case a > b:
		a, b = b, a
	}
	pair := uint64(a)<<32 | uint64(b)
	n, ok := t.merged[pair]
	if !ok {
		hops := slices.Concat(t.sets[a], t.sets[b])
		slices.Sort(hops)
		n = t.numberOf(slices.Compact(hops))
		t.merged[pair] = n
	}
	return n
}
