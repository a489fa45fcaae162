package memlog

import (
	"context"
	"fmt"
	"slices"

	"dvr/eventlog"
)

type stage struct {
	event    eventlog.CommitStaged
	time     int64
	complete bool
	parts    [][]byte
}

// Stage stores the event lines of a commit in parts. Staging the same events
// under the same id again changes nothing; other events are refused.
func (l *Log) Stage(ctx context.Context, id string, events []eventlog.Event) (*eventlog.CommitStaged, error) {
	const op = "stage"
	if err := l.enter(ctx, op); err != nil {
		return nil, err
	}
	event, parts, err := eventlog.EncodeStage(id, events)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if old := l.s.stages[id]; old != nil && old.complete {
		if old.event != *event {
			return nil, fmt.Errorf("%s: %w", op, &eventlog.FieldError{Field: "id", Reason: "is that of another stage"})
		}
		return event, nil
	}
	l.s.stages[id] = &stage{event: *event, time: l.s.clock(), complete: true, parts: parts}
	return event, nil
}

// Staged returns the events of a staged commit.
func (l *Log) Staged(ctx context.Context, s *eventlog.CommitStaged) ([]eventlog.Event, error) {
	parts, err := l.partsOf(ctx, s)
	if err != nil {
		return nil, err
	}
	return eventlog.DecodeStage(s, slices.Concat(parts...))
}

// StageParts gives the parts of a staged commit.
func (l *Log) StageParts(ctx context.Context, s *eventlog.CommitStaged, fn func(part []byte) error) error {
	parts, err := l.partsOf(ctx, s)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if err := fn(p); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) partsOf(ctx context.Context, s *eventlog.CommitStaged) ([][]byte, error) {
	if err := l.enter(ctx, "read a stage"); err != nil {
		return nil, err
	}
	l.s.mu.Lock()
	st := l.s.stages[s.ID]
	var parts [][]byte
	if st != nil {
		parts = slices.Clone(st.parts)
	}
	l.s.mu.Unlock()
	if st == nil || !st.complete || len(parts) < s.Parts {
		return nil, fmt.Errorf("stage %s: %w", s.ID, eventlog.ErrNotFound)
	}
	return parts, nil
}

// Unstage removes a stage.
func (l *Log) Unstage(ctx context.Context, id string) error {
	if err := l.enter(ctx, "remove a stage"); err != nil {
		return err
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	delete(l.s.stages, id)
	return nil
}

// Stages counts the stages that are stored; for tests.
func (l *Log) Stages() int {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return len(l.s.stages)
}

// Sweep removes stages begun before the given time that keep does not name.
func (l *Log) Sweep(ctx context.Context, before int64, keep func(id string) bool) error {
	if err := l.enter(ctx, "sweep"); err != nil {
		return err
	}
	l.s.mu.Lock()
	old := map[string]*stage{}
	for id, st := range l.s.stages {
		if st.time < before {
			old[id] = st
		}
	}
	l.s.mu.Unlock()
	for id, st := range old {
		l.s.mu.Lock()
		head := l.s.head
		l.s.mu.Unlock()
		if keep(id) { // which may read the log
			continue
		}
		l.s.mu.Lock()
		if l.s.head == head && l.s.stages[id] == st {
			delete(l.s.stages, id)
		}
		l.s.mu.Unlock()
	}
	return nil
}
