package peer

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"dvr/controller/fibpb"
	"dvr/controller/fibstream"
	"dvr/controller/fibstream/fibtest"
	"dvr/controller/service"
	"dvr/eventlog"
)

// attach subscribes a data plane at a node; run is false: it acks nothing.
func (n *testNode) attach(t *testing.T, p *fibtest.Plane, run bool, edit func(*fibpb.Hello)) (*fibtest.Stream, <-chan error, error) {
	t.Helper()
	conn, err := grpc.NewClient(n.listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s, err := p.Connect(testContext(t), conn, edit)
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(s.Cut)
	ended := make(chan error, 1)
	if run {
		go func() { ended <- s.Run() }()
	}
	return s, ended, nil
}

func (n *testNode) connect(t *testing.T, router, instance string) (*fibtest.Plane, <-chan error) {
	t.Helper()
	p := fibtest.NewPlane(router, instance)
	_, ended, err := n.attach(t, p, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p, ended
}

// linked waits until every node is linked to every other.
func (c *testCluster) linked() {
	c.t.Helper()
	eventually(c.t, "links", func() bool {
		for _, n := range c.nodes {
			for _, r := range n.exchange.mesh.remotes() {
				if r.link.Load() == nil {
					return false
				}
			}
		}
		return true
	})
}

func installed(wait time.Duration, require ...eventlog.RouterID) *service.Mutation {
	return &service.Mutation{Actor: "test", Wait: service.WaitInstalled, Timeout: wait, Require: require}
}

// TestInstalledEverywhere: whichever node is asked, the data planes of all
// others count.
func TestInstalledEverywhere(t *testing.T) {
	c := newCluster(t, 3)
	c.linked()
	ctx := testContext(t)
	c.node("n2").connect(t, "r2", "i2")
	c.node("n3").connect(t, "r3", "i3")
	eventually(t, "all hear of both", func() bool {
		for _, n := range c.nodes {
			if all := n.exchange.DataPlanes(); !all.Known("r2") || !all.Known("r3") {
				return false
			}
		}
		return true
	})
	for i := range 60 {
		n := c.node([]string{"n1", "n2", "n3"}[i%3])
		r, err := n.service.PutRoute(ctx, installed(20*time.Second, "r2"), route(i))
		if err != nil {
			t.Fatal(err)
		}
		if !r.Complete() || !slices.Equal(r.Installed, []eventlog.RouterID{"r2", "r3"}) {
			t.Fatalf("%s says %+v", n.id, r)
		}
		// What was said is so on every node.
		for id, n := range c.nodes {
			for _, d := range n.service.AllDataPlanes(ctx) {
				if d.Position.Revision < r.Position.Revision || !d.DigestEqual || d.Node != "n"+string(d.Router[1:]) {
					t.Fatalf("after revision %d, %s lists %+v", r.Position.Revision, id, d)
				}
			}
		}
	}
	got, err := c.node("n1").service.Lookup(ctx, service.Read{}, "r3", netip.MustParseAddr("10.0.0.7"), true)
	if err != nil || got.Prefix != route(7).Destination || len(got.NextHops) != 1 {
		t.Errorf("looked up through another node: %+v %v", got, err)
	}
	if _, err := c.node("n1").service.Lookup(ctx, service.Read{}, "r3", netip.MustParseAddr("192.0.2.1"), true); !errors.Is(err, service.ErrNotFound) {
		t.Errorf("no match: %v", err)
	}
	if _, err := c.node("n1").service.PutRoute(ctx, installed(time.Second, "r9"), route(1)); !errors.Is(err, service.ErrUnknownRouter) {
		t.Errorf("an unknown router: %v", err)
	}
}

// TestPendingElsewhere: a data plane at another node that does not ack is
// pending at the deadline, and failed never.
func TestPendingElsewhere(t *testing.T) {
	c := newCluster(t, 2)
	c.linked()
	ctx := testContext(t)
	if _, _, err := c.node("n2").attach(t, fibtest.NewPlane("r2", "i2"), false, nil); err != nil {
		t.Fatal(err)
	}
	r, err := c.node("n1").service.PutRoute(ctx, installed(300*time.Millisecond), route(1))
	if err != nil || r.Complete() || !slices.Equal(r.Pending, []eventlog.RouterID{"r2"}) {
		t.Fatalf("%+v %v", r, err)
	}
}

// TestNodeGone: nobody waits for the data planes of a node that went, once the
// directory says so; they are known for a while.
func TestNodeGone(t *testing.T) {
	c := newCluster(t, 3)
	c.linked()
	ctx := testContext(t)
	c.node("n3").connect(t, "r3", "i3")
	eventually(t, "n2 hears of r3", func() bool { _, _, ok := c.node("n2").exchange.Claim("r3"); return ok })
	if r, err := c.node("n2").service.PutRoute(ctx, installed(20*time.Second), route(1)); err != nil || !slices.Equal(r.Installed, []eventlog.RouterID{"r3"}) {
		t.Fatalf("%+v %v", r, err)
	}
	c.node("n3").cut()
	n2 := c.node("n2")
	eventually(t, "n2 misses n3", func() bool { return n2.exchange.mesh.link("n3") == nil })
	r, err := n2.service.PutRoute(ctx, installed(300*time.Millisecond), route(2))
	// n3's last word may have been that its streams end.
	if err != nil || !slices.Equal(append(r.Pending, r.Disconnected...), []eventlog.RouterID{"r3"}) {
		t.Fatalf("while n3 is in the directory: %+v %v", r, err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		r, err := n2.service.PutRoute(ctx, installed(20*time.Second), route(3))
		if err != nil || !r.Complete() || !slices.Equal(r.Disconnected, []eventlog.RouterID{"r3"}) {
			t.Errorf("after n3 has left the directory: %+v %v", r, err)
		}
	}()
	eventually(t, "the call", func() bool { _, ok := n2.appender.State().Destination(route(3).Destination); return ok })
	delete(c.nodes, "n3")
	c.introduce()
	<-gone
	if list := n2.service.AllDataPlanes(ctx); len(list) != 1 || list[0].Connected || list[0].Router != "r3" || list[0].Node != "n3" {
		t.Errorf("listed %+v", list)
	}
}

// TestMergerNamesEachDataPlane: whoever is known and was not answered for is
// named, and who moved while the nodes were asked is asked for again.
func TestMergerNamesEachDataPlane(t *testing.T) {
	type places = map[eventlog.RouterID]string
	routers := func(list ...eventlog.RouterID) []eventlog.RouterID { return list }
	claims := func(node string, connected bool) map[eventlog.RouterID]connection {
		return map[eventlog.RouterID]connection{"r": {node, fibstream.Claim{Router: "r", Connected: connected}}}
	}
	for _, test := range []struct {
		name          string
		require       []eventlog.RouterID
		answers       map[string]service.Installation
		before, after places
		elsewhere     map[eventlog.RouterID]connection
		want          service.Installation
		settled       bool
	}{
		{name: "installed", answers: map[string]service.Installation{"n1": {}, "n2": {Installed: routers("r")}}, before: places{"r": "n2"}, after: places{"r": "n2"}, elsewhere: claims("n2", true),
			want: service.Installation{Installed: routers("r")}, settled: true},
		{name: "not concerned", answers: map[string]service.Installation{"n1": {}, "n2": {}}, before: places{"r": "n2"}, after: places{"r": "n2"}, elsewhere: claims("n2", true), settled: true},
		{name: "not concerned where it is, and gone from where it was", answers: map[string]service.Installation{"n1": {Disconnected: routers("r")}, "n2": {}}, before: places{"r": "n2"}, after: places{"r": "n2"}, elsewhere: claims("n2", true), settled: true},
		{name: "at a silent node", answers: map[string]service.Installation{"n1": {}}, before: places{"r": "n2"}, after: places{"r": "n2"}, elsewhere: claims("n2", true),
			want: service.Installation{Pending: routers("r")}},
		{name: "its node is gone, and it has not come to another", answers: map[string]service.Installation{"n1": {}}, elsewhere: claims("n2", false),
			want: service.Installation{Disconnected: routers("r")}, settled: true},
		{name: "its node is gone, and it has come to another before that was asked", answers: map[string]service.Installation{"n1": {}}, before: places{"r": "n1"}, after: places{"r": "n1"}, elsewhere: claims("n2", false), settled: true},
		{name: "its node is gone, and it has come to another since", answers: map[string]service.Installation{"n1": {}}, after: places{"r": "n1"}, elsewhere: claims("n2", false)},
		{name: "it moved meanwhile", answers: map[string]service.Installation{"n1": {}, "n2": {Disconnected: routers("r")}}, before: places{"r": "n2"}, after: places{"r": "n1"}, elsewhere: claims("n2", false)},
		{name: "required, and gone with its node", require: routers("r"), answers: map[string]service.Installation{"n1": {}}, elsewhere: claims("n2", false),
			want: service.Installation{Pending: routers("r"), Disconnected: routers("r")}},
	} {
		m := merger{require: test.require, at: map[eventlog.RouterID]string{}, before: test.before}
		for node, i := range test.answers {
			m.add(node, i)
		}
		got, settled := m.result(test.after, test.elsewhere)
		if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" || settled != test.settled {
			t.Errorf("%s: settled %v, %s", test.name, settled, diff)
		}
	}
}

// TestOneStreamARouter over all nodes: the same instance moves at once, another
// one waits or takes over.
func TestOneStreamARouter(t *testing.T) {
	c := newCluster(t, 3)
	c.linked()
	ctx := testContext(t)
	p, first := c.node("n1").connect(t, "r1", "i")
	eventually(t, "n2 hears of r1", func() bool { _, _, ok := c.node("n2").exchange.Claim("r1"); return ok })
	_, second, err := c.node("n2").attach(t, p, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-first; status.Code(err) != codes.Aborted {
		t.Fatalf("the stream that was left ended with %v", err)
	}
	for _, id := range []string{"n1", "n3"} {
		n := c.node(id)
		eventually(t, id+" hears that r1 is at n2", func() bool {
			claim, node, ok := n.exchange.Claim("r1")
			return ok && node == "n2" && claim.Connected
		})
		if _, _, err := n.attach(t, fibtest.NewPlane("r1", "other"), true, nil); status.Code(err) != codes.AlreadyExists {
			t.Fatalf("another instance at %s: %v", id, err)
		}
	}
	_, third, err := c.node("n3").attach(t, fibtest.NewPlane("r1", "other"), true, func(h *fibpb.Hello) { h.Takeover = true })
	if err != nil {
		t.Fatal(err)
	}
	if err := <-second; status.Code(err) != codes.Aborted {
		t.Fatalf("the stream that was taken over ended with %v", err)
	}
	if r, err := c.node("n1").service.PutRoute(ctx, installed(20*time.Second), route(1)); err != nil || !r.Complete() || !slices.Equal(r.Installed, []eventlog.RouterID{"r1"}) {
		t.Fatalf("%+v %v", r, err)
	}
	for _, n := range c.nodes {
		if list := n.service.AllDataPlanes(ctx); len(list) != 1 || list[0].Node != "n3" || list[0].Instance != "other" || !list[0].Connected {
			t.Errorf("%s lists %+v", n.id, list)
		}
	}
	select {
	case err := <-third:
		t.Errorf("the one that took over ended with %v", err)
	default:
	}
}

// TestTwoInstancesMeet: where two nodes took an instance each while they did not
// hear of each other, the one that was there first stays.
func TestTwoInstancesMeet(t *testing.T) {
	c := &testCluster{t: t, log: newCluster(t, 0).log, throne: &throne{}, nodes: map[string]*testNode{}}
	c.start("n1", c.throne)
	c.start("n2", c.throne)
	c.throne.seat("n1")
	_, first := c.node("n1").connect(t, "r1", "early")
	early := c.node("n1").planes.Claims()[0].Stamp
	eventually(t, "a later time", func() bool { return uint64(time.Now().UnixMilli()) > early })
	_, second := c.node("n2").connect(t, "r1", "late")
	c.introduce()
	if err := <-second; status.Code(err) != codes.Aborted {
		t.Fatalf("the later one ended with %v", err)
	}
	select {
	case err := <-first:
		t.Fatalf("the earlier one ended with %v", err)
	case <-time.After(50 * time.Millisecond):
	}
}

// TestAuditElsewhere: whichever node is asked, the one with the data plane asks it.
func TestAuditElsewhere(t *testing.T) {
	c := newCluster(t, 2)
	c.linked()
	ctx := testContext(t)
	p := fibtest.NewPlane("r2", "i2")
	p.SetAudits(&fibpb.SinkAudit{Name: "kernel", Complete: true, Entries: 7, Failed: 1, TookMs: 20, Differences: []*fibpb.SinkAudit_Difference{{Prefix: "10.0.0.0/8", Cause: "left over", Count: 3}}})
	if _, _, err := c.node("n2").attach(t, p, true, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "n1 hears of r2", func() bool { _, _, ok := c.node("n1").exchange.Claim("r2"); return ok })
	if _, err := c.node("n1").service.PutRoute(ctx, installed(20*time.Second, "r2"), route(1)); err != nil {
		t.Fatal(err)
	}
	want := []fibstream.SinkAudit{{Name: "kernel", Complete: true, Entries: 7, Failed: 1, Took: 20 * time.Millisecond, Differences: []fibstream.Difference{{Prefix: "10.0.0.0/8", Cause: "left over", Count: 3}}}}
	for _, id := range []string{"n2", "n1"} {
		got, err := c.node(id).service.Audit(ctx, "r2", 20*time.Second)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v %v", id, got, err)
		}
	}
	if _, err := c.node("n1").service.Audit(ctx, "r9", time.Second); !errors.Is(err, service.ErrUnknownRouter) {
		t.Errorf("an unknown router: %v", err)
	}
}

func TestSinkStatesCrossNodes(t *testing.T) {
	want := []fibstream.Sink{
		{Name: "kernel", Installed: []byte("0123456789abcdef"), Entries: 7, Failed: 2, Repaired: 3, Deviates: true, Failures: []fibstream.Failure{{Prefix: "10.0.0.0/8", Reason: "no way"}}},
		{Name: "memory", Entries: 9},
	}
	if got := sinksOf(wireSinks(want)); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	undone := []fibstream.Undone{{Time: time.UnixMilli(5), Revision: 17}, {Time: time.UnixMilli(6), Revision: 16}}
	if got := undoneOf(wireUndone(undone)); !reflect.DeepEqual(got, undone) {
		t.Errorf("%v", got)
	}
	repairs := []fibstream.Repair{{Time: time.UnixMilli(5), Prefix: "10.1.0.0/16", Cause: "removed", Count: 3}, {Time: time.UnixMilli(6), Cause: "flushed", Count: 100}}
	if got := repairsOf(wireRepairs(repairs)); !reflect.DeepEqual(got, repairs) {
		t.Errorf("got %v, want %v", got, repairs)
	}
}
