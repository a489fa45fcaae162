package appender

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

// worldBefore and worldChange are of every kind that is given back: what is
// there, and a commit that updates, removes and adds some of each.
func worldBefore() []eventlog.Event {
	return []eventlog.Event{
		route(1), route(2),
		&eventlog.LinkSet{LinkID: eventlog.LinkID{A: "a", B: "b"}, CostAB: 1, CostBA: 1},
		&eventlog.LinkSet{LinkID: eventlog.LinkID{A: "a", B: "c"}, CostAB: 1, CostBA: 1},
		&eventlog.RouterSet{Router: "a", Description: "core"},
		&eventlog.RouterSet{Router: "z"},
		&eventlog.KeyPut{Key: "k", Value: "old"}, &eventlog.KeyPut{Key: "l", Value: "old"},
		&eventlog.GuardSet{Name: "g", Type: eventlog.GuardMaxRoutes, Limit: 50}, &eventlog.GuardSet{Name: "h", Type: eventlog.GuardMaxRoutes, Limit: 60},
		&eventlog.FreezeSet{Name: "f", Until: 5},
	}
}

func worldChange() []eventlog.Event {
	changed := route(1)
	changed.Metric = 9
	return []eventlog.Event{
		changed, &eventlog.RouteWithdrawn{RouteID: route(2).RouteID}, route(3),
		&eventlog.LinkSet{LinkID: eventlog.LinkID{A: "a", B: "b"}, CostAB: 1, CostBA: 1, Down: true},
		&eventlog.LinkRemoved{LinkID: eventlog.LinkID{A: "a", B: "c"}},
		&eventlog.LinkSet{LinkID: eventlog.LinkID{A: "b", B: "c"}, CostAB: 1, CostBA: 1},
		&eventlog.RouterSet{Router: "a", Description: "core", Drained: eventlog.DrainSoft},
		&eventlog.RouterRemoved{Router: "z"}, &eventlog.RouterSet{Router: "y"},
		&eventlog.KeyPut{Key: "k", Value: "new"}, &eventlog.KeyDeleted{Key: "l"}, &eventlog.KeyPut{Key: "m", Value: "new"},
		&eventlog.GuardSet{Name: "g", Type: eventlog.GuardProtected, Prefixes: []netip.Prefix{netip.MustParsePrefix("172.16.0.0/12")}},
		&eventlog.GuardRemoved{Name: "h"}, &eventlog.FreezeRemoved{Name: "f"},
	}
}

// intent is what a rollback would restore, as text.
func intent(s *projector.State) []string {
	var out []string
	for _, e := range s.Restore(projector.NewFold("log").State()) {
		if _, timer := e.(*eventlog.TimerCancelled); !timer {
			out = append(out, string(eventlog.AppendEvent(nil, s.Item(e).Event)))
		}
	}
	slices.Sort(out)
	return out
}

func sameIntent(t *testing.T, a *Appender, want []string) {
	t.Helper()
	if got := intent(a.State()); !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// until makes a request's change last for a while.
func until(a *Appender, name string, within time.Duration) *eventlog.TimerSet {
	return &eventlog.TimerSet{Name: LifetimeTimer + name, At: a.options.Now().Add(within).UnixMilli(), Undo: true}
}

func TestLifetimeRestoresWhatWasThere(t *testing.T) {
	c := newClock()
	a := open(t, newLog(), Options{Now: c.Now})
	appendOK(t, a, request("1", worldBefore()...))
	before := intent(a.State())
	appendOK(t, a, request("2", append(worldChange(), until(a, "1", time.Minute))...))
	if slices.Equal(intent(a.State()), before) {
		t.Fatal("nothing was changed")
	}
	c.advance(time.Minute)
	if n := keeperOf(a, c).Step(testContext(t)); n != 1 {
		t.Fatal("not done")
	}
	sameIntent(t, a, before)
	if left := len(a.State().Agenda()); left != 0 {
		t.Errorf("%d timers are left", left)
	}
	sameAsLog(t, a)
}

// TestRenewedLifetime: who sets the same again in time goes on with it, and at
// the end there is what was there before the first time, whichever end is first.
func TestRenewedLifetime(t *testing.T) {
	for _, spans := range [][]time.Duration{{time.Minute, 2 * time.Minute, 3 * time.Minute}, {3 * time.Minute, time.Minute, 2 * time.Minute}, {3 * time.Minute, 2 * time.Minute, time.Minute}} {
		c := newClock()
		a := open(t, newLog(), Options{Now: c.Now})
		appendOK(t, a, request("1", put("k", "old")...))
		for i, span := range spans {
			appendOK(t, a, request(id(i), append(put("k", "temporary"), put(id(i), "temporary")[0], until(a, id(i), span))...))
		}
		k := keeperOf(a, c)
		for step := range 3 {
			if keyOf(t, a, "k") != "temporary" {
				t.Fatalf("%v: k is %q after %d ends", spans, keyOf(t, a, "k"), step)
			}
			c.advance(time.Minute)
			k.Step(testContext(t))
		}
		if keyOf(t, a, "k") != "old" {
			t.Errorf("%v: k is %q in the end", spans, keyOf(t, a, "k"))
		}
		sameAsLog(t, a)
	}
}

func TestLifetimeLeavesWhatWasChangedSince(t *testing.T) {
	c := newClock()
	a := open(t, newLog(), Options{Now: c.Now})
	appendOK(t, a, request("1", append(put("k", "old"), put("l", "old")...)...))
	appendOK(t, a, request("2", append(put("k", "new"), &eventlog.KeyDeleted{Key: "l"}, put("m", "new")[0], until(a, "1", time.Minute))...))
	appendOK(t, a, request("3", put("k", "others")...))
	appendOK(t, a, request("4", put("l", "others")...))
	appendOK(t, a, request("5", &eventlog.KeyDeleted{Key: "l"}))
	c.advance(time.Minute)
	keeperOf(a, c).Step(testContext(t))
	if k, l, m := keyOf(t, a, "k"), keyOf(t, a, "l"), keyOf(t, a, "m"); k != "others" || l != "" || m != "" {
		t.Errorf("k is %q, l is %q, m is %q", k, l, m)
	}
	reason := ""
	everyEvent(t, a.log, func(c *eventlog.Commit, e eventlog.Event) {
		if _, ok := e.(*eventlog.TimerFired); ok {
			reason = c.Reason
		}
	})
	if !strings.Contains(reason, "2 of its 3 changes") {
		t.Errorf("reason %q", reason)
	}
}

// TestUndoLeavesWhatOthersWithdrew: what a commit under confirmation removed, and
// somebody announced and withdrew since, stays withdrawn.
func TestUndoLeavesWhatOthersWithdrew(t *testing.T) {
	for name, between := range map[string][]eventlog.Event{
		"withdrawn again":         {&eventlog.RouteWithdrawn{RouteID: route(1).RouteID}},
		"announced and withdrawn": {route(1), &eventlog.RouteWithdrawn{RouteID: route(1).RouteID}},
	} {
		c := newClock()
		a := open(t, newLog(), Options{Now: c.Now})
		appendOK(t, a, request("1", route(1)))
		appendOK(t, a, confirmable("2", time.Minute, &eventlog.RouteWithdrawn{RouteID: route(1).RouteID}))
		for i, e := range between {
			appendOK(t, a, request("b"+id(i), e))
		}
		c.advance(time.Minute)
		if n := keeperOf(a, c).Step(testContext(t)); n != 1 {
			t.Fatal("not done")
		}
		if _, there := a.State().Route(route(1).RouteID); there {
			t.Errorf("%s: it is back", name)
		}
	}
}

// TestScheduledLifetimeCountsFromWhenItIsMade: also where it is made late.
func TestScheduledLifetimeCountsFromWhenItIsMade(t *testing.T) {
	c := newClock()
	a := open(t, newLog(), Options{Now: c.Now})
	appendOK(t, a, request("1", put("k", "old")...))
	at := c.Now().Add(time.Hour)
	appendOK(t, a, request("2", &eventlog.TimerSet{Name: ScheduledTimer + "1", At: at.UnixMilli(), Events: append(put("k", "new"),
		&eventlog.TimerSet{Name: LifetimeTimer + "1", At: at.Add(time.Minute).UnixMilli(), Undo: true},
		&eventlog.ConfirmationOpened{Deadline: at.Add(2 * time.Minute).UnixMilli()})}))
	k := keeperOf(a, c)
	c.advance(3 * time.Hour) // nobody led meanwhile
	if n := k.Step(testContext(t)); n != 1 || keyOf(t, a, "k") != "new" {
		t.Fatalf("%d done, k is %q", n, keyOf(t, a, "k"))
	}
	c.advance(59 * time.Second)
	if n := k.Step(testContext(t)); n != 0 || keyOf(t, a, "k") != "new" {
		t.Fatalf("%d done too early, k is %q", n, keyOf(t, a, "k"))
	}
	c.advance(time.Second)
	if n := k.Step(testContext(t)); n != 1 || keyOf(t, a, "k") != "old" {
		t.Fatalf("%d done, k is %q", n, keyOf(t, a, "k"))
	}
	c.advance(time.Minute)
	k.Step(testContext(t))
	if left := len(a.State().Agenda()); left != 0 || keyOf(t, a, "k") != "old" {
		t.Errorf("%d left, k is %q", left, keyOf(t, a, "k"))
	}
	sameAsLog(t, a)
}

// TestScheduledForWhatIsUnchanged: a timer whose events rest on what there was
// fails, saying why, where somebody changed that.
func TestScheduledForWhatIsUnchanged(t *testing.T) {
	for name, x := range map[string]struct {
		meanwhile []eventlog.Event
		k, cause  string
	}{
		"nothing happened":    {put("other", "x"), "back", ""},
		"the key was changed": {put("k", "others"), "others", "key.put of k, changed by commit 3"},
		"the route was there": {[]eventlog.Event{route(1)}, "", "route.withdrawn"},
		"somebody did it":     {put("k", "back"), "back", ""},
	} {
		c := newClock()
		a := open(t, newLog(), Options{Now: c.Now})
		appendOK(t, a, request("1", &eventlog.TimerSet{Name: ScheduledTimer + "1", At: c.Now().Add(time.Hour).UnixMilli(), Unchanged: true,
			Events: append(put("k", "back"), &eventlog.RouteWithdrawn{RouteID: route(1).RouteID})}))
		appendOK(t, a, request("2", x.meanwhile...))
		c.advance(time.Hour)
		if n := keeperOf(a, c).Step(testContext(t)); n != 1 {
			t.Fatalf("%s: %d done", name, n)
		}
		cause := ""
		everyEvent(t, a.log, func(_ *eventlog.Commit, e eventlog.Event) {
			if f, ok := e.(*eventlog.TimerFailed); ok {
				cause = f.Cause
			}
		})
		if keyOf(t, a, "k") != x.k || !strings.Contains(cause, x.cause) || (cause == "") != (x.cause == "") {
			t.Errorf("%s: k is %q, cause %q", name, keyOf(t, a, "k"), cause)
		}
		sameAsLog(t, a)
	}
}
