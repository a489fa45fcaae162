package service

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"dvr/controller/appender"
	"dvr/eventlog"
)

// TestChangesTravel: every operation and plain events arrive as they were sent.
func TestChangesTravel(t *testing.T) {
	p := netip.MustParsePrefix("10.1.0.0/16")
	r := &eventlog.RouteAnnounced{RouteID: eventlog.RouteID{Router: "*", Origin: "static", Destination: p, NextHop: netip.MustParseAddr("192.0.2.1")}, Metric: 7, Preference: 1, Weight: 1}
	link := eventlog.LinkID{A: "r1", B: "r2", Name: "x"}
	d := demand{IfMatch: Precondition{Tags: []Tag{{1, 5}, {2, 9}}}, IfNoneMatch: Precondition{Any: true}}
	ops := []Operation{
		nil,
		&putDestination{d, eventOf[*eventlog.RouteAnnounced]{r}},
		&putDestination{demand{IfMatch: Precondition{Tags: []Tag{}}}, eventOf[*eventlog.RouteAnnounced]{r}},
		&replaceDestination{d, "r1", p, []eventOf[*eventlog.RouteAnnounced]{{r}}},
		&deleteDestination{d, p, RouteFilter{Router: "r1", NextHop: netip.MustParseAddr("2001:db8::1")}, true},
		&deleteDestination{demand{}, p, RouteFilter{}, false},
		&putRouter{d, eventOf[*eventlog.RouterSet]{&eventlog.RouterSet{Router: "r1", Description: "a \"b\""}}},
		&removeRouter{d, "r1"},
		&setDrain{d, "r1", eventlog.DrainSoft},
		&putLink{demand{}, eventOf[*eventlog.LinkSet]{&eventlog.LinkSet{LinkID: link, CostAB: 1, CostBA: 2}}},
		&removeLink{d, link},
		&setLinkState{d, link, true},
		&putKey{d, eventOf[*eventlog.KeyPut]{&eventlog.KeyPut{Key: "a/\u00fc", Value: "v\n"}}},
		&deleteKey{d, "a b"},
		&confirmCommit{7},
		&removeItem{eventOf[eventlog.Event]{&eventlog.GuardRemoved{Name: "g"}}},
		&useToken{"k7", "n4", 5},
		&endTokens{"n4"},
		&approveProposal{"proposal-1"},
		&timed{Inner: namedOperation{&removeLink{d, link}}, schedule: schedule{Timer: "at-1", At: 5, Ends: 9, Until: "until-2", Within: time.Minute, Proposer: "alice", Unchanged: true}},
		&timed{Inner: namedOperation{&deleteKey{d, "a b"}}, schedule: schedule{Timer: "until-1", At: 5}, Lifetime: true},
		&computed{[]eventOf[eventlog.Event]{{&eventlog.KeyDeleted{Key: "k"}}}, &appender.Basis{Revision: 3, Present: []byte{1}}},
	}
	kinds := map[string]bool{}
	var reader ChangeReader
	for i, op := range ops {
		want := Change{Actor: "a", Caller: Caller{Credential: []string{"", "dvr_a_b"}[i%2], For: []string{"", "carol"}[i%2]}, Source: "192.0.2.9", Reason: "wei\u00df", ID: fmt.Sprint("id", i), Generated: i%2 == 0, Operation: op}
		if i%3 > 0 {
			want.Request = eventlog.RequestHash{1, 2, byte(i)}
		}
		if i%4 == 0 {
			want.Force, want.ConfirmWithin, want.Reverts = true, time.Minute, []eventlog.Revision{4, 5}
			want.Basis = &appender.Basis{Revision: 9, Present: []byte{3}}
		}
		if i%5 == 0 {
			want.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		}
		if op == nil {
			want.Events = []eventlog.Event{r, &eventlog.RouteWithdrawn{RouteID: r.RouteID}}
		} else {
			kinds[op.Kind()] = true
		}
		raw, err := AppendChange(nil, &want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := reader.Read(raw)
		clear(raw)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v became %+v, %v", want, got, err)
		}
	}
	for kind, fresh := range operations {
		if !kinds[kind] || fresh().Kind() != kind {
			t.Errorf("operation %s: kind %s, tested %v", kind, fresh().Kind(), kinds[kind])
		}
	}
	if _, err := reader.Read([]byte{wireOperation, 1, 'x', 0, 0, 0, 3, 'n', 'e', 'w'}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an unknown operation: %v", err)
	}
	for n := range 12 {
		if _, err := reader.Read([]byte{0, 2, 'i', 'd', 1, 'a', 200, 1, 0, 0, 0, 0}[:n]); err == nil {
			t.Errorf("%d bytes are read", n)
		}
	}
}

// TestErrorsTravel: a refusal is the same sentinel with the same text there.
func TestErrorsTravel(t *testing.T) {
	for _, want := range []error{
		ErrNotFound, ErrUnknownRouter, ErrPrecondition, ErrConflict, ErrNoDataPlane, ErrIDReused, ErrOverloaded, ErrUnavailable,
		ErrOutcomeUnknown, ErrGone, ErrBehind, ErrTooLarge, eventlog.ErrNoSpace, appender.ErrReserved, appender.ErrFault, ErrKeyQuota, ErrGuarded,
	} {
		wrapped := fmt.Errorf("about something: %w", want)
		got := ReadError(AppendError(nil, wrapped))
		if !errors.Is(got, want) || got.Error() != wrapped.Error() {
			t.Errorf("%v became %v", wrapped, got)
		}
	}
	if got := ReadError(AppendError(nil, errors.New("new"))); got.Error() != "new" || errors.Unwrap(got) != nil {
		t.Errorf("another error: %v", got)
	}
	if ReadError(nil) == nil || ReadError([]byte{1, 9}) == nil {
		t.Error("no error from nothing")
	}
}
