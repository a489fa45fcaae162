package archive

import (
	"context"
	"io"

	"dvr/eventlog"
)

// History is a file of history that is read. Safe for concurrent use.
type History struct {
	history *history
	in      io.ReaderAt
}

// OpenHistory reads header and index of a file of size bytes and checks them
// against each other; what else it holds is proven as it is read. Memory: the
// index. Errors: ErrDamaged, ErrNewer, ErrForeign, in's own.
func OpenHistory(in io.ReaderAt, size int64) (*History, error) {
	h, err := openHistory(in, size)
	if err != nil {
		return nil, err
	}
	return &History{h, in}, nil
}

// Header is what the file says of itself.
func (h *History) Header() Header { return h.history.Header }

// Index is what it holds.
func (h *History) Index() Index { return h.history.Index }

// Read calls fn with the batches that hold commits after a revision, in order,
// each proven by the hash chain of its block. Errors: ErrDamaged, ErrNewer, in's,
// fn's own.
func (h *History) Read(after eventlog.Revision, fn func(*eventlog.Batch) error) error {
	return h.history.read(h.in, after, fn)
}

// StageParts gives the event lines of a staged commit of the file piece by piece,
// unproven (eventlog.StageLines). Errors: eventlog.ErrNotFound, ErrDamaged, fn's.
func (h *History) StageParts(_ context.Context, s *eventlog.CommitStaged, fn func(part []byte) error) error {
	return h.history.stageParts(h.in, s, fn)
}
