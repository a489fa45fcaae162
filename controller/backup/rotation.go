package backup

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"dvr/controller/durable"
	"dvr/projector"
)

// Rotation is a directory of backups, made every so often and kept so many. Only
// files that it named itself are looked at, and only those of its log are ever
// deleted. Processes that share a directory share one rotation. Not safe for
// concurrent use.
type Rotation struct {
	Dir   string
	LogID string
	Every time.Duration
	Keep  int // at least 1
	Maker Maker

	now    Header // of the state that was backed up last; zero: none was yet
	listed bool
	good   []rotated // newest first
	bad    []string  // what cannot be restored, and why
}

type rotated struct {
	name   string
	header Header
}

// Rotated is what a Rotation holds.
type Rotated struct {
	Newest Header   // zero: there is none
	Good   int      // how many backups can be restored
	Bad    []string // files that cannot, and why; they are left for who looks into it
}

const (
	rotationPrefix = "dvr-"
	rotationSuffix = ".backup"
	rotationLock   = ".lock"
)

// Step makes a backup where none younger than Every is there, checks that what
// was written is what the state is, checks all others, and deletes those beyond
// Keep: never one that is needed to have Keep good ones. state is asked where one
// is due. Errors: state's, of the file system; what is there stays as it is then.
// Cost: nothing where none is due; else Write's, and a pass over all files.
func (r *Rotation) Step(now time.Time, state func() (*projector.State, error)) (Rotated, error) {
	if !r.listed {
		if err := r.list(); err != nil {
			return r.rotated(), fmt.Errorf("backups in %s: %w", r.Dir, err)
		}
	}
	if !r.due(now) {
		return r.rotated(), nil
	}
	if err := r.step(now, state); err != nil {
		return r.rotated(), fmt.Errorf("backups in %s: %w", r.Dir, err)
	}
	return r.rotated(), nil
}

func (r *Rotation) step(now time.Time, state func() (*projector.State, error)) error {
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(r.Dir, rotationLock), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return nil // another process is about it: its backup will be seen
	} else if err != nil {
		return err
	}
	if err := durable.Sweep(r.Dir, rotationPrefix+"*"+rotationSuffix); err != nil {
		return err
	}
	if err := r.list(); err != nil { // another process may have made one meanwhile
		return err
	}
	if !r.due(now) {
		return nil
	}
	s, err := state()
	if err != nil {
		return err
	}
	if err := r.write(s, now); err != nil {
		return err
	}
	r.now = Describe(s)
	if err := r.list(); err != nil {
		return err
	}
	return r.prune()
}

// due says whether a backup is to be made. One from the future, made before the
// clock was set back, counts for nothing.
func (r *Rotation) due(now time.Time) bool {
	for _, f := range r.good {
		if age := now.Sub(time.UnixMilli(f.header.Made)); age >= 0 && age < r.Every {
			return false
		}
	}
	return true
}

// list reads and checks every file of the rotation.
func (r *Rotation) list() error {
	entries, err := os.ReadDir(r.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	r.good, r.bad = r.good[:0], r.bad[:0]
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, rotationPrefix) || !strings.HasSuffix(name, rotationSuffix) || !e.Type().IsRegular() {
			continue
		}
		h, err := intact(filepath.Join(r.Dir, name))
		switch {
		case errors.Is(err, os.ErrNotExist): // gone meanwhile
		case err != nil:
			r.bad = append(r.bad, fmt.Sprintf("%s: %v", name, err))
		case h.LogID != r.LogID:
			r.bad = append(r.bad, fmt.Sprintf("%s: it is of another log, %s", name, h.LogID))
		default:
			r.good = append(r.good, rotated{name, h})
		}
	}
	// By what they hold and not by the clock, which may have been wrong. Those of a
	// history that a restore has left come last, however far it went.
	left := func(h Header) int {
		if h.Epoch > r.now.Epoch || h.Epoch == r.now.Epoch && h.EpochNonce != r.now.EpochNonce {
			return 1
		}
		return 0
	}
	slices.SortFunc(r.good, func(a, b rotated) int {
		if c := left(a.header) - left(b.header); r.now.Epoch > 0 && c != 0 {
			return c
		}
		return -cmp.Or(cmp.Compare(a.header.Epoch, b.header.Epoch), cmp.Compare(a.header.Revision, b.header.Revision), cmp.Compare(a.header.Made, b.header.Made))
	})
	r.listed = true
	return nil
}

// intact checks a file's SHA-256 and form.
func intact(path string) (Header, error) {
	f, err := os.Open(path)
	if err != nil {
		return Header{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Header{}, err
	}
	h, state, err := Open(f, info.Size())
	if err != nil {
		return h, err
	}
	return h, state.Close()
}

// write puts a backup in place after what can be read back of it was found to be
// the state, byte for byte.
func (r *Rotation) write(s *projector.State, now time.Time) error {
	if err := Check(s); err != nil {
		return err
	}
	h := Describe(s)
	h.Made, h.Node, h.Program = now.UnixMilli(), r.Maker.Node, r.Maker.Program
	name := fmt.Sprintf("%s%s-%d%s", rotationPrefix, now.UTC().Format("20060102T150405Z"), h.Revision, rotationSuffix)
	saved := sha256.New()
	return durable.Store(filepath.Join(r.Dir, name), func(w io.Writer) error {
		return WriteSaved(w, h, func(out io.Writer) error { return s.Save(io.MultiWriter(out, saved)) })
	}, func(in io.ReaderAt, size int64) error {
		got, state, err := Open(in, size)
		if err != nil {
			return err
		}
		defer state.Close()
		read := sha256.New()
		if _, err := io.Copy(read, state); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if got != h || !bytes.Equal(read.Sum(nil), saved.Sum(nil)) {
			return fmt.Errorf("%w: it is not the state that was written", ErrDamaged)
		}
		return nil
	})
}

// prune deletes the good ones beyond Keep.
func (r *Rotation) prune() error {
	keep := max(r.Keep, 1)
	for len(r.good) > keep {
		last := len(r.good) - 1
		if err := os.Remove(filepath.Join(r.Dir, r.good[last].name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		r.good = r.good[:last]
	}
	return nil
}

func (r *Rotation) rotated() Rotated {
	out := Rotated{Good: len(r.good), Bad: slices.Clone(r.bad)}
	for _, f := range r.good {
		if f.header.Made > out.Newest.Made {
			out.Newest = f.header
		}
	}
	return out
}
