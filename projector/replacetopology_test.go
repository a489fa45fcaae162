package projector

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"dvr/eventlog"
)

// exported is the declared topology, an event a line.
func exported(s *State) (out []string) {
	for r := range s.Routers() {
		if r.Declared {
			out = append(out, string(eventlog.AppendEvent(nil, &r.RouterSet)))
		}
	}
	for l := range s.Links() {
		out = append(out, string(eventlog.AppendEvent(nil, &l.LinkSet)))
	}
	return out
}

// drawTopology is any topology of a few routers.
func drawTopology(t *rapid.T, tag string) (out Topology) {
	names := []eventlog.RouterID{"a", "b", "c", "d", "e"}
	var tags []string
	if tag != "" {
		tags = []string{tag}
	}
	for _, r := range names {
		if rapid.Bool().Draw(t, "declared") {
			out.Routers = append(out.Routers, &eventlog.RouterSet{Router: r, Tags: tags, Description: fmt.Sprint(rapid.IntRange(0, 1).Draw(t, "description"))})
		}
	}
	for i, a := range names {
		for _, b := range names[i+1:] {
			for range rapid.IntRange(0, 2).Draw(t, "parallel") {
				cost := uint32(rapid.IntRange(1, 2).Draw(t, "cost"))
				l := &eventlog.LinkSet{LinkID: eventlog.LinkID{A: a, B: b, Name: fmt.Sprint(cost)}, CostAB: cost, CostBA: uint32(rapid.IntRange(1, 2).Draw(t, "back")), Tags: tags}
				if !slices.ContainsFunc(out.Links, func(o *eventlog.LinkSet) bool { return o.LinkID == l.LinkID }) {
					out.Links = append(out.Links, l)
				}
			}
		}
	}
	return out
}

// Whatever was there, what is desired is there afterwards, and nothing else of the
// scope; what is there already is not touched; and a link goes before its routers.
func TestReplacedTopologies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first, desired := drawTopology(t, rapid.SampledFrom([]string{"", "x"}).Draw(t, "tag")), drawTopology(t, "x")
		s := NewFold("log").State()
		commit := func(events []eventlog.Event) {
			next, err := s.Try(&eventlog.Commit{Time: 1, Actor: "a", ID: "i", Events: events})
			if err != nil {
				t.Fatal(err)
			}
			s = next
		}
		commit(s.ReplaceTopology(first, nil, nil))
		before := exported(s)
		var routers func(*eventlog.RouterSet) bool
		var links func(*eventlog.LinkSet) bool
		scoped := rapid.Bool().Draw(t, "scoped")
		if scoped {
			routers = func(r *eventlog.RouterSet) bool { return slices.Contains(r.Tags, "x") }
			links = func(l *eventlog.LinkSet) bool { return slices.Contains(l.Tags, "x") }
		}
		events := s.ReplaceTopology(desired, routers, links)
		removing := true
		for i, e := range events {
			switch e.(type) {
			case *eventlog.RouterSet, *eventlog.LinkSet:
				removing = false
				if slices.Contains(before, string(eventlog.AppendEvent(nil, e))) {
					t.Fatalf("%s is there already", eventlog.AppendEvent(nil, e))
				}
			case *eventlog.LinkRemoved:
				for _, earlier := range events[:i] {
					if _, router := earlier.(*eventlog.RouterRemoved); router {
						t.Fatal("a router goes before a link")
					}
				}
			}
			if _, set := e.(*eventlog.RouterRemoved); set && !removing {
				t.Fatal("something is set before all is removed")
			}
		}
		commit(events)
		want := map[string]bool{}
		named := map[string]bool{} // identities that are desired
		for _, r := range desired.Routers {
			want[string(eventlog.AppendEvent(nil, r))], named["router "+string(r.Router)] = true, true
		}
		for _, l := range desired.Links {
			want[string(eventlog.AppendEvent(nil, l))], named[fmt.Sprint("link ", l.LinkID)] = true, true
		}
		for _, r := range first.Routers {
			if scoped && !routers(r) && !named["router "+string(r.Router)] {
				want[string(eventlog.AppendEvent(nil, r))] = true
			}
		}
		for _, l := range first.Links {
			if scoped && !links(l) && !named[fmt.Sprint("link ", l.LinkID)] {
				want[string(eventlog.AppendEvent(nil, l))] = true
			}
		}
		got := exported(s)
		for _, line := range got {
			if !want[line] {
				t.Fatalf("%s is too much", line)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%v, want %v", got, want)
		}
		if again := s.ReplaceTopology(desired, routers, links); len(again) != 0 {
			t.Fatalf("again: %d events", len(again))
		}
	})
}
