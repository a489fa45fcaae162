// Package memlog is eventlog.Log in memory, for tests and for trying things
// out. It behaves as the conformance suite in eventlog/logtest asks, and can be
// made to misbehave the way a distributed store does: lost answers and
// requests, refusals, held appends, cut streams, damaged values (Faults).
package memlog
