package certs

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// connections are what stands by a certificate that the other side showed.
type connections struct {
	mu sync.Mutex
	of map[*standing]struct{}
}

// standing is a connection, or a call, and how it is ended.
type standing struct {
	leaf *x509.Certificate
	from net.Addr
	cut  func()
}

func (l *connections) enter(s *standing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of[s] = struct{}{}
}

func (l *connections) leave(s *standing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, s)
}

// connection remembers whose certificate it was made with.
type connection struct {
	net.Conn
	c        *Credentials
	standing atomic.Pointer[standing] // nil before the handshake
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
	s := &standing{leaf, k.RemoteAddr(), func() { _ = k.Close() }}
	k.standing.Store(s)
	k.c.live.enter(s)
}

// Close implements net.Conn.
func (k *connection) Close() error {
	if s := k.standing.Load(); s != nil {
		k.c.live.leave(s)
	}
	return k.Conn.Close()
}

// Hold is for calls of a gRPC server whose connections are not Listen's: its
// context ends, by Watch, when the caller's certificate is revoked or ends. The
// error says that it is so already, as far as the files were read. release is to
// be called when the call ends.
func (c *Credentials) Hold(ctx context.Context) (held context.Context, release func(), err error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, nil, ErrNoCertificate
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return nil, nil, ErrNoCertificate
	}
	leaf := info.State.PeerCertificates[0]
	if err := c.current.Load().stands(leaf, c.now()); err != nil {
		return nil, nil, err
	}
	held, cancel := context.WithCancelCause(ctx)
	s := &standing{leaf, p.Addr, func() { cancel(ErrRevoked) }}
	c.live.enter(s)
	return held, func() { c.live.leave(s); cancel(nil) }, nil
}

// stands refuses a certificate that was good when it was shown, and is no more.
func (m *material) stands(leaf *x509.Certificate, now time.Time) error {
	if now.After(leaf.NotAfter) {
		return fmt.Errorf("%w: at %s", ErrExpired, leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return m.current([]*x509.Certificate{leaf})
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

// Watch cuts the connections of Listen, and the calls of Hold, whose certificates were revoked or have
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
	var cut []*standing
	c.live.mu.Lock()
	for s := range c.live.of {
		if m.stands(s.leaf, now) != nil {
			cut = append(cut, s)
		}
	}
	c.live.mu.Unlock()
	for _, s := range cut {
		c.log.Warn("a connection was cut: its certificate was revoked or has expired", zap.Stringer("from", s.from), zap.Stringer("subject", s.leaf.Subject))
		s.cut()
	}
}
