//go:build !nextlevel

package eventlog

// MaxLevel is the newest level that this program folds. The tag nextlevel makes
// a program that claims one more and means the same by it, for tests of upgrades.
const MaxLevel = 1
