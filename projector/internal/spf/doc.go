// Package spf keeps the shortest paths from one router to all others while
// the links between them change. It knows numbers, costs and drains, nothing
// of events, prefixes or names.
//
// A Tree is immutable. Update gives the tree of a changed graph and touches
// only what differs (docs/decisions/0015-incremental-vectors.md).
package spf
