package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// writeLimit is how long a client may at least take for what one write hands
// it, at most some tens of kilobytes; twice that is too long.
const writeLimit = 30 * time.Second

// listener makes connections of what another one accepts.
type listener struct {
	net.Listener
	limit time.Duration
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	k := &connection{Conn: c, limit: l.limit, born: time.Now()}
	k.secure, _ = c.(*tls.Conn)
	return k, nil
}

// connection gives every write a deadline. A client that has stopped reading
// would otherwise hold its handler for ever, and with it the state that the
// answer is streamed from. It is done here and not by handlers, so that no
// answer is without, and an answer may still take as long as its client makes
// progress.
//
// It also takes work off net/http, which moves the read deadline six times a
// request and the write deadline once, and reads ahead in a goroutine of its own to see a client hang up:
// deadlines are armed only when the armed one is not early enough, and brief
// spares the reading ahead.
type connection struct {
	net.Conn
	limit time.Duration
	born  time.Time
	until atomic.Int64 // armed write deadline, ns since born

	mu    sync.Mutex
	want  time.Time // read deadline that was asked for; zero: none
	armed time.Time // the one that is set, never later than want; zero: none

	brief atomic.Bool // the next reading ahead is not wanted

	secure *tls.Conn // nil: clear text
	state  atomic.Pointer[tls.ConnectionState]
}

func (c *connection) Write(p []byte) (int, error) {
	now := time.Since(c.born)
	if time.Duration(c.until.Load())-now < c.limit {
		until := now + 2*c.limit
		if err := c.Conn.SetWriteDeadline(c.born.Add(until)); err != nil {
			return 0, err
		}
		c.until.Store(int64(until))
	}
	return c.Conn.Write(p)
}

// Read reads on when a deadline passes that was armed for an earlier call.
func (c *connection) Read(p []byte) (int, error) {
	// Only net/http's reading ahead asks for a single byte; nothing read and no
	// error ends it. Should anything else ask so, it will ask again.
	if len(p) == 1 && c.brief.CompareAndSwap(true, false) {
		return 0, nil
	}
	for {
		n, err := c.Conn.Read(p)
		if err != nil && c.secure != nil {
			c.explain(err)
		}
		if n > 0 || err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || !c.rearm() {
			return n, err
		}
	}
}

// rearm reports that the deadline that was asked for has not passed.
func (c *connection) rearm() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.want.IsZero() && !time.Now().Before(c.want) {
		return false
	}
	c.armed = c.want
	return c.Conn.SetReadDeadline(c.want) == nil
}

// SetReadDeadline arms t only where it is earlier than what is armed.
func (c *connection) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.want = t
	if c.armed.IsZero() && t.IsZero() || !c.armed.IsZero() && (t.IsZero() || !t.Before(c.armed)) {
		return nil
	}
	c.armed = t
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline arms t at once. Only the deadline that Write armed itself is
// not taken away: net/http asks for none after each request, and Write would have
// to arm the next.
func (c *connection) SetWriteDeadline(t time.Time) error {
	if t.IsZero() && c.until.Load() != 0 {
		return nil
	}
	c.until.Store(0)
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline sets both.
func (c *connection) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// CloseWrite is what net/http does before it closes a connection on which a
// client may still be sending.
func (c *connection) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// explain tells who speaks HTTP without TLS what is spoken here.
func (c *connection) explain(err error) {
	var not tls.RecordHeaderError
	if !errors.As(err, &not) || not.Conn == nil {
		return
	}
	body := `{"type":"/problems/tls-only","title":"This port speaks TLS","status":400,"detail":"this port speaks TLS only: https://, and with dvr --cacert, --cert and --key","error":"this port speaks TLS only: https://, and with dvr --cacert, --cert and --key"}` + "\n"
	_ = not.Conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(not.Conn, "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nConnection: close\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
}

// secured gives the request what TLS knows of its connection, as net/http does
// where it sees TLS itself. The handshake is over when a request is there.
func secured(r *http.Request) {
	c, _ := r.Context().Value(connectionKey{}).(*connection)
	if c == nil || c.secure == nil {
		return
	}
	s := c.state.Load()
	if s == nil {
		now := c.secure.ConnectionState()
		s = &now
		c.state.Store(s)
	}
	r.TLS = s
}

type connectionKey struct{}

func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// brief says that r's call ends soon and whether or not its client stays, so
// that nobody need watch the client. It must be called before the body is read;
// end must be called when the call ends.
func brief(r *http.Request) *connection {
	c, _ := r.Context().Value(connectionKey{}).(*connection)
	if c != nil {
		c.brief.Store(true)
	}
	return c
}

func (c *connection) end() {
	if c != nil {
		c.brief.Store(false)
	}
}
