package durable

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// synced notes which directories are synced, and fails the syncs with err.
func synced(t *testing.T, err error) *[]string {
	t.Helper()
	var list []string
	real := syncDir
	syncDir = func(name string) error {
		list = append(list, name)
		return errors.Join(real(name), err)
	}
	t.Cleanup(func() { syncDir = real })
	return &list
}

// only fails where the directory holds anything but the named files.
func only(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	list := synced(t, nil)
	for i, mode := range []os.FileMode{0o600, 0o644} {
		content := strings.Repeat("x", 10-i)
		if err := Write(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Errorf("%q, %v", got, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%v, %v, want %v", info.Mode(), err, mode)
		}
		if len(*list) != i+1 || (*list)[i] != dir {
			t.Errorf("synced: %q", *list)
		}
	}
	only(t, dir, "f")
}

// TestWriteFails: what cannot be put in place is an error, and leaves what was
// there and nothing beside it; so does a directory that cannot be synced, though
// the content is the new one then.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	if err := Write(filepath.Join(dir, "none", "f"), nil, 0o600); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "none/f") {
		t.Errorf("no directory: %v", err)
	}
	occupied := filepath.Join(dir, "d")
	if err := os.MkdirAll(filepath.Join(occupied, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(occupied, []byte("x"), 0o600); err == nil {
		t.Error("a directory was replaced")
	}
	only(t, dir, "d")
	path := filepath.Join(dir, "f")
	broken := errors.New("the disk is gone")
	synced(t, broken)
	if err := Write(path, []byte("x"), 0o600); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	only(t, dir, "d", "f")
}

// TestCleanup: what is not committed is nowhere.
func TestCleanup(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := Write(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("half of the n"); err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(f.Name()) != dir {
		t.Errorf("%s is not beside %s: renamed it would be another file system's", f.Name(), path)
	}
	if info, err := f.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("readable to others: %v, %v", info.Mode(), err)
	}
	if err := f.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("%q, %v", got, err)
	}
	only(t, dir, "f")
}

func TestMove(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, d := range []string{a, b, filepath.Join(a, "x")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	list := synced(t, nil)
	if err := Move(filepath.Join(a, "x"), filepath.Join(b, "y")); err != nil {
		t.Fatal(err)
	}
	if err := Move(filepath.Join(b, "y"), filepath.Join(b, "z")); err != nil {
		t.Fatal(err)
	}
	only(t, a)
	only(t, b, "z")
	if want := []string{b, a, b}; !slices.Equal(*list, want) {
		t.Errorf("synced %q, want %q", *list, want)
	}
	if err := Move(filepath.Join(b, "none"), filepath.Join(a, "x")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// renamers are the files that rename without this package, and why.
var renamers = map[string]string{
	"controller/durable/file.go":          "it is this package",
	"controller/etcdserver/firststart.go": "puts aside what is thrown away",
	"controller/httpapi/journal.go":       "rotates a file that is complete, whatever a crash leaves",
	"controller/launcher/rotation.go":     "likewise",
}

// TestOnlyHereIsRenamed: a file that is written beside its place and renamed goes
// through this package, so that none forgets a sync.
func TestOnlyHereIsRenamed(t *testing.T) {
	root := filepath.Join("..", "..")
	seen := map[string]bool{}
	for _, part := range []string{"cmd", "controller", "eventlog", "projector"} {
		err := filepath.WalkDir(filepath.Join(root, part), func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && d.Name() == "node_modules" {
				return filepath.SkipDir
			}
			if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name, _ := filepath.Rel(root, path)
			if !strings.Contains(string(raw), "os.Rename(") {
				return nil
			}
			if seen[name] = true; renamers[name] == "" {
				t.Errorf("%s renames a file: use durable", name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range renamers {
		if !seen[name] {
			t.Errorf("%s renames nothing any more", name)
		}
	}
}
