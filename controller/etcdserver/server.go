package etcdserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"google.golang.org/grpc"

	"dvr/controller/certs"
)

const (
	// foreignCallGrace is how long reads from outside may go on while the
	// member closes, and a leader may look for a successor; without it one
	// attached watch, or voters that stop too, cost etcd's whole 7 s.
	foreignCallGrace = 500 * time.Millisecond
	// closeLimit bounds Close after a fatal entry, when parts of etcd no
	// longer answer.
	closeLimit = 10 * time.Second
)

// ErrStopped is the cause when etcd stopped by itself, as a member does that
// was removed from its cluster.
var ErrStopped = errors.New("etcd stopped: the member was removed from the cluster, or its data does not belong to it")

// Server is a running member. It is safe for concurrent use.
type Server struct {
	etcd      *embed.Etcd
	client    *clientv3.Client
	published <-chan struct{} // Ready's
	trap      *fatalTrap
	tls       *certs.Credentials

	grpcMu sync.Mutex
	grpc   []*grpc.Server

	closing   chan struct{}
	closeOnce sync.Once
	closed    chan struct{} // Close has finished
	checked   chan struct{} // check has ended
	spared    chan struct{} // keepSegment has ended
	differs   chan error
	done      chan struct{}
	err       error // written before done is closed
}

// Start starts a member and returns once it runs, which may be before it has
// joined a quorum: see Ready. ctx bounds only the start. An etcd that gives up
// while starting is reported as an error.
func Start(ctx context.Context, config Config) (*Server, error) {
	s := &Server{
		trap:    newFatalTrap(),
		tls:     config.TLS,
		closing: make(chan struct{}),
		closed:  make(chan struct{}),
		checked: make(chan struct{}),
		spared:  make(chan struct{}),
		differs: make(chan error),
		done:    make(chan struct{}),
	}
	if err := config.removeLeftovers(); err != nil {
		return nil, fmt.Errorf("start etcd: %w", err)
	}
	cfg, err := config.embedConfig(ctx, s.addGRPC)
	if err != nil {
		return nil, fmt.Errorf("start etcd: %w", err)
	}
	lg := s.trap.logger(config.Logger)
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(lg)

	type result struct {
		etcd *embed.Etcd
		err  error
	}
	started := make(chan result, 1)
	go func() { // its own goroutine, because a fatal entry ends the one it is written in
		e, err := embed.StartEtcd(cfg)
		started <- result{e, err}
	}()
	select {
	case r := <-started:
		if r.err != nil {
			return nil, fmt.Errorf("start etcd: %w", r.err)
		}
		s.etcd = r.etcd
	case <-s.trap.fired:
		return nil, fmt.Errorf("start etcd: %w", s.trap.err)
	case <-ctx.Done():
		go func() { // owner of the late result
			if r := <-started; r.etcd != nil {
				closeEtcd(r.etcd)
			}
		}()
		return nil, fmt.Errorf("start etcd: %w", context.Cause(ctx))
	}
	s.client, s.published = v3client.New(s.etcd.Server), s.etcd.Server.ReadyNotify()
	go s.watch()
	go s.check(lg)
	go func() {
		defer close(s.spared)
		keepSegment(s.done, config.wal())
	}()
	return s, nil
}

func (s *Server) addGRPC(g *grpc.Server) {
	s.grpcMu.Lock()
	defer s.grpcMu.Unlock()
	s.grpc = append(s.grpc, g)
}

// watch waits for the first of all ways to end and records it.
func (s *Server) watch() {
	defer close(s.done)
	select {
	case <-s.closing:
	case <-s.trap.fired:
		s.err = s.trap.err
	case err := <-s.etcd.Err():
		s.err = s.listenerEnd(err)
	case <-s.etcd.Server.StopNotify():
		s.err = ErrStopped
	case s.err = <-s.differs:
	}
	select {
	case <-s.closing: // ending was asked for; what else ended is its consequence
		s.err = nil
	default:
	}
}

// stopFollows is how long a stop of etcd may come after the end of a listener
// that is its consequence.
const stopFollows = time.Second

// listenerEnd is why a listener ended: by itself, or since etcd stopped.
func (s *Server) listenerEnd(err error) error {
	if err == nil {
		return errors.New("etcd's listener ended")
	}
	t := time.NewTimer(stopFollows)
	defer t.Stop()
	select {
	case <-s.etcd.Server.StopNotify():
		return ErrStopped
	case <-s.closing:
	case <-t.C:
	}
	return fmt.Errorf("etcd's listener failed: %w", err)
}

// Done is closed when the member no longer runs, for whatever reason. Close
// must be called even then.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err is why the member ended by itself; nil while it runs and after Close.
func (s *Server) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// GaveUp is closed when etcd reported an error that it does not survive, as of
// a disk that fails or is full. What waits in it then may wait for ever, whatever
// its context says.
func (s *Server) GaveUp() <-chan struct{} { return s.trap.fired }

// Client calls the member in process, without sockets and without the client
// listener's refusal of writes. The Server owns it.
func (s *Server) Client() *clientv3.Client { return s.client }

// ClientAddr is the address that the client listener is bound to.
func (s *Server) ClientAddr() net.Addr { return s.etcd.Clients[0].Addr() }

// PeerAddr is the address that the Raft listener is bound to.
func (s *Server) PeerAddr() net.Addr { return s.etcd.Peers[0].Addr() }

// MemberID is this member's id.
func (s *Server) MemberID() uint64 { return uint64(s.etcd.Server.MemberID()) }

// ClusterID is the cluster's id.
func (s *Server) ClusterID() uint64 { return uint64(s.etcd.Server.Cluster().ID()) }

// LeaderID is the leading member's id as known here; 0: none.
func (s *Server) LeaderID() uint64 { return uint64(s.etcd.Server.Leader()) }

// Leader tells whether this member leads, as far as it knows.
func (s *Server) Leader() bool { return s.LeaderID() != 0 && s.LeaderID() == s.MemberID() }

// LeaderChanged is closed at the next change of the leader.
func (s *Server) LeaderChanged() <-chan struct{} { return s.etcd.Server.LeaderChangedNotify() }

// Progress gives the Raft term and the committed and applied index.
func (s *Server) Progress() (term, committed, applied uint64) {
	return s.etcd.Server.Term(), s.etcd.Server.CommittedIndex(), s.etcd.Server.AppliedIndex()
}

// Defragment gives the free space of this member's database file back to the
// system; the member answers nothing meanwhile (1.5 s for 400 MB). The call of
// the in-process client must not be used: it crashes in etcd 3.7.
func (s *Server) Defragment() error { return s.etcd.Server.Backend().Defrag() }

// RaftState names the member's part: Leader, Follower, Learner, Candidate (no
// leader is known) or Shutdown.
func (s *Server) RaftState() string {
	select {
	case <-s.done:
		return "Shutdown"
	default:
	}
	switch {
	case s.Leader():
		return "Leader"
	case s.LeaderID() == 0:
		return "Candidate"
	case s.Learner():
		return "Learner"
	}
	return "Follower"
}

// Close ends the member: reads from outside get half a second, and so does the
// handing over of leadership, then everything is closed. It returns when that is done; after a
// fatal entry it waits 10 s at most and leaves the rest to the process's end.
// Later calls wait for the first.
func (s *Server) Close() {
	s.closeOnce.Do(func() {
		defer close(s.closed)
		close(s.closing)
		<-s.done
		grace := time.AfterFunc(foreignCallGrace, func() {
			stopped := make(chan struct{})
			go func() { // ends when the last call does, which its cancelled context sees to
				defer close(stopped)
				s.stopGRPC()
			}()
			limit := time.NewTimer(closeLimit)
			defer limit.Stop()
			select {
			case <-stopped:
			case <-limit.C:
			}
			s.etcd.Server.HardStop() // etcd's own Stop would look on for a successor
		})
		defer grace.Stop()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			<-s.checked // it reads the database
			<-s.spared
			_ = s.client.Close()
			closeEtcd(s.etcd)
		}()
		select {
		case <-ended:
			return
		case <-s.trap.fired:
		}
		limit := time.NewTimer(closeLimit)
		defer limit.Stop()
		select {
		case <-ended:
		case <-limit.C:
		}
	})
	<-s.closed
}

// closeEtcd closes a member also where it has not joined a quorum: etcd's own
// Close waits for its listeners, which wait for that or for the server's end.
func closeEtcd(e *embed.Etcd) {
	select {
	case <-e.Server.ReadyNotify():
	default:
		e.Server.HardStop()
	}
	e.Close()
}

func (s *Server) stopGRPC() {
	s.grpcMu.Lock()
	servers := s.grpc
	s.grpcMu.Unlock()
	for _, g := range servers {
		g.Stop()
	}
}
