package etcdserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dvr/controller/porttest"
)

// TestNextSegment: the pipeline alternates between two names.
func TestNextSegment(t *testing.T) {
	for _, c := range []struct {
		there []string
		next  string
	}{
		{nil, ""}, // no log yet
		{[]string{"0.tmp"}, "1.tmp"},
		{[]string{"1.tmp"}, "0.tmp"},
		{[]string{"0.tmp", "1.tmp"}, ""},
	} {
		dir := t.TempDir()
		for _, f := range c.there {
			write(t, filepath.Join(dir, f), nil)
		}
		if next, missing := nextSegment(dir); next != c.next || missing != (c.next != "") {
			t.Errorf("%v: %q, %v", c.there, next, missing)
		}
	}
}

// TestPlaceSegment: whole and under its name, or not there at all.
func TestPlaceSegment(t *testing.T) {
	const size = 3<<20 + 17
	stopped := make(chan struct{})
	close(stopped)

	t.Run("placed", func(t *testing.T) {
		dir := t.TempDir()
		if err := placeSegment(nil, dir, "1.tmp", size); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "1.tmp"))
		if err != nil || !bytes.Equal(got, make([]byte, size)) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		alone(t, dir, "1.tmp")
	})
	t.Run("the pipeline was faster", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "1.tmp"), []byte("a record"))
		if err := placeSegment(nil, dir, "1.tmp", size); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "1.tmp")); err != nil || string(got) != "a record" {
			t.Errorf("%q, %v", got, err)
		}
		alone(t, dir, "1.tmp")
	})
	t.Run("a spare is left that is a segment too", func(t *testing.T) {
		dir := t.TempDir()
		segment := filepath.Join(dir, "0000000000000001-0000000000000002.wal")
		write(t, segment, []byte("a record"))
		if err := os.Link(segment, filepath.Join(dir, spareName)); err != nil {
			t.Fatal(err)
		}
		if err := placeSegment(nil, dir, "0.tmp", size); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(segment); err != nil || string(got) != "a record" {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		dir := t.TempDir()
		if err := placeSegment(stopped, dir, "0.tmp", size); err != nil {
			t.Fatal(err)
		}
		alone(t, dir)
	})
	t.Run("no directory", func(t *testing.T) {
		if err := placeSegment(nil, filepath.Join(t.TempDir(), "none"), "0.tmp", size); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
}

// TestLogOnWrittenSegments: after the first two, the log goes on in segments
// whose blocks are written, and all of it is read again after a restart.
func TestLogOnWrittenSegments(t *testing.T) {
	dir := t.TempDir()
	told, err := tellsUnwritten(filepath.Join(dir, "probe"))
	if err != nil {
		t.Fatal(err)
	}
	if !told {
		t.Skip("the file system does not tell written from reserved blocks")
	}
	c := Config{Name: "n", DataDir: dir, PeerListen: porttest.Address(t), ClientListen: porttest.Address(t)}
	s, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	if err := s.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	value := string(bytes.Repeat([]byte("v"), 1<<20))
	puts := 0
	segments := func() []string {
		list, err := filepath.Glob(filepath.Join(c.wal(), "*.wal"))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	for len(segments()) < 4 {
		waitFor(t, func() bool { _, missing := nextSegment(c.wal()); return !missing })
		before := len(segments())
		for len(segments()) == before {
			if _, err := s.Client().Put(t.Context(), fmt.Sprintf("k%d", puts), value); err != nil {
				t.Fatal(err)
			}
			puts++
		}
	}
	list := segments()
	for i, path := range list[2:] {
		whole, err := written(path)
		if err != nil || !whole {
			t.Errorf("segment %d, %s: %v, %v", i+2, path, whole, err)
		}
	}
	s.Close()
	if s, err = Start(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := s.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range puts {
		got, err := s.Client().Get(t.Context(), fmt.Sprintf("k%d", i))
		if err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != value {
			t.Fatalf("k%d: %v", i, err)
		}
	}
}

// written tells whether every block of a file is.
func written(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	hole, err := f.Seek(0, unix.SEEK_HOLE)
	return hole == info.Size(), err
}

// tellsUnwritten tries on a reserved file whether the file system says so.
func tellsUnwritten(path string) (bool, error) {
	f, err := os.Create(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, 1<<20); err != nil {
		return false, nil // it cannot reserve
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	whole, err := written(path)
	return !whole, err
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// alone checks the names in a directory.
func alone(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not reached in 30 s")
		}
	}
}
