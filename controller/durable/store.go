package durable

import (
	"errors"
	"fmt"
	"io"
)

// Store makes what write produces the file at path, readable to its owner only,
// where check finds it good: it is the whole new file then, or what was there
// before. check gets what lies beside path, synced. Errors: write's, check's, of
// the file system.
func Store(path string, write func(io.Writer) error, check func(r io.ReaderAt, size int64) error) (err error) {
	f, err := Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Cleanup()) }()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := check(f, info.Size()); err != nil {
		return fmt.Errorf("what came is not kept: %w", err)
	}
	return f.Commit()
}
