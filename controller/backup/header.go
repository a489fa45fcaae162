package backup

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"dvr/eventlog"
	"dvr/projector"
)

// Format is the newest form that this program reads, and the one that it writes.
const Format = 1

const (
	kind = "dvr backup"

	maxHeader    = 64 << 10
	trailerBytes = FrameBytes + len(`{"sha256":""}`+"\n") + 64
)

// Skippable frames of zstd: whatever decompresses a file passes them over.
// Archives (decision 23) have the same.
const (
	HeaderMagic  = 0x184d2a50
	TrailerMagic = 0x184d2a5f
	FrameBytes   = 8 // magic and length, before a frame's content
)

// What a file can be refused for.
var (
	// ErrDamaged: the file is not what was written, or not all of it.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrNewer: only a newer program can read the file.
	ErrNewer = errors.New("the backup was made by a newer program")
	// ErrForeign: the file is no backup at all.
	ErrForeign = errors.New("this is no backup made by dvr")
	// ErrStaged: the state has a timer whose events lie in a stage of the log. No
	// program writes such timers.
	ErrStaged = errors.New("a timer whose events are staged cannot be backed up")
)

// Header says what a backup is of. It is the file's first line.
type Header struct {
	Kind       string            `json:"kind"`
	Format     int               `json:"format"`
	LogID      string            `json:"log_id"`
	Revision   eventlog.Revision `json:"revision"`
	Epoch      uint64            `json:"epoch"`
	EpochNonce string            `json:"epoch_nonce"`
	Hash       string            `json:"hash"` // of the log at the revision
	Level      uint32            `json:"level"`
	Digest     string            `json:"digest"`            // of the state
	Time       int64             `json:"time"`              // log time at the revision, Unix milliseconds
	Made       int64             `json:"made"`              // Unix milliseconds
	Node       string            `json:"node,omitempty"`    // that made it
	Program    string            `json:"program,omitempty"` // its version
}

// Describe is the header of a state.
func Describe(s *projector.State) Header {
	h := s.Head()
	return Header{
		Kind: kind, Format: Format, LogID: s.Position().LogID, Revision: h.Revision, Epoch: h.Epoch,
		EpochNonce: hex.EncodeToString(h.Nonce[:]), Hash: hex.EncodeToString(h.Hash[:]), Level: h.Level,
		Digest: s.Digest().String(), Time: s.Time(),
	}
}

// HeaderOf is the header of a backup of what a snapshot holds.
func HeaderOf(s eventlog.SnapshotInfo) Header {
	return Header{
		Kind: kind, Format: Format, LogID: s.LogID, Revision: s.Revision, Epoch: s.Epoch,
		EpochNonce: s.EpochNonce, Hash: s.Hash, Level: s.Level, Digest: s.Digest, Time: s.Time,
	}
}

// Frame is a skippable frame.
func Frame(magic uint32, content []byte) []byte {
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, FrameBytes+len(content)), magic)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(content)))
	return append(b, content...)
}

func (h *Header) frame() ([]byte, error) {
	line, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	if len(line) >= maxHeader {
		return nil, fmt.Errorf("a header of %d bytes", len(line))
	}
	return Frame(HeaderMagic, append(line, '\n')), nil
}

func trailer(sum []byte) []byte {
	return Frame(TrailerMagic, fmt.Appendf(nil, "{\"sha256\":\"%x\"}\n", sum))
}
