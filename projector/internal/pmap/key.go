package pmap

import (
	"bytes"
	"cmp"
	"strings"
)

// Key is what a key type offers. Both methods must agree on one total order
// in which Compare is 0 exactly for keys that are ==.
//
// Search is called once a node instead of Compare once a step: a call through
// a type parameter is never inlined, the comparisons inside Search are.
type Key[K any] interface {
	comparable
	// Compare is negative, zero or positive as the receiver is less than,
	// equal to or greater than o.
	Compare(o K) int
	// Search is the number of keys, which ascend, that are less than the receiver.
	Search(keys []K) int
}

// SearchFunc is Search by Compare, for key types that are not hot.
func SearchFunc[K Key[K]](k K, keys []K) int {
	lo, hi := 0, len(keys)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if keys[mid].Compare(k) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// Uint is an integer key.
type Uint uint64

// Compare orders numerically.
func (k Uint) Compare(o Uint) int { return cmp.Compare(k, o) }

// Search counts the smaller keys.
func (k Uint) Search(keys []Uint) int { return searchUint(keys, k) }

// searchUint counts the keys below k: first by the last key of each eight,
// then within one eight. None of the loads waits for a comparison, so that the
// cache lines of a cold node arrive side by side; a binary search would fetch
// them one after the other.
func searchUint[K ~uint64](keys []K, k K) int {
	at := 0
	for j := 7; j < len(keys); j += 8 {
		if keys[j] < k {
			at += 8
		}
	}
	below := at
	for _, x := range keys[at:min(at+8, len(keys))] {
		if x < k {
			below++
		}
	}
	return below
}

// String is a string key in byte order.
type String string

// Compare orders by bytes.
func (k String) Compare(o String) int { return strings.Compare(string(k), string(o)) }

// Search counts the smaller keys.
func (k String) Search(keys []String) int {
	lo, hi := 0, len(keys)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if keys[mid] < k {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// ID is a 16-byte identity in byte order.
type ID [16]byte

// Compare orders by bytes.
func (k ID) Compare(o ID) int { return bytes.Compare(k[:], o[:]) }

// Search counts the smaller keys.
func (k ID) Search(keys []ID) int {
	lo, hi := 0, len(keys)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if bytes.Compare(keys[mid][:], k[:]) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}
