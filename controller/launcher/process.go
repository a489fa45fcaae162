package launcher

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dvr/controller/durable"
)

// process is a running program, started by this launcher or by an earlier one.
type process interface {
	pid() int
	since() time.Time
	// done is closed when the process has ended.
	done() <-chan struct{}
	// outcome says how it ended, once done.
	outcome() string
	signal(syscall.Signal) error
	// release lets go of it without ending it.
	release()
}

// command is how a program is run, and how a running one is known again.
type command struct {
	path        string
	args        []string
	environment []string
	dir         string // working directory
	log         string // file that takes its output
	record      string // file that says which process it is
	mark        string // NAME=value of the environment that no other process has
}

// record is the identity of a process on this machine.
type record struct {
	PID   int       `json:"pid"`
	Start uint64    `json:"start"` // clock ticks since boot
	Boot  string    `json:"boot"`
	Since time.Time `json:"since"`
}

// start runs the command in a session of its own: no signal to the launcher's
// terminal or group reaches it.
func (c *command) start() (process, error) {
	out, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	defer out.Close()
	cmd := exec.Command(c.path, c.args...)
	cmd.Dir, cmd.Env = c.dir, c.environment
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(c.path), err)
	}
	p := &child{cmd: cmd, log: c.log, started: time.Now(), ended: make(chan struct{})}
	err = c.writeRecord(cmd.Process.Pid, p.started)
	go func() { // ends with the process
		_ = cmd.Wait() // the state says it
		close(p.ended)
	}()
	if err != nil {
		// Unrecorded it could still be found by its mark; but a disk that takes no
		// record takes no data either.
		_ = p.signal(syscall.SIGKILL)
		<-p.ended
		return nil, err
	}
	return p, nil
}

func (c *command) writeRecord(pid int, since time.Time) error {
	r := record{PID: pid, Boot: bootID(), Since: since.UTC().Truncate(time.Millisecond)}
	var err error
	if r.Start, err = startTime(pid); err != nil {
		return fmt.Errorf("record of process %d: %w", pid, err)
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("record of process %d: %w", pid, err)
	}
	if err := durable.Write(c.record, append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("record of process %d: %w", pid, err)
	}
	return nil
}

// adopt finds the command's process that an earlier launcher started; nil where
// none runs. The record tells which one it is; where a launcher died before it
// could write one, the mark does.
func (c *command) adopt() (process, error) {
	if err := durable.Sweep(filepath.Dir(c.record), filepath.Base(c.record)); err != nil {
		return nil, err
	}
	var r record
	if raw, err := os.ReadFile(c.record); err == nil && json.Unmarshal(raw, &r) == nil && r.Boot == bootID() {
		if p := c.attach(r.PID, r.Since, func(start uint64) bool { return start == r.Start }); p != nil {
			return p, nil
		}
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("find running processes: %w", err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || !c.marked(pid) {
			continue
		}
		if p := c.attach(pid, time.Now(), func(uint64) bool { return true }); p != nil {
			return p, c.writeRecord(pid, time.Now())
		}
	}
	return nil, nil
}

// marked reports whether pid runs this command.
func (c *command) marked(pid int) bool {
	dir := "/proc/" + strconv.Itoa(pid)
	environment, err := os.ReadFile(dir + "/environ")
	if err != nil || !slices.Contains(strings.Split(string(environment), "\x00"), c.mark) {
		return false
	}
	line, err := os.ReadFile(dir + "/cmdline")
	if err != nil {
		return false
	}
	// The program may have been replaced or moved since; its arguments stay.
	args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
	return filepath.Base(args[0]) == filepath.Base(c.path) && slices.Equal(args[1:], c.args)
}

// attach takes hold of the process before it looks at it, so that what it
// looks at is what it will signal.
func (c *command) attach(pid int, since time.Time, is func(start uint64) bool) process {
	handle, err := os.FindProcess(pid) // holds a pidfd
	if err != nil {
		return nil
	}
	fd, err := openPidfd(pid)
	if err != nil {
		_ = handle.Release()
		return nil
	}
	p := &foreign{id: pid, log: c.log, handle: handle, fd: fd, started: since, ended: make(chan struct{})}
	start, err := startTime(pid)
	if err != nil || !is(start) || !c.marked(pid) {
		p.release()
		return nil
	}
	go p.watch()
	return p
}

// child is a process that this launcher started.
type child struct {
	cmd     *exec.Cmd
	log     string
	started time.Time
	ended   chan struct{}
}

func (p *child) pid() int                      { return p.cmd.Process.Pid }
func (p *child) since() time.Time              { return p.started }
func (p *child) done() <-chan struct{}         { return p.ended }
func (p *child) signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }
func (p *child) release()                      {} // its Wait goes on with this process

func (p *child) outcome() string {
	s := p.cmd.ProcessState
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return "was ended by " + signalName(w.Signal()) // its last words are about something else
	}
	return fmt.Sprintf("ended with status %d%s", s.ExitCode(), lastWords(p.log))
}

// lastWords is the last line of a log, as the end of a sentence; "" where there is none.
func lastWords(log string) string {
	const most = 400 // bytes
	content, _, err := tail(log, 1)
	line := strings.TrimSpace(strings.ToValidUTF8(string(content[:min(len(content), most)]), "�"))
	if err != nil || line == "" {
		return ""
	}
	return ": " + line
}

func signalName(s syscall.Signal) string {
	switch s {
	case syscall.SIGKILL:
		return "SIGKILL"
	case syscall.SIGTERM:
		return "SIGTERM"
	case syscall.SIGINT:
		return "SIGINT"
	case syscall.SIGSEGV:
		return "SIGSEGV"
	case syscall.SIGABRT:
		return "SIGABRT"
	}
	return "signal " + strconv.Itoa(int(s))
}

// foreign is a process of an earlier launcher. Its exit status goes to the
// system's first process, not to this one.
type foreign struct {
	id       int
	log      string
	handle   *os.Process
	fd       *os.File // readable once the process has ended
	started  time.Time
	ended    chan struct{}
	released atomic.Bool
}

func (p *foreign) pid() int                      { return p.id }
func (p *foreign) since() time.Time              { return p.started }
func (p *foreign) done() <-chan struct{}         { return p.ended }
func (p *foreign) outcome() string               { return "ended" + lastWords(p.log) }
func (p *foreign) signal(s syscall.Signal) error { return p.handle.Signal(s) }

func (p *foreign) release() {
	p.released.Store(true)
	_ = p.fd.Close() // ends watch
	_ = p.handle.Release()
}

func (p *foreign) watch() {
	raw, err := p.fd.SyscallConn()
	if err == nil {
		// Asked before each wait: the poller tells of a change once, and whoever ended
		// before this began to wait makes none.
		err = raw.Read(hasEnded)
	}
	if p.released.Load() {
		return
	}
	for err != nil { // no poller for it: ask
		if e := p.handle.Signal(syscall.Signal(0)); errors.Is(e, os.ErrProcessDone) {
			break
		}
		time.Sleep(100 * time.Millisecond)
		if p.released.Load() {
			return
		}
	}
	close(p.ended)
}

// hasEnded: a pidfd is readable once its process has ended.
func hasEnded(fd uintptr) bool {
	list := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(list, 0)
		if err != unix.EINTR {
			return err == nil && n > 0
		}
	}
}

// pidfdOpen is the number of pidfd_open, the same on every architecture.
const pidfdOpen = 434

func openPidfd(pid int) (*os.File, error) {
	fd, _, errno := syscall.Syscall(pidfdOpen, uintptr(pid), syscall.O_NONBLOCK, 0)
	if errno != 0 {
		return nil, fmt.Errorf("process %d: %w", pid, errno)
	}
	syscall.CloseOnExec(int(fd))
	return os.NewFile(fd, "pidfd"), nil
}

// startTime is when the process began, in clock ticks since boot. A process
// that has ended and was not waited for has none.
func startTime(pid int) (uint64, error) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold anything, parentheses too.
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	const state, start = 0, 19 // fields 3 and 22
	if len(fields) <= start || fields[state] == "Z" || fields[state] == "X" {
		return 0, fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
	}
	return strconv.ParseUint(fields[start], 10, 64)
}

// bootID changes with every start of the machine; "" where it is not known.
func bootID() string {
	raw, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(raw))
}
