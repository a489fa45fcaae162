package porttest

import (
	"bufio"
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// TestTakenOnce: no port is given twice, each can be listened on, and what a
// failed attempt took is free again.
func TestTakenOnce(t *testing.T) {
	seen, before := map[int]bool{}, len(marks)
	for range 50 {
		base, err := Take(0, 1, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []int{base, base + 1, base + 100} {
			if seen[p] || p < lowest || p > highest {
				t.Fatalf("port %d", p)
			}
			seen[p] = true
			l, err := net.Listen("tcp", Loopback(p))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
		}
	}
	if len(marks)-before != len(seen) {
		t.Errorf("%d ports are taken, %d were given", len(marks)-before, len(seen))
	}
	if base, err := Take(0, highest); !errors.Is(err, ErrNone) {
		t.Errorf("%d, %v", base, err)
	}
	if len(marks)-before != len(seen) {
		t.Errorf("%d ports are taken after an attempt in vain", len(marks)-before)
	}
}

// TestTakenFromOthers: neither who listens without asking nor another process
// loses a port, and the latter only until it ends.
func TestTakenFromOthers(t *testing.T) {
	mu.Lock()
	defer mu.Unlock()
	var port int
	for port = lowest; port <= highest; port++ {
		if l, err := net.Listen("tcp", Loopback(port)); err == nil {
			taken := takeOne(port)
			l.Close()
			if taken {
				t.Fatalf("port %d, which is listened on", port)
			}
			break
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self, "-test.run=^$")
	child.Env = append(os.Environ(), "PORTTEST_TAKES=yes")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if port, err = strconv.Atoi(line[:len(line)-1]); err != nil {
		t.Fatal(err)
	}
	if takeOne(port) {
		t.Errorf("port %d is another process's", port)
	}
	in.Close()
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	if !takeOne(port) {
		t.Errorf("port %d is not free after its process", port)
	}
}

// TestMain is another process that takes a port, until its input ends.
func TestMain(m *testing.M) {
	if os.Getenv("PORTTEST_TAKES") == "" {
		os.Exit(m.Run())
	}
	port, err := Take(0)
	if err != nil {
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString(strconv.Itoa(port) + "\n")
	_, _ = os.Stdin.Read(make([]byte, 1))
}
