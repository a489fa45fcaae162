package service

import (
	"context"
	"io"

	"dvr/controller/archive"
	"dvr/controller/history"
	"dvr/eventlog"
	"dvr/projector"
)

// WriteArchive writes a file of history (decision 23): what the log and its archive
// hold. Errors: ErrGone where they do not reach back so far, archive.ErrNothing,
// ErrUnavailable, w's; nothing was written where it fails at once.
func (s *Service) WriteArchive(ctx context.Context, w io.Writer, r archive.Range, m archive.Maker) error {
	_, _, err := archive.Write(ctx, w, s.history, r, m)
	return history.Missing(ctx, s.history, r.After, err)
}

// StateAt gives the state at a revision up to the newest that this node knows.
// Errors and cost: history.Archive.State's.
func (s *Service) StateAt(ctx context.Context, r eventlog.Revision) (*projector.State, error) {
	return s.archive.State(ctx, s.appender.State(), r)
}
