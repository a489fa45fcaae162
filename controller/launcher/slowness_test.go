package launcher

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// TestSlowReader: a write to a client that has stopped reading ends.
func TestSlowReader(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := (&limited{l, 20 * time.Millisecond}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil { // where the limit does nothing
		t.Fatal(err)
	}
	begin := time.Now()
	for err == nil {
		_, err = c.Write(make([]byte, 1<<20))
	}
	if took := time.Since(begin); !errors.Is(err, os.ErrDeadlineExceeded) || took > patience/2 {
		t.Errorf("after %v: %v", took, err)
	}
}
