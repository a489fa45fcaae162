// Package porttest gives tests and benchmarks TCP ports of loopback that are
// theirs until the process ends: no other process that asks here gets them, and
// the system does not hand them out to outgoing connections and to listeners
// without a port. A port that was found free by listening on port 0 has neither
// property, once that listener is closed.
package porttest

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// The ports given are above those that DVR has by default and below those that
// Linux hands out by itself (net.ipv4.ip_local_port_range).
const (
	lowest  = 10000
	highest = 32767
)

// ErrNone: nothing is free.
var ErrNone = errors.New("no free ports")

var (
	mu    sync.Mutex
	marks = map[int]net.Listener{} // what keeps other processes off a port; it takes no connection
)

// Take is a base of which every base+offset is free and taken now. It costs a
// file descriptor a port. Safe for concurrent use. Errors: ErrNone.
func Take(offsets ...int) (base int, err error) {
	mu.Lock()
	defer mu.Unlock()
	for range 10_000 {
		base := lowest + rand.IntN(highest-lowest+1)
		if takeAll(base, offsets) {
			return base, nil
		}
	}
	return 0, ErrNone
}

// takeAll takes all ports or none.
func takeAll(base int, offsets []int) bool {
	for i, o := range offsets {
		if takeOne(base + o) {
			continue
		}
		for _, o := range offsets[:i] {
			_ = marks[base+o].Close()
			delete(marks, base+o)
		}
		return false
	}
	return true
}

func takeOne(port int) bool {
	if port < lowest || port > highest || marks[port] != nil {
		return false
	}
	// A name without a file, of this network namespace as the port is; the
	// system frees it with the process.
	mark, err := net.Listen("unix", "@dvr-porttest-"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	l, err := net.Listen("tcp", Loopback(port)) // who does not ask here
	if err != nil {
		_ = mark.Close()
		return false
	}
	_ = l.Close()
	marks[port] = mark
	return true
}

// Loopback is the port's address.
func Loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// Test is what Address needs of a test.
type Test interface {
	Helper()
	Fatal(args ...any)
}

// Address takes a port and gives its address; a test without one ends.
func Address(t Test) string {
	t.Helper()
	port, err := Take(0)
	if err != nil {
		t.Fatal(err)
	}
	return Loopback(port)
}
