package pmap

import (
	"sync/atomic"
	"unsafe"
)

// Map is the writer of an ordered map. The zero Map is empty and ready. Not
// safe for concurrent use, and not to be copied: Freeze instead. What the
// embedded View's methods return is valid until the next change.
type Map[K Key[K], V any] struct {
	View[K, V]
	owner uint64 // nodes with this token are ours alone; 0: not drawn yet
}

var tokens atomic.Uint64

// token draws a token that no node has.
func token() uint64 { return tokens.Add(1) }

// Freeze returns what the map holds now as an immutable View. Cost: O(1);
// each node that is changed afterwards is copied once.
func (m *Map[K, V]) Freeze() View[K, V] {
	m.owner = 0
	return m.View
}

// Clear empties the map.
func (m *Map[K, V]) Clear() { m.View = View[K, V]{} }

// step is an inner node of a descent and the child taken.
type step[K Key[K], V any] struct {
	node *inner[K, V]
	i    int
}

// path[h] is the node whose children have height h−1.
type path[K Key[K], V any] [maxHeight]step[K, V]

func (m *Map[K, V]) ownLeaf(p *unsafe.Pointer) *leaf[K, V] {
	l := asLeaf[K, V](*p)
	if l.owner != m.owner {
		c := new(leaf[K, V])
		*c = *l
		c.owner = m.owner
		l = c
		*p = unsafe.Pointer(c)
	}
	return l
}

func (m *Map[K, V]) ownInner(p *unsafe.Pointer) *inner[K, V] {
	in := asInner[K, V](*p)
	if in.owner != m.owner {
		c := new(inner[K, V])
		*c = *in
		c.owner = m.owner
		in = c
		*p = unsafe.Pointer(c)
	}
	return in
}

func (m *Map[K, V]) newLeaf() *leaf[K, V] { return &leaf[K, V]{owner: m.owner} }

// Set stores v under k and returns what was there.
func (m *Map[K, V]) Set(k K, v V) (before V, existed bool) {
	p, existed := m.Upsert(k)
	before = *p
	*p = v
	return before, existed
}

// Update points at the value of k for changing it in place; nil: absent, and
// nothing was copied. Valid until the next Upsert, Set, Delete or Freeze.
func (m *Map[K, V]) Update(k K) *V {
	if m.Ptr(k) == nil {
		return nil
	}
	p, _ := m.Upsert(k)
	return p
}

// Upsert points at the value of k, which is added as the zero value where it
// was absent. Valid until the next Upsert, Set, Delete or Freeze.
func (m *Map[K, V]) Upsert(k K) (v *V, existed bool) {
	if m.owner == 0 {
		m.owner = token()
	}
	if m.root == nil {
		l := m.newLeaf()
		m.root, m.n = unsafe.Pointer(l), 1
		return l.open(0, k), false
	}
	var at path[K, V]
	p := &m.root
	for h := m.height; h > 0; h-- {
		in := m.ownInner(p)
		i := in.child(k)
		at[h] = step[K, V]{in, i}
		p = &in.kids[i]
	}
	l := m.ownLeaf(p)
	i, ok := l.find(k)
	if ok {
		return &l.vals[i], true
	}
	m.n++
	if l.n < leafCap {
		return l.open(i, k), false
	}
	return m.overflow(&at, l, i, k), false
}

// overflow adds k at place i of a full leaf: at the right edge of the tree in
// a leaf of its own, so that ascending keys leave full leaves; else by moving
// entries to a sibling that has room; else by splitting.
func (m *Map[K, V]) overflow(at *path[K, V], l *leaf[K, V], i int, k K) *V {
	if i == leafCap && m.rightEdge(at, 1) {
		r := m.newLeaf()
		v := r.open(0, k)
		m.addChild(at, 1, k, unsafe.Pointer(r))
		return v
	}
	if m.height > 0 {
		up, pi := at[1].node, at[1].i
		if pi > 0 && asLeaf[K, V](up.kids[pi-1]).n <= leafCap-leafSlack {
			a := m.ownLeaf(&up.kids[pi-1])
			was := a.n
			c := (leafCap - was) / 2
			shiftLeft(a, l, c)
			up.keys[pi-1] = l.keys[0]
			if i <= c {
				return a.open(was+i, k)
			}
			return l.open(i-c, k)
		}
		if pi < up.n-1 && asLeaf[K, V](up.kids[pi+1]).n <= leafCap-leafSlack {
			b := m.ownLeaf(&up.kids[pi+1])
			c := (leafCap - b.n) / 2
			shiftRight(l, b, c)
			up.keys[pi] = b.keys[0]
			if i <= l.n {
				return l.open(i, k)
			}
			return b.open(i-l.n, k)
		}
	}
	r := m.newLeaf()
	shiftRight(l, r, leafCap/2)
	var v *V
	if i <= l.n {
		v = l.open(i, k)
	} else {
		v = r.open(i-l.n, k)
	}
	m.addChild(at, 1, r.keys[0], unsafe.Pointer(r))
	return v
}

// rightEdge reports that the path takes the last child from height h upwards.
func (m *Map[K, V]) rightEdge(at *path[K, V], h int) bool {
	for ; h <= m.height; h++ {
		if at[h].i != at[h].node.n-1 {
			return false
		}
	}
	return true
}

// addChild puts kid behind the child that the path takes at height h.
func (m *Map[K, V]) addChild(at *path[K, V], h int, sep K, kid unsafe.Pointer) {
	if h > m.height {
		top := &inner[K, V]{owner: m.owner, n: 1}
		top.kids[0] = m.root
		top.open(1, sep, kid)
		m.root = unsafe.Pointer(top)
		m.height++
		return
	}
	in, i := at[h].node, at[h].i+1
	if in.n < fanout {
		in.open(i, sep, kid)
		return
	}
	// The right node of a split at the right edge gets two children, the
	// fewest that an inner node may have; elsewhere half.
	keep := fanout / 2
	if i == fanout && m.rightEdge(at, h) {
		keep = fanout - 1
	}
	r := &inner[K, V]{owner: m.owner}
	rise := in.keys[keep-1]
	r.n = copy(r.kids[:], in.kids[keep:])
	copy(r.keys[:], in.keys[keep:])
	in.truncate(keep)
	if i <= keep {
		in.open(i, sep, kid)
	} else {
		r.open(i-keep, sep, kid)
	}
	m.addChild(at, h+1, rise, unsafe.Pointer(r))
}

// Delete removes k and returns what was there. Absent: nothing is copied.
func (m *Map[K, V]) Delete(k K) (before V, existed bool) {
	if m.Ptr(k) == nil {
		return before, false
	}
	if m.owner == 0 {
		m.owner = token()
	}
	var at path[K, V]
	p := &m.root
	for h := m.height; h > 0; h-- {
		in := m.ownInner(p)
		i := in.child(k)
		at[h] = step[K, V]{in, i}
		p = &in.kids[i]
	}
	l := m.ownLeaf(p)
	i, _ := l.find(k)
	before = l.vals[i]
	l.close(i)
	m.n--
	switch {
	case m.height == 0 && l.n == 0:
		m.root = nil
	case m.height > 0 && l.n < leafMin:
		m.refillLeaf(&at)
	}
	return before, true
}

// refillLeaf merges the leaf at the path's end with a sibling or evens the two out.
func (m *Map[K, V]) refillLeaf(at *path[K, V]) {
	up, i := at[1].node, at[1].i
	if i == 0 {
		i = 1
	}
	// The pair is i−1, i. The one that loses its entries need not be owned.
	b := asLeaf[K, V](up.kids[i])
	a := m.ownLeaf(&up.kids[i-1])
	if a.n+b.n <= leafMerge {
		copy(a.keys[a.n:], b.keys[:b.n])
		copy(a.vals[a.n:], b.vals[:b.n])
		a.n += b.n
		up.close(i)
		m.refillInner(at, 1)
		return
	}
	b = m.ownLeaf(&up.kids[i])
	if half := (a.n + b.n) / 2; a.n < half {
		shiftLeft(a, b, half-a.n)
	} else {
		shiftRight(a, b, a.n-half)
	}
	up.keys[i-1] = b.keys[0]
}

// refillInner does the same for the inner node of the path at height h.
func (m *Map[K, V]) refillInner(at *path[K, V], h int) {
	in := at[h].node
	if h == m.height {
		if in.n == 1 {
			m.root = in.kids[0]
			m.height--
		}
		return
	}
	if in.n >= fanMin {
		return
	}
	up, i := at[h+1].node, at[h+1].i
	if i == 0 {
		i = 1
	}
	b := asInner[K, V](up.kids[i])
	a := m.ownInner(&up.kids[i-1])
	if a.n+b.n <= fanMerge {
		a.keys[a.n-1] = up.keys[i-1]
		copy(a.keys[a.n:], b.keys[:b.n-1])
		copy(a.kids[a.n:], b.kids[:b.n])
		a.n += b.n
		up.close(i)
		m.refillInner(at, h+1)
		return
	}
	b = m.ownInner(&up.kids[i])
	half := (a.n + b.n) / 2
	if a.n < half {
		c := half - a.n // children that go left; the key between the two goes down, b's key c−1 up
		a.keys[a.n-1] = up.keys[i-1]
		copy(a.keys[a.n:], b.keys[:c-1])
		copy(a.kids[a.n:], b.kids[:c])
		a.n += c
		up.keys[i-1] = b.keys[c-1]
		copy(b.kids[:], b.kids[c:b.n])
		copy(b.keys[:], b.keys[c:b.n-1])
		b.truncate(b.n - c)
		return
	}
	c := a.n - half
	copy(b.kids[c:], b.kids[:b.n])
	copy(b.keys[c:], b.keys[:b.n-1])
	copy(b.kids[:c], a.kids[half:a.n])
	copy(b.keys[:c-1], a.keys[half:a.n-1])
	b.keys[c-1] = up.keys[i-1]
	up.keys[i-1] = a.keys[half-1]
	b.n += c
	a.truncate(half)
}
