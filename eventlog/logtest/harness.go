package logtest

import (
	"testing"

	"dvr/eventlog"
)

// Harness is one fresh log under test, which holds its first batch only.
type Harness struct {
	Log eventlog.Log
	// Second is another handle on the same store; nil: Log serves as both.
	Second eventlog.Log
	// Close ends the log and its store; nil: nothing to end.
	Close func()

	// The faults that the implementation can be given; a test that needs one
	// that is nil is skipped and says so.

	// LoseAnswer makes the next append of Log succeed in the store while its
	// answer is lost, and whatever the implementation asks afterwards too,
	// until heal is called, which first waits until the fault has struck.
	LoseAnswer func() (heal func())
	// LoseRequest is LoseAnswer with nothing stored: the request itself is lost.
	LoseRequest func() (heal func())
	// CutFollows breaks the connections that feed Log's followers.
	CutFollows func()
	// Compact discards the store's own history (etcd: compaction at the newest revision).
	Compact func()
	// DamageSnapshot changes a stored snapshot's bytes.
	DamageSnapshot func(eventlog.SnapshotInfo)
	// LoseStagePart removes a part of a complete stage.
	LoseStagePart func(id string)
	// DamageBatch changes the bytes of the stored batch that holds the revision.
	DamageBatch func(eventlog.Revision)
}

// Run checks a Log. open is called once a subtest and gives a fresh log.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	t.Helper()
	tests := []struct {
		name string
		run  func(*suite)
	}{
		{"FirstBatch", (*suite).firstBatch},
		{"AppendAndRead", (*suite).appendAndRead},
		{"ReadFromEveryRevision", (*suite).readFromEvery},
		{"ReadStopsAtError", (*suite).readStops},
		{"GuardOneWinner", (*suite).oneWinner},
		{"StaleHeadRefused", (*suite).staleHead},
		{"WrongPrevRefused", (*suite).wrongPrev},
		{"ConcurrentAppenders", (*suite).concurrentAppenders},
		{"LostAnswer", (*suite).lostAnswer},
		{"LostAnswerContextEnds", (*suite).lostAnswerContext},
		{"LostRequest", (*suite).lostRequest},
		{"LostRequestOtherWins", (*suite).lostRequestOtherWins},
		{"CancelledContext", (*suite).cancelled},
		{"DamagedBatch", (*suite).damagedBatch},
		{"FollowFromEveryHead", (*suite).followFromEvery},
		{"FollowLive", (*suite).followLive},
		{"FollowStopsAtError", (*suite).followStops},
		{"FollowAcrossCuts", (*suite).followCuts},
		{"FollowAcrossCompaction", (*suite).followCompaction},
		{"FollowAcrossTruncation", (*suite).followTruncation},
		{"Stage", (*suite).stage},
		{"StagePartLost", (*suite).stagePartLost},
		{"AppendNeedsStage", (*suite).appendNeedsStage},
		{"Sweep", (*suite).sweep},
		{"Snapshots", (*suite).snapshots},
		{"SnapshotFailedWrite", (*suite).snapshotFailed},
		{"SnapshotDamaged", (*suite).snapshotDamaged},
		{"Truncate", (*suite).truncate},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := open(t)
			if h.Close != nil {
				t.Cleanup(h.Close)
			}
			if h.Second == nil {
				h.Second = h.Log
			}
			tt.run(&suite{T: t, Harness: h})
		})
	}
}

type suite struct {
	*testing.T
	Harness
}

func (s *suite) needs(ok bool, what string) {
	s.Helper()
	if !ok {
		s.Skip("the harness cannot " + what)
	}
}
