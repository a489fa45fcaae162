package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dvr/cmd/internal/testbed"
)

// script is deploy/run.sh with a process group of its own, as a terminal has it.
type script struct {
	cmd  *exec.Cmd
	api  string
	data string
	out  *os.File
	done chan error
}

func (s *script) printed(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(s.out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (s *script) log(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.data, name))
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// ended waits for the script's exit code.
func (s *script) ended(t *testing.T) int {
	t.Helper()
	select {
	case err := <-s.done:
		s.done <- err
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("the script goes on:\n%s", s.printed(t))
	}
	return -1
}

func freeAddress(t *testing.T) string {
	t.Helper()
	port, err := testbed.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// startScript runs deploy/run.sh on free ports; environment wins over them.
func startScript(t *testing.T, data string, environment ...string) *script {
	t.Helper()
	for _, binary := range []string{"dvr", "dvr-dataplane"} {
		_, err := testbed.Binary(binary)
		orSkip(t, err)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	s := &script{cmd: exec.Command("../../../deploy/run.sh"), api: freeAddress(t), data: data, out: out, done: make(chan error, 1)}
	s.cmd.Env = append(os.Environ(), "DATA_DIR="+data, "API_ADDR="+s.api, "FIB_ADDR="+freeAddress(t), "RAFT_ADDR="+freeAddress(t),
		"CLIENT_ADDR="+freeAddress(t), "DVR_LISTEN="+freeAddress(t))
	s.cmd.Env = append(s.cmd.Env, environment...)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.done <- s.cmd.Wait() }()
	t.Cleanup(func() { // the group is ours alone, and gone where all went well
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	})
	return s
}

// running waits for the banner.
func (s *script) running(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(patience); !strings.Contains(s.printed(t), "asks the data plane itself"); time.Sleep(20 * time.Millisecond) { // polls another process
		select {
		case <-s.done:
			t.Fatalf("the script ended:\n%s", s.printed(t))
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("no banner:\n%s", s.printed(t))
		}
	}
}

// TestRunScriptStops: Ctrl-C in a terminal signals the script and both its
// children, kill the script alone; both end all three in order.
func TestRunScriptStops(t *testing.T) {
	data := scratch(t)
	for i, test := range []struct {
		name   string
		signal syscall.Signal
		group  bool
	}{{"ctrl-c", syscall.SIGINT, true}, {"SIGINT alone", syscall.SIGINT, false}, {"SIGTERM alone", syscall.SIGTERM, false}} {
		t.Run(test.name, func(t *testing.T) {
			s := startScript(t, data, "DVR_ROUTER=edge-7")
			s.running(t)
			if banner := s.printed(t); !strings.Contains(banner, "'http://"+s.api+"/routes?wait=installed'") || !strings.Contains(banner, "router edge-7") || !strings.Contains(banner, data) || !strings.Contains(banner, "dashboard   http://"+s.api+"/ ") || !strings.Contains(banner, "http://"+s.api+"/docs\n") {
				t.Errorf("banner:\n%s", banner)
			}
			pid := s.cmd.Process.Pid
			if test.group {
				pid = -pid
			}
			if err := syscall.Kill(pid, test.signal); err != nil {
				t.Fatal(err)
			}
			if code := s.ended(t); code != 0 || !strings.Contains(s.printed(t), "Stopped. Data is kept in "+data) {
				t.Errorf("exit %d:\n%s", code, s.printed(t))
			}
			if err := syscall.Kill(-s.cmd.Process.Pid, 0); err == nil {
				t.Error("a child goes on")
			}
			for _, log := range []string{"node.log", "dataplane.log"} {
				// Every start appends: one more end in order each time.
				if text := s.log(t, log); strings.Count(text, "INFO\tstopped\t") != i+1 {
					t.Errorf("%s does not say stopped %d times:\n%s", log, i+1, text)
				}
			}
		})
	}
}

// TestRunScriptRefuses: a second start in the same directory, or on a port
// that is taken, is refused with the node's own words, and the first goes on.
func TestRunScriptRefuses(t *testing.T) {
	first := startScript(t, scratch(t))
	first.running(t)
	for _, test := range []struct{ name, data, want string }{
		{"directory and port", first.data, "is in use by another"},
		{"port", scratch(t), "API_ADDR: " + first.api + " is in use"},
	} {
		s := startScript(t, test.data, "API_ADDR="+first.api)
		if code := s.ended(t); code != 1 || !strings.Contains(s.printed(t), test.want) {
			t.Errorf("%s: exit %d:\n%s", test.name, code, s.printed(t))
		}
	}
	conn, err := net.Dial("tcp", first.api)
	if err != nil {
		t.Fatalf("the first one went: %v", err)
	}
	_ = conn.Close()

	// Either child's end ends the script, which says how it went.
	out, err := exec.Command("pgrep", "-P", fmt.Sprint(first.cmd.Process.Pid), "-f", "dvr-dataplane").Output()
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(bytes.NewReader(out), &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := first.ended(t); code != 1 || !strings.Contains(first.printed(t), "The data plane was ended by SIGKILL") {
		t.Errorf("exit %d:\n%s", code, first.printed(t))
	}
	if !strings.Contains(first.log(t, "node.log"), "INFO\tstopped\t") {
		t.Error("the node was not stopped in order")
	}
}

// TestTermAfterInterrupt: SIGTERM right after SIGINT is the same wish, not a
// second one; both programs end in order.
func TestTermAfterInterrupt(t *testing.T) {
	n := startNode(t, scratch(t))
	p := startPlane(t, n, "r1")
	for name, process := range map[string]interface {
		Pid() int
		Stop(time.Duration) error
		Log() string
	}{"node": n, "data plane": p} {
		if err := syscall.Kill(process.Pid(), syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if err := process.Stop(patience); err != nil || !strings.Contains(process.Log(), "INFO\tstopped\t") {
			t.Errorf("%s: %v\n%s", name, err, process.Log())
		}
	}
}
