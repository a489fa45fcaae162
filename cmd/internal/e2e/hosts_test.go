package e2e

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
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
	// What waits for a reader that has no processor is no loss.
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// stream sends numbered datagrams, which are sent back.
type stream struct {
	sent, back atomic.Uint64
	quit, done chan struct{}
	wg         sync.WaitGroup
	close      func()
}

func newStream(t *testing.T, from *host, source string, to *host, destination string, every time.Duration) *stream {
	t.Helper()
	a, b := from.listen(t, source), to.listen(t, destination)
	s := &stream{quit: make(chan struct{}), done: make(chan struct{})}
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
		defer close(s.done)
		tick := time.NewTicker(every)
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
		<-s.done
		// What is on its way arrives: lost is what is not there after two seconds without anything.
		for last, still := s.back.Load(), 0; last < s.sent.Load() && still < 100; still++ {
			time.Sleep(20 * time.Millisecond)
			if now := s.back.Load(); now != last {
				last, still = now, 0
			}
		}
		_ = a.Close()
		_ = b.Close()
		s.wg.Wait()
	})
	t.Cleanup(s.close)
	return s
}

// more waits until of each so many more have come back.
func more(t testing.TB, n uint64, streams ...*stream) {
	t.Helper()
	want := make([]uint64, len(streams))
	for i, s := range streams {
		want[i] = s.back.Load() + n
	}
	for i, s := range streams {
		eventually(t, "the streams", func() bool { return s.back.Load() >= want[i] })
	}
}

// lost ends streams and counts, of how many.
func lost(streams ...*stream) (lost, sent uint64) {
	var wg sync.WaitGroup
	for _, s := range streams {
		wg.Go(s.close)
	}
	wg.Wait()
	for _, s := range streams {
		lost += s.sent.Load() - s.back.Load()
		sent += s.sent.Load()
	}
	return lost, sent
}
