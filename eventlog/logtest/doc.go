// Package logtest is the conformance suite of eventlog.Log: what it checks is
// what a Log promises, and every implementation runs it.
package logtest
