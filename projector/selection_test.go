package projector

import (
	"math"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"dvr/eventlog"
	"dvr/projector/internal/reference"
)

// Select and Skip against Destinations, with filters that admit none, some and all.
func TestSelections(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, _ := drawBase(t)
		optional := func(label string) netip.Prefix {
			if rapid.Bool().Draw(t, label) {
				return reference.Prefixes().Draw(t, label)
			}
			return netip.Prefix{}
		}
		within, after := optional("within"), optional("after")
		all := func(*eventlog.RouteAnnounced) bool { return true }
		admits := rapid.SampledFrom([]func(*eventlog.RouteAnnounced) bool{
			nil, all,
			func(r *eventlog.RouteAnnounced) bool { return r.Router == eventlog.AllRouters },
			func(r *eventlog.RouteAnnounced) bool { return r.Metric%2 == 0 },
			func(*eventlog.RouteAnnounced) bool { return false },
		}).Draw(t, "filter")
		model := admits
		if model == nil {
			model = all
		}
		var want []netip.Prefix // with an admitted candidate
		n := rapid.IntRange(0, 12).Draw(t, "n")
		wantLast, wantSkipped, passing := after, 0, true
		for d := range s.Destinations(within, after) {
			k := 0
			for i := range d.Candidates {
				if model(&d.Candidates[i].RouteAnnounced) {
					k++
				}
			}
			if k > 0 {
				want = append(want, d.Prefix)
			}
			if passing = passing && wantSkipped+k <= n; passing {
				wantLast, wantSkipped = d.Prefix, wantSkipped+k
			}
		}
		var got []netip.Prefix
		for d := range s.Select(within, after, admits) {
			got = append(got, d.Prefix)
			if full, _ := s.Destination(d.Prefix); len(full.Candidates) != len(d.Candidates) {
				t.Fatalf("%v: %d of %d candidates", d.Prefix, len(d.Candidates), len(full.Candidates))
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("selected %v, want %v", got, want)
		}
		if last, skipped := s.Skip(within, after, n, admits); last != wantLast || skipped != wantSkipped {
			t.Fatalf("skipped %d to %v, want %d to %v", skipped, last, wantSkipped, wantLast)
		}
		if _, skipped := s.Skip(within, after, math.MaxInt, admits); within == (netip.Prefix{}) && after == (netip.Prefix{}) && admits == nil && skipped != s.Stats().Routes {
			t.Fatalf("%d routes, want %d", skipped, s.Stats().Routes)
		}
	})
}

// BenchmarkSkip passes over the first half of a million destinations.
func BenchmarkSkip(b *testing.B) {
	f := NewFold("log")
	mustApply(b, f, importCommits(table(1_000_000), 64, 1, 1)...)
	s := f.State()
	hop := netip.AddrFrom4([4]byte{192, 0, 2, 7})
	for name, admits := range map[string]func(*eventlog.RouteAnnounced) bool{
		"all": nil, "one next hop of 64": func(r *eventlog.RouteAnnounced) bool { return r.NextHop == hop },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Skip(netip.Prefix{}, netip.Prefix{}, 500_000, admits)
			}
		})
	}
}
