package robustness

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Network is a bridge in a namespace of its own, and a namespace for each host
// on it. Nothing of it is in the machine's own namespace.
type Network struct {
	run string // begins every name: "dvrt<pid>-"
	hub string

	mu    sync.Mutex
	hosts map[string]*host
	order []string
}

// host is a namespace with one address on the bridge.
type host struct {
	name, namespace, address string
	from                     map[string]bool // hosts whose packets are dropped
	loss                     int             // percent of what comes from other hosts
	delay                    *delay
}

const (
	namePrefix = "dvrt"
	subnet     = "10.231.0."
	settleLink = 5 * time.Second
)

// CanNetwork says what is missing for a Network; nil: nothing.
func CanNetwork() error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	for _, tool := range []string{"ip", "nft", "nsenter", "iptables"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is missing (deploy/toolchain.sh test installs it)", tool)
		}
	}
	probe := fmt.Sprintf("%s%d-probe", namePrefix, os.Getpid())
	if err := command("ip", "netns", "add", probe); err != nil {
		return err
	}
	defer func() { _ = command("ip", "netns", "delete", probe) }()
	if err := command("ip", "-n", probe, "link", "add", "probe0", "type", "bridge"); err != nil {
		return err
	}
	return nft(probe, "table inet fault { }\n")
}

// NewNetwork makes the bridge; what an earlier run that was killed left behind is removed.
func NewNetwork() (*Network, error) {
	sweep()
	n := &Network{run: fmt.Sprintf("%s%d-", namePrefix, os.Getpid()), hosts: map[string]*host{}}
	n.hub = n.run + "hub"
	for _, args := range []string{
		"netns add " + n.hub,
		"-n " + n.hub + " link set lo up",
		"-n " + n.hub + " link add br0 type bridge",
		"-n " + n.hub + " addr add " + subnet + "1/24 dev br0",
		"-n " + n.hub + " link set br0 up",
	} {
		if err := command("ip", strings.Fields(args)...); err != nil {
			n.Close()
			return nil, err
		}
	}
	return n, nil
}

// sweep removes the namespaces and mounts of runs that are no more.
func sweep() {
	gone := func(name string) bool {
		rest, ok := strings.CutPrefix(name, namePrefix)
		pid, _, dash := strings.Cut(rest, "-")
		n, err := strconv.Atoi(pid)
		return ok && dash && err == nil && errors.Is(unix.Kill(n, 0), unix.ESRCH)
	}
	entries, _ := os.ReadDir("/run/netns") // absent: there are none
	for _, e := range entries {
		if gone(e.Name()) {
			_ = command("ip", "netns", "delete", e.Name())
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.SplitSeq(string(mounts), "\n") {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "tmpfs" && gone(f[0]) {
			_ = unix.Unmount(f[1], unix.MNT_DETACH)
		}
	}
}

// Add makes a host and returns its address.
func (n *Network) Add(name string) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := &host{name: name, namespace: n.run + name, address: subnet + strconv.Itoa(11+len(n.order)), from: map[string]bool{}}
	port := "p" + strconv.Itoa(len(n.order))
	n.hosts[name] = h
	n.order = append(n.order, name)
	for _, args := range []string{
		"netns add " + h.namespace,
		"-n " + n.hub + " link add " + port + " type veth peer name eth0 netns " + h.namespace,
		"-n " + n.hub + " link set " + port + " master br0 up",
		"-n " + h.namespace + " link set lo up",
		"-n " + h.namespace + " addr add " + h.address + "/24 dev eth0",
		"-n " + h.namespace + " link set eth0 up",
	} {
		if err := command("ip", strings.Fields(args)...); err != nil {
			return "", err
		}
	}
	return h.address, nil
}

// Close removes every namespace; what runs in one must have ended.
func (n *Network) Close() {
	n.Heal()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range n.order {
		_ = command("ip", "netns", "delete", n.hosts[name].namespace)
	}
	_ = command("ip", "netns", "delete", n.hub)
}

// Wrapper is the command that execs another one on the host.
func (n *Network) Wrapper(name string) []string {
	return []string{"nsenter", "--net=" + namespaceFile(n.run+name)}
}

// Dial connects from the hub, which no fault between hosts concerns.
func (n *Network) Dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	inNamespace(n.hub, func() {
		c, err = (&net.Dialer{Timeout: settleLink}).DialContext(ctx, network, address)
	}, &err)
	return c, err
}

// Cut drops what from sends to to; the other direction stays.
func (n *Network) Cut(from, to string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hosts[to]
	h.from[from] = true
	return n.apply(h)
}

// Lose drops percent of the packets that the host gets from other hosts.
func (n *Network) Lose(name string, percent int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hosts[name]
	h.loss = percent
	return n.apply(h)
}

// Delay holds back what the host gets from other hosts.
func (n *Network) Delay(name string, by, jitter time.Duration) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hosts[name]
	if h.delay != nil {
		return nil
	}
	var err error
	if h.delay, err = newDelay(h.namespace, by, jitter); err != nil {
		return err
	}
	return n.queue(h, "-A")
}

// queue hands what comes from other hosts to the delay.
func (n *Network) queue(h *host, op string) error {
	return command("nsenter", "--net="+namespaceFile(h.namespace), "iptables", "-w", op, "INPUT", "-s", subnet+"0/24", "!", "-i", "lo",
		"-j", "NFQUEUE", "--queue-num", strconv.Itoa(delayQueue), "--queue-bypass")
}

// Heal ends every cut, loss and delay.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range n.hosts {
		if len(h.from) > 0 || h.loss > 0 {
			h.from, h.loss = map[string]bool{}, 0
			_ = n.apply(h)
		}
		if h.delay != nil {
			_ = n.queue(h, "-D")
			h.delay.close()
			h.delay = nil
		}
	}
}

// apply replaces the host's rules at once.
func (n *Network) apply(h *host) error {
	var b strings.Builder
	b.WriteString("table inet fault { }\ndelete table inet fault\ntable inet fault { chain in { type filter hook input priority 0; policy accept;\n")
	for _, name := range n.order {
		o := n.hosts[name]
		switch {
		case o == h:
		case h.from[name]:
			fmt.Fprintf(&b, "ip saddr %s drop;\n", o.address)
		case h.loss > 0:
			fmt.Fprintf(&b, "ip saddr %s meta mark set numgen random mod 100 meta mark < %d drop;\n", o.address, h.loss)
		}
	}
	b.WriteString("}\n}\n")
	return nft(h.namespace, b.String())
}

func nft(namespace, rules string) error {
	c := exec.Command("nsenter", "--net="+namespaceFile(namespace), "nft", "-f", "-")
	c.Stdin = strings.NewReader(rules)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("nft in %s: %w: %s", namespace, err, out)
	}
	return nil
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

func namespaceFile(name string) string { return filepath.Join("/run/netns", name) }

// inNamespace runs f, which must not start goroutines that make sockets, on a
// thread that is in the namespace.
func inNamespace(name string, f func(), err *error) {
	runtime.LockOSThread()
	own, e := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if e != nil {
		*err = e
		runtime.UnlockOSThread()
		return
	}
	defer own.Close()
	other, e := os.Open(namespaceFile(name))
	if errors.Is(e, fs.ErrNotExist) {
		e = fmt.Errorf("namespace %s is gone: %w", name, e)
	}
	if e == nil {
		defer other.Close()
		e = unix.Setns(int(other.Fd()), unix.CLONE_NEWNET)
	}
	if e != nil {
		*err = e
		runtime.UnlockOSThread()
		return
	}
	f()
	if e := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); e != nil {
		*err = errors.Join(*err, e)
		return // the thread ends with its goroutine, locked
	}
	runtime.UnlockOSThread()
}
