// Package testbed runs the real binaries, a node and its data planes, on free
// loopback ports for end-to-end tests and benchmarks. Every process belongs to
// a Bed and ends with it.
package testbed
