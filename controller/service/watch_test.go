package service

import (
	"net/netip"
	"testing"

	"dvr/eventlog"
)

// TestWatchedCommits: where a router or a range is named, commits that have nothing
// to do with it are not told, whatever kinds are watched beside.
func TestWatchedCommits(t *testing.T) {
	route := func(router eventlog.RouterID, destination string) eventlog.Event {
		return &eventlog.RouteAnnounced{RouteID: eventlog.RouteID{Router: router, Destination: netip.MustParsePrefix(destination)}}
	}
	link := &eventlog.LinkSet{LinkID: eventlog.LinkID{A: "r1", B: "r2"}}
	within := netip.MustParsePrefix("10.0.0.0/8")
	for i, c := range []struct {
		query  WatchQuery
		events []eventlog.Event
		want   bool
	}{
		{WatchQuery{Commits: true}, []eventlog.Event{&eventlog.KeyPut{Key: "k"}}, true},
		{WatchQuery{Commits: true}, nil, true},
		{WatchQuery{Commits: true, Keys: true, Router: "r1"}, []eventlog.Event{&eventlog.KeyPut{Key: "k"}}, false},
		{WatchQuery{Commits: true, Router: "r1"}, []eventlog.Event{&eventlog.KeyPut{Key: "k"}, link}, true},
		{WatchQuery{Commits: true, Router: "r3"}, []eventlog.Event{link}, false},
		{WatchQuery{Commits: true, Router: "r3"}, []eventlog.Event{route("*", "11.0.0.0/8")}, true},
		{WatchQuery{Commits: true, Router: "r3"}, []eventlog.Event{route("r1", "11.0.0.0/8")}, false},
		{WatchQuery{Commits: true, Within: within}, []eventlog.Event{route("r1", "10.1.0.0/16")}, true},
		{WatchQuery{Commits: true, Within: within}, []eventlog.Event{route("r1", "11.0.0.0/8"), link}, false},
	} {
		if got := c.query.Concerns(c.events); got != c.want {
			t.Errorf("%d: %v", i, got)
		}
	}
}
