package archive

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"dvr/controller/backup"
	"dvr/eventlog"
)

// Directory is an archive. What is in it is looked at again when it has changed.
// Safe for concurrent use.
type Directory struct {
	path string

	mu         sync.Mutex
	files      []*file // by name
	generation int     // of files and of what is known of them
	changed    time.Time
	scanned    time.Time

	surveyed   *Report // of generation surveyedAt; or nil
	surveyedAt int
}

// file is one of an archive. What is known of it never changes but for bad.
type file struct {
	name        string
	size        int64
	changed     time.Time
	first, last eventlog.Revision // as the name says, for messages where nothing else is known

	history *history       // or nil
	state   *backup.Header // or nil
	bad     error          // why it is not used; guarded by the directory's mu
}

func (f *file) logID() string {
	switch {
	case f.history != nil:
		return f.history.LogID
	case f.state != nil:
		return f.state.LogID
	}
	return ""
}

// NewDirectory is the archive at path, which need not exist before it is written to.
func NewDirectory(path string) *Directory { return &Directory{path: path} }

// Path is where it lies.
func (d *Directory) Path() string { return d.path }

const (
	// lookAgain is how long files that were overwritten in place go unseen.
	lookAgain = 10 * time.Second
	// settled is how old a directory's time must be to tell of the next change.
	settled = 2 * time.Second
)

// list gives the files, and a number that changes when they, or what is known of
// them, do. Files are shared. Errors: of the file system; an absent directory is empty.
func (d *Directory) list() ([]*file, int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	info, err := os.Stat(d.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if d.files != nil {
			d.files = nil
			d.generation++
		}
		d.scanned = time.Time{}
		return nil, d.generation, nil
	case err != nil:
		return nil, d.generation, err
	case info.ModTime().Equal(d.changed) && d.scanned.Sub(d.changed) > settled && now.Sub(d.scanned) < lookAgain:
		return d.files, d.generation, nil
	}
	return d.files, d.generation, d.scan(info.ModTime(), now)
}

// scan reads the directory. mu is held; the results are in d.
func (d *Directory) scan(changed, now time.Time) error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	known := make(map[string]*file, len(d.files))
	for _, f := range d.files {
		known[f.name] = f
	}
	var files []*file
	same := true
	for _, e := range entries {
		first, last, ok := parseName(e.Name())
		if !ok || e.IsDir() {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went meanwhile
		}
		if err != nil {
			return err
		}
		f := known[e.Name()]
		if f == nil || f.size != info.Size() || !f.changed.Equal(info.ModTime()) {
			f = &file{name: e.Name(), size: info.Size(), changed: info.ModTime(), first: first, last: last}
			if f.bad = d.describe(f); errors.Is(f.bad, fs.ErrNotExist) {
				continue
			}
			same = false
		}
		files = append(files, f)
	}
	if !same || len(files) != len(d.files) {
		d.files = files // a new list: the old one is shared
		d.generation++
	}
	d.changed, d.scanned = changed, now
	return nil
}

// describe reads what a file says of itself.
func (d *Directory) describe(f *file) error {
	in, err := os.Open(filepath.Join(d.path, f.name))
	if err != nil {
		return err
	}
	defer in.Close()
	if strings.HasSuffix(f.name, stateExtension) {
		h, _, err := backup.ReadHeader(in, f.size)
		switch {
		case errors.Is(err, backup.ErrForeign):
			return fmt.Errorf("%w: no backup of dvr's", ErrForeign)
		case err != nil:
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		f.state = &h
		return nil
	}
	f.history, err = openHistory(in, f.size)
	return err
}

// parseName reads the revisions of a file's name; ok: it is a file of archives.
func parseName(name string) (first, last eventlog.Revision, ok bool) {
	switch filepath.Ext(name) {
	case historyExtension:
		n, err := fmt.Sscanf(name, "%020d-%020d-", &first, &last)
		return first, last, n == 2 && err == nil
	case stateExtension:
		n, err := fmt.Sscanf(name, "%020d-", &last)
		return last, last, n == 1 && err == nil
	}
	return 0, 0, false
}

// condemn takes a file out of use until it is another.
func (d *Directory) condemn(f *file, why error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.bad == nil {
		f.bad = why
		d.generation++
	}
}

func (d *Directory) open(f *file) (*os.File, error) { return os.Open(filepath.Join(d.path, f.name)) }

// seal is what chains are made of: the files in use, and those that are not.
type seal struct {
	histories []*file // in use, of one log, by last revision, then first
	states    []*file // in use, of one log, by revision
	rest      []*file // bad ones, and those of other logs
}

// sorted sorts files out. d.mu must not be held.
func (d *Directory) sorted(files []*file, logID string) seal {
	d.mu.Lock()
	defer d.mu.Unlock()
	var s seal
	for _, f := range files {
		switch {
		case f.bad != nil || f.logID() != logID:
			s.rest = append(s.rest, f)
		case f.history != nil:
			s.histories = append(s.histories, f)
		default:
			s.states = append(s.states, f)
		}
	}
	slices.SortFunc(s.histories, func(a, b *file) int {
		return cmp.Or(cmp.Compare(a.history.Last, b.history.Last), cmp.Compare(a.history.First, b.history.First))
	})
	slices.SortFunc(s.states, func(a, b *file) int { return cmp.Compare(a.state.Revision, b.state.Revision) })
	return s
}

// problem is why a file is not used; d.mu must not be held.
func (d *Directory) problem(f *file, logID string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.bad != nil {
		return fmt.Errorf("%s: %w", f.name, f.bad)
	}
	if id := f.logID(); id != logID {
		return fmt.Errorf("%s: %w: it is of log %s", f.name, ErrForeign, id)
	}
	return nil
}
