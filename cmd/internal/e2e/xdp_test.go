package e2e

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// host is a network namespace behind outer ends of the router's veth pairs.
type host struct {
	pid  int
	name string
}

// newHost takes the ends and gives each addresses, and the host itself its own.
func newHost(t *testing.T, name string, ends map[string][]string, own ...string) *host {
	t.Helper()
	cmd := exec.Command("cat") // holds the namespace, as long as this process has its input
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	h := &host{cmd.Process.Pid, name}
	for end, addresses := range ends {
		ip(t, fmt.Sprintf("link set %s netns %d", end, h.pid))
		h.run(t, "sysctl -qw net.ipv6.conf."+end+".accept_dad=0")
		h.run(t, "ip link set "+end+" up")
		for _, a := range addresses {
			h.address(t, a, end)
		}
	}
	h.run(t, "ip link set lo up")
	for _, a := range own {
		h.address(t, a, "lo")
	}
	// What XDP redirects to the other end of a pair arrives where GRO is on, and has the checksums
	// that its sender wrote.
	h.in(t, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for end := range ends {
			for _, value := range []struct{ command, data uint32 }{{0x2c, 1}, {0x17, 0}} { // ETHTOOL_SGRO, ETHTOOL_STXCSUM
				if err := ethtool(fd, end, &value); err != nil {
					return fmt.Errorf("features of %s: %w", end, err)
				}
			}
		}
		return nil
	})
	return h
}

// address gives an interface an address that it can use at once.
func (h *host) address(t testing.TB, address, link string) {
	t.Helper()
	line := "ip addr add " + address + " dev " + link
	if strings.Contains(address, ":") {
		line += " nodad"
	}
	h.run(t, line)
}

// run runs a command within the host.
func (h *host) run(t testing.TB, line string) string {
	t.Helper()
	out, err := h.try(line)
	if err != nil {
		t.Fatalf("%s: %s: %v: %s", h.name, line, err, out)
	}
	return out
}

func (h *host) try(line string) (string, error) {
	out, err := exec.Command("nsenter", append([]string{"-t", fmt.Sprint(h.pid), "-n"}, strings.Fields(line)...)...).CombinedOutput()
	return string(out), err
}

// received counts the packets that an interface of the host has received.
func (h *host) received(t testing.TB, link string) uint64 {
	t.Helper()
	var links []struct {
		Stats64 struct{ Rx struct{ Packets uint64 } }
	}
	if err := json.Unmarshal([]byte(h.run(t, "ip -s -j link show "+link)), &links); err != nil || len(links) != 1 {
		t.Fatal(err, len(links))
	}
	return links[0].Stats64.Rx.Packets
}

// in calls f within the host. Sockets that it opens stay there.
func (h *host) in(t testing.TB, f func() error) {
	t.Helper()
	// The thread comes back: were it to end, what it has started would end with it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	away, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", h.pid))
	if err != nil {
		t.Fatal(err)
	}
	defer away.Close()
	if err := unix.Setns(int(away.Fd()), unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	failed := f()
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		panic(err) // this thread cannot be used for anything else
	}
	if failed != nil {
		t.Fatalf("%s: %v", h.name, failed)
	}
}

// listen is a datagram socket of the host.
func (h *host) listen(t testing.TB, address string) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	h.in(t, func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
		return err
	})
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// stream sends numbered datagrams, a thousand a second, which are sent back.
type stream struct {
	sent, back atomic.Uint64
	quit       chan struct{}
	wg         sync.WaitGroup
	close      func()
}

func newStream(t *testing.T, from *host, source string, to *host, destination string) *stream {
	t.Helper()
	a, b := from.listen(t, source), to.listen(t, destination)
	s := &stream{quit: make(chan struct{})}
	target := netip.MustParseAddrPort(destination)
	s.wg.Go(func() {
		buffer := make([]byte, 64)
		for {
			n, peer, err := b.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			_, _ = b.WriteToUDPAddrPort(buffer[:n], peer)
		}
	})
	// Neighbours are found first: what waits for them is no stream's loss.
	eventually(t, "a first datagram", func() bool {
		_, _ = a.WriteToUDPAddrPort([]byte("first"), target)
		_ = a.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, err := a.Read(make([]byte, 64))
		return err == nil
	})
	_ = a.SetReadDeadline(time.Time{})
	s.wg.Go(func() {
		buffer, seen := make([]byte, 64), map[uint64]bool{}
		for {
			n, err := a.Read(buffer)
			if err != nil {
				return
			}
			if number := binary.LittleEndian.Uint64(buffer); n == 8 && !seen[number] {
				seen[number] = true
				s.back.Add(1)
			}
		}
	})
	s.wg.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-s.quit:
				return
			case <-tick.C:
			}
			_, _ = a.WriteToUDPAddrPort(binary.LittleEndian.AppendUint64(nil, s.sent.Load()), target)
			s.sent.Add(1)
		}
	})
	s.close = sync.OnceFunc(func() {
		close(s.quit)
		for last := s.back.Load(); ; last = s.back.Load() { // what is on its way arrives
			time.Sleep(200 * time.Millisecond)
			if s.back.Load() == last || s.back.Load() == s.sent.Load() {
				break
			}
		}
		_ = a.Close()
		_ = b.Close()
		s.wg.Wait()
	})
	t.Cleanup(s.close)
	return s
}

// more waits until so many more have come back.
func (s *stream) more(t testing.TB, n uint64) {
	t.Helper()
	want := s.back.Load() + n
	eventually(t, "the stream", func() bool { return s.back.Load() >= want })
}

// lost ends the stream and counts.
func (s *stream) lost() uint64 {
	s.close()
	return s.sent.Load() - s.back.Load()
}

// TestXDPSink: packets of real hosts cross a router whose fast path is XDP: two ways to the
// second one, of which one fails; the data plane and the node die and come back. What XDP
// cannot do comes from the kernel.
func TestXDPSink(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for _, tool := range []string{"nsenter", "sysctl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	for _, line := range []string{"link add w2 type veth peer name p2", "link set w2 up", "addr add 10.0.2.1/24 dev w2"} {
		ip(t, line)
	}
	for _, setting := range []string{"net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"} {
		if out, err := exec.Command("sysctl", "-qw", setting).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", setting, err, out)
		}
	}
	a := newHost(t, "a", map[string][]string{"p0": {"10.0.0.2/24", "fd00:a::2/64"}}, "198.51.100.1/32", "2001:db8:a::1/128")
	b := newHost(t, "b", map[string][]string{"p1": {"10.0.1.2/24", "fd00:b::2/64"}, "p2": {"10.0.2.2/24"}}, "203.0.113.1/32", "2001:db8:b::1/128")
	a.run(t, "ip route add default via 10.0.0.1 src 198.51.100.1")
	a.run(t, "ip -6 route add default via fd00:a::1 src 2001:db8:a::1")
	b.run(t, "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.p1.rp_filter=0 net.ipv4.conf.p2.rp_filter=0")
	b.run(t, "ip route add default via 10.0.1.1 src 203.0.113.1")
	b.run(t, "ip -6 route add default via fd00:b::1 src 2001:db8:b::1")

	dir := scratch(t)
	pins := filepath.Join(dir, "bpf")
	t.Cleanup(func() { _ = unix.Unmount(pins, unix.MNT_DETACH) }) // the links go with their pins
	n := startNode(t, dir)
	p := startPlaneOf(t, n, "r1", "xdp", "--interface", "w0,w1,w2", "--bpffs", pins, "--tune-kernel")
	if log := p.Log(); strings.Contains(log, "built without") {
		t.Skip("this build has no XDP sink")
	}
	add := func(route string) {
		t.Helper()
		must(t, n, http.StatusCreated, http.MethodPost, "/routes?wait=installed&require=r1&timeout=60s", route)
	}
	add(`{"destination":"198.51.100.0/24","next_hop":"10.0.0.2"}`)
	add(`{"destination":"203.0.113.0/24","next_hop":"10.0.1.2"}`)
	add(`{"destination":"203.0.113.0/24","next_hop":"10.0.2.2"}`)
	add(`{"destination":"2001:db8:a::/48","next_hop":"fd00:a::2"}`)
	add(`{"destination":"2001:db8:b::/48","next_hop":"fd00:b::2"}`)
	counter := func(name string) uint64 {
		t.Helper()
		return stateOf(t, n).Counters["xdp_"+name]
	}
	states := map[string]sinkState{}
	for _, s := range stateOf(t, n).States {
		states[s.Name] = s
	}
	if x, k := states["xdp"], states["kernel"]; x.Entries != 4 || x.Installed != k.Installed || x.Failed != 0 {
		t.Errorf("%+v", states)
	}
	if log := p.Log(); strings.Count(log, "forwarding in XDP") != 3 || strings.Contains(log, "generic") {
		t.Errorf("its log:\n%s", log)
	}

	t.Run("streams cross, in XDP", func(t *testing.T) {
		four := newStream(t, a, "198.51.100.1:7", b, "203.0.113.1:7")
		six := newStream(t, a, "[2001:db8:a::1]:7", b, "[2001:db8:b::1]:7")
		four.more(t, 300)
		six.more(t, 300)
		if l4, l6 := four.lost(), six.lost(); l4 != 0 || l6 != 0 {
			t.Errorf("lost %d and %d", l4, l6)
		}
		eventually(t, "counters", func() bool { return counter("forwarded_ipv4") > 300 && counter("forwarded_ipv6") > 300 })
		if out, err := a.try("ping -c 3 -i 0.05 -W 5 203.0.113.1"); err != nil && !strings.Contains(err.Error(), "executable") && !strings.Contains(out, "failed to execute") {
			t.Errorf("%v: %s", err, out)
		}
	})

	t.Run("what XDP cannot do comes from the kernel", func(t *testing.T) {
		conn := a.listen(t, "198.51.100.1:9")
		raw, err := conn.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		set := func(level, option, value int) {
			t.Helper()
			var failed error
			if err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), level, option, value) }); err != nil || failed != nil {
				t.Fatal(err, failed)
			}
		}
		set(unix.SOL_IP, unix.IP_RECVERR, 1)
		// The ICMP of a type that comes back: its code, who sent it and the MTU that it names.
		told := func(length int, icmp byte) (code byte, from netip.Addr, mtu uint32) {
			t.Helper()
			eventually(t, "an ICMP message", func() bool {
				_, _ = conn.WriteToUDPAddrPort(make([]byte, length), netip.MustParseAddrPort("203.0.113.1:9"))
				var found bool
				_ = raw.Control(func(fd uintptr) {
					control := make([]byte, 512)
					_, size, _, _, err := unix.Recvmsg(int(fd), make([]byte, 64), control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
					if err != nil {
						return
					}
					messages, _ := unix.ParseSocketControlMessage(control[:size])
					for _, m := range messages {
						if m.Header.Level != unix.SOL_IP || m.Header.Type != unix.IP_RECVERR || len(m.Data) < 24 || m.Data[4] != 2 || m.Data[5] != icmp {
							continue // sock_extended_err of SO_EE_ORIGIN_ICMP, then a sockaddr_in
						}
						code = m.Data[6]
						mtu = binary.NativeEndian.Uint32(m.Data[8:])
						from, _ = netip.AddrFromSlice(m.Data[20:24])
						found = true
					}
				})
				return found
			})
			return code, from, mtu
		}
		set(unix.SOL_IP, unix.IP_TTL, 1)
		if code, from, _ := told(8, 11); code != 0 || from != netip.MustParseAddr("10.0.0.1") {
			t.Errorf("time exceeded: code %d from %v", code, from)
		}
		set(unix.SOL_IP, unix.IP_TTL, 64)
		ip(t, "link set w1 mtu 1400")
		ip(t, "link set w2 mtu 1400")
		defer ip(t, "link set w1 mtu 1500")
		defer ip(t, "link set w2 mtu 1500")
		set(unix.SOL_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		if code, from, mtu := told(1450, 3); code != 4 || from != netip.MustParseAddr("10.0.0.1") || mtu != 1400 {
			t.Errorf("too big: code %d from %v, MTU %d", code, from, mtu)
		}
		eventually(t, "counters", func() bool { return counter("passed_ttl") > 0 && counter("passed_too_big") > 0 })
	})

	t.Run("a next hop fails", func(t *testing.T) {
		var streams []*stream
		for i := range 16 { // both ways are taken
			streams = append(streams, newStream(t, a, fmt.Sprintf("198.51.100.1:%d", 100+i), b, fmt.Sprintf("203.0.113.1:%d", 100+i)))
		}
		for _, s := range streams {
			s.more(t, 100)
		}
		if one, two := b.received(t, "p1"), b.received(t, "p2"); one < 200 || two < 200 {
			t.Errorf("of two ways one takes %d, the other %d", one, two)
		}
		b.run(t, "ip link set p2 down")
		for _, s := range streams {
			s.more(t, 300)
		}
		var lost, sent uint64
		for _, s := range streams {
			lost += s.lost()
			sent += s.sent.Load()
		}
		t.Logf("%d of %d lost", lost, sent)
		if lost > sent/10 {
			t.Errorf("%d of %d lost", lost, sent)
		}
		b.run(t, "ip link set p2 up")
	})

	t.Run("data plane killed and started again", func(t *testing.T) {
		s := newStream(t, a, "198.51.100.1:7", b, "203.0.113.1:7")
		six := newStream(t, a, "[2001:db8:a::1]:7", b, "[2001:db8:b::1]:7")
		s.more(t, 100)
		p.Kill()
		s.more(t, 300)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		p.inSync(t, n, 0)
		eventually(t, "XDP of the new process", func() bool { return strings.Count(p.Log(), "forwarding in XDP") == 6 })
		s.more(t, 300)
		six.more(t, 100)
		if lost, lost6 := s.lost(), six.lost(); lost != 0 || lost6 != 0 {
			t.Errorf("lost %d of %d and %d of %d", lost, s.sent.Load(), lost6, six.sent.Load())
		}
		eventually(t, "counters of the new process", func() bool { return counter("forwarded_ipv4") > 100 })
	})

	t.Run("node killed", func(t *testing.T) {
		s := newStream(t, a, "198.51.100.1:7", b, "203.0.113.1:7")
		s.more(t, 100)
		n.Kill()
		s.more(t, 500)
		if lost := s.lost(); lost != 0 {
			t.Errorf("lost %d of %d", lost, s.sent.Load())
		}
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		if err := n.Ready(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		p.inSync(t, n, 0)
	})

	t.Run("taken away", func(t *testing.T) {
		s := newStream(t, a, "198.51.100.1:7", b, "203.0.113.1:7")
		s.more(t, 100)
		p.Kill()
		p.Sink = "kernel"
		p.Arguments = []string{"--bpffs", pins, "--tune-kernel"}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "interfaces without XDP", func() bool { return !strings.Contains(ip(t, "link show"), "xdp") })
		p.inSync(t, n, 0)
		s.more(t, 100)
		// The driver's queues are others without a program: what was in them may be gone.
		if lost := s.lost(); lost > 20 {
			t.Errorf("lost %d of %d", lost, s.sent.Load())
		}
	})
}
