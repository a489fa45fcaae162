package cluster

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dvr/controller/etcdserver"
	"dvr/controller/porttest"
	"dvr/eventlog"
)

// rosterReads counts the reads of the registrations and calls after when the
// first is done.
type rosterReads struct {
	clientv3.KV
	count atomic.Int32
	after func()
}

func (k *rosterReads) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	resp, err := k.KV.Get(ctx, key, opts...)
	if key == registerPrefix && k.count.Add(1) == 1 && k.after != nil {
		k.after()
	}
	return resp, err
}

// onlooker is an observer's manager of a cluster of one real member, node-1,
// which has not registered yet; enrols registers it with that API.
func onlooker(t *testing.T) (m *Manager, reads *rosterReads, enrols func(api string)) {
	t.Helper()
	address := porttest.Address(t)
	s, err := etcdserver.Start(t.Context(), etcdserver.Config{Name: "node-1", DataDir: t.TempDir(), PeerListen: porttest.Address(t), ClientListen: address, Token: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.WaitReady(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{address}, DialTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	reads = &rosterReads{KV: client.KV}
	client.KV = reads
	member := NewManager(Options{NodeID: "node-1", Client: s.Client(), Server: s})
	enrols = func(api string) {
		t.Helper()
		if err := member.register(t.Context(), registration{NodeID: "node-1", MemberID: FormatID(s.MemberID()), Addresses: Addresses{API: api}}); err != nil {
			t.Error(err)
		}
	}
	for _, id := range []string{"watcher", "other"} { // observers, as their admission registered them
		if err := member.register(t.Context(), registration{NodeID: id, Observer: true}); err != nil {
			t.Fatal(err)
		}
	}
	return NewManager(Options{NodeID: "watcher", Client: client, ClusterID: FormatID(s.ClusterID())}), reads, enrols
}

// memberAPI answers one call after the other, the last answer for ever.
func memberAPI(t *testing.T, answers ...func(http.ResponseWriter, Candidate)) (address string, calls *atomic.Int32) {
	t.Helper()
	calls = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answers[min(int(calls.Add(1)), len(answers))-1](w, Candidate{})
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), calls
}

func done(http.ResponseWriter, Candidate) {}

// TestAChangeWaitsForAnAddress: right after a formation members have not
// registered where their APIs are. Who needs one waits for it.
func TestAChangeWaitsForAnAddress(t *testing.T) {
	m, reads, enrols := onlooker(t)
	api, calls := memberAPI(t, done)
	reads.after = func() { enrols(api) } // when the list without it was read
	if err := m.MoveLeader(within(t, patience), "node-1"); err != nil || calls.Load() != 1 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
}

// TestAChangeSaysThatThereIsNoAddress: it is not the leader that is missing.
func TestAChangeSaysThatThereIsNoAddress(t *testing.T) {
	m, reads, _ := onlooker(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- m.MoveLeader(ctx, "node-1") }()
	for end := time.Now().Add(patience); reads.count.Load() < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the list is not read again")
		}
		select {
		case err := <-ended:
			t.Fatalf("given up at once: %v", err)
		default:
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, eventlog.ErrUnavailable) || !strings.Contains(err.Error(), "no other member has registered") {
		t.Errorf("%v", err)
	}
}

// TestAChangeOutlastsAMoveOfLeadership: a member that cannot now is asked again;
// what it says about the change is final.
func TestAChangeOutlastsAMoveOfLeadership(t *testing.T) {
	moving := problem(http.StatusServiceUnavailable, "unavailable")
	for _, c := range []struct {
		last func(http.ResponseWriter, Candidate)
		want error
	}{{done, nil}, {problem(http.StatusConflict, "would-lose-quorum"), ErrQuorum}} {
		m, _, enrols := onlooker(t)
		api, calls := memberAPI(t, moving, moving, c.last)
		enrols(api)
		if err := m.Remove(within(t, patience), "node-1"); !errors.Is(err, c.want) || calls.Load() != 3 {
			t.Errorf("%v after %d calls, want %v", err, calls.Load(), c.want)
		}
	}
}

// TestARemovalWhoseAnswerWasLost: who was there, and is not when the next is
// asked, was removed. Who never was is not.
func TestARemovalWhoseAnswerWasLost(t *testing.T) {
	lost, gone := problem(http.StatusServiceUnavailable, "unavailable"), problem(http.StatusNotFound, "no-such-member")
	m, _, enrols := onlooker(t)
	api, calls := memberAPI(t, lost, gone)
	enrols(api)
	if err := m.Remove(within(t, patience), "other"); err != nil || calls.Load() != 2 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
	if err := m.Remove(within(t, patience), "other"); !errors.Is(err, ErrNotFound) { // another was first
		t.Errorf("%v", err)
	}
	api, _ = memberAPI(t, lost, gone)
	enrols(api)
	if err := m.Remove(within(t, patience), "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
}
