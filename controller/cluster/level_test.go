package cluster

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"dvr/controller/etcdserver"
)

func TestSupports(t *testing.T) {
	r := roster{
		members: []etcdserver.Member{
			{ID: 1, Name: "new", Peer: "h:1"}, {ID: 2, Name: "silent", Peer: "h:2"},
			{ID: 3, Name: "", Peer: "h:3", Learner: true}, {ID: 4, Name: "older", Peer: "h:4"},
		},
		registers: map[string]registration{
			"new":      {NodeID: "new", MemberID: FormatID(1), Level: 2},
			"joining":  {NodeID: "joining", MemberID: FormatID(3), Level: 2},
			"older":    {NodeID: "older", MemberID: FormatID(4)}, // by a program that did not say
			"watcher":  {NodeID: "watcher", Observer: true, Level: 1},
			"departed": {NodeID: "departed", MemberID: FormatID(9), Level: 1},
		},
	}
	want := []Support{
		{Node: "joining", Level: 2}, {Node: "new", Level: 2}, {Node: "older"}, {Node: "silent"}, {Node: "watcher", Observer: true, Level: 1},
	}
	if got := r.supports(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestAdmissionBelowLevel: who could not fold the log is not admitted.
func TestAdmissionBelowLevel(t *testing.T) {
	m := NewManager(Options{Level: func() uint32 { return 3 }})
	for _, observer := range []bool{false, true} {
		_, err := m.Add(t.Context(), Candidate{NodeID: "n", Raft: "h:1", API: "h:2", Observer: observer, Level: 2})
		if !errors.Is(err, ErrLevel) || !strings.Contains(err.Error(), "n supports level 2, the log is at level 3: upgrade it") {
			t.Errorf("%v", err)
		}
	}
}
