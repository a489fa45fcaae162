package peer

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"dvr/controller/appender"
	"dvr/controller/fibstream"
	"dvr/controller/service"
	"dvr/eventlog"
	"dvr/eventlog/memlog"
)

const testLog = "6f1c2f0e-7a34-4b1c-9d52-0c8a5e0f4a11"

// throne is a Leadership that tests set, shared by all nodes or not.
type throne struct {
	mu     sync.Mutex
	leader string
	moved  signal
}

func (s *throne) Leader() (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leader, s.leader != ""
}

func (s *throne) Changed() <-chan struct{} { return s.moved.wait() }

func (s *throne) seat(node string) {
	s.mu.Lock()
	s.leader = node
	s.mu.Unlock()
	if node != "" { // etcd tells of a new leader, and of none that is lost
		s.moved.raise()
	}
}

// testNode is a node but for etcd and HTTP: a fold of its own on the shared log.
type testNode struct {
	id       string
	appender *appender.Appender
	exchange *Exchange
	planes   *fibstream.Server
	service  *service.Service
	grpc     *grpc.Server
	listener net.Listener
}

type testCluster struct {
	t      testing.TB
	log    *memlog.Log
	throne *throne
	nodes  map[string]*testNode
	skew   map[string]time.Duration // of the clocks
}

// newCluster starts n nodes, n1, n2, …, that are linked; n1 leads.
func newCluster(t testing.TB, n int) *testCluster {
	t.Helper()
	return newSkewedCluster(t, n, nil)
}

// newSkewedCluster is newCluster with clocks that are off.
func newSkewedCluster(t testing.TB, n int, skew map[string]time.Duration) *testCluster {
	t.Helper()
	c := &testCluster{t: t, log: memlog.New(testLog), throne: &throne{}, nodes: map[string]*testNode{}, skew: skew}
	for i := range n {
		c.start(fmt.Sprintf("n%d", i+1), c.throne)
	}
	c.introduce()
	c.throne.seat("n1")
	return c
}

func (c *testCluster) start(id string, lead Leadership) *testNode {
	c.t.Helper()
	n := &testNode{id: id}
	var err error
	if n.appender, err = appender.Open(context.Background(), c.log, appender.Options{Node: id}); err != nil {
		c.t.Fatal(err)
	}
	skew := c.skew[id]
	n.exchange = New(service.Writer(n.appender), Options{Node: id, Leadership: lead, Now: func() time.Time { return time.Now().Add(skew) }})
	n.planes = fibstream.New(n.appender, fibstream.Options{Node: id, Elsewhere: n.exchange})
	n.exchange.Attach(n.planes, service.Planes(n.planes, id))
	n.service = service.New(n.exchange.Appender(), n.exchange.DataPlanes(), c.log)
	n.grpc = grpc.NewServer(fibstream.ServerOptions()...)
	n.exchange.Register(n.grpc)
	n.planes.Register(n.grpc)
	if n.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		c.t.Fatal(err)
	}
	go func() { _ = n.grpc.Serve(n.listener) }()
	c.nodes[id] = n
	c.t.Cleanup(func() { n.stop(c.t) })
	return n
}

func (n *testNode) stop(t testing.TB) {
	n.planes.Close()
	n.exchange.Close()
	n.grpc.Stop()
	if err := n.appender.Close(); err != nil {
		t.Error(err)
	}
}

// cut ends a node as the loss of its machine would, for the others.
func (n *testNode) cut() { n.grpc.Stop() }

// introduce tells every node of all.
func (c *testCluster) introduce() {
	c.t.Helper()
	var list []Node
	for _, n := range c.nodes {
		list = append(list, Node{ID: n.id, FIB: n.listener.Addr().String(), API: n.id + ".api:9090"})
	}
	for _, n := range c.nodes {
		if err := n.exchange.SetNodes(list); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *testCluster) node(id string) *testNode { return c.nodes[id] }

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func route(i int) *eventlog.RouteAnnounced {
	return &eventlog.RouteAnnounced{
		RouteID: eventlog.RouteID{
			Router: eventlog.AllRouters, Origin: eventlog.DefaultOrigin,
			Destination: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32),
			NextHop:     netip.AddrFrom4([4]byte{192, 168, 1, 1}),
		},
		Metric: 1, Preference: eventlog.DefaultPreference, Weight: eventlog.DefaultWeight,
	}
}

func mutation(id string) *service.Mutation {
	return &service.Mutation{Actor: "test", ID: id, Timeout: 20 * time.Second}
}

// commits reads the whole log: id by revision.
func (c *testCluster) commits() map[string][]eventlog.Revision {
	c.t.Helper()
	out := map[string][]eventlog.Revision{}
	if err := c.log.Read(context.Background(), 0, func(b *eventlog.Batch) error {
		for i := range b.Commits {
			out[b.Commits[i].ID] = append(out[b.Commits[i].ID], b.Commits[i].Revision)
		}
		return nil
	}); err != nil {
		c.t.Fatal(err)
	}
	return out
}

// eventually waits for what other goroutines bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func mustPrefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
