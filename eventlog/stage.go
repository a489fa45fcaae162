package eventlog

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// EncodeStage makes the parts of a staged commit, and the event that stands for
// them. Errors: EncodeStageTo's.
func EncodeStage(id string, events []Event) (*CommitStaged, [][]byte, error) {
	var parts [][]byte
	s, err := EncodeStageTo(id, events, func(_ int, part []byte) error {
		parts = append(parts, part)
		return nil
	})
	return s, parts, err
}

// EncodeStageTo is EncodeStage that gives each part, MaxStagePart bytes but the
// last, to put as soon as it is full, in order, and holds none: it is put's to
// keep. Errors: put's; *FieldError for an id that CheckStageID refuses, for no or
// too many events, and for an event that must not be staged: commit.staged, and
// those of which head and clock are known from the batches alone (epoch.started,
// level.raised, clock.stepped). But for too many events put has not been called then.
func EncodeStageTo(id string, events []Event, put func(number int, part []byte) error) (*CommitStaged, error) {
	if i := notStaged(events); i >= 0 {
		return nil, &FieldError{Field: fmt.Sprintf("events[%d].kind", i), Reason: "must not be staged"}
	}
	s := &CommitStaged{ID: id, Events: len(events), Parts: 1, Bytes: 1}
	if err := s.Validate(); err != nil { // id and events
		return nil, err
	}
	s.Parts, s.Bytes = 0, 0
	sum := sha256.New()
	var part []byte
	next := func(n int) error {
		full, rest := part[:n:n], part[n:]
		part = append(make([]byte, 0, MaxStagePart+MaxStagePart/8), rest...)
		s.Parts++
		s.Bytes += int64(n)
		if err := s.Validate(); err != nil {
			return err
		}
		sum.Write(full)
		return put(s.Parts-1, full)
	}
	for _, e := range events {
		part = append(AppendEvent(part, e), '\n')
		for len(part) >= MaxStagePart {
			if err := next(MaxStagePart); err != nil {
				return nil, err
			}
		}
	}
	if len(part) > 0 {
		if err := next(len(part)); err != nil {
			return nil, err
		}
	}
	sum.Sum(s.SHA256[:0])
	return s, nil
}

// DecodeStage reads the joined parts of a staged commit after checking size,
// hash and count. Errors: ErrCorrupt, ErrLevel.
func DecodeStage(s *CommitStaged, lines []byte) ([]Event, error) {
	if int64(len(lines)) != s.Bytes || sha256.Sum256(lines) != s.SHA256 {
		return nil, fmt.Errorf("stage %s: %w: the parts are not what was staged", s.ID, ErrCorrupt)
	}
	var d Decoder
	events, err := d.DecodeEvents(lines)
	if err != nil {
		return nil, fmt.Errorf("stage %s: %w", s.ID, d.lineError())
	}
	if len(events) != s.Events {
		return nil, fmt.Errorf("stage %s: %w: %d events, %d were staged", s.ID, ErrCorrupt, len(events), s.Events)
	}
	if i := notStaged(events); i >= 0 {
		return nil, fmt.Errorf("stage %s: %w: events[%d] must not be staged", s.ID, ErrCorrupt, i)
	}
	return events, nil
}

// StageMender is a log whose store may have the parts of a stage after somebody
// changed or deleted them. MendStage puts them back, only for a stage that a
// batch of the log refers to. Errors: ErrNotFound or ErrCorrupt where the store
// no longer has them; ErrUnavailable.
type StageMender interface {
	MendStage(ctx context.Context, s *CommitStaged) error
}

// StagedIn reads the events of a stage that a batch of log refers to; where its
// parts are missing or changed, a log that is a StageMender mends them first.
// Errors, cost and memory are those of Log.Staged.
func StagedIn(ctx context.Context, log interface {
	Staged(ctx context.Context, s *CommitStaged) ([]Event, error)
}, s *CommitStaged) ([]Event, error) {
	events, err := log.Staged(ctx, s)
	if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt) {
		return events, err
	}
	mender, ok := log.(StageMender)
	if !ok {
		return nil, err
	}
	if mending := mender.MendStage(ctx, s); mending != nil {
		return nil, mending
	}
	return log.Staged(ctx, s)
}

// notStaged is the index of the first event that a stage must not hold; −1: none.
func notStaged(events []Event) int {
	return slices.IndexFunc(events, func(e Event) bool {
		switch e.(type) {
		case *CommitStaged, *EpochStarted, *LevelRaised, *ClockStepped:
			return true
		}
		return false
	})
}
