package eventlog

import (
	"errors"
	"fmt"
)

// What can go wrong with a log. Implementations wrap these with the operation.
var (
	// ErrHeadMoved: another batch was appended at this head; nothing was stored.
	ErrHeadMoved = errors.New("the head of the log has moved")
	// ErrOutcomeUnknown: the context ended before it was known whether the batch is stored.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrUnavailable: no quorum, or the store cannot be reached.
	ErrUnavailable = errors.New("the log is unavailable")
	// ErrNoSpace: the store's quota is exhausted; reading goes on.
	ErrNoSpace = errors.New("the log's store is full")
	// ErrTruncated: the revision asked for is older than the oldest retained one.
	ErrTruncated = errors.New("revision is no longer retained")
	// ErrCorrupt: stored bytes are not what was written (hash, form, density).
	ErrCorrupt = errors.New("the log is corrupt")
	// ErrHole: a committed batch is missing.
	ErrHole = errors.New("a committed batch is missing")
	// ErrForeignLog: the log is not the one this node belongs to.
	ErrForeignLog = errors.New("another log")
	// ErrLevel: the log needs a newer program.
	ErrLevel = errors.New("the log's level is newer than this program")
	// ErrNotFound: no such snapshot or staged part.
	ErrNotFound = errors.New("not found")
)

// LevelError is ErrLevel with what is known of the log; zero: not known.
type LevelError struct {
	Level uint32   // that the log is at
	From  Revision // the first that this program does not fold
}

// Error is a sentence that says what to do.
func (e *LevelError) Error() string {
	at, from := "a newer level", ""
	if e.Level > 0 {
		at = fmt.Sprintf("level %d", e.Level)
	}
	if e.From > 0 {
		from = fmt.Sprintf(" from revision %d", e.From)
	}
	return fmt.Sprintf("this node supports level %d, the log is at %s%s: upgrade it", MaxLevel, at, from)
}

// Unwrap gives ErrLevel.
func (e *LevelError) Unwrap() error { return ErrLevel }

// FieldError is bad input: the member at fault, dotted and indexed from the
// request's root ("events[3].next_hop"), and the reason in a sentence.
type FieldError struct{ Field, Reason string }

// Error is "<field>: <reason>", the reason alone where the whole input is at fault.
func (e *FieldError) Error() string {
	if e.Field == "" {
		return e.Reason
	}
	return fmt.Sprintf("%s: %s", e.Field, e.Reason)
}
