package history

import (
	"context"
	"errors"
	"fmt"

	"dvr/eventlog"
)

// What a question about the past can fail with, each wrapped with what it was about.
var (
	// ErrGone: neither the log nor a snapshot reaches back so far.
	ErrGone = errors.New("no longer retained")
	// ErrOverloaded: too many past states are asked for at once.
	ErrOverloaded = errors.New("overloaded")
	// ErrUnavailable: the log cannot be read now.
	ErrUnavailable = errors.New("unavailable")
	// ErrBehind: the answer was not ready in time; what was done for it is kept.
	ErrBehind = errors.New("this node is behind")
)

// GoneError is an ErrGone that names what there is.
type GoneError struct {
	What   string            // is no longer retained
	Oldest eventlog.Revision // that can be asked about
	Begins eventlog.Revision // of commits: the first there is; else 0
	Why    string            // nothing before it can; may be empty
}

func (e *GoneError) Error() string {
	if e.Begins > 0 {
		return fmt.Sprintf("%s: %s: the log begins at revision %d%s", e.What, ErrGone, e.Begins, because(e.Why))
	}
	return fmt.Sprintf("%s: %s: the oldest that can be rebuilt is %d%s", e.What, ErrGone, e.Oldest, because(e.Why))
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return " (" + why + ")"
}

// beyond is why a log, one with an archive, cannot be read before its beginning.
func beyond(l Log) string {
	if b, ok := l.(interface{ Beyond() string }); ok {
		return b.Beyond()
	}
	return ""
}

// Unwrap gives ErrGone.
func (e *GoneError) Unwrap() error { return ErrGone }

// Missing maps the log's errors about the commits after a revision.
func Missing(ctx context.Context, l Log, after eventlog.Revision, err error) error {
	switch {
	case errors.Is(err, eventlog.ErrTruncated):
		low, _ := l.Low(ctx)
		return &GoneError{What: fmt.Sprintf("commits after revision %d", after), Oldest: max(low, 1) - 1, Begins: max(low, 1), Why: beyond(l)}
	case errors.Is(err, eventlog.ErrUnavailable):
		return fmt.Errorf("commits: %w: %w", ErrUnavailable, err)
	}
	return err
}
