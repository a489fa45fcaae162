// Package export writes a range of the log as a file for auditors, and reads it
// back, trusting nothing: the commits as they are stored, line by line, each
// bound by the hash chain to all before it (docs/decisions/0024-exports.md).
// Whether the chain is that of a cluster, its log says, of which this package
// knows nothing: who reads an export gets the hash at every revision.
package export
