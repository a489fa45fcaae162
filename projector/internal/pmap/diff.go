package pmap

import "unsafe"

// Diff calls yield in ascending order for every key whose presence or value
// differs: before is nil where it was added, after where it was removed. equal
// compares values; nil takes every pair that lies in different nodes as
// different. It stops when yield returns false.
//
// Cost: O(nodes that the views do not share): shared subtrees are skipped by
// pointer, also where splits and merges around them have shifted their place.
func Diff[K Key[K], V any](before, after View[K, V], equal func(a, b *V) bool, yield func(k K, before, after *V) bool) {
	var a, b walk[K, V]
	a.start(before)
	b.start(after)
	for !a.done && !b.done {
		if a.node == b.node && a.node != nil {
			a.skip()
			b.skip()
			continue
		}
		order := a.first.Compare(b.first)
		switch {
		case order < 0:
			if a.node != nil {
				a.enter()
				continue
			}
			if !yield(a.first, a.value(), nil) {
				return
			}
			a.next()
		case order > 0:
			if b.node != nil {
				b.enter()
				continue
			}
			if !yield(b.first, nil, b.value()) {
				return
			}
			b.next()
		case a.height > b.height:
			a.enter()
		case a.height < b.height:
			b.enter()
		case a.height >= 0:
			// Two nodes of one height that begin with the same key and are
			// not shared: neither can be shared with another place.
			a.enter()
			b.enter()
		default:
			if x, y := a.value(), b.value(); equal == nil || !equal(x, y) {
				if !yield(a.first, x, y) {
					return
				}
			}
			a.next()
			b.next()
		}
	}
	for !a.done {
		if a.node != nil {
			a.enter()
			continue
		}
		if !yield(a.first, a.value(), nil) {
			return
		}
		a.next()
	}
	for !b.done {
		if b.node != nil {
			b.enter()
			continue
		}
		if !yield(b.first, nil, b.value()) {
			return
		}
		b.next()
	}
}

// walk stands in front of a subtree (node, its height ≥ 0) or on an entry of a
// leaf (node nil, height −1). first is the smallest key of what lies ahead. A
// subtree is entered only when the other side has reached its first key too, so
// both sides stand in front of a shared one at the same time.
type walk[K Key[K], V any] struct {
	node   unsafe.Pointer
	height int
	first  K
	done   bool
	leaf   *leaf[K, V]
	i      int
	top    int
	at     path[K, V]
}

func (w *walk[K, V]) start(v View[K, V]) {
	w.top = v.height
	if v.root == nil {
		w.done = true
		return
	}
	w.face(v.root, v.height)
}

// face stands in front of p.
func (w *walk[K, V]) face(p unsafe.Pointer, h int) {
	w.node, w.height = p, h
	for ; h > 0; h-- {
		p = asInner[K, V](p).kids[0]
	}
	w.first = asLeaf[K, V](p).keys[0]
}

// enter goes one level down.
func (w *walk[K, V]) enter() {
	if w.height == 0 {
		w.leaf, w.i, w.node, w.height = asLeaf[K, V](w.node), 0, nil, -1
		return
	}
	in := asInner[K, V](w.node)
	w.at[w.height] = step[K, V]{in, 0}
	w.node = in.kids[0]
	w.height--
}

// skip goes behind the subtree.
func (w *walk[K, V]) skip() {
	for h := w.height + 1; h <= w.top; h++ {
		if s := &w.at[h]; s.i+1 < s.node.n {
			s.i++
			w.face(s.node.kids[s.i], h-1)
			return
		}
	}
	w.done = true
}

// next goes behind the entry.
func (w *walk[K, V]) next() {
	if w.i++; w.i < w.leaf.n {
		w.first = w.leaf.keys[w.i]
		return
	}
	w.height = 0 // behind the leaf
	w.skip()
}

func (w *walk[K, V]) value() *V { return &w.leaf.vals[w.i] }
