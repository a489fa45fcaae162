package pmap

import (
	"iter"
	"unsafe"
)

// View is an ordered map that is only read. The zero View is empty. A View
// from Freeze is immutable and safe for concurrent use.
type View[K Key[K], V any] struct {
	root   unsafe.Pointer // nil: empty; a leaf where height is 0
	height int
	n      int
}

// Len is the number of entries.
func (v *View[K, V]) Len() int { return v.n }

// Ptr points at the value of k, which must not be written; nil: absent.
func (v *View[K, V]) Ptr(k K) *V {
	p := v.root
	if p == nil {
		return nil
	}
	for h := v.height; h > 0; h-- {
		in := asInner[K, V](p)
		p = in.kids[in.child(k)]
	}
	l := asLeaf[K, V](p)
	if i, ok := l.find(k); ok {
		return &l.vals[i]
	}
	return nil
}

// Get is the value of k.
func (v *View[K, V]) Get(k K) (V, bool) {
	if p := v.Ptr(k); p != nil {
		return *p, true
	}
	var zero V
	return zero, false
}

// Has reports whether k is there.
func (v *View[K, V]) Has(k K) bool { return v.Ptr(k) != nil }

// Floor is the greatest entry that is not above k; nil: none.
func (v *View[K, V]) Floor(k K) (K, *V) {
	// last is the nearest subtree to the left of the path: where the leaf
	// has nothing that small, the answer is its greatest entry.
	var last unsafe.Pointer
	var lastHeight int
	p := v.root
	if p != nil {
		for h := v.height; h > 0; h-- {
			in := asInner[K, V](p)
			i := in.child(k)
			if i > 0 {
				last, lastHeight = in.kids[i-1], h-1
			}
			p = in.kids[i]
		}
		l := asLeaf[K, V](p)
		i, ok := l.find(k)
		if ok {
			return k, &l.vals[i]
		}
		if i > 0 {
			return l.keys[i-1], &l.vals[i-1]
		}
	}
	if last != nil {
		for h := lastHeight; h > 0; h-- {
			in := asInner[K, V](last)
			last = in.kids[in.n-1]
		}
		l := asLeaf[K, V](last)
		return l.keys[l.n-1], &l.vals[l.n-1]
	}
	var zero K
	return zero, nil
}

// All iterates over everything in ascending order.
func (v View[K, V]) All() iter.Seq2[K, *V] {
	return func(yield func(K, *V) bool) {
		if v.root != nil {
			ascend(v.root, v.height, yield)
		}
	}
}

func ascend[K Key[K], V any](p unsafe.Pointer, h int, yield func(K, *V) bool) bool {
	if h == 0 {
		l := asLeaf[K, V](p)
		for i := range l.n {
			if !yield(l.keys[i], &l.vals[i]) {
				return false
			}
		}
		return true
	}
	in := asInner[K, V](p)
	for i := range in.n {
		if !ascend(in.kids[i], h-1, yield) {
			return false
		}
	}
	return true
}

// From iterates in ascending order over the entries that are not below k.
func (v View[K, V]) From(k K) iter.Seq2[K, *V] {
	return func(yield func(K, *V) bool) {
		if v.root != nil {
			ascendFrom(v.root, v.height, k, yield)
		}
	}
}

func ascendFrom[K Key[K], V any](p unsafe.Pointer, h int, k K, yield func(K, *V) bool) bool {
	if h == 0 {
		l := asLeaf[K, V](p)
		i, _ := l.find(k)
		for ; i < l.n; i++ {
			if !yield(l.keys[i], &l.vals[i]) {
				return false
			}
		}
		return true
	}
	in := asInner[K, V](p)
	i := in.child(k)
	if !ascendFrom(in.kids[i], h-1, k, yield) {
		return false
	}
	for i++; i < in.n; i++ {
		if !ascend(in.kids[i], h-1, yield) {
			return false
		}
	}
	return true
}

// Thaw is a Map that starts with the view's entries; the view stays as it is.
// Cost: O(1).
func (v View[K, V]) Thaw() Map[K, V] { return Map[K, V]{View: v, owner: token()} }
