package demo

import (
	"context"
	"fmt"
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

// plane runs a router's data plane until ctx ends, then stops it. What it
// prints is in a file beside its state.
func plane(ctx context.Context, o Options, router eventlog.RouterID, controllers []string, port int) error {
	dir := filepath.Join(o.DataDir, "dataplanes", string(router))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(dir, "dataplane.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, o.PlaneBinary, "--router", string(router), "--controller", strings.Join(controllers, ","),
		"--state-dir", dir, "--listen", "127.0.0.1:"+strconv.Itoa(port), "--sink", "memory")
	cmd.Env = withoutSettings(os.Environ())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C in the terminal is ours
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTime
	err = cmd.Run()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("the data plane of %s ended (%v): %s says why", router, err, log.Name())
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
