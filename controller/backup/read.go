package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"dvr/eventlog"
	"dvr/projector"
)

// decoderWindow bounds the memory that a stream can ask for.
const decoderWindow = 64 << 20

// Backup is a file that was read whole and found good.
type Backup struct {
	Header Header
	Fold   *projector.Fold // stands at the header's revision
	Bytes  int64           // of the file
}

// Read reads and checks a backup of size bytes. It trusts nothing: checksum,
// form, counts, digests, and that the header is that of the state. Errors:
// ErrForeign, ErrDamaged, ErrNewer, ErrStaged, r's own. Cost: two passes over the
// file and the memory of the state, about 0.5 s for a million routes.
func Read(r io.ReaderAt, size int64) (*Backup, error) {
	h, z, err := Open(r, size)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	fold, err := projector.Load(z)
	if err != nil {
		sentinel := ErrDamaged // of the decompressor, too: the checksum was right
		if errors.Is(err, eventlog.ErrLevel) {
			sentinel = ErrNewer
		}
		return nil, fmt.Errorf("%w: the state in it: %w", sentinel, err)
	}
	is := Describe(fold.Current())
	is.Made, is.Node, is.Program = h.Made, h.Node, h.Program
	if is != h {
		return nil, fmt.Errorf("%w: it says revision %d, digest %s, and holds revision %d, digest %s", ErrDamaged, h.Revision, h.Digest, is.Revision, is.Digest)
	}
	if err := Check(fold.Current()); err != nil {
		return nil, fmt.Errorf("read backup: %w", err)
	}
	return &Backup{Header: h, Fold: fold, Bytes: size}, nil
}

// Open checks all but the state itself and gives what State.Save wrote, as a
// stream. Errors: as Read, but for ErrStaged. Cost: one pass over the file.
func Open(r io.ReaderAt, size int64) (Header, io.ReadCloser, error) {
	h, state, err := open(r, size)
	if err != nil {
		return h, nil, err
	}
	z, err := zstd.NewReader(state, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(decoderWindow))
	if err != nil {
		return h, nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return h, z.IOReadCloser(), nil
}

// open checks the parts around the state and gives its stream.
func open(r io.ReaderAt, size int64) (Header, io.Reader, error) {
	h, start, err := ReadHeader(r, size)
	if err != nil {
		return h, nil, err
	}
	end := size - int64(trailerBytes)
	last := make([]byte, trailerBytes)
	if end < start {
		return h, nil, cut(size)
	}
	if _, err := r.ReadAt(last, end); err != nil && !errors.Is(err, io.EOF) {
		return h, nil, err
	}
	if binary.LittleEndian.Uint32(last) != TrailerMagic {
		return h, nil, cut(size)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(r, 0, end)); err != nil {
		return h, nil, err
	}
	if !bytes.Equal(last, trailer(sum.Sum(nil))) {
		return h, nil, fmt.Errorf("%w: its SHA-256 is not the one at its end", ErrDamaged)
	}
	switch {
	case h.Format > Format:
		return h, nil, fmt.Errorf("%w: it has format %d, this program reads up to %d: use the program that made it, or a newer one", ErrNewer, h.Format, Format)
	case h.Format < 1:
		return h, nil, fmt.Errorf("%w: format %d", ErrDamaged, h.Format)
	case h.Level > eventlog.MaxLevel:
		return h, nil, fmt.Errorf("%w: it is of level %d, this program reads up to %d: use the program that made it, or a newer one", ErrNewer, h.Level, eventlog.MaxLevel)
	}
	return h, io.NewSectionReader(r, start, end-start), nil
}

func cut(size int64) error {
	return fmt.Errorf("%w: its end is missing: it was cut off after %d bytes, or damaged there", ErrDamaged, size)
}

// ReadHeader gives the header and where the state begins. What it says is not
// believed before the checksum is. Errors: ErrForeign, ErrDamaged, r's own.
func ReadHeader(r io.ReaderAt, size int64) (h Header, start int64, err error) {
	line, start, err := HeaderLine(r, size)
	if err != nil {
		return h, 0, err
	}
	if err := json.Unmarshal(line, &h); err != nil {
		return h, 0, fmt.Errorf("%w: its first line: %w", ErrDamaged, err)
	}
	if h.Kind != kind {
		return h, 0, ErrForeign
	}
	return h, start, nil
}

// HeaderLine gives what the frame at a file's beginning holds, and where it ends.
// Errors: as ReadHeader.
func HeaderLine(r io.ReaderAt, size int64) (line []byte, end int64, err error) {
	var top [FrameBytes]byte
	if size < FrameBytes {
		return nil, 0, fmt.Errorf("%w: it has %d bytes", ErrForeign, size)
	}
	if _, err := r.ReadAt(top[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	length := binary.LittleEndian.Uint32(top[4:])
	if binary.LittleEndian.Uint32(top[:]) != HeaderMagic || length > maxHeader {
		return nil, 0, ErrForeign
	}
	end = FrameBytes + int64(length)
	if end > size {
		return nil, 0, cut(size)
	}
	line = make([]byte, length)
	if _, err := r.ReadAt(line, FrameBytes); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	return line, end, nil
}
