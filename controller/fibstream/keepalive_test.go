package fibstream

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
)

// TestKeepalive: a peer that answers late is kept, whoever of the two stood still;
// one that does not answer at all is found within quiet and silence.
func TestKeepalive(t *testing.T) {
	const never = time.Hour
	for _, c := range []struct {
		answers time.Duration // after the ping
		cut     bool
	}{{0, false}, {5 * time.Second, false}, {silence - time.Second, false}, {never, true}} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			ended := make(chan time.Duration, 1)
			stop := pinged(t, c.answers, func() { ended <- time.Since(began) })
			select {
			case after := <-ended:
				if !c.cut || after > quiet+silence {
					t.Errorf("one that answers after %v was cut after %v", c.answers, after)
				}
			case <-time.After(idleFor - time.Second):
				if c.cut {
					t.Error("one that does not answer is never found")
				}
			}
			stop()
		})
	}
}

// pinged connects to a server as a data plane does that says nothing, and answers
// each ping after a while. ended is called when the server ends the connection.
func pinged(t *testing.T, late time.Duration, ended func()) (stop func()) {
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer(ServerOptions()...)
	go func() { _ = server.Serve(listener) }()
	conn, err := listener.Dial()
	if err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			f, err := framer.ReadFrame()
			if err != nil {
				ended()
				return
			}
			switch f := f.(type) {
			case *http2.SettingsFrame:
				if !f.IsAck() {
					_ = framer.WriteSettingsAck() // a dead connection is told by the next read
				}
			case *http2.PingFrame:
				if !f.IsAck() && late < time.Hour {
					time.Sleep(late)
					_ = framer.WritePing(true, f.Data)
				}
			}
		}
	}()
	return func() {
		_ = conn.Close()
		<-gone
		server.Stop()
	}
}
