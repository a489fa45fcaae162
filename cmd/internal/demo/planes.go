package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"dvr/eventlog"
)

// stopTime is what a data plane gets to end by itself.
const stopTime = 10 * time.Second

// A data plane that ends is started again, after restartPause; one that ends so
// often within restartWindow ends the demonstration.
const (
	restartPause  = 500 * time.Millisecond
	restartMost   = 5
	restartWindow = 20 * time.Second
)

// plane runs a router's data plane until ctx ends, then stops it. What it
// prints is in a file beside its state.
func plane(ctx context.Context, o Options, router eventlog.RouterID, controllers []string, port int) error {
	dir := filepath.Join(o.DataDir, "dataplanes", string(router))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(dir, "dataplane.log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	var starts []time.Time
	for {
		starts = append(starts, time.Now())
		cmd := exec.CommandContext(ctx, o.PlaneBinary, "--router", string(router), "--controller", strings.Join(controllers, ","),
			"--state-dir", dir, "--listen", "127.0.0.1:"+strconv.Itoa(port), "--sink", "memory")
		cmd.Env = withoutSettings(os.Environ())
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C in the terminal is ours
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = stopTime
		err := cmd.Run()
		if ctx.Err() != nil {
			return nil
		}
		if n := len(starts); n >= restartMost && time.Since(starts[n-restartMost]) < restartWindow {
			return fmt.Errorf("the data plane of %s ends again and again (%v); its last lines:\n%s", router, err, lastLines(log, 5))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(restartPause):
		}
	}
}

// lastLines are at most n of a file's, which is to be deleted.
func lastLines(f *os.File, n int) string {
	const most = 8 << 10
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err.Error()
	}
	raw := make([]byte, min(size, most))
	if _, err := f.ReadAt(raw, size-int64(len(raw))); err != nil && err != io.EOF {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-n):], "\n  ")
}

// withoutSettings is an environment without what would steer a data plane.
func withoutSettings(environ []string) []string {
	var out []string
	for _, kv := range environ {
		if !strings.HasPrefix(kv, "DVR_") {
			out = append(out, kv)
		}
	}
	return out
}
