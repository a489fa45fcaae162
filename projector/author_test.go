package projector

import (
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"dvr/eventlog"
	"dvr/projector/internal/reference"
)

// TestRoutesOfAnActorAreCounted: those that it changed last since a guard named
// it, whatever happens to them, to guards, and between.
func TestRoutesOfAnActorAreCounted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		model := reference.New()
		f := NewFold("log")
		since := map[string]eventlog.Revision{} // that the actor is named; absent: it is not
		by := map[eventlog.Revision]string{}
		for i := range rapid.IntRange(1, 25).Draw(t, "commits") {
			r := eventlog.Revision(i + 1)
			c := commit(r)
			c.Actor = rapid.SampledFrom([]string{"alice", "bob", "carol"}).Draw(t, "actor")
			by[r] = c.Actor
			actor := rapid.SampledFrom([]string{"alice", "bob"}).Draw(t, "guarded")
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 0:
				c.Events = []eventlog.Event{&eventlog.GuardSet{Name: "of-" + actor, Type: eventlog.GuardMaxRoutes, Actor: actor, Limit: 5}}
				if _, named := since[actor]; !named {
					since[actor] = r
				}
			case 1:
				c.Events = []eventlog.Event{&eventlog.GuardRemoved{Name: "of-" + actor}}
				delete(since, actor)
			default:
				for range rapid.IntRange(1, 4).Draw(t, "events") {
					e := reference.World{}.Event(model).Draw(t, "event")
					model.Apply(e)
					c.Events = append(c.Events, e)
				}
				c.Events = distinctOf(c.Events)
			}
			mustApplyRapid(t, f, c)
			switch rapid.IntRange(0, 2).Draw(t, "between") {
			case 1:
				f = reloaded(t, f.State())
			case 2:
				over := f.State().Overlay()
				next := *c
				next.Revision++
				mustApplyRapid(t, over, &next)
			}
			s := f.State()
			for _, actor := range []string{"alice", "bob", "carol"} {
				want := 0
				for d := range s.Destinations(netip.Prefix{}, netip.Prefix{}) {
					for _, x := range d.Candidates {
						if from, named := since[actor]; named && x.Revision > from && by[x.Revision] == actor {
							want++
						}
					}
				}
				if got := s.RoutesOf(actor); got != want {
					t.Fatalf("revision %d: %s has %d, want %d", r, actor, got, want)
				}
			}
			if a, b := stateBytes(t, s), stateBytes(t, reloaded(t, s).State()); string(a) != string(b) {
				t.Fatalf("saved\n%s\nthen\n%s", a, b)
			}
		}
	})
}

// TestLimitOfAnActorsRoutes: its own count, not those of all.
func TestLimitOfAnActorsRoutes(t *testing.T) {
	f := NewFold("log")
	by := func(actor string, events ...eventlog.Event) *eventlog.Commit {
		c := commit(f.State().Position().Revision+1, events...)
		c.Actor = actor
		return c
	}
	routes := func(from, to int) (out []eventlog.Event) {
		for i := from; i < to; i++ {
			out = append(out, announcing(fmt.Sprintf("10.%d.0.0/16", i), "192.0.2.1"))
		}
		return out
	}
	gone := func(events []eventlog.Event) (out []eventlog.Event) {
		for _, e := range events {
			out = append(out, Removal(e))
		}
		return out
	}
	mustApply(t, f, by("bob", routes(0, 20)...))
	mustApply(t, f, by("root", &eventlog.GuardSet{Name: "g", Type: eventlog.GuardMaxRoutes, Actor: "alice", Limit: 5}))
	mustApply(t, f, by("alice", routes(100, 104)...))
	for _, x := range []struct {
		name   string
		change *eventlog.Commit
		over   string
	}{
		{"one more", by("alice", routes(104, 105)...), ""},
		{"two more", by("alice", routes(104, 106)...), "6 routes of alice would be more than 5"},
		{"two that she takes over", by("alice", routes(0, 2)...), "6 routes of alice would be more than 5"},
		{"her own again", by("alice", routes(100, 104)...), ""},
		{"some others for some", by("alice", append(gone(routes(100, 102)), routes(104, 107)...)...), ""},
		{"withdrawing those of others does not help", by("alice", append(gone(routes(0, 2)), routes(104, 106)...)...), "6 routes of alice"},
		{"somebody else", by("bob", routes(104, 120)...), ""},
	} {
		s := f.State()
		got := s.Policy().Breaches(s, x.change, nil)
		if (len(got) > 0) != (x.over != "") || len(got) > 0 && got[0].Text[:len(x.over)] != x.over {
			t.Errorf("%s: %+v, want %q", x.name, got, x.over)
		}
	}
}
