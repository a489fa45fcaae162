// Package projector folds the log into state and state into FIBs. It is pure:
// no clock, no goroutine, no logger, no I/O beyond the readers and writers it
// is handed. The same commits give the same State, digest and FIBs everywhere.
//
// A Fold is the single writer; Fold.State freezes what was folded so far into
// an immutable State in O(1). A FIB is one router's view of a State; the
// difference of two FIBs is what a data plane is sent
// (docs/decisions/0003-identities-and-digests.md).
package projector
