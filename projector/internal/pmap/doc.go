// Package pmap is an ordered persistent map: a B+tree whose nodes carry the
// token of the Map that may change them in place.
//
// A Map is the single writer. Freeze hands out a View of what is there in
// O(1) and gives the Map a new token; a node touched later is copied first,
// once per freeze, together with the path to it. So a batch of changes costs
// what it costs in an ordinary B+tree, a View is immutable and safe for any
// number of readers while the Map goes on, and two Views share what did not
// change: Diff skips it by pointer.
//
// Keys and values lie in arrays inside the leaves. A map of 8-byte keys and
// 16-byte values takes 25 bytes an entry when filled in ascending order and
// 30 in random order. The smallest map that is not empty takes a whole leaf
// (63 entries): do not make a Map for each of many small sets.
package pmap
