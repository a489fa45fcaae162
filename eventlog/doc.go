// Package eventlog defines the log that DVR is built on: events, commits and
// batches, their one stored form (format 1, docs/decisions/0001-log-format.md),
// the rules that make an event well formed, and the Log interface that memlog
// and etcdlog implement.
//
// The package is pure: no clock, no I/O, no goroutine, no logger; only the
// standard library is imported.
package eventlog
