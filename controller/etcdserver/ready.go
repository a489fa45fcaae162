package etcdserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Ready is closed once the member has published itself and serves clients.
func (s *Server) Ready() <-chan struct{} { return s.published }

// WaitReady waits until the member is part of a quorum: it has published itself
// (Ready), or its publication came with a snapshot of the leader's and it
// answers a linearizable read. In the second case etcd does not notice that it
// is published: it tries again after 7 s, and the client port is shut until then.
// Errors: Err's, ctx's.
func (s *Server) WaitReady(ctx context.Context) error {
	reading, cancel := context.WithCancel(ctx)
	reads := make(chan struct{}) // closed by a read that was answered
	defer cancel()
	go func() { // ends with its context; not waited for, as a read may hang in a broken etcd
		if s.readsByQuorum(reading) {
			close(reads)
		}
	}()
	select {
	case <-s.Ready():
		return nil
	case <-reads:
		late := time.NewTimer(publishGrace)
		defer late.Stop()
		select {
		case <-s.Ready():
		case <-late.C:
		}
		return nil
	case <-s.done:
		if s.err != nil {
			return s.err
		}
		return errors.New("etcd is closed")
	case <-ctx.Done():
		return fmt.Errorf("etcd is not ready: %w", context.Cause(ctx))
	}
}

const (
	// publishGrace is for etcd to notice the publication, once reads are answered.
	publishGrace = 100 * time.Millisecond
	// readyLook is how often a starting member is looked at.
	readyLook = 5 * time.Millisecond
	// readySettle is for how long the list has the member before it is asked: it
	// gets the list with a snapshot, and breaks its connections after that.
	readySettle = 50 * time.Millisecond
	// readyRead bounds one read of it: etcd asks its leader anew every 500 ms.
	readyRead = time.Second
	// publishPatience is after which reads are tried even though the member is
	// not known to be published.
	publishPatience = time.Second
)

// readsByQuorum tells that a linearizable read was answered; false: ctx ended.
// It asks for none while a snapshot may be under way: a question that is lost
// costs 500 ms.
func (s *Server) readsByQuorum(ctx context.Context) bool {
	look := time.NewTicker(readyLook)
	defer look.Stop()
	begun, since := time.Now(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-s.done:
			return false
		case <-look.C:
		}
		own := s.etcd.Server.Cluster().Member(s.etcd.Server.MemberID())
		if own == nil || len(own.ClientURLs) == 0 {
			since = time.Time{}
		} else if since.IsZero() {
			since = time.Now()
		}
		settled := !since.IsZero() && time.Since(since) >= readySettle
		if s.LeaderID() == 0 || !settled && time.Since(begun) < publishPatience {
			continue
		}
		short, cancel := context.WithTimeout(ctx, readyRead)
		_, err := s.client.Get(short, "/", clientv3.WithCountOnly())
		cancel()
		if err == nil {
			return true
		}
	}
}
