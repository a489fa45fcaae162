package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dvr/controller/etcdserver"
	"dvr/controller/porttest"
	"dvr/controller/stalltest"
	"dvr/eventlog"
)

// loneMember is a cluster of one real member, and its manager under a clock.
func loneMember(t *testing.T) (*Manager, *time.Time) {
	t.Helper()
	s, err := etcdserver.Start(t.Context(), etcdserver.Config{Name: "node-1", DataDir: t.TempDir(), PeerListen: porttest.Address(t), ClientListen: porttest.Address(t), Token: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.WaitReady(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	return NewManager(Options{
		NodeID: "node-1", Client: s.Client(), Server: s, LogID: func() string { return "log" }, Now: func() time.Time { return now },
	}), &now
}

func candidate(t *testing.T, id, attempt string) Candidate {
	return Candidate{NodeID: id, Raft: porttest.Address(t), API: porttest.Address(t), Attempt: attempt}
}

// TestAnAdmissionInProgressIsNotTakenAway: between an entry in etcd's list and
// its registration another member may be asked by another node. That one waits:
// who has seen the entry only now does not know that it is unused.
func TestAnAdmissionInProgressIsNotTakenAway(t *testing.T) {
	m, now := loneMember(t)
	first := porttest.Address(t)
	added, err := m.o.Client.MemberAddAsLearner(t.Context(), []string{"http://" + first})
	if err != nil {
		t.Fatal(err)
	}
	there := func() bool {
		for _, e := range m.o.Server.Members() {
			if e.ID == added.Member.ID {
				return true
			}
		}
		return false
	}
	second := candidate(t, "node-3", "two")
	for _, later := range []time.Duration{0, time.Second, lapse - 2*time.Second} {
		*now = now.Add(later)
		if _, err := m.Add(t.Context(), second); !errors.Is(err, ErrBusy) || !there() {
			t.Fatalf("after %v: %v, the first is there: %v", later, err, there())
		}
	}
	// It is slow but runs: it may be taking in a large snapshot.
	own := FormatID(m.o.Server.ClusterID())
	alive := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(clusterHeader, own)
		fmt.Fprint(w, "[]")
	}))
	_ = alive.Listener.Close()
	alive.Listener = listen(t, first)
	alive.Start()
	*now = now.Add(lapse)
	if _, err := m.Add(t.Context(), second); !errors.Is(err, ErrBusy) || !there() {
		t.Errorf("a learner that answers: %v, it is there: %v", err, there())
	}
	alive.Close()
	a, err := m.Add(t.Context(), second)
	if err != nil || there() {
		t.Errorf("%v, the unused entry is there: %v", err, there())
	}
	// The time that one was seen does not count for the next.
	if _, err := m.Add(t.Context(), candidate(t, "node-4", "three")); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
	if again, err := m.Add(t.Context(), second); err != nil || again.MemberID != a.MemberID {
		t.Errorf("a repetition: %+v %v, the first answer was %+v", again, err, a)
	}
}

// TestWhoIsBuried: a member that was removed is told so; one that is not, one
// that was never heard of, and one of another cluster are not.
func TestWhoIsBuried(t *testing.T) {
	m, _ := loneMember(t)
	a, err := m.Add(t.Context(), candidate(t, "node-2", "one"))
	if err != nil {
		t.Fatal(err)
	}
	var id uint64
	if _, err := fmt.Sscanf(a.MemberID, "%x", &id); err != nil {
		t.Fatal(err)
	}
	client, peer, own := newHTTPClient(probeTimeout, nil), m.o.Server.PeerAddr().String(), m.o.Server.ClusterID()
	ask := func(cluster, member uint64) bool {
		gone, err := buried(t.Context(), client, peer, cluster, member)
		if err != nil {
			t.Error(err)
		}
		return gone
	}
	if ask(own, id) || ask(own, id+1) || ask(own, m.o.Server.MemberID()) {
		t.Error("buried alive")
	}
	if err := m.Remove(t.Context(), "node-2"); err != nil {
		t.Fatal(err)
	}
	if !ask(own, id) {
		t.Error("a removed member is not known as removed")
	}
	if ask(own+1, id) || ask(own, id+1) {
		t.Error("a removal of another cluster, or of another member")
	}
	if m.WasRemoved(t.Context()) {
		t.Error("the member itself was not removed")
	}
}

// TestJoinWaitsForMembersThatLag: a peer that still lists an earlier member at
// this node's address would give etcd that one's id.
func TestJoinWaitsForMembersThatLag(t *testing.T) {
	var asked, current atomic.Int32
	current.Store(3)
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := uint64(0xd3) // the earlier one
		if asked.Add(1) > current.Load() {
			id = 0xd4
		}
		w.Header().Set(clusterHeader, "c1")
		_ = json.NewEncoder(w).Encode([]map[string]any{{"id": id, "peerURLs": []string{"http://127.0.0.1:8304"}}})
	}))
	t.Cleanup(peer.Close)
	api, _ := fakeMember(t, func(w http.ResponseWriter, c Candidate) {
		_ = json.NewEncoder(w).Encode(Admission{
			ClusterID: "00000000000000c1", MemberID: "00000000000000d4", LogID: "log",
			InitialCluster: "node-1=" + strings.TrimPrefix(peer.URL, "http://") + "," + c.NodeID + "=" + c.Raft,
		})
	})
	c := joinConfig(t, api)
	p, err := Prepare(within(t, patience), c)
	if err != nil || p.Identity.MemberID != "00000000000000d4" || asked.Load() != 4 {
		t.Errorf("%+v %v after %d questions", p, err, asked.Load())
	}
	// One that lags for long is asked about again, and said.
	current.Store(1 << 30)
	ctx, cancel := context.WithCancel(t.Context())
	c.Await = func(string) { cancel() }
	if _, err := Prepare(ctx, c); !errors.Is(err, eventlog.ErrUnavailable) || !strings.Contains(err.Error(), "node-1 has not heard") {
		t.Errorf("%v", err)
	}
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestProposalsThatRaftDropsAreRepeated: without an answer a change is proposed
// again after a second, and only then; what etcd answers is final.
func TestProposalsThatRaftDropsAreRepeated(t *testing.T) {
	calls := 0
	began, own := time.Now(), stalltest.Begin(t)
	err := propose(within(t, patience), func(ctx context.Context) error {
		if calls++; calls == 1 {
			<-ctx.Done() // dropped: nobody answers
			return ctx.Err()
		}
		return nil
	})
	if took, own := time.Since(began), own(); err != nil || calls != 2 || took < proposeEvery || own > 3*proposeEvery {
		t.Errorf("%v after %d calls and %v (%v)", err, calls, took, own)
	}
	calls = 0
	if err := propose(t.Context(), func(context.Context) error { calls++; return ErrBusy }); !errors.Is(err, ErrBusy) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls = 0
	if err := propose(ctx, func(ctx context.Context) error { calls++; cancel(); return ctx.Err() }); !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// TestOnlineIsWhoIsOfThisCluster: a member's address answers for it as long as
// etcd of the same cluster is there.
func TestOnlineIsWhoIsOfThisCluster(t *testing.T) {
	m, _ := loneMember(t)
	peer, own := m.o.Server.PeerAddr().String(), m.o.Server.ClusterID()
	blank := httptest.NewServer(http.NotFoundHandler())
	defer blank.Close()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/livez" {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer api.Close()
	address := func(s *httptest.Server) string { return s.Listener.Addr().String() }
	questions := []question{
		{}, {raft: peer, cluster: own}, {raft: peer, cluster: own + 1}, {raft: address(blank), cluster: own}, {raft: porttest.Address(t), cluster: own},
		{api: address(api)}, {api: address(blank)},
	}
	want := []bool{true, true, false, false, false, true, false}
	for _, fresh := range []bool{true, false} {
		if got := m.probe.ask(t.Context(), questions, fresh); !slices.Equal(got, want) {
			t.Errorf("online: %v, want %v", got, want)
		}
	}
}
