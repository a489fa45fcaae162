package e2e

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dvr/cmd/internal/testbed"
	"dvr/controller/fibpb"

	"golang.org/x/sys/unix"
)

// crossing is a router between two hosts, with two ways to the second one: packets of a come in
// at w0 and leave by w1 or w2. Names on the way are the namespace's.
type crossing struct {
	a, b *host
	node *testbed.Node
	p    *plane
}

// TestForwarding: packets of real hosts cross a router by the kernel's routes, then by XDP before
// them; a next hop fails, the data plane and the node die and come back.
func TestForwarding(t *testing.T) {
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
	// By ports, too, as XDP chooses: else the streams go one way.
	if out, err := exec.Command("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.fib_multipath_hash_policy=1").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := &crossing{
		a: newHost(t, "a", map[string][]string{"p0": {"10.0.0.2/24", "fd00:a::2/64"}}, "198.51.100.1/32", "2001:db8:a::1/128"),
		b: newHost(t, "b", map[string][]string{"p1": {"10.0.1.2/24", "fd00:b::2/64"}, "p2": {"10.0.2.2/24"}}, "203.0.113.1/32", "2001:db8:b::1/128"),
	}
	c.a.run(t, "ip route add default via 10.0.0.1 src 198.51.100.1")
	c.a.run(t, "ip -6 route add default via fd00:a::1 src 2001:db8:a::1")
	c.b.run(t, "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.p1.rp_filter=0 net.ipv4.conf.p2.rp_filter=0")
	c.b.run(t, "ip route add default via 10.0.1.1 src 203.0.113.1")
	c.b.run(t, "ip -6 route add default via fd00:b::1 src 2001:db8:b::1")

	dir := scratch(t)
	pins := filepath.Join(dir, "bpf")
	t.Cleanup(func() { _ = unix.Unmount(pins, unix.MNT_DETACH) }) // the links go with their pins
	c.node = startNode(t, dir)
	c.p = startPlaneOf(t, c.node, "r1", "kernel", "--bpffs", pins, "--tune-kernel")
	for _, route := range []string{
		`{"destination":"198.51.100.0/24","next_hop":"10.0.0.2"}`,
		`{"destination":"203.0.113.0/24","next_hop":"10.0.1.2"}`,
		`{"destination":"203.0.113.0/24","next_hop":"10.0.2.2"}`,
		`{"destination":"2001:db8:a::/48","next_hop":"fd00:a::2"}`,
		`{"destination":"2001:db8:b::/48","next_hop":"fd00:b::2"}`,
	} {
		must(t, c.node, http.StatusCreated, http.MethodPost, "/routes?wait=installed&require=r1&timeout=60s", route)
	}
	t.Run("kernel", func(t *testing.T) {
		t.Run("packets cross", c.cross)
		t.Run("frames are right", c.frames)
		t.Run("icmp", c.icmp)
		t.Run("a next hop fails", c.nextHopFails)
		for name, killed := range c.killed() {
			t.Run(name, func(t *testing.T) { killed(t, func() bool { return c.counters(t) != nil }) })
		}
	})
	t.Run("xdp", func(t *testing.T) {
		c.p.Kill()
		c.p.Sink = "xdp"
		c.p.Arguments = append(c.p.Arguments, "--interface", "w0,w1,w2")
		if err := c.p.Start(); err != nil {
			t.Fatal(err)
		}
		serving := func() bool {
			log := c.p.Log()
			for _, why := range []string{"built without the XDP sink", "BPF cannot be used", "no BPF file system"} {
				if strings.Contains(log, why) {
					t.Skip(log)
				}
			}
			return c.counters(t)["xdp_interfaces"] == 3
		}
		eventually(t, "XDP at three interfaces", serving)
		c.p.inSync(t, c.node, 0)
		if native := c.counters(t)["xdp_interfaces_native"]; native != 3 {
			t.Errorf("%d native, its log:\n%s", native, c.p.Log())
		}
		eventually(t, "the node knows of both sinks", func() bool {
			states := map[string]sinkState{}
			for _, s := range stateOf(t, c.node).States {
				states[s.Name] = s
			}
			x, k := states["xdp"], states["kernel"]
			return x.Entries == 4 && x.Installed == k.Installed && x.Failed == 0
		})
		t.Run("packets cross", c.cross)
		if n := c.counters(t); n["xdp_forwarded_ipv4"] < 600 || n["xdp_forwarded_ipv6"] < 600 {
			t.Errorf("XDP has not forwarded it: %v", n)
		}
		t.Run("frames are right", c.frames)
		t.Run("icmp", c.icmp) // from the kernel
		if n := c.counters(t); n["xdp_passed_ttl"] < 2 || n["xdp_passed_too_big"] < 2 {
			t.Errorf("XDP has not passed it: %v", n)
		}
		t.Run("a next hop fails", c.nextHopFails)
		for name, killed := range c.killed() {
			t.Run(name, func(t *testing.T) { killed(t, serving) })
			if n := c.counters(t); n["xdp_forwarded_ipv4"] < 300 {
				t.Errorf("%s: XDP of the new process has not forwarded it: %v", name, n)
			}
		}
		t.Run("taken away", c.takenAway)
	})
}

// killed are the ends that nobody feels. Each has a new data plane, which serves from then on.
func (c *crossing) killed() map[string]func(*testing.T, func() bool) {
	return map[string]func(*testing.T, func() bool){"data plane killed and started again": c.planeKilled, "node killed, then data plane": c.nodeKilled}
}

// counters are those of the data plane's sinks; nil: it does not answer.
func (c *crossing) counters(t testing.TB) map[string]uint64 {
	stats, err := c.p.api.GetStats(within(t, patience), &fibpb.StatsRequest{})
	if err != nil {
		return nil
	}
	return stats.GetCounters().GetMore()
}

// streams are one of IPv4 and one of IPv6.
func (c *crossing) streams(t *testing.T) (four, six *stream) {
	t.Helper()
	return newStream(t, c.a, "198.51.100.1:7", c.b, "203.0.113.1:7", time.Millisecond), newStream(t, c.a, "[2001:db8:a::1]:7", c.b, "[2001:db8:b::1]:7", time.Millisecond)
}

func (c *crossing) cross(t *testing.T) {
	four, six := c.streams(t)
	more(t, 300, four, six)
	if lost, sent := lost(four, six); lost != 0 {
		t.Errorf("lost %d of %d", lost, sent)
	}
	for _, to := range []string{"203.0.113.1", "2001:db8:b::1"} {
		if out, err := c.a.try("ping -c 3 -i 0.05 -W 5 " + to); err != nil && !strings.Contains(err.Error(), "executable") && !strings.Contains(out, "failed to execute") {
			t.Errorf("%v: %s", err, out)
		}
	}
}

// frames looks at packets as they arrive at b: who sent them to whom, what is left of their time
// to live, and the checksum of IPv4's header.
func (c *crossing) frames(t *testing.T) {
	fd := -1
	type ends struct{ own, peer net.HardwareAddr }
	links := map[int]ends{} // by index in b
	hardware := func(name string) (*net.Interface, error) { return net.InterfaceByName(name) }
	routers := map[string]net.HardwareAddr{}
	for _, name := range []string{"w1", "w2"} {
		w, err := hardware(name)
		if err != nil {
			t.Fatal(err)
		}
		routers["p"+name[1:]] = w.HardwareAddr
	}
	c.b.in(t, func() (err error) {
		for name, peer := range routers {
			p, err := hardware(name)
			if err != nil {
				return err
			}
			links[p.Index] = ends{p.HardwareAddr, peer}
		}
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0x0300) // ETH_P_ALL, big-endian
		return err
	})
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20000}); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("a frame of %s", t.Name())
	for _, family := range []struct {
		from, to string
		kind     uint16
		ttl, at  int // where the time to live is, and where the datagram begins
	}{
		{"198.51.100.1:11", "203.0.113.1:11", 0x0800, 8, 20},
		{"[2001:db8:a::1]:11", "[2001:db8:b::1]:11", 0x86dd, 7, 40},
	} {
		conn := c.a.listen(t, family.from)
		eventually(t, "a frame to "+family.to, func() bool {
			_, _ = conn.WriteToUDPAddrPort([]byte(text), netip.MustParseAddrPort(family.to))
			buffer := make([]byte, 2048)
			for {
				n, from, err := unix.Recvfrom(fd, buffer, 0)
				if err != nil {
					return false
				}
				l, known := links[from.(*unix.SockaddrLinklayer).Ifindex]
				if !known || n < 14+family.at+8+len(text) || string(buffer[14+family.at+8:n]) != text {
					continue // another's, or echoed by no one: the socket sees all of b
				}
				packet := buffer[14:n]
				if got := binary.BigEndian.Uint16(buffer[12:]); got != family.kind {
					t.Errorf("type %#x", got)
				}
				if to, from := net.HardwareAddr(buffer[:6]).String(), net.HardwareAddr(buffer[6:12]).String(); to != l.own.String() || from != l.peer.String() {
					t.Errorf("to %s from %s, want %s from %s", to, from, l.own, l.peer)
				}
				if packet[family.ttl] != 63 {
					t.Errorf("time to live %d", packet[family.ttl])
				}
				var sum uint32
				for i := 0; i < 20; i += 2 {
					sum += uint32(binary.BigEndian.Uint16(packet[i:]))
				}
				if sum = sum&0xffff + sum>>16; family.kind == 0x0800 && sum&0xffff+sum>>16 != 0xffff {
					t.Errorf("header %x, whose sum is %#x", packet[:20], sum)
				}
				return true
			}
		})
	}
}

// icmp: what says that a packet's time is over, and that it is too big, comes from the router.
func (c *crossing) icmp(t *testing.T) {
	ip(t, "link set w1 mtu 1400")
	ip(t, "link set w2 mtu 1400")
	defer ip(t, "link set w1 mtu 1500")
	defer ip(t, "link set w2 mtu 1500")
	for _, family := range []struct {
		from, to                            string
		level, errors, ttl, discover        int
		origin, exceeded, tooBig, codeOfBig byte
		address, size                       int // of the sender, behind the error
		routers                             string
	}{
		{"198.51.100.1:9", "203.0.113.1:9", unix.SOL_IP, unix.IP_RECVERR, unix.IP_TTL, unix.IP_MTU_DISCOVER, 2, 11, 3, 4, 20, 4, "10.0.0.1"},
		{"[2001:db8:a::1]:9", "[2001:db8:b::1]:9", unix.SOL_IPV6, unix.IPV6_RECVERR, unix.IPV6_UNICAST_HOPS, unix.IPV6_MTU_DISCOVER, 3, 3, 2, 0, 24, 16, "fd00:a::1 fd00::ffff"},
	} {
		conn := c.a.listen(t, family.from)
		raw, err := conn.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		set := func(option, value int) {
			t.Helper()
			var failed error
			if err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), family.level, option, value) }); err != nil || failed != nil {
				t.Fatal(err, failed)
			}
		}
		set(family.errors, 1)
		// The ICMP of a type that comes back: its code and the MTU that it names.
		told := func(length int, icmp byte) (code byte, mtu uint32) {
			t.Helper()
			eventually(t, fmt.Sprintf("an ICMP message of type %d to %s", icmp, family.from), func() bool {
				_, _ = conn.WriteToUDPAddrPort(make([]byte, length), netip.MustParseAddrPort(family.to))
				var found bool
				_ = raw.Control(func(fd uintptr) {
					control := make([]byte, 512)
					_, size, _, _, err := unix.Recvmsg(int(fd), make([]byte, 64), control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
					if err != nil {
						return
					}
					messages, _ := unix.ParseSocketControlMessage(control[:size])
					for _, m := range messages {
						// sock_extended_err, whose origin is ICMP, then the sender.
						if m.Header.Level != int32(family.level) || len(m.Data) < family.address+family.size || m.Data[4] != family.origin || m.Data[5] != icmp {
							continue
						}
						code, mtu, found = m.Data[6], binary.NativeEndian.Uint32(m.Data[8:]), true
						if from, _ := netip.AddrFromSlice(m.Data[family.address:][:family.size]); !strings.Contains(family.routers, from.String()) {
							t.Errorf("type %d is from %v", icmp, from)
						}
					}
				})
				return found
			})
			return code, mtu
		}
		set(family.ttl, 1)
		if code, _ := told(8, family.exceeded); code != 0 {
			t.Errorf("time exceeded: code %d", code)
		}
		set(family.ttl, 64)
		set(family.discover, unix.IP_PMTUDISC_PROBE)
		if code, mtu := told(1450, family.tooBig); code != family.codeOfBig || mtu != 1400 {
			t.Errorf("too big: code %d, MTU %d", code, mtu)
		}
	}
}

func (c *crossing) nextHopFails(t *testing.T) {
	one, two := c.b.received(t, "p1"), c.b.received(t, "p2")
	var streams []*stream
	for i := range 16 { // both ways are taken
		streams = append(streams, newStream(t, c.a, fmt.Sprintf("198.51.100.1:%d", 100+i), c.b, fmt.Sprintf("203.0.113.1:%d", 100+i), 5*time.Millisecond))
	}
	more(t, 20, streams...)
	if one, two := c.b.received(t, "p1")-one, c.b.received(t, "p2")-two; one < 40 || two < 40 {
		t.Errorf("of two ways one takes %d, the other %d", one, two)
	}
	c.b.run(t, "ip link set p2 down")
	more(t, 100, streams...)
	lost, sent := lost(streams...)
	t.Logf("%d of %d lost", lost, sent)
	if lost > sent/10 {
		t.Errorf("%d of %d lost", lost, sent)
	}
	c.b.run(t, "ip link set p2 up")
}

// planeKilled waits for the new process until it is serving.
func (c *crossing) planeKilled(t *testing.T, serving func() bool) {
	four, six := c.streams(t)
	more(t, 100, four, six)
	c.p.Kill()
	more(t, 300, four, six)
	if err := c.p.Start(); err != nil {
		t.Fatal(err)
	}
	c.p.inSync(t, c.node, 0)
	eventually(t, "the new process", serving)
	more(t, 300, four, six)
	if lost, sent := lost(four, six); lost != 0 {
		t.Errorf("lost %d of %d", lost, sent)
	}
}

// nodeKilled: neither the node's end is felt, nor that of a data plane that has no node.
func (c *crossing) nodeKilled(t *testing.T, serving func() bool) {
	four, six := c.streams(t)
	more(t, 100, four, six)
	c.node.Kill()
	more(t, 300, four, six)
	c.p.Kill()
	more(t, 100, four, six)
	if err := c.p.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new process", serving)
	more(t, 300, four, six)
	if lost, sent := lost(four, six); lost != 0 {
		t.Errorf("lost %d of %d", lost, sent)
	}
	if err := c.node.Start(); err != nil {
		t.Fatal(err)
	}
	if err := c.node.Ready(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	c.p.inSync(t, c.node, 0)
}

// takenAway: the kernel sink alone, after XDP.
func (c *crossing) takenAway(t *testing.T) {
	s := newStream(t, c.a, "198.51.100.1:7", c.b, "203.0.113.1:7", time.Millisecond)
	more(t, 100, s)
	c.p.Kill()
	c.p.Sink = "kernel"
	c.p.Arguments = c.p.Arguments[:len(c.p.Arguments)-2]
	if err := c.p.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "interfaces without XDP", func() bool { return !strings.Contains(ip(t, "link show"), "xdp") })
	c.p.inSync(t, c.node, 0)
	more(t, 100, s)
	// The driver's queues are others without a program: what was in them may be gone.
	if lost, sent := lost(s); lost > 20 {
		t.Errorf("lost %d of %d", lost, sent)
	}
}
