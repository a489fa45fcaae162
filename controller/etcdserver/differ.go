package etcdserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.uber.org/zap"

	"dvr/controller/certs"
)

// ErrDiffers: this member's data differ from a peer's at the same revision.
var ErrDiffers = errors.New("this member's data differ from its peers'")

// differTimeout bounds the question to one peer.
const differTimeout = 10 * time.Second

// compare compares this member's data with each peer's, once it serves, and
// fails when more members have other data than have these. etcd's
// own check at start asks before anybody serves, so that members that are
// started together wait for each other until it gives up: 15 s for three. Peers
// that do not answer, or have compacted elsewhere, are passed over; the leader
// compares all at every compaction.
func (s *Server) compare(ctx context.Context, lg *zap.Logger) error {
	own, _, err := s.etcd.Server.KV().HashStorage().HashByRev(0)
	if err != nil {
		return nil // closing, or compacted this moment
	}
	hashes := map[uint32]int{own.Hash: 1}
	var seen []string
	dial := s.tls.Dial(differTimeout, certs.Node)
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DialTLSContext: dial, DisableKeepAlives: true}}
	for _, m := range s.etcd.Server.Cluster().Members() {
		if m.ID == s.etcd.Server.MemberID() || len(m.PeerURLs) == 0 {
			continue
		}
		ask, cancel := context.WithTimeout(ctx, differTimeout)
		theirs, err := etcdserver.HashByRev(ask, s.etcd.Server.Cluster().ID(), client, m.PeerURLs[0], own.Revision)
		cancel()
		if err != nil {
			lg.Debug("the data of a peer were not compared", zap.String("peer", m.Name), zap.Error(err))
			continue
		}
		if theirs.CompactRevision == own.CompactRevision {
			hashes[theirs.Hash]++
			seen = append(seen, fmt.Sprintf("%s %08x", m.Name, theirs.Hash))
		}
	}
	if len(hashes) == 1 {
		return nil
	}
	err = fmt.Errorf("%w: at revision %d it has %08x, others have %v", ErrDiffers, own.Revision, own.Hash, seen)
	for _, n := range hashes {
		if n > hashes[own.Hash] {
			return err
		}
	}
	lg.Error("a member's data differ; which are right is not decided here", zap.Error(err))
	return nil
}

// check runs compare when the member is ready and reports what differs.
func (s *Server) check(lg *zap.Logger) {
	defer close(s.checked)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	select {
	case <-s.Ready():
	case <-s.done:
		return
	}
	go func() { // ends with check at the latest
		select {
		case <-s.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := s.compare(ctx, lg); err != nil {
		select {
		case s.differs <- err:
		case <-s.done:
		}
	}
}
