//go:build !mutant

package etcdlog

import "context"

// What a build with the tag mutant breaks on purpose, so that the checks of
// cmd/internal/robustness can be seen to notice it. Here nothing is broken.
const (
	mutantNoGuard = false // the head is not compared
	mutantAbsent  = false // a batch that is not there yet is taken for one that will never be
)

func (a *appending) missing(context.Context) bool { return false }
