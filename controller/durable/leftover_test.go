package durable

import (
	"os"
	"path/filepath"
	"testing"
)

// TestSweep: what Create left goes, and nothing else.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"launcher.json", ".launcher.json", ".launcher.jsonx1", "launcher.json12", ".other.json12", "..json3", ".12", ".a.process7", "dvr-1-12.backup"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".launcher.json99"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"launcher.json", "dvr-2-12.backup"} { // killed in the middle
		f, err := Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, pattern := range []string{"launcher.json", "dvr-*.backup", "*.process", "["} {
		if err := Sweep(dir, pattern); err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
	}
	only(t, dir, "..json3", ".12", ".launcher.json", ".launcher.json99", ".launcher.jsonx1", ".other.json12", "dvr-1-12.backup", "launcher.json", "launcher.json12")
	if err := Sweep(filepath.Join(dir, "none"), "*"); err != nil {
		t.Error(err)
	}
	if err := Sweep(filepath.Join(dir, "launcher.json"), "*"); err == nil {
		t.Error("a file was listed")
	}
}
