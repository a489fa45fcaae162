//go:build !mutant

package appender

// What a build with the tag mutant breaks on purpose, so that the checks of
// cmd/internal/robustness can be seen to notice it. Here nothing is broken.
const (
	mutantNoDedupe = false // ids are not looked up
	mutantEarlyAck = false // callers are told when a batch leaves, not when it is stored
	mutantAbsent   = false // what was lost track of is said to be refused
)
