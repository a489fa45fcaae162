package logtest

import (
	"bytes"
	"errors"
	"strings"

	"dvr/eventlog"
)

// many are events that fill more than two parts.
func many() []eventlog.Event {
	events := make([]eventlog.Event, 6000)
	for i := range events {
		events[i] = event(i)
	}
	return append(events, &eventlog.KeyPut{Key: "large", Value: strings.Repeat("é\n", 20000)})
}

func (s *suite) staged(id string, events []eventlog.Event) *eventlog.CommitStaged {
	s.Helper()
	st, err := s.Log.Stage(s.ctx(), id, events)
	if err != nil {
		s.Fatalf("Stage: %v", err)
	}
	return st
}

// appendStaged appends a commit that refers to st.
func (s *suite) appendStaged(st *eventlog.CommitStaged) error {
	h := s.head(s.Log)
	b := eventlog.NewBatchBuilder(h, "node-1")
	c := eventlog.Commit{ID: st.ID, Time: baseTime + int64(h.Revision), Actor: "logtest", Events: []eventlog.Event{st}}
	if err := b.Add(&c); err != nil {
		return err
	}
	raw, next := b.Finish()
	_, err := s.Log.Append(s.ctx(), h, next, bytes.Clone(raw), []string{st.ID})
	return err
}

func (s *suite) stage() {
	events := many()
	st := s.staged("import-1", events)
	lines := eventlog.AppendEventLines(nil, events)
	if st.ID != "import-1" || st.Events != len(events) || st.Bytes != int64(len(lines)) || st.Parts < 3 {
		s.Fatalf("Stage returned %+v", st)
	}
	if err := s.appendStaged(st); err != nil {
		s.Fatalf("Append of a staged commit: %v", err)
	}
	for _, l := range []eventlog.Log{s.Log, s.Second} {
		got, err := l.Staged(s.ctx(), st)
		if err != nil {
			s.Fatalf("Staged: %v", err)
		}
		if !bytes.Equal(eventlog.AppendEventLines(nil, got), lines) {
			s.Fatal("Staged returned other events")
		}
		var parts []byte
		if err := l.StageParts(s.ctx(), st, func(part []byte) error {
			parts = append(parts, part...)
			return nil
		}); err != nil || !bytes.Equal(parts, lines) {
			s.Fatalf("StageParts gave %d other bytes, %v", len(parts), err)
		}
		stop := errors.New("stop")
		if err := l.StageParts(s.ctx(), st, func([]byte) error { return stop }); !errors.Is(err, stop) {
			s.Errorf("StageParts that is stopped: %v", err)
		}
	}
	other := *st
	other.SHA256[0] ^= 1
	if _, err := s.Log.Staged(s.ctx(), &other); !errors.Is(err, eventlog.ErrCorrupt) {
		s.Errorf("Staged with another hash: %v, want ErrCorrupt", err)
	}
	other = *st
	other.Events++
	if _, err := s.Log.Staged(s.ctx(), &other); !errors.Is(err, eventlog.ErrCorrupt) {
		s.Errorf("Staged with another count: %v, want ErrCorrupt", err)
	}
	other = *st
	other.ID = "import-2"
	if _, err := s.Log.Staged(s.ctx(), &other); !errors.Is(err, eventlog.ErrNotFound) {
		s.Errorf("Staged of an unknown id: %v, want ErrNotFound", err)
	}
	if err := s.Log.StageParts(s.ctx(), &other, func([]byte) error { return nil }); !errors.Is(err, eventlog.ErrNotFound) {
		s.Errorf("StageParts of an unknown id: %v, want ErrNotFound", err)
	}
}

func (s *suite) stagePartLost() {
	s.needs(s.LoseStagePart != nil, "lose a part of a stage")
	st := s.staged("import-1", many())
	s.LoseStagePart(st.ID)
	if events, err := s.Log.Staged(s.ctx(), st); !errors.Is(err, eventlog.ErrNotFound) {
		s.Fatalf("Staged without a part: %d events, %v; want ErrNotFound", len(events), err)
	}
	if err := s.Log.StageParts(s.ctx(), st, func([]byte) error { return nil }); !errors.Is(err, eventlog.ErrNotFound) {
		s.Errorf("StageParts without a part: %v, want ErrNotFound", err)
	}
}

func (s *suite) appendNeedsStage() {
	before := s.head(s.Log)
	missing, _, err := eventlog.EncodeStage("nowhere", many())
	if err != nil {
		s.Fatal(err)
	}
	if err := s.appendStaged(missing); err == nil || errors.Is(err, eventlog.ErrOutcomeUnknown) {
		s.Fatalf("Append that refers to a stage which is not there: %v, want it refused", err)
	}
	if h := s.head(s.Log); h != before {
		s.Fatal("the head moved")
	}
}

func (s *suite) sweep() {
	kept, swept := s.staged("kept", many()[:10]), s.staged("swept", many()[:10])
	if err := s.Log.Sweep(s.ctx(), 1, func(string) bool { return false }); err != nil {
		s.Fatalf("Sweep: %v", err)
	}
	if _, err := s.Log.Staged(s.ctx(), swept); err != nil {
		s.Fatalf("a stage begun after the time given was swept: %v", err)
	}
	if err := s.Log.Sweep(s.ctx(), eventlog.MaxTime, func(id string) bool { return id == "kept" }); err != nil {
		s.Fatalf("Sweep: %v", err)
	}
	if _, err := s.Log.Staged(s.ctx(), kept); err != nil {
		s.Errorf("a stage that is kept was swept: %v", err)
	}
	if _, err := s.Log.Staged(s.ctx(), swept); !errors.Is(err, eventlog.ErrNotFound) {
		s.Errorf("Staged after the sweep: %v, want ErrNotFound", err)
	}
	if err := s.appendStaged(swept); err == nil {
		s.Error("a commit whose stage was swept was appended")
	}
	if err := s.appendStaged(kept); err != nil {
		s.Errorf("Append of the stage that was kept: %v", err)
	}
	given := s.staged("given-up", many())
	for range 2 { // absent is no error
		if err := s.Log.Unstage(s.ctx(), given.ID); err != nil {
			s.Fatalf("Unstage: %v", err)
		}
	}
	if _, err := s.Log.Staged(s.ctx(), given); !errors.Is(err, eventlog.ErrNotFound) {
		s.Errorf("Staged after Unstage: %v, want ErrNotFound", err)
	}
	if again := s.staged("given-up", many()[:10]); again.Events != 10 {
		s.Errorf("staged anew: %+v", again)
	}
}
