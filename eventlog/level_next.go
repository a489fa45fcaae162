//go:build nextlevel

package eventlog

// MaxLevel is what a next version would fold; see level.go.
const MaxLevel = 2
