package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"dvr/controller/porttest"
)

// ErrNoBinary: the binary that is asked for was not built.
var ErrNoBinary = errors.New("binary not built (make build)")

// Binary finds bin/<name> of the checkout, or in $DVR_BIN.
func Binary(name string) (string, error) {
	dirs := []string{os.Getenv("DVR_BIN")}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		dirs = append(dirs, filepath.Join(dir, "bin"))
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil || dir == filepath.Dir(dir) {
			break
		}
	}
	for _, d := range dirs {
		if d == "" {
			continue
		}
		path := filepath.Join(d, name)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, ErrNoBinary)
}

// FreePort is a loopback TCP port that is this process's until it ends.
func FreePort() (int, error) {
	port, err := porttest.Take(0)
	if err != nil {
		return 0, fmt.Errorf("free port: %w", err)
	}
	return port, nil
}

// process is one running binary; its output goes to a file.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	once sync.Once
	err  error
}

func start(path, dir, log string, env []string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{cmd: exec.Command(path, args...), log: log, done: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = append(cleanEnvironment(), env...)
	// Should the test die, its processes die with it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(path), err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// cleanEnvironment is the caller's without settings of DVR.
func cleanEnvironment() []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "DVR_") || strings.HasSuffix(name, "_ADDR") || strings.HasSuffix(name, "_ADVERTISE") || strings.HasSuffix(name, "_FILE") ||
			slices.Contains([]string{"NODE_ID", "DATA_DIR", "ETCD_ENDPOINTS", "INITIAL_CLUSTER", "JOIN", "JOIN_TOKEN", "OBSERVER", "CLUSTER_ID", "TRACE_ENDPOINT"}, name) {
			continue
		}
		env = append(env, kv)
	}
	return env
}

// Pid is the process id.
func (p *process) Pid() int { return p.cmd.Process.Pid }

// Kill is kill -9, waited for.
func (p *process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Signal sends a signal, SIGSTOP or SIGCONT for example.
func (p *process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Wait waits until the process has ended by itself, and gives its exit code.
func (p *process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("%s runs on: %w", filepath.Base(p.cmd.Path), ctx.Err())
	}
}

// Stop is SIGTERM; it returns the exit error, or kills after the timeout and says so.
func (p *process) Stop(timeout time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.err
	case <-time.After(timeout):
		p.Kill()
		return fmt.Errorf("did not stop within %v", timeout)
	}
}

// Running reports whether the process has not ended.
func (p *process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Log is the end of what the process printed.
func (p *process) Log() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

// Memory is a reading of /proc/<pid>/status, in bytes.
type Memory struct{ Resident, Anonymous, File int64 }

// Memory reads the process's resident memory now.
func (p *process) Memory() (Memory, error) {
	var m Memory
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
	if err != nil {
		return m, err
	}
	for _, line := range strings.Split(string(b), "\n") {
		var kib int64
		for name, into := range map[string]*int64{"VmRSS:": &m.Resident, "RssAnon:": &m.Anonymous, "RssFile:": &m.File} {
			if rest, ok := strings.CutPrefix(line, name); ok {
				if _, err := fmt.Sscan(rest, &kib); err != nil {
					return m, fmt.Errorf("%q: %w", line, err)
				}
				*into = kib << 10
			}
		}
	}
	return m, nil
}
