// Package fibstream serves data planes: the gRPC service Fib of
// docs/decisions/0002-fib-protocol.md.
//
// One stream a router. A session sends the difference between the FIB that it
// sent last and the newest one, whenever its data plane has granted credit and
// not too many deltas wait for their ack; nothing is queued per change, so a
// slow data plane costs the memory of one FIB it shares most of, delays nobody
// and gets merged deltas by itself.
//
// # Threading
//
// A session has two goroutines: the stream's handler, which alone sends, and a
// receiver. They meet in the session under its mutex; what others may ask
// (List, WaitInstalled, Lookup, Audit) is in the registry under the registry's mutex.
// Order of locks: session, then registry. No lock is held while sending.
package fibstream
