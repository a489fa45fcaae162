// Package durable puts files in place so that a crash leaves the old content or
// the new one, whole, and the new one once a call has returned. It is renameio
// and one thing that renameio leaves out: the directory is synced after the
// rename, without which the name itself may be the old one again after a loss of
// power, though the caller was told that the file is there.
package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// File is a file that is written beside its place, with a name of its own that
// begins with a dot. Not safe for concurrent use.
type File struct {
	*renameio.PendingFile
	path string
}

// Create begins a file that is to be at path. By default it is readable to its
// owner only; options are renameio's for permissions. The caller ends it with
// Commit, and calls Cleanup in any case, which removes what was not committed.
// A crash before leaves it beside. Errors: of the file system.
func Create(path string, options ...renameio.Option) (*File, error) {
	f, err := renameio.NewPendingFile(path, append(options, renameio.WithTempDir(filepath.Dir(path)))...)
	if err != nil {
		return nil, fmt.Errorf("replace %s: %w", path, err)
	}
	return &File{f, path}, nil
}

// Commit has the file take its place. When it returns nil, content and name are
// on the disk. Where only the last step fails, the file is there, and may not be
// after a loss of power. Cost: two syncs.
func (f *File) Commit() error {
	err := f.CloseAtomicallyReplace()
	if err == nil {
		err = syncDir(filepath.Dir(f.path))
	}
	if err != nil {
		return fmt.Errorf("replace %s: %w", f.path, err)
	}
	return nil
}

// Write makes content the whole of the file at path, with the permissions mode
// whatever the umask is. Errors: of the file system; the file is as it was, but
// for an error of Commit's last step.
func Write(path string, content []byte, mode os.FileMode) (err error) {
	f, err := Create(path, renameio.WithStaticPermissions(mode))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Cleanup()) }()
	if _, err := f.Write(content); err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return f.Commit()
}

// Move renames what is synced already, a file or a directory, and syncs the
// directories that it leaves and enters. Errors: of the file system.
func Move(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	left, entered := filepath.Dir(from), filepath.Dir(to)
	err := syncDir(entered)
	if left != entered {
		err = errors.Join(err, syncDir(left))
	}
	return err
}

// syncDir is a variable for tests.
var syncDir = func(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
