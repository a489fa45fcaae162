package pmap

import "unsafe"

// Cursor walks a View in both directions. It stands on an entry or, not
// Valid, on none. Get one from View.Cursor.
type Cursor[K Key[K], V any] struct {
	view View[K, V]
	leaf *leaf[K, V] // nil: on no entry
	i    int
	at   path[K, V]
}

// Cursor is a cursor that stands on no entry yet.
func (v View[K, V]) Cursor() *Cursor[K, V] { return &Cursor[K, V]{view: v} }

// Valid reports that the cursor stands on an entry.
func (c *Cursor[K, V]) Valid() bool { return c.leaf != nil }

// Key is the entry's key; the cursor must be valid.
func (c *Cursor[K, V]) Key() K { return c.leaf.keys[c.i] }

// Value points at the entry's value; the cursor must be valid.
func (c *Cursor[K, V]) Value() *V { return &c.leaf.vals[c.i] }

// First goes to the smallest entry.
func (c *Cursor[K, V]) First() bool { return c.edge(c.view.root, c.view.height, true) }

// Last goes to the greatest entry.
func (c *Cursor[K, V]) Last() bool { return c.edge(c.view.root, c.view.height, false) }

// edge goes to the first or last entry below p.
func (c *Cursor[K, V]) edge(p unsafe.Pointer, h int, first bool) bool {
	if p == nil {
		c.leaf = nil
		return false
	}
	for ; h > 0; h-- {
		in := asInner[K, V](p)
		i := 0
		if !first {
			i = in.n - 1
		}
		c.at[h] = step[K, V]{in, i}
		p = in.kids[i]
	}
	c.leaf, c.i = asLeaf[K, V](p), 0
	if !first {
		c.i = c.leaf.n - 1
	}
	return true
}

// Seek goes to the first entry that is not below k.
func (c *Cursor[K, V]) Seek(k K) bool {
	if !c.descend(k) {
		return false
	}
	if c.i < c.leaf.n {
		return true
	}
	c.i--
	return c.Next()
}

// SeekFloor goes to the last entry that is not above k.
func (c *Cursor[K, V]) SeekFloor(k K) bool {
	if !c.descend(k) {
		return false
	}
	if c.i < c.leaf.n && c.leaf.keys[c.i] == k {
		return true
	}
	return c.Prev()
}

// descend stands where k is or would be, perhaps behind its leaf's last entry.
func (c *Cursor[K, V]) descend(k K) bool {
	p := c.view.root
	if p == nil {
		c.leaf = nil
		return false
	}
	for h := c.view.height; h > 0; h-- {
		in := asInner[K, V](p)
		i := in.child(k)
		c.at[h] = step[K, V]{in, i}
		p = in.kids[i]
	}
	c.leaf = asLeaf[K, V](p)
	c.i, _ = c.leaf.find(k)
	return true
}

// Next goes to the following entry; past the last the cursor is not valid.
func (c *Cursor[K, V]) Next() bool {
	if c.leaf == nil {
		return false
	}
	if c.i++; c.i < c.leaf.n {
		return true
	}
	for h := 1; h <= c.view.height; h++ {
		if s := &c.at[h]; s.i+1 < s.node.n {
			s.i++
			return c.edge(s.node.kids[s.i], h-1, true)
		}
	}
	c.leaf = nil
	return false
}

// Prev goes to the preceding entry; before the first the cursor is not valid.
func (c *Cursor[K, V]) Prev() bool {
	if c.leaf == nil {
		return false
	}
	if c.i--; c.i >= 0 {
		return true
	}
	for h := 1; h <= c.view.height; h++ {
		if s := &c.at[h]; s.i > 0 {
			s.i--
			return c.edge(s.node.kids[s.i], h-1, false)
		}
	}
	c.leaf = nil
	return false
}
