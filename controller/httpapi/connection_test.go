package httpapi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
)

// counted counts the deadlines that reach the system.
type counted struct {
	net.Conn
	reads, writes int
}

func (c *counted) SetReadDeadline(t time.Time) error {
	c.reads++
	return c.Conn.SetReadDeadline(t)
}

func (c *counted) SetWriteDeadline(t time.Time) error {
	c.writes++
	return c.Conn.SetWriteDeadline(t)
}

func newConnection(t *testing.T, limit time.Duration) (c *connection, under *counted, peer net.Conn) {
	t.Helper()
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close(); there.Close() })
	under = &counted{Conn: here}
	return &connection{Conn: under, limit: limit, born: time.Now()}, under, there
}

func TestLaterReadDeadlinesAreNotArmed(t *testing.T) {
	c, under, peer := newConnection(t, time.Minute)
	soon := time.Now().Add(time.Hour)
	for range 100 { // as net/http does for each request
		for _, d := range []time.Time{soon, soon.Add(time.Hour), {}, soon.Add(time.Minute)} {
			if err := c.SetReadDeadline(d); err != nil {
				t.Fatal(err)
			}
		}
	}
	if under.reads != 1 {
		t.Errorf("%d deadlines were armed", under.reads)
	}
	go func() { _, _ = peer.Write([]byte("x")) }()
	if n, err := c.Read(make([]byte, 2)); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// What counts is the deadline that was asked for last, whichever is armed.
func TestReadDeadlineIsTheOneAskedForLast(t *testing.T) {
	past := time.Unix(1, 0)
	for name, set := range map[string]struct {
		before, last time.Duration // from now; 0: none
		passes       bool
	}{
		"earlier":               {time.Hour, 20 * time.Millisecond, true},
		"later":                 {10 * time.Millisecond, 60 * time.Millisecond, true},
		"only one":              {0, 20 * time.Millisecond, true},
		"taken away":            {10 * time.Millisecond, 0, false},
		"put off beyond answer": {10 * time.Millisecond, time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, peer := newConnection(t, time.Minute)
			start := time.Now()
			for _, d := range []time.Duration{set.before, set.last} {
				at := time.Time{}
				if d > 0 {
					at = start.Add(d)
				}
				if err := c.SetReadDeadline(at); err != nil {
					t.Fatal(err)
				}
			}
			if !set.passes {
				time.AfterFunc(50*time.Millisecond, func() { _, _ = peer.Write([]byte("x")) })
			}
			n, err := c.Read(make([]byte, 2))
			if took := time.Since(start); set.passes && (!errors.Is(err, os.ErrDeadlineExceeded) || took < set.last) {
				t.Errorf("%d, %v after %v", n, err, took)
			}
			if !set.passes && (n != 1 || err != nil) {
				t.Errorf("%d, %v", n, err)
			}
			// A pending read is ended by a deadline in the past, as net/http does it.
			ended := make(chan error, 1)
			if err := c.SetReadDeadline(time.Time{}); err != nil {
				t.Fatal(err)
			}
			go func() { _, err := c.Read(make([]byte, 2)); ended <- err }()
			if err := c.SetReadDeadline(past); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the pending read ended with %v", err)
			}
		})
	}
}

func TestWriteDeadlineIsArmedOnceInAWhile(t *testing.T) {
	c, under, peer := newConnection(t, time.Minute)
	go func() { _, _ = io.Copy(io.Discard, peer) }()
	for range 100 {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := c.SetWriteDeadline(time.Time{}); err != nil { // as net/http does after each request
			t.Fatal(err)
		}
	}
	if under.writes != 1 {
		t.Errorf("%d deadlines were armed", under.writes)
	}
}

// A deadline that somebody else set is in force at once, and taken away as asked.
func TestWriteDeadlineOfAnother(t *testing.T) {
	c, under, peer := newConnection(t, time.Minute)
	go func() { _, _ = io.ReadFull(peer, make([]byte, 3)) }()
	write := func(want error) {
		t.Helper()
		if _, err := c.Conn.Write([]byte("x")); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	write(nil)
	if err := c.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	write(os.ErrDeadlineExceeded)
	if err := c.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	write(nil)
	if under.writes != 3 {
		t.Errorf("%d deadlines were armed, want the connection's own, the other and none", under.writes)
	}
}

// Reading ahead is spared once, and not beyond the call that said so.
func TestReadingAheadIsSparedOnce(t *testing.T) {
	c, _, peer := newConnection(t, time.Minute)
	r := (&http.Request{}).WithContext(withConnection(t.Context(), c))
	ahead := make([]byte, 1)
	call := brief(r)
	if n, err := c.Read(ahead); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	call.end()
	go func() { _, _ = peer.Write([]byte("xy")) }()
	if n, err := c.Read(ahead); n != 1 || err != nil {
		t.Errorf("spared twice: %d, %v", n, err)
	}
	brief(r).end()
	if n, err := c.Read(ahead); n != 1 || err != nil {
		t.Errorf("spared after the call: %d, %v", n, err)
	}
	brief(&http.Request{}).end() // served by another server: nothing to spare
}

// A brief call is not told that its client has gone, every other call is: also
// the next one on the same connection.
func TestBriefCallsAreNotWatched(t *testing.T) {
	a := newAPI(t)
	gone := make(chan bool)
	begun := make(chan struct{})
	watch := func(c echo.Context) error {
		if _, err := io.Copy(io.Discard, c.Request().Body); err != nil {
			return err
		}
		close(begun)
		<-c.Request().Context().Done()
		close(gone)
		return nil
	}
	a.server.add(http.MethodPost, "/watch", watch)
	a.server.add(http.MethodPost, "/brief", func(c echo.Context) error {
		r := c.Request()
		defer brief(r).end()
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return err
		}
		return c.NoContent(http.StatusNoContent)
	})
	a.server.add(http.MethodPost, "/refused", func(c echo.Context) error {
		defer brief(c.Request()).end()
		return c.NoContent(http.StatusNoContent)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	f := a.front()
	go func() { done <- f.Serve(l) }()
	defer func() {
		_ = f.http.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	answers := bufio.NewReader(conn)
	for i := range 201 {
		path, body := "/brief", "body"
		if i == 200 {
			path, body = "/refused", "" // is watched before it can say that it is brief
		}
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", path, l.Addr(), len(body), body)
		r, err := http.ReadResponse(answers, nil)
		if err != nil || r.StatusCode != http.StatusNoContent {
			t.Fatal(r, err)
		}
	}
	fmt.Fprintf(conn, "POST /watch HTTP/1.1\r\nHost: %s\r\nContent-Length: 4\r\n\r\nbody", l.Addr())
	<-begun
	conn.Close()
	select {
	case <-gone:
	case <-time.After(2 * time.Minute):
		t.Fatal("the call was not told that its client has gone")
	}
}
