package archive

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"dvr/controller/backup"
	"dvr/eventlog"
)

// Format is the newest form that this program reads, and the one that it writes.
const Format = 1

const (
	kind       = "dvr archive"
	indexMagic = 0x184d2a51

	maxIndex     = 16 << 20
	blockBytes   = 512 << 10 // of batches, before compression
	maxBlock     = 4 << 20   // that a reader takes: a batch of one commit, and one before it
	trailerBytes = backup.FrameBytes + len(`{"index":"","index_sha256":"","sha256":""}`+"\n") + 16 + 64 + 64
)

// What a file or a directory can be refused for; each is wrapped with the file.
var (
	// ErrDamaged: the file is not what was written, or not all of it.
	ErrDamaged = errors.New("damaged")
	// ErrNewer: only a newer program can read the file.
	ErrNewer = errors.New("made by a newer program")
	// ErrForeign: the file is no archive, or one of another log.
	ErrForeign = errors.New("foreign")
	// ErrNothing: there is no commit to archive.
	ErrNothing = errors.New("nothing to archive")
	// ErrBusy: another process is writing to the directory.
	ErrBusy = errors.New("another process is writing to the archive")
	// ErrLeft: the log has left the history that the directory ends with.
	ErrLeft = errors.New("the log has left the history in the archive")
)

// Header begins a file of history. What it says is believed where the index's
// checksum and the hash chain bear it out.
type Header struct {
	Kind    string            `json:"kind"`
	Format  int               `json:"format"`
	LogID   string            `json:"log_id"`
	First   eventlog.Revision `json:"first"`
	Epoch   uint64            `json:"epoch"`          // at First
	Prev    string            `json:"prev"`           // h(first−1)
	Made    int64             `json:"made"`           // Unix milliseconds
	Node    string            `json:"node,omitempty"` // that made it
	Program string            `json:"program,omitempty"`
}

// Index ends a file of history: where everything lies.
type Index struct {
	Last      eventlog.Revision `json:"last"`
	LastEpoch uint64            `json:"last_epoch"`
	Hash      string            `json:"hash"`  // h(last)
	Begin     int64             `json:"begin"` // log time of the first commit, Unix milliseconds
	End       int64             `json:"end"`   // of the last
	Batches   int               `json:"batches"`
	Commits   int               `json:"commits"`
	Bytes     int64             `json:"bytes"` // of batches and stages, before compression
	Blocks    []block           `json:"blocks"`
	Stages    []stage           `json:"stages,omitempty"`
}

// extent is where a zstd frame lies.
type extent struct {
	At     int64 `json:"at"`
	Length int64 `json:"length"`
	Bytes  int64 `json:"bytes"` // of its content
}

// block is consecutive batches; the next one's first and prev end it.
type block struct {
	extent
	First eventlog.Revision `json:"first"`
	Prev  string            `json:"prev"`
}

// stage is the event lines of a staged commit.
type stage struct {
	ID string `json:"id"`
	extent
	SHA256 string `json:"sha256"`
}

// tail is the trailer's line; its length never changes.
type tail struct {
	Index    string `json:"index"`
	IndexSum string `json:"index_sha256"`
	Sum      string `json:"sha256"`
}

func (t tail) frame() []byte {
	line, _ := json.Marshal(t) // strings never fail
	return backup.Frame(backup.TrailerMagic, append(line, '\n'))
}

// Extension of a file of history, and of a state.
const (
	historyExtension = ".history"
	stateExtension   = ".backup"
	partExtension    = ".part"
)

// HistoryName is the name of a file of history.
func HistoryName(first, last eventlog.Revision, hash string) string {
	return fmt.Sprintf("%020d-%020d-%.8s%s", first, last, hash, historyExtension)
}

// StateName is the name of a state.
func StateName(r eventlog.Revision, hash string) string {
	return fmt.Sprintf("%020d-%.8s%s", r, hash, stateExtension)
}

func hashText(h eventlog.Hash) string { return hex.EncodeToString(h[:]) }

func parseHash(s string) (h eventlog.Hash, err error) {
	if len(s) != 2*len(h) {
		return h, fmt.Errorf("%w: a hash of %d digits", ErrDamaged, len(s))
	}
	if _, err := hex.Decode(h[:], []byte(s)); err != nil {
		return h, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return h, nil
}
