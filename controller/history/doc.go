// Package history answers from the past: what the state was at a revision or a
// time, what changed between two, why a packet goes where it goes and by whose
// commit, and what happens from here on. It reads the log and its snapshots and
// keeps nothing else, so it answers as far back as they reach
// (docs/decisions/0016-history.md).
package history
