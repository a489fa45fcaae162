package eventlog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
)

// StageParts is a log as far as stages are read piece by piece.
type StageParts interface {
	StageParts(ctx context.Context, s *CommitStaged, fn func(part []byte) error) error
}

// StageLines calls fn with the stored event lines of a staged commit, without
// their ends: most of them, those that follow the first from ones. A line is
// valid only during the call, and nothing that was given is proven until the
// return: the whole stage is read, and checked as Staged checks it, whatever part
// of it is wanted; what is not, is not decoded. Memory: a part and a line.
// Errors: the log's, ErrCorrupt, fn's.
func StageLines(ctx context.Context, log StageParts, s *CommitStaged, from, most int, fn func(line []byte) error) error {
	sum := sha256.New()
	var size int64
	var begun []byte // a line that the next part goes on with
	at := 0
	line := func(l []byte) error {
		at++
		if at <= from || at-from > most {
			return nil
		}
		return fn(l)
	}
	err := log.StageParts(ctx, s, func(part []byte) error {
		if size += int64(len(part)); size > s.Bytes {
			return fmt.Errorf("stage %s: %w: more bytes than staged", s.ID, ErrCorrupt)
		}
		sum.Write(part)
		for {
			head, rest, whole := bytes.Cut(part, newline)
			if !whole {
				begun = append(begun, head...)
				return nil
			}
			if part = rest; len(begun) > 0 {
				begun = append(begun, head...)
				head = begun
			}
			if err := line(head); err != nil {
				return err
			}
			begun = begun[:0]
		}
	})
	if err != nil {
		return err
	}
	if size != s.Bytes || !bytes.Equal(sum.Sum(nil), s.SHA256[:]) || len(begun) > 0 || at != s.Events {
		return fmt.Errorf("stage %s: %w: the parts are not what was staged", s.ID, ErrCorrupt)
	}
	return nil
}

var newline = []byte{'\n'}
