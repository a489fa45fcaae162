package service

import (
	"errors"
	"strings"
	"testing"

	"dvr/eventlog"
	"dvr/projector"
)

// TestApproveWhatIsOver: what a proposed rollback would bring back for a while, and
// that is over meanwhile, is not brought back; before that it is as proposed.
func TestApproveWhatIsOver(t *testing.T) {
	f := projector.NewFold("log")
	apply := func(at int64, events ...eventlog.Event) *projector.State {
		t.Helper()
		c := &eventlog.Commit{Revision: f.State().Position().Revision + 1, Time: at, Actor: "alice", ID: "x", Events: events}
		if err := f.Apply(c, eventlog.Hash{}); err != nil {
			t.Fatal(err)
		}
		return f.State()
	}
	held := []eventlog.Event{
		&eventlog.KeyPut{Key: "k", Value: "temporary"},
		&eventlog.TimerSet{Name: "until-1", At: 500, Undo: true, Events: []eventlog.Event{&eventlog.KeyPut{Key: "k", Value: "old"}}},
	}
	s := apply(100, &eventlog.KeyPut{Key: "k", Value: "wrong"}, &eventlog.TimerSet{Name: "proposal-1", At: 10_000, Proposer: "alice", Unchanged: true, Events: held})
	o := approveProposal{"proposal-1"}
	if events, err := o.Decide(s); err != nil || len(events) != 3 {
		t.Errorf("%v, %v", events, err)
	}
	s = apply(500, &eventlog.KeyPut{Key: "other", Value: "x"})
	if _, err := o.Decide(s); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "is over meanwhile: propose it again") {
		t.Errorf("%v", err)
	}
}
