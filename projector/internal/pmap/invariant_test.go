package pmap

import (
	"fmt"
	"unsafe"
)

// check verifies the tree's shape and returns the number of nodes.
func (v View[K, V]) check() (nodes int, err error) {
	if v.root == nil {
		if v.n != 0 || v.height != 0 {
			return 0, fmt.Errorf("no root but %d entries, height %d", v.n, v.height)
		}
		return 0, nil
	}
	n := 0
	var visit func(p unsafe.Pointer, h int, lo, hi *K) error
	visit = func(p unsafe.Pointer, h int, lo, hi *K) error {
		nodes++
		if h == 0 {
			l := asLeaf[K, V](p)
			n += l.n
			if l.n < 1 || l.n > leafCap {
				return fmt.Errorf("leaf of %d entries", l.n)
			}
			for i, k := range l.keys[:l.n] {
				if i > 0 && l.keys[i-1].Compare(k) >= 0 {
					return fmt.Errorf("leaf keys %v, %v", l.keys[i-1], k)
				}
				if lo != nil && k.Compare(*lo) < 0 || hi != nil && k.Compare(*hi) >= 0 {
					return fmt.Errorf("key %v outside of its parent's range", k)
				}
			}
			var zero K
			for _, k := range l.keys[l.n:] {
				if k != zero {
					return fmt.Errorf("leftover key %v", k)
				}
			}
			for i := range l.vals[l.n:] {
				var zero V
				if any(l.vals[l.n+i]) != any(zero) {
					return fmt.Errorf("leftover value %v", l.vals[l.n+i])
				}
			}
			return nil
		}
		in := asInner[K, V](p)
		if in.n < 2 || in.n > fanout {
			return fmt.Errorf("inner node of %d children", in.n)
		}
		for i, kid := range in.kids {
			if (kid != nil) != (i < in.n) {
				return fmt.Errorf("child %d of %d", i, in.n)
			}
		}
		var zero K
		for _, k := range in.keys[in.n-1:] {
			if k != zero {
				return fmt.Errorf("leftover separator %v", k)
			}
		}
		for i := range in.n {
			l, u := lo, hi
			if i > 0 {
				l = &in.keys[i-1]
			}
			if i < in.n-1 {
				u = &in.keys[i]
			}
			if err := visit(in.kids[i], h-1, l, u); err != nil {
				return err
			}
		}
		return nil
	}
	if err := visit(v.root, v.height, nil, nil); err != nil {
		return nodes, err
	}
	if n != v.n {
		return nodes, fmt.Errorf("%d entries, Len says %d", n, v.n)
	}
	return nodes, nil
}
