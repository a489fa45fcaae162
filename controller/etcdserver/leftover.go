package etcdserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// removeLeftovers deletes the copies of the database that a defragmentation made
// in a process that was killed: etcd forgets them, and each is as large as the
// database. No member may run on the directory.
func (c *Config) removeLeftovers() error {
	files, err := filepath.Glob(filepath.Join(c.Dir(), "member", "snap", "db.tmp.*"))
	if err != nil {
		return fmt.Errorf("unfinished defragmentations: %w", err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("unfinished defragmentation: %w", err)
		}
	}
	return nil
}
