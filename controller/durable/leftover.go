package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Sweep removes from dir what a process that was killed left beside files whose
// names match pattern (filepath.Match's): the files of Create that neither took
// their place nor were cleaned up. Nobody else may be writing them: the caller
// holds whatever keeps others out. An absent directory has none. Errors: of the
// file system, after all was tried. Cost: a listing.
func Sweep(dir, pattern string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("leftovers in %s: %w", dir, err)
	}
	var errs []error
	for _, e := range entries {
		if !e.Type().IsRegular() || !leftover(e.Name(), pattern) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// leftover reports whether name is what renameio calls a file that is to become
// one of the pattern: a dot, the name, a random number.
func leftover(name, pattern string) bool {
	hidden, ok := strings.CutPrefix(name, ".")
	target := strings.TrimRight(hidden, "0123456789")
	if !ok || target == hidden {
		return false
	}
	matches, err := filepath.Match(pattern, target)
	return err == nil && matches
}
