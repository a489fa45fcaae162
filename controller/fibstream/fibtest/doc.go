// Package fibtest is a data plane in Go for tests and benchmarks: it speaks
// the FIB protocol, applies deltas to plain maps, computes digests from the
// decision alone, and can be told to misbehave. It is not fast and not meant to be.
package fibtest
