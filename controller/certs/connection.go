package certs

import (
	"context"
	"crypto/x509"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"
)

// connections are those whose other side showed a certificate.
type connections struct {
	mu sync.Mutex
	of map[*connection]struct{}
}

// connection remembers whose certificate it was made with.
type connection struct {
	net.Conn
	c    *Credentials
	leaf *x509.Certificate // under c.live.mu
	once sync.Once
}

// Listen gives l's connections to Watch's care; a Server config is used above
// it. Where c is nil it is l.
func (c *Credentials) Listen(l net.Listener) net.Listener {
	if c == nil {
		return l
	}
	return &listener{l, c}
}

type listener struct {
	net.Listener
	c *Credentials
}

func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &connection{Conn: conn, c: l.c}, nil
}

func (k *connection) verified(leaf *x509.Certificate) {
	k.c.live.mu.Lock()
	defer k.c.live.mu.Unlock()
	k.leaf = leaf
	k.c.live.of[k] = struct{}{}
}

// Close implements net.Conn.
func (k *connection) Close() error {
	k.once.Do(func() {
		k.c.live.mu.Lock()
		defer k.c.live.mu.Unlock()
		delete(k.c.live.of, k)
	})
	return k.Conn.Close()
}

// CloseWrite ends the sending half, where the connection below can.
func (k *connection) CloseWrite() error {
	if w, ok := k.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

const (
	// sweepEvery is how long a connection outlives its certificate.
	sweepEvery = 5 * time.Second
	// Soon is how long before the end of a certificate it is an alarm.
	Soon = 14 * 24 * time.Hour
	// remindEvery is between two lines of the log about it.
	remindEvery = 12 * time.Hour
)

// Watch cuts the connections of Listen whose certificates were revoked or have
// expired since they began, and logs what ends soon, until ctx ends.
func (c *Credentials) Watch(ctx context.Context) {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	var reminded time.Time
	for {
		c.sweep()
		if now := c.now(); now.Sub(reminded) >= remindEvery {
			if alarm := c.Alarm(); alarm != "" {
				reminded = now
				c.log.Warn(alarm)
			}
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// sweep is one round of Watch.
func (c *Credentials) sweep() {
	m, now := c.fresh(), c.now()
	var cut []*connection
	c.live.mu.Lock()
	for k := range c.live.of {
		if now.After(k.leaf.NotAfter) || m.current([]*x509.Certificate{k.leaf}) != nil {
			cut = append(cut, k)
		}
	}
	c.live.mu.Unlock()
	for _, k := range cut {
		c.log.Warn("a connection was cut: its certificate was revoked or has expired", zap.Stringer("from", k.RemoteAddr()), zap.Stringer("subject", k.leaf.Subject))
		_ = k.Close()
	}
}
