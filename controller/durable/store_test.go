package durable

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestStore: the file is the whole new one that was found good, or what it was;
// nothing stays beside it.
func TestStore(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	refused := errors.New("refused")
	put := func(content string, writing, checking error) error {
		return Store(path, func(w io.Writer) error {
			_, err := io.WriteString(w, content)
			return errors.Join(err, writing)
		}, func(r io.ReaderAt, size int64) error {
			got, err := io.ReadAll(io.NewSectionReader(r, 0, size))
			if err != nil || string(got) != content {
				t.Errorf("to check: %q, %v", got, err)
			}
			if _, err := os.Stat(path); content == "one" && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("it has its name before it is checked: %v", err)
			}
			return checking
		})
	}
	for _, step := range []struct {
		content           string
		writing, checking error
		want              string
	}{
		{"one", nil, nil, "one"},
		{"two", refused, nil, "one"},
		{"three", nil, refused, "one"},
		{"four", nil, nil, "four"},
	} {
		err := put(step.content, step.writing, step.checking)
		if failed := step.writing != nil || step.checking != nil; errors.Is(err, refused) != failed || !failed && err != nil {
			t.Errorf("%s: %v", step.content, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != step.want {
			t.Errorf("%s: %q, %v", step.content, got, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", step.content, info.Mode(), err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("%s: beside it: %v, %v", step.content, entries, err)
		}
	}
}
