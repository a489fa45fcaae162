package archive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"dvr/controller/backup"
	"dvr/controller/durable"
	"dvr/eventlog"
)

// Session is the right to write to a directory, one process's at a time.
type Session struct {
	dir  *Directory
	lock *os.File
	// step, in tests, is told what was done; its error ends the work there.
	step func(string) error
}

const lockName = ".lock"

// Begin makes the directory where there is none and takes the right to write to
// it, for the log's history. What a writer that crashed left unfinished is
// removed. Errors: ErrBusy; ErrForeign where files of another log lie there.
func (d *Directory) Begin(logID string) (*Session, error) {
	fail := func(err error) (*Session, error) { return nil, fmt.Errorf("archive %s: %w", d.path, err) }
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return fail(err)
	}
	lock, err := os.OpenFile(filepath.Join(d.path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fail(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrBusy
		}
		return fail(err)
	}
	s := &Session{dir: d, lock: lock}
	if err := s.begin(logID); err != nil {
		return fail(errors.Join(err, s.End()))
	}
	return s, nil
}

func (s *Session) begin(logID string) error {
	entries, err := os.ReadDir(s.dir.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), partExtension) {
			if err := os.Remove(filepath.Join(s.dir.path, e.Name())); err != nil {
				return err
			}
		}
	}
	files, _, err := s.dir.list()
	if err != nil {
		return err
	}
	for _, f := range files {
		if id := f.logID(); id != "" && id != logID {
			return fmt.Errorf("%s: %w: it is of log %s, not %s: archive into another directory", f.name, ErrForeign, id, logID)
		}
	}
	return nil
}

// End gives the right back.
func (s *Session) End() error { return s.lock.Close() }

func (s *Session) reached(step string) error {
	if s.step == nil {
		return nil
	}
	return s.step(step)
}

// Tip is where a history ends; the zero value is not known.
type Tip struct {
	Revision eventlog.Revision
	Hash     string
}

// History stores a file of history that write produces, which goes on after tip:
// beside its place, synced, read back and checked, then renamed, and the directory
// synced. Errors: write's; ErrDamaged, ErrForeign where it is not a sound file of
// the log; ErrLeft where it does not continue the tip.
func (s *Session) History(logID string, tip Tip, write func(io.Writer) error) (Header, Index, error) {
	var h *history
	err := s.store(write, func(f *os.File, size int64) (string, error) {
		var err error
		if h, err = openHistory(f, size); err != nil {
			return "", err
		}
		if h.LogID != logID {
			return "", fmt.Errorf("%w: it is of log %s, not %s", ErrForeign, h.LogID, logID)
		}
		if tip.Hash != "" && h.First == tip.Revision+1 && h.Prev != tip.Hash {
			return "", fmt.Errorf("%w at revision %d", ErrLeft, tip.Revision)
		}
		return HistoryName(h.First, h.Last, h.Hash), h.verify(f, size, nil)
	})
	if err != nil {
		return Header{}, Index{}, err
	}
	return h.Header, h.Index, nil
}

// State stores a backup that write produces, as History does. Its checksum and
// that it is the state at the revision are checked, the state is not loaded:
// who reads it does that.
func (s *Session) State(logID string, r eventlog.Revision, write func(io.Writer) error) error {
	return s.store(write, func(f *os.File, size int64) (string, error) {
		h, state, err := backup.Open(f, size)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		defer state.Close()
		if _, err := io.Copy(io.Discard, state); err != nil {
			return "", fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if h.LogID != logID || h.Revision != r {
			return "", fmt.Errorf("%w: it is revision %d of log %s, not %d of %s", ErrForeign, h.Revision, h.LogID, r, logID)
		}
		return StateName(r, h.Hash), nil
	})
}

// store writes a file durably under the name that check gives it.
func (s *Session) store(write func(io.Writer) error, check func(f *os.File, size int64) (name string, err error)) (err error) {
	f, err := os.CreateTemp(s.dir.path, "writing-*"+partExtension) // readable to its owner only: keys have values
	if err != nil {
		return err
	}
	part := f.Name()
	defer func() {
		_ = f.Close() // once more where all went well
		if err == nil || errors.Is(err, errCrash) {
			return
		}
		if removing := os.Remove(part); !errors.Is(removing, os.ErrNotExist) { // else it has its name already
			err = errors.Join(err, removing)
		}
	}()
	out := bufio.NewWriterSize(f, 1<<20)
	if err := write(out); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if err := s.reached("written"); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	name, err := check(f, info.Size())
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := durable.Move(part, filepath.Join(s.dir.path, name)); err != nil {
		return err
	}
	return s.reached("renamed")
}

// errCrash, in tests, ends a process: nothing is cleaned up.
var errCrash = errors.New("crashed")

// copied is what writes a backup of a snapshot: no state is loaded for it.
func copied(ctx context.Context, live Live, s eventlog.SnapshotInfo, m Maker) func(io.Writer) error {
	return func(w io.Writer) error {
		in, err := live.OpenSnapshot(ctx, s)
		if err != nil {
			return err
		}
		defer in.Close()
		h := backup.HeaderOf(s)
		h.Made, h.Node, h.Program = m.Now.UnixMilli(), m.Node, m.Program
		return backup.WriteSaved(w, h, func(out io.Writer) error {
			_, err := io.Copy(out, in)
			return err
		})
	}
}
