package peer

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"dvr/controller/service"
	"dvr/controller/stalltest"
	"dvr/eventlog"
)

// TestForward: a write on a follower is stored by the node that leads, and the
// follower's own state holds it when the call returns.
func TestForward(t *testing.T) {
	c := newCluster(t, 3)
	ctx := testContext(t)
	for i := range 300 {
		n := c.node(fmt.Sprintf("n%d", 1+i%3))
		r, err := n.service.PutRoute(ctx, mutation(""), route(i))
		if err != nil {
			t.Fatal(err)
		}
		if at := n.appender.State().Position(); at.Revision < r.Position.Revision || r.Position.LogID != at.LogID || r.Position.Epoch != 1 {
			t.Fatalf("%s answered %v at %v", n.id, r.Position, at)
		}
		if _, ok := n.appender.State().Destination(route(i).Destination); !ok {
			t.Fatalf("%s does not show what it answered", n.id)
		}
		other := c.node(fmt.Sprintf("n%d", 1+(i+1)%3))
		if _, err := other.service.Route(ctx, service.Read{Consistency: service.Linearizable}, route(i).Destination, eventlog.AllRouters); err != nil {
			t.Fatalf("%s does not show what %s answered: %v", other.id, n.id, err)
		}
	}
	if s := c.node("n2").appender.Statistics(); s.Commits != 0 {
		t.Errorf("n2 appended %d commits by itself", s.Commits)
	}
}

// TestRefusals pass between nodes as what they are.
func TestRefusals(t *testing.T) {
	c := newCluster(t, 2)
	ctx := testContext(t)
	s := c.node("n2").service
	receipt, err := s.PutRoute(ctx, mutation("one"), route(1))
	if err != nil {
		t.Fatal(err)
	}
	held := mutation("")
	held.IfMatch = service.Precondition{Tags: []service.Tag{{Epoch: 1, Revision: receipt.Position.Revision + 7}}}
	other := mutation("one")
	other.Request = eventlog.RequestHash{1}
	bad := route(2)
	bad.Weight = 0
	for _, test := range []struct {
		what string
		err  error
		do   func() error
	}{
		{"absent", service.ErrNotFound, func() error {
			_, err := s.DeleteRoutes(ctx, mutation(""), route(9).Destination, service.RouteFilter{})
			return err
		}},
		{"unknown router", service.ErrUnknownRouter, func() error {
			_, err := s.DeleteRoutes(ctx, mutation(""), route(1).Destination, service.RouteFilter{Router: "r9"})
			return err
		}},
		{"precondition", service.ErrPrecondition, func() error { _, err := s.PutRoute(ctx, held, route(1)); return err }},
		{"id reused", service.ErrIDReused, func() error { _, err := s.PutRoute(ctx, other, route(3)); return err }},
	} {
		if err := test.do(); !errors.Is(err, test.err) {
			t.Errorf("%s: %v", test.what, err)
		}
	}
	var f *eventlog.FieldError
	if _, err := s.PutRoute(ctx, mutation(""), bad); !errors.As(err, &f) || f.Field != "weight" {
		t.Errorf("a bad field: %v", err)
	}
	held.IfMatch.Tags[0].Revision = receipt.Position.Revision
	if _, err := s.PutRoute(ctx, held, route(1)); err != nil {
		t.Errorf("the precondition that holds: %v", err)
	}
	again, err := s.PutRoute(ctx, mutation("one"), route(1))
	if err != nil || !again.Replayed || again.Position != receipt.Position {
		t.Errorf("repeated: %+v, %v; first %+v", again, err, receipt)
	}
}

// TestNoLeader: refused at once where nobody leads, naming none; calls that may
// be stored already wait for the next leader.
func TestNoLeader(t *testing.T) {
	c := newCluster(t, 2)
	ctx := testContext(t)
	s := c.node("n2").service
	if _, err := s.PutRoute(ctx, mutation(""), route(1)); err != nil {
		t.Fatal(err)
	}
	c.throne.seat("")
	eventually(t, "n2 notices", func() bool {
		_, err := s.PutRoute(ctx, mutation(""), route(2))
		return errors.Is(err, service.ErrUnavailable)
	})
	took := stalltest.Begin(t)
	_, err := s.PutRoute(ctx, mutation("x"), route(2))
	d := took()
	var m *service.MutationError
	if !errors.Is(err, service.ErrUnavailable) || !errors.As(err, &m) || m.ID != "x" || d > time.Second {
		t.Fatalf("after %s: %v", d, err)
	}
	var u *service.UnledError
	if !errors.As(err, &u) || u.Node != "n1" || u.API != "n1.api:9090" || u.Leads {
		t.Errorf("who led last: %+v", u)
	}
	if v, err := s.View(ctx, service.Read{}, false); err != nil || !v.Stale {
		t.Errorf("a read: %+v, %v", v, err)
	}
	first, why := c.node("n2").exchange.unled()
	if again, _ := c.node("n2").exchange.unled(); why == nil || first.IsZero() || !again.Equal(first) {
		t.Errorf("nobody leads since %v, and then since %v: %v", first, again, why)
	}
	c.throne.seat("n2")
	if v, err := s.View(ctx, service.Read{}, false); err != nil || v.Stale {
		t.Errorf("a read at who leads: %+v, %v", v, err)
	}
}

// TestLeaderOutOfReach: who leads and is not linked to is named.
func TestLeaderOutOfReach(t *testing.T) {
	c := newCluster(t, 2)
	ctx := testContext(t)
	s := c.node("n2").service
	if _, err := s.PutRoute(ctx, mutation(""), route(1)); err != nil {
		t.Fatal(err)
	}
	c.node("n1").cut() // it leads on, as far as n2 has heard
	m := mutation("")
	m.Timeout = 6 * time.Second
	var u *service.UnledError
	eventually(t, "n2 gives it up", func() bool {
		_, err := s.PutRoute(ctx, m, route(2))
		return errors.As(err, &u)
	})
	if u.Node != "n1" || u.API != "n1.api:9090" || !u.Leads {
		t.Errorf("%+v", u)
	}
}

// TestLostLeader: the leader goes with requests in its hands; another takes
// over, and each request is stored once.
func TestLostLeader(t *testing.T) {
	c := newCluster(t, 3)
	ctx := testContext(t)
	const callers, each = 16, 40
	var wg sync.WaitGroup
	var mu sync.Mutex
	acknowledged := map[string]eventlog.Revision{}
	for w := range callers {
		wg.Go(func() {
			n := c.node([]string{"n2", "n3"}[w%2])
			for i := range each {
				id := fmt.Sprintf("%d-%d", w, i)
				r, err := n.service.PutRoute(ctx, mutation(id), route(w*each+i))
				if errors.Is(err, service.ErrUnavailable) {
					r, err = n.service.PutRoute(ctx, mutation(id), route(w*each+i))
				}
				if err != nil {
					t.Errorf("%s: %v", id, err)
					return
				}
				if r.Replayed {
					t.Errorf("%s is said to be an earlier call's", id)
				}
				mu.Lock()
				acknowledged[id] = r.Position.Revision
				mu.Unlock()
			}
		})
	}
	done := make(chan struct{})
	go func() { defer close(done); wg.Wait() }()
	reached := func(n int) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return len(acknowledged) >= n }
	}
	eventually(t, "load", reached(50))
	release := c.log.Faults().HoldAppends() // something is in flight
	c.node("n1").cut()
	c.throne.seat("n2")
	release()
	eventually(t, "load on n2", reached(250))
	c.throne.seat("n3")
	eventually(t, "load on n3", reached(450))
	c.throne.seat("n2")
	eventually(t, "load on n2 again", reached(500))
	eventually(t, "a link of n3 to n2", func() bool { // the leader stays, the link is made anew
		l := c.node("n3").exchange.mesh.link("n2")
		if l != nil {
			l.drop(errDeaf)
		}
		return l != nil
	})
	<-done
	log := c.commits()
	for id, at := range acknowledged {
		if len(log[id]) != 1 || log[id][0] != at {
			t.Errorf("%s was acknowledged at %d, the log has it at %v", id, at, log[id])
		}
	}
	if len(acknowledged) != callers*each {
		t.Errorf("%d acknowledged", len(acknowledged))
	}
}

// TestImportKeepsOrder: an import through a follower is stored in its order,
// whatever becomes of the leader.
func TestImportKeepsOrder(t *testing.T) {
	c := newCluster(t, 3)
	ctx := testContext(t)
	var b strings.Builder
	const lines = 60_000
	for i := range lines {
		// The same routes again and again: a chunk out of order would show.
		fmt.Fprintf(&b, `{"destination":"10.0.%d.0/24","next_hop":"192.168.1.1","metric":%d}`+"\n", i%200, i)
	}
	moved := make(chan struct{})
	go func() {
		defer close(moved)
		for i, next := range []string{"n2", "n3", "n1", "n2", "n1"} {
			if err := c.node("n3").appender.Wait(ctx, eventlog.Revision(20+40*i)); err != nil {
				return
			}
			c.throne.seat(next)
		}
	}()
	out, err := c.node("n3").service.Import(ctx, mutation("k"), strings.NewReader(b.String()))
	if err != nil || out.Accepted != lines {
		t.Fatalf("%+v %v", out, err)
	}
	<-moved
	st := c.node("n3").appender.State()
	for i := lines - 200; i < lines; i++ {
		d, _ := st.Destination(mustPrefix(fmt.Sprintf("10.0.%d.0/24", i%200)))
		if len(d.Candidates) != 1 || d.Candidates[0].Metric != uint32(i) {
			t.Fatalf("line %d: %+v", i, d.Candidates)
		}
	}
	for id, at := range c.commits() {
		if len(at) != 1 {
			t.Errorf("%s is stored at %v", id, at)
		}
	}
}
