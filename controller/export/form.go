package export

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"dvr/eventlog"
)

// Format is the newest form that this program reads, and the one that it writes.
const Format = 1

const (
	kind = "dvr export"
	// by stands for the node that wrote a batch: which one it was the hash chain
	// does not bind, so an export does not claim it.
	by = "export"
)

// What an export can be refused for, each in one way only.
var (
	// ErrForeign: the file is no export.
	ErrForeign = errors.New("not an export of a log")
	// ErrNewer: only a newer program can read the file.
	ErrNewer = errors.New("made by a newer program")
	// ErrDamaged: a commit, or what binds it, is not what was written.
	ErrDamaged = errors.New("damaged")
	// ErrIncomplete: commits are missing, or the file's end is.
	ErrIncomplete = errors.New("incomplete")
	// ErrDisorder: commits are in another order than in the log, or there twice.
	ErrDisorder = errors.New("out of order")
)

// Header is the first line: what the export holds, as it says.
type Header struct {
	Kind    string            `json:"kind"`
	Format  int               `json:"format"`
	Level   uint32            `json:"level"` // up to which its program knows the log's events
	LogID   string            `json:"log_id"`
	First   eventlog.Revision `json:"first"`
	Last    eventlog.Revision `json:"last"`
	Made    int64             `json:"made"` // Unix milliseconds
	Program string            `json:"program,omitempty"`
	SHA256  string            `json:"sha256"` // of the line with this member empty
}

// line is the header's, newline included.
func (h Header) line() []byte {
	h.SHA256 = ""
	sum := sha256.Sum256(jsonLine(h))
	h.SHA256 = hex.EncodeToString(sum[:])
	return jsonLine(h)
}

// parseHeader reads the first line. Errors: ErrForeign, ErrNewer, ErrDamaged.
func parseHeader(line []byte) (h Header, err error) {
	if json.Unmarshal(line, &h) != nil || h.Kind != kind {
		return h, ErrForeign
	}
	switch {
	case h.Format > Format:
		return h, fmt.Errorf("%w: it has format %d, this program reads up to %d", ErrNewer, h.Format, Format)
	case h.Level > eventlog.MaxLevel:
		return h, fmt.Errorf("%w: it is of level %d, this program reads up to %d", ErrNewer, h.Level, eventlog.MaxLevel)
	case !bytes.Equal(h.line(), line):
		return h, fmt.Errorf("%w: its first line is not what was written", ErrDamaged)
	case h.First < 1 || h.Last < h.First:
		return h, fmt.Errorf("%w: its first line: revisions %d to %d", ErrDamaged, h.First, h.Last)
	}
	return h, nil
}

// trailer is the last line.
type trailer struct {
	Hash   string `json:"hash"`   // h(last)
	SHA256 string `json:"sha256"` // of all bytes before this line
}

// trailerLine is what ends an export; its length never changes.
func trailerLine(hash eventlog.Hash, sum []byte) []byte {
	return jsonLine(trailer{Hash: hex.EncodeToString(hash[:]), SHA256: hex.EncodeToString(sum)})
}

func jsonLine(v any) []byte {
	raw, _ := json.Marshal(v) // texts and numbers always can be
	return append(raw, '\n')
}
