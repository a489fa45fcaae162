package backup

import (
	"crypto/sha256"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"dvr/projector"
)

// Maker is who makes a backup; both may be empty.
type Maker struct{ Node, Program string }

// Check says whether s can be backed up. Cost: a look at each timer. Errors: ErrStaged.
func Check(s *projector.State) error {
	for t := range s.Timers() {
		if t.Stage != nil {
			return fmt.Errorf("timer %s: %w", t.Name, ErrStaged)
		}
	}
	return nil
}

// Write writes the backup of s. Errors: Check's, w's. Cost: one pass over the
// state, about 0.3 s for a million routes; memory: the compressor's window.
func Write(w io.Writer, s *projector.State, m Maker, now time.Time) error {
	if err := Check(s); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	h := Describe(s)
	h.Made, h.Node, h.Program = now.UnixMilli(), m.Node, m.Program
	if err := WriteSaved(w, h, s.Save); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	return nil
}

// WriteSaved writes the backup that h describes of what save writes, which is a
// State's Save or a copy of what one wrote. Errors: save's, w's.
func WriteSaved(w io.Writer, h Header, save func(io.Writer) error) error {
	head, err := h.frame()
	if err != nil {
		return err
	}
	sum := sha256.New()
	summed := io.MultiWriter(w, sum)
	if _, err := summed.Write(head); err != nil {
		return err
	}
	z, err := zstd.NewWriter(summed)
	if err != nil {
		return err
	}
	if err := save(z); err != nil {
		_ = z.Close()
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	_, err = w.Write(trailer(sum.Sum(nil)))
	return err
}
