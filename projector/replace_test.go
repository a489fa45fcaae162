package projector

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"dvr/eventlog"
	"dvr/projector/internal/reference"
)

func TestReplaceMakesTheScopeWhatIsDesired(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base, _ := drawBase(t)
		var scope func(*eventlog.RouteAnnounced) bool
		if rapid.Bool().Draw(t, "scoped") {
			scope = func(r *eventlog.RouteAnnounced) bool { return r.Origin == "bgp" }
		}
		var lines []eventlog.Event
		want := map[eventlog.RouteID]string{}
		for d := range base.Destinations(netip.Prefix{}, netip.Prefix{}) {
			for i := range d.Candidates {
				r := d.Candidates[i].RouteAnnounced
				if scope != nil && !scope(&r) {
					want[r.RouteID] = text(&r)
				} else if rapid.Bool().Draw(t, "stays") {
					lines = append(lines, &r)
				}
			}
		}
		for range rapid.IntRange(0, 8).Draw(t, "more") {
			r := reference.World{}.Route().Draw(t, "route")
			if scope == nil || scope(r) {
				lines = append(lines, r)
			}
		}
		for _, e := range lines {
			r := e.(*eventlog.RouteAnnounced)
			want[r.RouteID] = text(r)
		}
		var desired []*eventlog.RouteAnnounced
		for _, e := range LatestRoutes(slices.Clone(lines)) {
			desired = append(desired, e.(*eventlog.RouteAnnounced))
		}
		events := base.Replace(desired, scope)
		for _, e := range events {
			if _, withdrawn := e.(*eventlog.RouteWithdrawn); sameItem(base.Item(e).Event, e) || withdrawn && base.Item(e).Event == nil {
				t.Fatalf("%s changes nothing", text(e))
			}
		}
		f := base.Overlay()
		mustApplyRapid(t, f, commit(base.Position().Revision+1, events...))
		got := map[eventlog.RouteID]string{}
		for d := range f.State().Destinations(netip.Prefix{}, netip.Prefix{}) {
			for i := range d.Candidates {
				got[d.Candidates[i].RouteID] = text(&d.Candidates[i].RouteAnnounced)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d routes, want %d", len(got), len(want))
		}
		for id, w := range want {
			if got[id] != w {
				t.Fatalf("%v is %s, want %s", id, got[id], w)
			}
		}
	})
}
