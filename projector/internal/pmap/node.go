package pmap

import "unsafe"

// Sizes. 31 entries and a head of 16 bytes fill Go's size classes for entries
// of 24, 32 and 48 bytes. Each batch of commits copies the leaves that it
// touches, which is why they are smaller than inner nodes: half the leaf saves a
// fifth of what a writer allocates and costs a reader nothing that can be measured.
const (
	leafCap   = 31
	leafMin   = leafCap / 3         // fewer after a deletion: merge or even out with a sibling
	leafMerge = leafCap - leafCap/8 // at most so many in a merged leaf, so that it does not split at once
	leafSlack = 4                   // free places that make moving to a sibling worth more than a split
	fanout    = 64                  // children of an inner node
	fanMin    = fanout / 3          //
	fanMerge  = fanout - fanout/8   //
	maxHeight = 12                  // 2·21¹¹ leaves and more
)

// leaf holds n entries in ascending order; places from n on are zero. It is
// changed only by the map whose token is owner.
type leaf[K Key[K], V any] struct {
	owner uint64
	n     int
	keys  [leafCap]K
	vals  [leafCap]V
}

// inner holds n children, all of one height, and n−1 keys: keys[i] is above
// everything in kids[i] and not above anything in kids[i+1]. Whether the
// children are leaves follows from the height, which the View knows: hence
// the untyped pointers, which only asLeaf and asInner read.
type inner[K Key[K], V any] struct {
	owner uint64
	n     int
	keys  [fanout - 1]K
	kids  [fanout]unsafe.Pointer
}

func asLeaf[K Key[K], V any](p unsafe.Pointer) *leaf[K, V]   { return (*leaf[K, V])(p) }
func asInner[K Key[K], V any](p unsafe.Pointer) *inner[K, V] { return (*inner[K, V])(p) }

// find is the place of k in the leaf, or where it would be.
func (l *leaf[K, V]) find(k K) (int, bool) {
	i := k.Search(l.keys[:l.n])
	return i, i < l.n && l.keys[i] == k
}

// child is the index of the child that holds k if anything does.
func (in *inner[K, V]) child(k K) int {
	seps := in.keys[:in.n-1]
	i := k.Search(seps)
	if i < len(seps) && seps[i] == k {
		i++
	}
	return i
}

// open makes room at i and returns the value's place. The leaf must not be full.
func (l *leaf[K, V]) open(i int, k K) *V {
	copy(l.keys[i+1:l.n+1], l.keys[i:l.n])
	copy(l.vals[i+1:l.n+1], l.vals[i:l.n])
	l.n++
	l.keys[i] = k
	var zero V
	l.vals[i] = zero
	return &l.vals[i]
}

// close removes entry i.
func (l *leaf[K, V]) close(i int) {
	copy(l.keys[i:], l.keys[i+1:l.n])
	copy(l.vals[i:], l.vals[i+1:l.n])
	l.truncate(l.n - 1)
}

// truncate drops the entries from n on and lets go of what they point to.
func (l *leaf[K, V]) truncate(n int) {
	clear(l.keys[n:l.n])
	clear(l.vals[n:l.n])
	l.n = n
}

// shiftLeft moves the first c entries of b to the end of a.
func shiftLeft[K Key[K], V any](a, b *leaf[K, V], c int) {
	copy(a.keys[a.n:], b.keys[:c])
	copy(a.vals[a.n:], b.vals[:c])
	a.n += c
	copy(b.keys[:], b.keys[c:b.n])
	copy(b.vals[:], b.vals[c:b.n])
	b.truncate(b.n - c)
}

// shiftRight moves the last c entries of a to the front of b.
func shiftRight[K Key[K], V any](a, b *leaf[K, V], c int) {
	copy(b.keys[c:], b.keys[:b.n])
	copy(b.vals[c:], b.vals[:b.n])
	copy(b.keys[:c], a.keys[a.n-c:a.n])
	copy(b.vals[:c], a.vals[a.n-c:a.n])
	b.n += c
	a.truncate(a.n - c)
}

// open puts a child at i (1…n) and the key that divides it from child i−1.
func (in *inner[K, V]) open(i int, sep K, kid unsafe.Pointer) {
	copy(in.kids[i+1:in.n+1], in.kids[i:in.n])
	copy(in.keys[i:in.n], in.keys[i-1:in.n-1])
	in.kids[i] = kid
	in.keys[i-1] = sep
	in.n++
}

// close removes child i (1…n−1) and the key before it.
func (in *inner[K, V]) close(i int) {
	copy(in.kids[i:], in.kids[i+1:in.n])
	copy(in.keys[i-1:], in.keys[i:in.n-1])
	in.truncate(in.n - 1)
}

func (in *inner[K, V]) truncate(n int) {
	clear(in.kids[n:in.n])
	clear(in.keys[n-1 : in.n-1])
	in.n = n
}
