package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// lab is a network of routers: a network namespace each, joined by veths, all of
// them reached from the test's own namespace by a management bridge.
type lab struct {
	t       *testing.T
	routers []string
	space   map[string]*os.File // a router's network namespace, which ends with the file
}

// cable is a link of a lab: a veth, whose ends are named after the router they lead to.
type cable struct {
	a, b string
	cost int
}

func (w cable) String() string { return w.a + "-" + w.b }

// end is the interface of a cable's router.
func (w cable) end(router string) string {
	if router == w.a {
		return "to-" + w.b
	}
	return "to-" + w.a
}

// addresses of a cable's ends, a's first; n is the cable's number in its lab.
func (w cable) addresses(n int) (v4, v6 [2]string) {
	for i := range v4 {
		v4[i], v6[i] = fmt.Sprintf("10.0.%d.%d", n, i+1), fmt.Sprintf("fd00::%d:%d", n, i+1)
	}
	return v4, v6
}

// newLab makes the namespaces and cables, in a namespace that is the test's own.
// Router number i has 10.255.0.(i+1) towards the test, which has 10.255.0.241 to 243.
func newLab(t *testing.T, routers []string, cables []cable) *lab {
	t.Helper()
	l := &lab{t: t, routers: routers, space: map[string]*os.File{}}
	ip(t, "link add mgmt type bridge")
	for i := range 3 {
		ip(t, fmt.Sprintf("addr add 10.255.0.%d/24 dev mgmt", 241+i))
	}
	ip(t, "link set mgmt up")
	for i, r := range routers {
		own, err := namespace()
		if err != nil {
			lacking(t, "no network namespaces within one can be made here:", err)
		}
		t.Cleanup(func() { _ = own.Close() })
		l.space[r] = own
		ip(t, fmt.Sprintf("link add m%d type veth peer name mgmt0 netns %s", i, l.path(r)))
		ip(t, fmt.Sprintf("link set m%d master mgmt up", i))
		for _, setting := range []string{
			"ipv4/ip_forward=1", "ipv6/conf/all/forwarding=1", "ipv4/conf/all/rp_filter=0", "ipv4/conf/default/rp_filter=0",
			"ipv6/conf/all/keep_addr_on_down=1", // a link that comes back has its addresses still
		} {
			l.set(r, setting)
		}
		l.batch(r, "link set lo up", "link add lan type veth peer name hosts", "link set lan up", "link set hosts up", "link set mgmt0 up", fmt.Sprintf("addr add 10.255.0.%d/24 dev mgmt0", i+1))
		// Else all routers hash alike, and half of the ways are never gone. (Linux 6.11 and newer.)
		l.within(r, func() {
			_ = os.WriteFile("/proc/sys/net/ipv4/fib_multipath_hash_seed", []byte(strconv.Itoa(1000+i)), 0o644)
		})
	}
	for n, w := range cables {
		v4, v6 := w.addresses(n + 1)
		l.batch(w.a, fmt.Sprintf("link add %s type veth peer name %s netns %s", w.end(w.a), w.end(w.b), l.path(w.b)))
		for i, r := range []string{w.a, w.b} {
			l.batch(r, "link set "+w.end(r)+" up", fmt.Sprintf("addr add %s/24 dev %s", v4[i], w.end(r)), fmt.Sprintf("addr add %s/112 dev %s nodad", v6[i], w.end(r)))
		}
	}
	return l
}

// namespace makes a network namespace that lives as long as the file is open.
func namespace() (*os.File, error) {
	type result struct {
		f   *os.File
		err error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- result{nil, fmt.Errorf("unshare: %w", err)}
			return
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		made <- result{f, err}
	}()
	r := <-made
	return r.f, r.err
}

// path names a router's namespace to other programs.
func (l *lab) path(router string) string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), l.space[router].Fd())
}

// within calls f on a thread that is in the router's namespace: sockets that it
// opens and processes that it starts are there, too.
func (l *lab) within(router string, f func()) {
	l.t.Helper()
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		l.t.Fatal(err)
	}
	defer home.Close()
	if err := unix.Setns(int(l.space[router].Fd()), unix.CLONE_NEWNET); err != nil {
		l.t.Fatalf("namespace of %s: %v", router, err)
	}
	f()
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		l.t.Fatalf("back from the namespace of %s: %v", router, err) // the thread stays locked, and ends with the test
	}
	runtime.UnlockOSThread()
}

// batch runs lines of iproute2's ip at a router; all must succeed.
func (l *lab) batch(router string, lines ...string) {
	l.t.Helper()
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n"))
	if out := l.run(router, cmd); out != "" {
		l.t.Fatalf("ip at %s: %s", router, out)
	}
}

// ip runs iproute2's ip at a router and gives what it prints.
func (l *lab) ip(router, line string) string {
	l.t.Helper()
	return l.run(router, exec.Command("ip", strings.Fields(line)...))
}

func (l *lab) run(router string, cmd *exec.Cmd) (printed string) {
	l.t.Helper()
	var out []byte
	var err error
	l.within(router, func() { out, err = cmd.CombinedOutput() })
	if err != nil {
		l.t.Fatalf("%s at %s: %v: %s", strings.Join(cmd.Args, " "), router, err, out)
	}
	return string(out)
}

// set is `sysctl -w net/…` at a router.
func (l *lab) set(router, setting string) {
	l.t.Helper()
	name, value, _ := strings.Cut(setting, "=")
	var err error
	l.within(router, func() { err = os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644) })
	if errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.EACCES) {
		lacking(l.t, "the kernel's settings cannot be written here:", err)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// sent is how many packets a router has sent through an interface.
func (l *lab) sent(router, device string) uint64 {
	l.t.Helper()
	var text []byte
	l.within(router, func() { text, _ = os.ReadFile("/proc/thread-self/net/dev") })
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		if fields := strings.Fields(rest); name == device && len(fields) > 9 {
			n, _ := strconv.ParseUint(fields[9], 10, 64)
			return n
		}
	}
	l.t.Fatalf("%s has no interface %s:\n%s", router, device, text)
	return 0
}
