package service

import (
	"context"
	"errors"
	"testing"

	"dvr/eventlog"
	"dvr/projector"
)

// laggard is an Appender of a node that does not hear of what another stored.
type laggard struct {
	Appender
	cause error
}

func (l *laggard) State() *projector.State { return projector.NewFold("log").State() }

func (l *laggard) Append(context.Context, Change) (Appended, error) {
	return Appended{ID: "id-1", Position: eventlog.Position{LogID: "log", Epoch: 1, Revision: 7}}, nil
}

func (l *laggard) Wait(context.Context, eventlog.Revision) error { return l.cause }

// TestStoredIsNeverCalledUnavailable: a change that is stored while this node
// cannot show it is no refusal, whatever kept it.
func TestStoredIsNeverCalledUnavailable(t *testing.T) {
	for _, cause := range []error{context.DeadlineExceeded, context.Canceled, ErrUnavailable} {
		s := New(&laggard{cause: cause}, nil, nil)
		_, err := s.PutKey(t.Context(), &Mutation{Actor: "alice", ID: "id-1"}, "k", "v")
		var m *MutationError
		if !errors.Is(err, ErrUnseen) || !errors.As(err, &m) || m.ID != "id-1" {
			t.Errorf("%v: %v", cause, err)
		}
		r, err := s.PutKey(t.Context(), &Mutation{Actor: "alice", ID: "id-1", Wait: WaitLogged}, "k", "v")
		if err != nil || r.Position.Revision != 7 {
			t.Errorf("wait=logged: %+v, %v", r, err)
		}
	}
}
