package launcher

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sleeper is a command that runs until it is told to end. It starts no process:
// between fork and exec that would be it, too, by its mark, and outlive it.
func sleeper(t *testing.T) *command {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, silence), 0o600); err != nil {
		t.Fatal(err)
	}
	return &command{
		path: sh, args: []string{"-c", `trap 'echo "bye for now"; exit 5' TERM; while :; do read line <>` + silence + `; done`}, dir: dir,
		environment: append(os.Environ(), "DATA_DIR="+dir), mark: "DATA_DIR=" + dir,
		log: filepath.Join(dir, "log"), record: filepath.Join(dir, "process"),
	}
}

// silence is what a sleeper reads from.
const silence = "silence"

// asleep waits until a sleeper can be woken by a signal.
func asleep(t *testing.T, p process) {
	t.Helper()
	proc := "/proc/" + strconv.Itoa(p.pid())
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) { // polls another process
		from, _ := os.Readlink(proc + "/fd/0")
		stat, _ := os.ReadFile(proc + "/stat")
		if filepath.Base(from) == silence && strings.Contains(string(stat), ") S ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it reads from %q: %s", from, stat)
		}
	}
}

func ended(t *testing.T, p process) {
	t.Helper()
	select {
	case <-p.done():
	case <-time.After(patience):
		t.Fatal("the process goes on, or nobody noticed its end")
	}
}

func TestProcessIsKnownAgain(t *testing.T) {
	c := sleeper(t)
	if p, err := c.adopt(); p != nil || err != nil {
		t.Fatalf("nothing runs: %v %v", p, err)
	}
	p, err := c.start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.signal(syscall.SIGKILL); <-p.done() }()
	raw, err := os.ReadFile(c.record)
	if err != nil {
		t.Fatal(err)
	}
	var good record
	if err := json.Unmarshal(raw, &good); err != nil || good.PID != p.pid() || good.Boot == "" {
		t.Fatalf("%s: %v", raw, err)
	}
	recorded := good.Since.Add(-time.Hour) // tells what the record says from what adoption says
	for _, test := range []struct {
		name    string
		change  func(*record)
		believe bool // else it is found by its mark, and recorded anew
	}{
		{"as it was", func(*record) {}, true},
		{"the pid was used again", func(r *record) { r.Start++ }, false},
		{"the machine was started again", func(r *record) { r.Boot = "another" }, false},
		{"another's pid", func(r *record) { r.PID = os.Getpid(); r.Start, _ = startTime(os.Getpid()) }, false},
		{"nobody's pid", func(r *record) { r.PID = 1 << 30 }, false},
	} {
		r := good
		r.Since = recorded
		test.change(&r)
		raw, _ := json.Marshal(r)
		if err := os.WriteFile(c.record, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		found, err := c.adopt()
		if err != nil || found == nil || found.pid() != p.pid() || found.since().Equal(recorded) != test.believe {
			t.Fatalf("%s: %+v %v", test.name, found, err)
		}
		var now record
		if raw, _ := os.ReadFile(c.record); json.Unmarshal(raw, &now) != nil || now.PID != good.PID || now.Start != good.Start || now.Boot != good.Boot {
			t.Errorf("%s: recorded %s", test.name, raw)
		}
		found.release()
		if _, err := startTime(p.pid()); err != nil {
			t.Fatalf("%s: release ended it", test.name)
		}
	}
	// The same program with other data, or another program with the same data, is not it.
	other := *c
	other.mark = c.mark + "x"
	other.record = c.record + "x"
	if found, err := other.adopt(); found != nil || err != nil {
		t.Errorf("other data: %v %v", found, err)
	}
	other = *c
	other.args = []string{"node"}
	if found, err := other.adopt(); found != nil || err != nil {
		t.Errorf("another program: %v %v", found, err)
	}
}

func TestProcessEnds(t *testing.T) {
	for _, test := range []struct {
		name    string
		signal  syscall.Signal
		child   string
		foreign string
	}{
		{"in order", syscall.SIGTERM, "ended with status 5: bye for now", "ended: bye for now"},
		{"killed", syscall.SIGKILL, "was ended by SIGKILL", "ended"},
		{"of another signal", syscall.SIGUSR1, "was ended by signal 10", "ended"},
	} {
		c := sleeper(t)
		p, err := c.start()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = p.signal(syscall.SIGKILL); <-p.done() }()
		if session, _, _ := syscall.Syscall(syscall.SYS_GETSID, uintptr(p.pid()), 0, 0); int(session) != p.pid() {
			t.Errorf("it is in session %d", session)
		}
		found, err := c.adopt()
		if err != nil || found == nil {
			t.Fatal(found, err)
		}
		if test.signal == syscall.SIGTERM {
			asleep(t, p)
		}
		if err := found.signal(test.signal); err != nil {
			t.Fatal(err)
		}
		ended(t, p)
		ended(t, found)
		if p.outcome() != test.child || found.outcome() != test.foreign {
			t.Errorf("%s: %q and %q", test.name, p.outcome(), found.outcome())
		}
		if err := found.signal(syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("%s: a signal to what has ended: %v", test.name, err)
		}
		found.release()
		if again, err := c.adopt(); again != nil || err != nil {
			t.Errorf("%s: adopted what has ended: %v %v", test.name, again, err)
		}
	}
}

func TestProcessCannotStart(t *testing.T) {
	c := sleeper(t)
	c.path = filepath.Join(c.dir, "nothing")
	if p, err := c.start(); err == nil || p != nil {
		t.Errorf("%v %v", p, err)
	}
	c = sleeper(t)
	c.record = filepath.Join(c.dir, "no", "such", "directory")
	if p, err := c.start(); err == nil || p != nil || !strings.Contains(err.Error(), "record") {
		t.Errorf("%v %v", p, err)
	}
	if p, err := c.adopt(); p != nil || err != nil { // what could not be recorded does not run
		t.Errorf("%v %v", p, err)
	}
}

// TestEndedBeforeItIsWatched: the poller tells of an end once, which may be before
// somebody waits for it.
func TestEndedBeforeItIsWatched(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	fd, err := openPidfd(cmd.Process.Pid)
	if err != nil {
		t.Skip("no pidfds here: ", err)
	}
	raw, err := fd.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for ended := false; !ended; time.Sleep(time.Millisecond) { // a zombie, until Wait
		if err := raw.Control(func(fd uintptr) { ended = hasEnded(fd) }); err != nil {
			t.Fatal(err)
		}
	}
	handle, err := os.FindProcess(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	p := &foreign{id: cmd.Process.Pid, fd: fd, handle: handle, ended: make(chan struct{})}
	go p.watch()
	select {
	case <-p.done():
	case <-time.After(patience):
		t.Error("its end is not seen")
	}
	p.release()
}
