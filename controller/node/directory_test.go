package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestBeside: work that ends is waited for, whether or not it was told to; work
// that heeds nothing is left, and that is told.
func TestBeside(t *testing.T) {
	untold := func() { t.Error("work that has ended is said to be left") }
	ended := false
	beside(t.Context(), 0, func() { ended = true }, untold)
	if !ended {
		t.Error("it was not waited for")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended = false
	cancel()
	beside(ctx, patience, func() { <-ctx.Done(); ended = true }, untold)
	if !ended {
		t.Error("what ends in time was not waited for")
	}
	hang, left := make(chan struct{}), false
	defer close(hang)
	beside(ctx, time.Millisecond, func() { <-hang }, func() { left = true })
	if !left {
		t.Error("what hangs is not told")
	}
}

// hanging makes opens of the file at path for writing wait in the kernel, heeding
// nothing, as on a file system whose server is away: by a lease, which is given
// back when the test ends. asked says whether somebody waits.
func hanging(t *testing.T, path string) (asked func() bool) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK); err != nil {
		f.Close()
		t.Skipf("leases: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	return func() bool {
		// A lease that somebody waits for is told as what it will become.
		kind, err := unix.FcntlInt(f.Fd(), unix.F_GETLEASE, 0)
		return err == nil && kind != unix.F_RDLCK
	}
}

// stops fails where a node does not stop within its bound.
func stops(t *testing.T, stop func() error) {
	t.Helper()
	began := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 20*time.Second { // the kernel breaks a lease after 45 s
		t.Errorf("the stop took %v", took)
	}
}

// TestStopWithHangingBackups: a directory of backups that hangs holds up neither
// the node nor its stop, which says what it left.
func TestStopWithHangingBackups(t *testing.T) {
	t.Parallel()
	kept := filepath.Join(t.TempDir(), "backups")
	asked := hanging(t, filepath.Join(kept, ".lock"))
	n, _, logs := start(t, append(environment(t, t.TempDir()), "BACKUP_DIR="+kept, "BACKUP_INTERVAL=1h"))
	put(t, n, 1)
	eventually(t, "the backup to hang", asked)
	stops(t, n.Close)
	if s := logs.String(); !strings.Contains(s, "left to the end of the process") || !strings.Contains(s, "BACKUP_DIR") {
		t.Errorf("it is not said:\n%s", s)
	}
}

// TestStopWithHangingArchive: nor does whoever waits for an archive before the log
// is truncated; the log stays as it is.
func TestStopWithHangingArchive(t *testing.T) {
	t.Parallel()
	kept := filepath.Join(t.TempDir(), "archive")
	asked := hanging(t, filepath.Join(kept, ".lock"))
	n, _, _ := start(t, append(environment(t, t.TempDir()), "ARCHIVE_DIR="+kept))
	for i := range 4 {
		put(t, n, i+1)
	}
	if err := n.keeper.Load().Snapshot(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	truncated := make(chan error, 1)
	ctx, cancel := context.WithCancel(within(t, patience))
	defer cancel()
	go func() { truncated <- n.keeper.Load().Free(ctx) }()
	eventually(t, "the archive to hang", asked)
	stops(t, func() error {
		cancel()
		if err := <-truncated; !errors.Is(err, context.Canceled) || low(t, n) != 1 {
			t.Errorf("truncated to %d beside an archive that hangs: %v", low(t, n), err)
		}
		return n.Close()
	})
}
