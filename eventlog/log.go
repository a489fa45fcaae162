package eventlog

import (
	"context"
	"io"
)

// Log is one totally ordered log of batches. It knows no projector: which
// commits are right is the appender's matter; the log guards order, density
// and identity. Implementations are safe for concurrent use. The suite in
// logtest defines their behaviour.
type Log interface {
	// ID is the log's uuid.
	ID() string
	// Head reads the newest head linearizably. Cost: one quorum read.
	// Errors: ErrUnavailable, ErrCorrupt.
	Head(ctx context.Context) (Head, error)
	// Append stores one encoded batch on top of prev; next is the head that
	// it leaves behind (Guard ignored), which is returned with its guard.
	// raw's first revision must be prev.Revision+1 and its prev hash
	// prev.Hash; it is not kept; stages are the ids of staged commits that it refers to. It returns only when the
	// outcome is known or ctx has ended: pass the process's context, not a
	// caller's. Errors: ErrHeadMoved (nothing stored), ErrNoSpace (nothing
	// stored), ErrOutcomeUnknown (only when ctx ended).
	Append(ctx context.Context, prev, next Head, raw []byte, stages []string) (Head, error)
	// Read calls fn with the batches that hold commits after the given
	// revision up to the head read at the start, in order; the first may
	// begin before after+1. Raw and Commits are valid only during the
	// call unless the batch is retained by copying. Errors: ErrTruncated,
	// ErrHole, ErrCorrupt, fn's own.
	Read(ctx context.Context, after Revision, fn func(*Batch) error) error
	// Follow delivers batches after the given revision, first those stored,
	// then live ones, without gap or repetition, until ctx ends or fn fails.
	// Lost watches, compaction and slowness are healed inside.
	Follow(ctx context.Context, after Head, fn func(*Batch, Head) error) error
	// Low is the oldest retained revision.
	Low(ctx context.Context) (Revision, error)

	// Stage stores the event lines of a commit that is too large for a batch,
	// in parts, and returns the event that stands for them.
	Stage(ctx context.Context, id string, events []Event) (*CommitStaged, error)
	// Staged returns the events of a staged commit after checking count and
	// hash. Errors: ErrNotFound (a part lacks), ErrCorrupt.
	Staged(ctx context.Context, s *CommitStaged) ([]Event, error)
	// StageParts calls fn with what is stored of a staged commit, piece by piece
	// in order, unproven; a piece is valid only during the call. Errors:
	// ErrNotFound (a part lacks), ErrUnavailable, fn's.
	StageParts(ctx context.Context, s *CommitStaged, fn func(part []byte) error) error
	// Unstage removes a stage to which no batch refers, nor ever will: the caller
	// vouches for it. An absent one is no error.
	Unstage(ctx context.Context, id string) error
	// Sweep removes stages begun before the given log time (Unix
	// milliseconds) that keep does not name.
	Sweep(ctx context.Context, before int64, keep func(id string) bool) error

	// Snapshots lists complete snapshots, newest first.
	Snapshots(ctx context.Context) ([]SnapshotInfo, error)
	// WriteSnapshot stores what write produces (uncompressed) as the
	// snapshot described; it is listed only when whole.
	WriteSnapshot(ctx context.Context, info SnapshotInfo, write func(io.Writer) error) (SnapshotInfo, error)
	// OpenSnapshot reads a snapshot back, checksum verified at the end of the stream.
	OpenSnapshot(ctx context.Context, info SnapshotInfo) (io.ReadCloser, error)
	// DeleteSnapshot removes a snapshot, manifest first.
	DeleteSnapshot(ctx context.Context, info SnapshotInfo) error
	// Truncate removes batches that lie wholly before low. It is refused
	// (ErrNotFound) unless a snapshot of revision low−1 or later is stored.
	Truncate(ctx context.Context, low Revision) error
}

// Searcher is a Log that can be read for some events at less cost.
type Searcher interface {
	// ReadSome is Read with a Decoder that skips: events that nobody asks for are nil.
	ReadSome(ctx context.Context, after Revision, skip func(line []byte) bool, fn func(*Batch) error) error
}

// SnapshotInfo is the manifest of a snapshot.
type SnapshotInfo struct {
	Format     int      `json:"format"`
	LogID      string   `json:"log_id"`
	Revision   Revision `json:"revision"`
	Epoch      uint64   `json:"epoch"`
	EpochNonce string   `json:"epoch_nonce"`
	Hash       string   `json:"hash"` // 64 hex digits: h(revision)
	Level      uint32   `json:"level"`
	Digest     string   `json:"digest"` // state digest, 32 hex digits
	Time       int64    `json:"time"`   // log time at revision, Unix milliseconds
	Chunks     int      `json:"chunks"`
	Bytes      int64    `json:"bytes"`  // compressed
	SHA256     string   `json:"sha256"` // of the compressed stream
	Nonce      string   `json:"nonce"`
}
