// Package service is the one door through which routes, routers, links and keys
// are written and read: HTTP, the command line and tests are its clients. It turns
// what a caller asks for into commits, waits as long as the caller wants to, and
// gives reads their consistency. It knows no transport: requests and answers are
// plain Go values, errors are the sentinels of errors.go.
//
// # Writes
//
// Every mutation becomes one commit (an import: one per 1,000 lines). What a
// commit holds may depend on the state that it is applied to, for a replacement,
// a deletion or a precondition; that decision is made by the appender at the
// commit's own place in the log, so it is exact under any concurrency.
//
// # Reads
//
// A read is linearizable (it sees every commit acknowledged before it began),
// local (whatever this node has folded) or the default of its call: linearizable
// while there is quorum, local and marked stale without. A minimum revision makes
// a read wait for the reader's own write. Keys can be read as of a past revision,
// their changes from the log.
//
// Everything here is safe for concurrent use.
package service
