package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"dvr/cmd/internal/testbed"
)

// inNamespace runs the rest of the test in a process of its own within an empty
// network namespace, which goes with it: the machine's routes are never touched.
// False in the process that only waits for that one. There, loopback is up, and
// w0 and w1 lead outside:
//
//	w0  10.0.0.1/24  10.255.255.254/16  fd00::ffff/64  fd00:a::1/64
//	w1  10.0.1.1/24  fd00:b::1/64
func inNamespace(t *testing.T) bool {
	t.Helper()
	if !inEmptyNamespace(t) {
		return false
	}
	for _, line := range []string{
		"link add w0 type veth peer name p0", "link add w1 type veth peer name p1",
		"link set w0 up", "link set w1 up", "link set p0 up", "link set p1 up",
		"addr add 10.0.0.1/24 dev w0", "addr add 10.255.255.254/16 dev w0", "addr add 10.0.1.1/24 dev w1",
		"addr add fd00::ffff/64 dev w0 nodad", "addr add fd00:a::1/64 dev w0 nodad", "addr add fd00:b::1/64 dev w1 nodad",
	} {
		ip(t, line)
	}
	return true
}

// inEmptyNamespace is inNamespace with nothing but loopback. What the process
// there prints is told when it ends; with DVR_DEMO at once.
func inEmptyNamespace(t *testing.T) bool {
	t.Helper()
	if namespaced(t) {
		return true
	}
	if unable := isolate(t); unable != "" {
		lacking(t, unable)
	}
	return false
}

// namespaced reports whether this process is the test's own in its namespace,
// whose loopback is up then.
func namespaced(t *testing.T) bool {
	t.Helper()
	if os.Getenv("DVR_E2E_NAMESPACE") != t.Name() {
		return false
	}
	ip(t, "link set lo up")
	return true
}

// isolate runs the test in a process of its own within an empty network
// namespace, with variables beside the environment; unable says why it cannot.
func isolate(t *testing.T, environ ...string) (unable string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return "needs root for a network namespace"
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return fmt.Sprint("needs iproute2: ", err)
	}
	arguments := []string{"-test.run", "^" + t.Name() + "$", "-test.v", "-test.count=1"}
	if demonstrated() {
		arguments = []string{"-test.run", "^" + t.Name() + "$", "-test.count=1"}
	}
	if testing.Short() {
		arguments = append(arguments, "-test.short")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], arguments...)
	cmd.Env = append(append(os.Environ(), "DVR_E2E_NAMESPACE="+t.Name()), environ...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if demonstrated() {
		cmd.Stdout = os.Stdout
	}
	err := cmd.Run()
	out := said.Bytes()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL) {
		return fmt.Sprint("no network namespace can be made here: ", err)
	}
	for line := range strings.Lines(string(out)) {
		t.Log(strings.TrimRight(line, "\n"))
	}
	if err != nil {
		t.Fatal("in its network namespace:", err)
	}
	if bytes.Contains(out, []byte("--- SKIP: ")) {
		lacking(t, "skipped in its network namespace")
	}
	return ""
}

// demonstrated reports whether somebody looks on: `make demo-network`.
func demonstrated() bool { return os.Getenv("DVR_DEMO") != "" }

// lacking ends a test for which the machine lacks something: it is skipped, but
// where it is demonstrated it fails, since whoever asked for that would take its
// end for success.
func lacking(t testing.TB, why ...any) {
	t.Helper()
	if demonstrated() {
		t.Fatal(why...)
	}
	t.Skip(why...)
}

// TestADemonstrationThatCannotBeFails: without what it needs `make demo-network`
// says what is missing and fails; among the other tests it is skipped.
func TestADemonstrationThatCannotBeFails(t *testing.T) {
	if testing.Short() {
		t.Skip("starts this test's program twice")
	}
	nothing := t.TempDir() // for a PATH without ip; root or not, something is missing
	for _, demo := range []bool{false, true} {
		cmd := exec.CommandContext(within(t, patience), os.Args[0], "-test.run", "^TestNetwork$", "-test.v", "-test.count=1")
		cmd.Env = append(os.Environ(), "PATH="+nothing)
		if demo {
			cmd.Env = append(cmd.Env, "DVR_DEMO=1", "DVR_REQUIRE_BINARIES=1")
		} else {
			cmd.Env = append(cmd.Env, "DVR_DEMO=", "DVR_REQUIRE_BINARIES=")
		}
		out, err := cmd.CombinedOutput()
		why := regexp.MustCompile(`needs root|needs iproute2|` + regexp.QuoteMeta(testbed.ErrNoBinary.Error())).FindString(string(out))
		if demo != (err != nil) || why == "" || demo != strings.Contains(string(out), "--- FAIL: TestNetwork") {
			t.Errorf("demonstrated %v: %v\n%s", demo, err, out)
		}
	}
}

// ip runs iproute2's ip, which must succeed, and gives what it prints.
func ip(t testing.TB, line string) string {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v: %s", line, err, out)
	}
	return string(out)
}

// ours are the kernel's routes of a data plane, one a line, and its next hops.
func ours(t testing.TB) string {
	t.Helper()
	return fmt.Sprint(ip(t, "route show proto 68"), ip(t, "-6 route show proto 68"), ip(t, "nexthop show proto 68"))
}
