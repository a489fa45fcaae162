package appender

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"dvr/eventlog"
	"dvr/eventlog/memlog"
	"dvr/projector"
)

// everyEvent calls fn with each event of the log and its commit.
func everyEvent(t testing.TB, log eventlog.Log, fn func(*eventlog.Commit, eventlog.Event)) {
	t.Helper()
	err := log.Read(testContext(t), 0, func(b *eventlog.Batch) error {
		for i := range b.Commits {
			c := &b.Commits[i]
			events := c.Events
			if len(events) == 1 {
				if s, ok := events[0].(*eventlog.CommitStaged); ok {
					var err error
					if events, err = log.Staged(testContext(t), s); err != nil {
						return err
					}
				}
			}
			for _, e := range events {
				fn(c, e)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ends counts how each confirmation ended.
func ends(t testing.TB, log eventlog.Log) (undone, confirmed map[eventlog.Revision]int) {
	undone, confirmed = map[eventlog.Revision]int{}, map[eventlog.Revision]int{}
	everyEvent(t, log, func(_ *eventlog.Commit, e eventlog.Event) {
		switch e := e.(type) {
		case *eventlog.ConfirmationUndone:
			undone[e.Revision]++
		case *eventlog.ConfirmationConfirmed:
			confirmed[e.Revision]++
		}
	})
	return undone, confirmed
}

func keeperOf(a *Appender, c *clock) *Timekeeper {
	return NewTimekeeper(a, TimekeeperOptions{Now: c.Now})
}

func confirmable(id string, within time.Duration, events ...eventlog.Event) Request {
	r := request(id, events...)
	r.ConfirmWithin = within
	return r
}

// confirm is how a service confirms.
func confirm(r eventlog.Revision) Request {
	return Request{Actor: "alice", Prepare: func(s *projector.State) ([]eventlog.Event, error) {
		if _, ok := s.Confirmation(r); !ok {
			return nil, ErrConflict
		}
		return []eventlog.Event{&eventlog.ConfirmationConfirmed{Revision: r}}, nil
	}}
}

func keyOf(t testing.TB, a *Appender, key string) string {
	t.Helper()
	k, _ := a.State().Key(key)
	return k.Value
}

func TestUnconfirmedCommitUndoesItself(t *testing.T) {
	c := newClock()
	a := open(t, newLog(), Options{Now: c.Now})
	k := keeperOf(a, c)
	appendOK(t, a, request("1", put("k", "old")...))
	res := appendOK(t, a, confirmable("2", time.Minute, &eventlog.KeyPut{Key: "k", Value: "new"}, &eventlog.KeyPut{Key: "l", Value: "new"}))
	appendOK(t, a, request("3", put("l", "later")...))
	c.advance(59 * time.Second)
	if n := k.Step(testContext(t)); n != 0 || keyOf(t, a, "k") != "new" {
		t.Fatalf("%d done before the deadline; k is %q", n, keyOf(t, a, "k"))
	}
	c.advance(time.Second)
	if n := k.Step(testContext(t)); n != 1 || keyOf(t, a, "k") != "old" || keyOf(t, a, "l") != "later" {
		t.Fatalf("%d done; k is %q, l is %q", n, keyOf(t, a, "k"), keyOf(t, a, "l"))
	}
	if n := k.Step(testContext(t)); n != 0 {
		t.Fatal("done twice")
	}
	var undo eventlog.Commit
	everyEvent(t, a.log, func(c *eventlog.Commit, e eventlog.Event) {
		if _, ok := e.(*eventlog.ConfirmationUndone); ok {
			undo = *c
		}
	})
	if undo.Actor != system || len(undo.Reverts) != 1 || undo.Reverts[0] != res.Revision || !strings.Contains(undo.Reason, "1 of its 2 changes") {
		t.Errorf("%+v", undo)
	}
	if _, err := a.Append(testContext(t), confirm(res.Revision)); !errors.Is(err, ErrConflict) {
		t.Errorf("confirmed after it was undone: %v", err)
	}
	sameAsLog(t, a)
}

func TestConfirmedCommitStays(t *testing.T) {
	c := newClock()
	a := open(t, newLog(), Options{Now: c.Now})
	res := appendOK(t, a, confirmable("1", time.Minute, put("k", "v")...))
	appendOK(t, a, confirm(res.Revision))
	c.advance(time.Hour)
	if n := keeperOf(a, c).Step(testContext(t)); n != 0 || keyOf(t, a, "k") != "v" {
		t.Errorf("%d done, k is %q", n, keyOf(t, a, "k"))
	}
}

// TestLargeUndo: the commit and its undoing are staged.
func TestLargeUndo(t *testing.T) {
	const n = 6000
	c := newClock()
	a := open(t, newLog(), Options{Now: c.Now})
	appendOK(t, a, request("0", route(1)))
	before := a.State().FIB("r1", nil).Digest()
	var events []eventlog.Event
	for i := range n {
		r := route(i)
		r.Metric = 7
		events = append(events, r)
	}
	appendOK(t, a, confirmable("1", time.Minute, events...))
	if s := a.State().Stats(); s.Routes != n {
		t.Fatalf("%d routes", s.Routes)
	}
	c.advance(time.Minute + stageAllowance)
	if done := keeperOf(a, c).Step(testContext(t)); done != 1 {
		t.Fatal("not undone")
	}
	if s := a.State().Stats(); s.Routes != 1 || a.State().FIB("r1", nil).Digest() != before {
		t.Errorf("%d routes", s.Routes)
	}
	sameAsLog(t, a)
}

// TestUndoneOnceWhoeverLeads kills the node that undoes at each step of its
// append: before it is stored, when it is stored and the answer lost, and after
// it. Another node takes over, and the commit is undone exactly once.
func TestUndoneOnceWhoeverLeads(t *testing.T) {
	for _, what := range []string{"before", "stored", "after", "both at once", "lifetime before", "lifetime stored", "lifetime after", "lifetime both at once"} {
		step, lifetime := strings.CutPrefix(what, "lifetime ")
		t.Run(what, func(t *testing.T) {
			c := newClock()
			log := newLog()
			a, b := open(t, log, Options{Node: "a", Now: c.Now}), open(t, log.Another(), Options{Node: "b", Now: c.Now})
			appendOK(t, a, request("0", worldBefore()...))
			before := intent(a.State())
			change := confirmable("1", time.Minute, worldChange()...)
			if lifetime {
				change = request("1", append(worldChange(), until(a, "1", time.Minute))...)
			}
			res := appendOK(t, a, change)
			undone := func() int {
				n := 0
				everyEvent(t, log, func(_ *eventlog.Commit, e eventlog.Event) {
					switch e := e.(type) {
					case *eventlog.ConfirmationUndone:
						if e.Revision == res.Revision {
							n++
						}
					case *eventlog.TimerFired:
						n++
					}
				})
				return n
			}
			ctx := testContext(t)
			if err := b.Barrier(ctx); err != nil {
				t.Fatal(err)
			}
			c.advance(time.Minute)
			dying, die := context.WithCancel(ctx)
			var wg sync.WaitGroup
			switch step {
			case "before":
				arrived := make(chan struct{})
				log.Faults().BeforeAppend(func(ctx context.Context) error { close(arrived); <-ctx.Done(); return ctx.Err() })
				wg.Go(func() { keeperOf(a, c).Step(dying) })
				<-arrived
			case "stored":
				log.Faults().LoseAnswers(1)
				wg.Go(func() { keeperOf(a, c).Step(dying) })
				eventually(t, "stored", func() bool { return undone() == 1 })
			case "after":
				keeperOf(a, c).Step(ctx)
			case "both at once":
				wg.Go(func() { keeperOf(a, c).Step(ctx) })
			}
			if step != "both at once" {
				die()
				a.Close()
			}
			k := keeperOf(b, c)
			eventually(t, "undone for the other", func() bool {
				k.Step(ctx)
				return keyOf(t, b, "k") == "old"
			})
			wg.Wait()
			die()
			c.advance(time.Hour)
			k.Step(ctx)
			if n := undone(); n != 1 {
				t.Fatalf("undone %d times", n)
			}
			sameIntent(t, b, before)
			sameAsLog(t, b)
		})
	}
}

// aChange is an item of a kind of its own for each i modulo 7, as it is before and
// after an update, and its removal.
func aChange(i int) (was, now, gone eventlog.Event) {
	name := fmt.Sprint("x", i)
	link := eventlog.LinkID{A: "a", B: eventlog.RouterID(name)}
	updated := route(i)
	updated.Metric = 9
	switch i % 7 {
	case 0:
		return route(i), updated, &eventlog.RouteWithdrawn{RouteID: updated.RouteID}
	case 1:
		return &eventlog.LinkSet{LinkID: link, CostAB: 1, CostBA: 1}, &eventlog.LinkSet{LinkID: link, CostAB: 1, CostBA: 1, Down: true}, &eventlog.LinkRemoved{LinkID: link}
	case 2:
		id := eventlog.RouterID(name)
		return &eventlog.RouterSet{Router: id}, &eventlog.RouterSet{Router: id, Drained: eventlog.DrainHard}, &eventlog.RouterRemoved{Router: id}
	case 3:
		return &eventlog.KeyPut{Key: name, Value: "old"}, &eventlog.KeyPut{Key: name, Value: "new"}, &eventlog.KeyDeleted{Key: name}
	case 4:
		return &eventlog.GuardSet{Name: name, Type: eventlog.GuardMaxRoutes, Limit: 1000}, &eventlog.GuardSet{Name: name, Type: eventlog.GuardMaxRoutes, Limit: 2000}, &eventlog.GuardRemoved{Name: name}
	case 5:
		return &eventlog.FreezeSet{Name: name, Until: 5}, &eventlog.FreezeSet{Name: name, Until: 6}, &eventlog.FreezeRemoved{Name: name}
	}
	one := route(i)
	one.Router, updated.Router = "r9", "r9"
	return one, updated, &eventlog.RouteWithdrawn{RouteID: updated.RouteID}
}

// TestConfirmationsUnderFaults: two nodes that both think they lead, answers and
// requests that are lost, nodes that end and begin anew, confirmations that race
// with their deadline. Each commit is undone once or confirmed once, and what is
// there is what that gives.
func TestConfirmationsUnderFaults(t *testing.T) {
	for seed := range uint64(25) {
		rng := rand.New(rand.NewPCG(seed, 7))
		c := newClock()
		log := newLog()
		handles := []*memlog.Log{log.Another(), log.Another()}
		nodes := make([]*Appender, 2)
		start := func(i int) {
			handles[i] = log.Another()
			nodes[i] = open(t, handles[i], Options{Node: fmt.Sprint("n", i), Now: c.Now})
		}
		start(0)
		start(1)
		ctx := testContext(t)
		type change struct{ before, made eventlog.Event }
		asked := map[eventlog.Revision]change{}
		for i := range 14 {
			n := rng.IntN(2)
			x := change{before: nil}
			switch was, now, gone := aChange(i); rng.IntN(3) {
			case 0: // added
				x.made = now
			case 1: // updated
				x.before, x.made = was, now
			default: // removed
				x.before, x.made = was, gone
			}
			if x.before != nil {
				if _, err := nodes[n].Append(ctx, request("before"+id(i), x.before)); err != nil {
					t.Fatal(err)
				}
			}
			res, err := nodes[n].Append(ctx, confirmable(id(i), time.Duration(1+rng.IntN(5))*time.Second, x.made))
			if err != nil {
				t.Fatal(err)
			}
			asked[res.Revision] = x
			var wg sync.WaitGroup
			var resolve func()
			switch rng.IntN(4) {
			case 0:
				resolve = handles[n].Faults().LoseAnswers(1)
			case 1:
				resolve = handles[n].Faults().LoseRequests(1)
			case 2:
				handles[n].Faults().RefuseAppends(1, eventlog.ErrHeadMoved)
			}
			c.advance(time.Duration(rng.IntN(3000)) * time.Millisecond)
			for j := range nodes {
				wg.Go(func() { keeperOf(nodes[j], c).Step(ctx) })
			}
			if rng.IntN(2) == 0 {
				wg.Go(func() { _, _ = nodes[1-n].Append(ctx, confirm(res.Revision)) })
			}
			if resolve != nil {
				resolve()
			}
			if rng.IntN(3) == 0 {
				nodes[n].Close()
				wg.Wait()
				start(n)
			}
			wg.Wait()
		}
		c.advance(time.Hour)
		k := keeperOf(nodes[0], c)
		if err := nodes[0].Barrier(ctx); err != nil {
			t.Fatal(err)
		}
		eventually(t, "all ended", func() bool { c.advance(time.Second); k.Step(ctx); return len(nodes[0].State().Agenda()) == 0 })
		undone, confirmed := ends(t, log)
		for r, x := range asked {
			if undone[r]+confirmed[r] != 1 {
				t.Fatalf("seed %d: commit %d: undone %d times, confirmed %d times", seed, r, undone[r], confirmed[r])
			}
			want := x.before
			if confirmed[r] == 1 {
				if want = x.made; projector.Removes(want) {
					want = nil
				}
			}
			is := nodes[0].State().Item(x.made).Event
			if (is == nil) != (want == nil) || is != nil && string(eventlog.AppendEvent(nil, is)) != string(eventlog.AppendEvent(nil, want)) {
				t.Fatalf("seed %d: commit %d: confirmed %d, is %v, want %v", seed, r, confirmed[r], is, want)
			}
		}
		sameAsLog(t, nodes[0])
		nodes[0].Close()
		nodes[1].Close()
	}
}

func TestScheduledChange(t *testing.T) {
	c := newClock()
	a := open(t, newLog(), Options{Now: c.Now})
	at := c.Now().Add(time.Minute).UnixMilli()
	own := route(1)
	own.Router = "b"
	set := &eventlog.TimerSet{Name: ScheduledTimer + "1", At: at, Events: []eventlog.Event{own, &eventlog.KeyPut{Key: "k", Value: "v"}}}
	frozen := &eventlog.TimerSet{Name: ScheduledTimer + "2", At: at, Events: []eventlog.Event{&eventlog.LinkSet{LinkID: eventlog.LinkID{A: "a", B: "b"}, CostAB: 1, CostBA: 1}}}
	appendOK(t, a, request("1", set, frozen))
	appendOK(t, a, request("2", &eventlog.FreezeSet{Name: "weekend", Routers: []eventlog.RouterID{"a"}}))
	var errs []error
	k := NewTimekeeper(a, TimekeeperOptions{Now: c.Now, OnError: func(err error) { errs = append(errs, err) }})
	if k.Step(testContext(t)) != 0 {
		t.Fatal("too early")
	}
	c.advance(time.Minute)
	if n := k.Step(testContext(t)); n != 2 || keyOf(t, a, "k") != "v" || len(a.State().Agenda()) != 0 {
		t.Fatalf("%d done, k is %q, %v left, %v", n, keyOf(t, a, "k"), a.State().Agenda(), errs)
	}
	if _, ok := a.State().Link(eventlog.LinkID{A: "a", B: "b"}); ok {
		t.Error("the frozen link was set")
	}
	cause := ""
	everyEvent(t, a.log, func(_ *eventlog.Commit, e eventlog.Event) {
		if f, ok := e.(*eventlog.TimerFailed); ok {
			cause = f.Cause
		}
	})
	if !strings.Contains(cause, "weekend") {
		t.Errorf("cause %q", cause)
	}
	sameAsLog(t, a)
}

func TestLifetimeEndsWhatNobodyChanged(t *testing.T) {
	c := newClock()
	a := open(t, newLog(), Options{Now: c.Now})
	one, two := route(1), route(2)
	end := &eventlog.TimerSet{Name: LifetimeTimer + "1", At: c.Now().Add(time.Minute).UnixMilli(), Events: []eventlog.Event{
		&eventlog.RouteWithdrawn{RouteID: one.RouteID}, &eventlog.RouteWithdrawn{RouteID: two.RouteID},
	}}
	appendOK(t, a, request("1", one, two, end))
	appendOK(t, a, request("2", two))
	appendOK(t, a, request("3", &eventlog.FreezeSet{Name: "all"}))
	c.advance(time.Minute)
	if n := keeperOf(a, c).Step(testContext(t)); n != 1 {
		t.Fatal("not done")
	}
	if _, ok := a.State().Route(one.RouteID); ok {
		t.Error("the first outlived its time")
	}
	if _, ok := a.State().Route(two.RouteID); !ok {
		t.Error("the second was announced again and is gone")
	}
}

func TestTimersWaitForASteadyClockAndTheLead(t *testing.T) {
	c := newClock()
	a := open(t, newLog(), Options{Now: c.Now})
	appendOK(t, a, confirmable("1", time.Second, put("k", "v")...))
	c.advance(time.Minute)
	var unsteady error = errors.New("3 s off")
	leads := false
	told := 0
	k := NewTimekeeper(a, TimekeeperOptions{
		Now: c.Now, Active: func() bool { return leads }, Steady: func() error { return unsteady },
		OnError: func(err error) {
			if strings.Contains(err.Error(), "3 s off") {
				told++
			}
		},
	})
	if k.Step(testContext(t)) != 0 || told != 0 {
		t.Fatal("done by a node that does not lead")
	}
	leads = true
	if k.Step(testContext(t)) != 0 || k.Step(testContext(t)) != 0 || told != 1 {
		t.Fatalf("done with a clock that is off, told %d times", told)
	}
	unsteady = nil
	if k.Step(testContext(t)) != 1 || keyOf(t, a, "k") != "" {
		t.Error("not done")
	}
}

func TestOverlappingConfirmationsAreRefused(t *testing.T) {
	a := open(t, newLog(), Options{})
	appendOK(t, a, confirmable("1", time.Minute, put("k", "1")...))
	if _, err := a.Append(testContext(t), confirmable("2", time.Minute, put("k", "2")...)); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "commit 2") {
		t.Errorf("%v", err)
	}
	appendOK(t, a, confirmable("3", time.Minute, put("l", "2")...))
	appendOK(t, a, request("4", put("k", "3")...))
	for i := range MaxPending - 2 {
		appendOK(t, a, confirmable(id(i), time.Minute, put(id(i), "2")...))
	}
	if _, err := a.Append(testContext(t), confirmable("one more", time.Minute, put("m", "2")...)); !errors.Is(err, ErrConflict) {
		t.Errorf("%v", err)
	}
}

func TestGuardsAreForced(t *testing.T) {
	a := open(t, newLog(), Options{})
	appendOK(t, a, request("1", route(1), &eventlog.GuardSet{Name: "core", Type: eventlog.GuardProtected, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}))
	r := request("2", route(2))
	var g *GuardError
	if _, err := a.Append(testContext(t), r); !errors.As(err, &g) || len(g.Breaches) != 1 || g.Breaches[0].Name != "core" {
		t.Fatalf("%v", err)
	}
	r = request("3", route(2))
	r.Force = true
	if trial, err := a.Try(r); err != nil || len(trial.Commit.Forced) != 1 {
		t.Errorf("%+v, %v", trial, err)
	}
	appendOK(t, a, r)
	var forced []string
	everyEvent(t, a.log, func(c *eventlog.Commit, _ eventlog.Event) { forced = append(forced, c.Forced...) })
	if len(forced) != 1 || forced[0] != "core" {
		t.Errorf("forced %v", forced)
	}
	sameAsLog(t, a)
}

func TestShrinkGuard(t *testing.T) {
	const n = 1500
	a := open(t, newLog(), Options{})
	var add, gone []eventlog.Event
	for i := range n {
		r := route(i)
		add = append(add, r)
		gone = append(gone, &eventlog.RouteWithdrawn{RouteID: r.RouteID})
	}
	appendOK(t, a, request("1", add...))
	if _, err := a.Append(testContext(t), request("2", gone[:n/5+1]...)); !errors.Is(err, ErrGuarded) || !strings.Contains(err.Error(), "from 1500 to 1199") {
		t.Errorf("%v", err)
	}
	appendOK(t, a, request("3", gone[:n/5]...))
	r := request("4", gone[n/5:]...)
	r.Force = true
	appendOK(t, a, r)
	if s := a.State().Stats(); s.Routes != 0 {
		t.Errorf("%d routes", s.Routes)
	}
	sameAsLog(t, a)
}

// TestShrinkGuardJudgesEveryRouter: whether or not a data plane is connected, in
// the table of whom it is that shrinks, by routes or by what is no longer reached.
func TestShrinkGuardJudgesEveryRouter(t *testing.T) {
	link := func(a, b eventlog.RouterID) *eventlog.LinkSet {
		return &eventlog.LinkSet{LinkID: eventlog.LinkID{A: a, B: b}, CostAB: 1, CostBA: 1, InterfaceA: "to" + string(b), InterfaceB: "to" + string(a)}
	}
	down := link("b", "c")
	down.Down = true
	var of, gone []eventlog.Event
	for i := range 1500 {
		r := route(i)
		r.Router = "a"
		of = append(of, r)
		gone = append(gone, &eventlog.RouteWithdrawn{RouteID: r.RouteID})
	}
	links := []eventlog.Event{link("a", "b"), link("b", "c"), link("c", "d")}
	for name, x := range map[string]struct {
		before, change []eventlog.Event
		refused        string
	}{
		"routes of a router without links": {of, gone[:301], "router a would shrink from 1500 to 1199"},
		"fewer of them":                    {of, gone[:300], ""},
		"a link that cuts the network":     {append(links, of...), []eventlog.Event{down}, "router c would shrink from 1500 to 0"},
		"a link with another way":          {append(append(links, link("a", "d")), of...), []eventlog.Event{down}, ""},
		"a drain":                          {append(links, of...), []eventlog.Event{&eventlog.RouterSet{Router: "b", Drained: eventlog.DrainSoft}}, "router c would shrink"},
		"a drain of the end":               {append(links, of...), []eventlog.Event{&eventlog.RouterSet{Router: "d", Drained: eventlog.DrainSoft}}, ""},
		"a link to a drained origin":       {append(append(links, &eventlog.RouterSet{Router: "a", Drained: eventlog.DrainSoft}), of...), []eventlog.Event{&eventlog.LinkRemoved{LinkID: eventlog.LinkID{A: "a", B: "b"}}}, "router b would shrink from 1500 to 0"},
		"a link to a drained reader":       {append(append(links, &eventlog.RouterSet{Router: "d", Drained: eventlog.DrainSoft}), of...), []eventlog.Event{&eventlog.LinkRemoved{LinkID: eventlog.LinkID{A: "c", B: "d"}}}, "router d would shrink from 1500 to 0"},
		"a drain of the origin":            {append(links, of...), []eventlog.Event{&eventlog.RouterSet{Router: "a", Drained: eventlog.DrainHard}}, "router b would shrink"},
	} {
		a := open(t, newLog(), Options{})
		appendOK(t, a, request("1", x.before...))
		trial, tried := a.Try(request("2", x.change...))
		_, err := a.Append(testContext(t), request("2", x.change...))
		for _, err := range []error{tried, err} {
			if (err != nil) != (x.refused != "") || err != nil && (!errors.Is(err, ErrGuarded) || !strings.Contains(err.Error(), x.refused)) {
				t.Errorf("%s: %v, %+v", name, err, trial)
			}
		}
	}
}

func TestTryIsTheCommitThatFollows(t *testing.T) {
	c := newClock()
	a := open(t, newLog(), Options{Now: c.Now})
	appendOK(t, a, request("1", route(1), route(2)))
	r := confirmable("2", time.Minute, route(3), &eventlog.RouteWithdrawn{RouteID: route(1).RouteID})
	trial, err := a.Try(r)
	if err != nil {
		t.Fatal(err)
	}
	if head, _ := a.log.Head(testContext(t)); head.Revision != 2 {
		t.Fatal("something was stored")
	}
	appendOK(t, a, r)
	if got, want := trial.After.Digest(), a.State().Digest(); got != want {
		t.Errorf("digest %s, then %s", got, want)
	}
	if got, want := trial.After.FIB("r1", nil).Digest(), a.State().FIB("r1", nil).Digest(); got != want {
		t.Errorf("FIB %s, then %s", got, want)
	}
	if _, err := a.Try(request("3", &eventlog.LinkObserved{LinkID: eventlog.LinkID{A: "a", B: "b"}, Router: "a", State: eventlog.ObservedUp})); err == nil {
		t.Error("what would be refused is not")
	}
}

func TestBasis(t *testing.T) {
	a := open(t, newLog(), Options{})
	appendOK(t, a, request("1", put("there", "1")...))
	events := []eventlog.Event{&eventlog.KeyPut{Key: "there", Value: "2"}, &eventlog.KeyPut{Key: "absent", Value: "2"}}
	b := BasisOf(a.State(), events)
	appendOK(t, a, request("2", put("beside", "1")...))
	if err := b.Check(a.State(), events); err != nil {
		t.Error(err)
	}
	for _, change := range [][]eventlog.Event{put("there", "1"), put("absent", "1"), {&eventlog.KeyDeleted{Key: "there"}}} {
		s, err := a.State().Try(&eventlog.Commit{Time: 1, ID: "x", Actor: "x", Events: change})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Check(s, events); !errors.Is(err, ErrConflict) {
			t.Errorf("%v: %v", change[0], err)
		}
	}
}
