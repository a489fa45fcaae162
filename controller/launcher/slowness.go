package launcher

import (
	"net"
	"time"
)

// writeLimit is how long a client may take for what one write hands it, at
// most some tens of kilobytes.
const writeLimit = 30 * time.Second

// limited gives every write of its connections a deadline. A client that has
// stopped reading would otherwise hold its handler for ever, and with it what
// the answer is streamed from. It is done here and not by handlers, so that no
// answer is without, and an answer may still take as long as its client makes
// progress.
type limited struct {
	net.Listener
	limit time.Duration
}

func (l *limited) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &limitedConn{c, l.limit}, nil
}

type limitedConn struct {
	net.Conn
	limit time.Duration
}

func (c *limitedConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// CloseWrite is what net/http does before it closes a connection on which a
// client may still be sending.
func (c *limitedConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}
