package appender

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

func operator(actor string, prefixes ...string) *eventlog.RoleSet {
	g := eventlog.Grant{Role: projector.RoleOperator}
	for _, p := range prefixes {
		g.Prefixes = append(g.Prefixes, netip.MustParsePrefix(p))
	}
	return &eventlog.RoleSet{Actor: actor, Grants: []eventlog.Grant{g}}
}

func token(id, actor string) *eventlog.TokenSet {
	return &eventlog.TokenSet{ID: id, Actor: actor, SHA256: [32]byte{1, byte(len(id))}}
}

var rootRole = &eventlog.RoleSet{Actor: "root", Grants: []eventlog.Grant{{Role: projector.RoleAdmin}}}

func principal(actor, token string) *projector.Principal {
	return &projector.Principal{Actor: actor, Via: []string{"token:" + token}}
}

// by is a request of somebody who came with a token.
func by(actor, token string, events ...eventlog.Event) Request {
	return Request{Outside: true, Principal: principal(actor, token), Actor: actor, Events: events}
}

// guarded is an appender with authorization in force.
func guarded(t *testing.T, clock *clock, more ...eventlog.Event) *Appender {
	t.Helper()
	a := open(t, newLog(), Options{Now: clock.Now})
	events := append([]eventlog.Event{rootRole, token("rt", "root"), &eventlog.AuthEnabled{}}, more...)
	if _, err := a.Append(testContext(t), request("init", events...)); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestAuthorize: what is stored is what its principal may do at that revision.
func TestAuthorize(t *testing.T) {
	c := newClock()
	expiring := token("exp", "alice")
	expiring.Expires = c.Now().UnixMilli() + 5000
	join := token("join", "root")
	join.Join = true
	a := guarded(t, c, operator("alice", "10.0.0.0/8"), token("al", "alice"), expiring, join, token("viewer", "vera"),
		&eventlog.RoleSet{Actor: "vera", Grants: []eventlog.Grant{{Role: projector.RoleViewer}}})
	ctx := testContext(t)
	outside := route(1)
	outside.Destination = netip.MustParsePrefix("0.0.0.0/0")
	prepared := by("alice", "al")
	prepared.Prepare = func(*projector.State) ([]eventlog.Event, error) { return []eventlog.Event{outside}, nil }
	forged := by("root", "al", route(1)) // alice's token, another's name
	large := by("alice", "al")
	for i := range eventlog.MaxCommitEvents + 10 {
		large.Events = append(large.Events, route(i))
	}
	escaping := large
	escaping.Events = append(append([]eventlog.Event(nil), large.Events...), outside)
	system := Request{Outside: true, Actor: "system", Events: []eventlog.Event{&eventlog.NextHopObserved{Router: "r1", NextHop: netip.MustParseAddr("192.0.2.1"), State: eventlog.ObservedUp}}}
	lying := Request{Outside: true, Actor: "system", Events: put("k", "v")}
	oidc := Request{Outside: true, Actor: "oidc:bob", Principal: &projector.Principal{Actor: "oidc:bob", Via: []string{"group:ops"}}, Events: put("k", "v")}
	nothing := by("vera", "viewer")
	nothing.ID = "remembered"
	confirmed := by("root", "rt", token("new1", "x"))
	confirmed.ConfirmWithin = 1e9
	for _, x := range []struct {
		what string
		r    Request
		want error
	}{
		{"in scope", by("alice", "al", route(1)), nil},
		{"out of scope", by("alice", "al", outside), ErrForbidden},
		{"half in scope", by("alice", "al", route(2), outside), ErrForbidden},
		{"decided at the head", prepared, ErrForbidden},
		{"large", large, nil},
		{"large, one out of scope", escaping, ErrForbidden},
		{"a role for herself", by("alice", "al", operator("alice")), ErrForbidden},
		{"a token for root", by("alice", "al", token("evil", "root")), ErrForbidden},
		{"a viewer", by("vera", "viewer", route(1)), ErrForbidden},
		{"a viewer, nothing", nothing, ErrForbidden},
		{"another's token", forged, ErrUnauthenticated},
		{"no such token", by("alice", "none", route(1)), ErrUnauthenticated},
		{"a join token", by("root", "join", route(1)), ErrUnauthenticated},
		{"nobody", Request{Outside: true, Actor: "root", Events: put("k", "v")}, ErrUnauthenticated},
		{"a data plane", system, nil},
		{"more than observed", lying, ErrUnauthenticated},
		{"a group without roles", oidc, ErrForbidden},
		{"admin", by("root", "rt", &eventlog.RoleSet{Actor: "group:ops", Grants: operator("x").Grants}), nil},
		{"a group", oidc, nil},
		{"the last admin", by("root", "rt", &eventlog.RoleRemoved{Actor: "root"}), ErrConflict},
		{"the last admin's scope", by("root", "rt", operator("root")), ErrConflict},
		{"an id twice", by("root", "rt", token("al", "root")), ErrConflict},
		{"an id again as it is", by("root", "rt", token("al", "alice")), nil},
		{"in time", by("alice", "exp", route(3)), nil},
		{"the clock goes on", Request{Prepare: func(*projector.State) ([]eventlog.Event, error) { c.advance(5e9); return nil, nil }, Actor: "system"}, nil},
		{"too late", by("alice", "exp", route(4)), ErrUnauthenticated},
	} {
		_, err := a.Append(ctx, x.r)
		if x.want == nil && err != nil || x.want != nil && !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", x.what, err, x.want)
		}
		if x.r.Prepare == nil && x.want != ErrConflict && x.what != "nobody" && x.what != "large" && x.what != "a viewer, nothing" && len(x.r.Events) <= eventlog.MaxCommitEvents {
			if _, tried := a.Try(x.r); (tried == nil) != (err == nil || x.what == "an id twice") {
				t.Errorf("%s: a preview says %v", x.what, tried)
			}
		}
	}
	var f *eventlog.FieldError
	for what, r := range map[string]Request{
		"confirmed":     confirmed,
		"a bad role":    by("root", "rt", &eventlog.RoleSet{Actor: "x", Grants: []eventlog.Grant{{Role: "owner"}}}),
		"a timed role":  by("root", "rt", &eventlog.TimerSet{Name: "at-1", At: 1 << 41, Events: []eventlog.Event{operator("x")}}),
		"with lifetime": by("root", "rt", operator("x"), &eventlog.TimerSet{Name: "until-1", At: 1 << 41, Events: put("k", "v")}),
	} {
		if _, err := a.Append(ctx, r); !errors.As(err, &f) {
			t.Errorf("%s: %v", what, err)
		}
	}
	sameAsLog(t, a)
}

// TestLastAdminToken: the last token of an admin is revoked by force alone, which is
// in the log, or by who needs none.
func TestLastAdminToken(t *testing.T) {
	a := guarded(t, newClock(), token("rt2", "root"))
	ctx := testContext(t)
	remove := func(with, id string) Request { return by("root", with, &eventlog.TokenRemoved{ID: id}) }
	if _, err := a.Append(ctx, remove("rt", "rt2")); err != nil {
		t.Fatalf("one of two: %v", err)
	}
	var g *GuardError
	last := remove("rt", "rt")
	if _, err := a.Append(ctx, last); !errors.As(err, &g) || !strings.Contains(err.Error(), "rt is the last token") || !strings.Contains(err.Error(), "--force") {
		t.Fatalf("the last one: %v", err)
	}
	if _, err := a.Try(last); !errors.As(err, &g) {
		t.Errorf("a preview: %v", err)
	}
	replaced := by("root", "rt", &eventlog.TokenRemoved{ID: "rt"}, token("rt3", "root"))
	if _, err := a.Append(ctx, replaced); err != nil {
		t.Errorf("replaced by another: %v", err)
	}
	certified := Request{Outside: true, Actor: "root", Principal: &projector.Principal{Actor: "root", Via: []string{"certificate"}}, Events: []eventlog.Event{&eventlog.TokenRemoved{ID: "rt3"}}}
	if trial, err := a.Try(certified); err != nil || len(trial.Commit.Forced) != 0 {
		t.Errorf("by who needs no token: %+v, %v", trial, err)
	}
	forced := remove("rt3", "rt3")
	forced.Force, forced.Reason = true, "the identity provider does it"
	if trial, err := a.Try(forced); err != nil || !slices.Equal(trial.Commit.Forced, []string{lastToken}) {
		t.Errorf("by force, previewed: %+v, %v", trial, err)
	}
	if _, err := a.Append(ctx, forced); err != nil {
		t.Errorf("by force: %v", err)
	}
	if n := a.State().Access().Tokens(); n != 0 {
		t.Errorf("%d tokens are left", n)
	}
	sameAsLog(t, a)
}

// TestRevokedAtOnce: a change that is behind the revocation in the same batch is
// refused, and a repetition of what was stored is not told either.
func TestRevokedAtOnce(t *testing.T) {
	a := guarded(t, newClock(), operator("alice"), token("al", "alice"))
	ctx := testContext(t)
	first := by("alice", "al", route(1))
	first.ID = "same"
	if _, err := a.Append(ctx, first); err != nil {
		t.Fatal(err)
	}
	if r, err := a.Append(ctx, first); err != nil || !r.Replayed {
		t.Fatalf("%+v, %v", r, err)
	}
	var waits []*Pending
	for _, r := range []Request{by("alice", "al", route(2)), by("root", "rt", &eventlog.TokenRemoved{ID: "al"}), by("alice", "al", route(3)), first} {
		p, err := a.Submit(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		waits = append(waits, p)
	}
	for i, p := range waits {
		_, err := p.Wait(ctx)
		if i < 2 && err != nil || i >= 2 && !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("request %d: %v", i, err)
		}
	}
	if _, ok := a.State().Route(route(3).RouteID); ok {
		t.Error("a revoked token changed something")
	}
}

// TestReplayedDecisions: whatever was stored while authorization was in force is
// what Allow says of the replayed log, commit by commit.
func TestReplayedDecisions(t *testing.T) {
	a := guarded(t, newClock(), token("al", "alice"), token("bo", "bob"), operator("alice", "10.0.0.0/9"))
	ctx := testContext(t)
	rnd := rand.New(rand.NewPCG(7, 11))
	asked, stored := 0, 0
	for range 400 {
		var r Request
		switch rnd.IntN(6) {
		case 0:
			r = by("root", "rt", operator([]string{"alice", "bob"}[rnd.IntN(2)], []string{"10.0.0.0/9", "10.128.0.0/9", "10.0.0.0/8"}[rnd.IntN(3)]))
		case 1:
			r = by("root", "rt", &eventlog.RoleRemoved{Actor: []string{"alice", "bob"}[rnd.IntN(2)]})
		default:
			who := [][2]string{{"alice", "al"}, {"bob", "bo"}, {"root", "rt"}}[rnd.IntN(3)]
			r = by(who[0], who[1], route(rnd.IntN(1<<24)))
		}
		asked++
		if _, err := a.Append(ctx, r); err == nil {
			stored++
		} else if !errors.Is(err, ErrForbidden) {
			t.Fatal(err)
		}
	}
	if stored == asked || stored < asked/4 {
		t.Fatalf("%d of %d were stored: the test shows nothing", stored, asked)
	}
	fold, checked := projector.NewFold(testLog), 0
	err := a.log.Read(ctx, 0, func(b *eventlog.Batch) error {
		for i := range b.Commits {
			c := &b.Commits[i]
			s := fold.State()
			if p := projector.PrincipalOf(c); s.Access().Enabled() {
				checked++
				if err := s.Access().Allow(s, &p, c.Events); err != nil {
					return fmt.Errorf("revision %d: %w", c.Revision, err)
				}
				if !s.Access().Holds(&p, c.Time) {
					return fmt.Errorf("revision %d: %v is not valid", c.Revision, p.Via)
				}
			}
			if err := fold.Apply(c, eventlog.Hash{}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || checked != stored {
		t.Fatalf("%d checked, %d stored: %v", checked, stored, err)
	}
}

// TestProposalLapses: what nobody approves in time is not done; what is forged is not taken.
func TestProposalLapses(t *testing.T) {
	c := newClock()
	a := open(t, newLog(), Options{Now: c.Now})
	ctx := testContext(t)
	at := c.Now().UnixMilli() + 5000
	set := &eventlog.TimerSet{Name: "proposal-1", At: at, Events: put("k", "v"), Proposer: "alice"}
	var f *eventlog.FieldError
	if _, err := a.Append(ctx, Request{Actor: "bob", Outside: true, Events: []eventlog.Event{set}}); !errors.As(err, &f) {
		t.Errorf("in another's name: %v", err)
	}
	if _, err := a.Append(ctx, Request{Actor: "alice", Outside: true, Events: []eventlog.Event{set}}); err != nil {
		t.Fatal(err)
	}
	fired := &eventlog.TimerFired{Name: "proposal-1"}
	for what, r := range map[string]Request{
		"her own":      {Actor: "alice", Outside: true, Events: append(put("k", "v"), fired)},
		"more":         {Actor: "bob", Outside: true, Events: append(put("k", "v"), fired, &eventlog.KeyPut{Key: "l", Value: "v"})},
		"no such":      {Actor: "bob", Outside: true, Events: append(put("k", "v"), &eventlog.TimerFired{Name: "proposal-2"})},
		"another":      {Actor: "bob", Outside: true, Events: append(put("k", "w"), fired)},
		"less than it": {Actor: "bob", Outside: true, Events: []eventlog.Event{fired}},
	} {
		if _, err := a.Append(ctx, r); !errors.Is(err, ErrForbidden) && !errors.Is(err, ErrConflict) {
			t.Errorf("%s: %v", what, err)
		}
	}
	k := NewTimekeeper(a, TimekeeperOptions{Now: c.Now})
	if n := k.Step(ctx); n != 0 {
		t.Errorf("%d done too early", n)
	}
	c.advance(6e9)
	if n := k.Step(ctx); n != 1 {
		t.Errorf("%d done", n)
	}
	if _, ok := a.State().Key("k"); ok {
		t.Error("what nobody approved was done")
	}
	if _, ok := a.State().Timer("proposal-1"); ok {
		t.Error("the proposal stays")
	}
}

// TestScheduledIsTheSchedulers: what somebody has scheduled is committed on their
// behalf, counts as theirs, and is judged by their rights of that moment.
func TestScheduledIsTheSchedulers(t *testing.T) {
	operatorOf := func(prefix string) []eventlog.Event { return []eventlog.Event{operator("alice", prefix)} }
	for name, x := range map[string]struct {
		meanwhile []eventlog.Event // by root
		cause     string           // why it fails; "": it is done
	}{
		"nothing happened":          {nil, ""},
		"no role any more":          {[]eventlog.Event{&eventlog.RoleRemoved{Actor: "alice"}}, "alice"},
		"another scope":             {operatorOf("172.16.0.0/12"), "alice"},
		"another scope, the routes": {operatorOf("10.0.0.0/8"), ""},
		"the token is revoked":      {[]eventlog.Event{&eventlog.TokenRemoved{ID: "at"}}, ""},
		"she has her fill":          {[]eventlog.Event{&eventlog.GuardSet{Name: "few", Type: eventlog.GuardMaxRoutes, Actor: "alice", Limit: 1}}, "routes of alice"},
		"another has":               {[]eventlog.Event{&eventlog.GuardSet{Name: "few", Type: eventlog.GuardMaxRoutes, Actor: "system", Limit: 1}}, ""},
	} {
		c := newClock()
		a := open(t, newLog(), Options{Now: c.Now})
		appendOK(t, a, request("1", rootRole, token("rt", "root"), operator("alice", "10.0.0.0/8"), token("at", "alice"), &eventlog.AuthEnabled{}))
		by := func(actor, token, id string, events ...eventlog.Event) {
			t.Helper()
			r := request(id, events...)
			r.Actor, r.Outside, r.Principal = actor, true, &projector.Principal{Actor: actor, Via: []string{"token:" + token}}
			appendOK(t, a, r)
		}
		by("alice", "at", "2", &eventlog.TimerSet{Name: ScheduledTimer + "1", At: c.Now().Add(time.Hour).UnixMilli(), Events: []eventlog.Event{route(1), route(2)}})
		if x.meanwhile != nil {
			by("root", "rt", "3", x.meanwhile...)
		}
		by("root", "rt", "4", &eventlog.GuardSet{Name: "counted", Type: eventlog.GuardMaxRoutes, Actor: "alice", Limit: 100})
		c.advance(time.Hour)
		if n := keeperOf(a, c).Step(testContext(t)); n != 1 {
			t.Fatalf("%s: %d done", name, n)
		}
		cause, made := "", false
		everyEvent(t, a.log, func(c *eventlog.Commit, e eventlog.Event) {
			switch e := e.(type) {
			case *eventlog.TimerFailed:
				cause = e.Cause
			case *eventlog.TimerFired:
				if made = true; c.Actor != "system" || c.For != "alice" {
					t.Errorf("%s: a commit of %s for %q", name, c.Actor, c.For)
				}
			}
		})
		if made != (x.cause == "") || !strings.Contains(cause, x.cause) {
			t.Errorf("%s: done: %v, cause %q", name, made, cause)
		}
		if got := a.State().RoutesOf("alice"); made && got != 2 {
			t.Errorf("%s: alice has %d routes", name, got)
		}
		sameAsLog(t, a)
	}
}

// TestScheduledByWhomTheLogForgot: it was allowed when it was asked for, and is done.
func TestScheduledByWhomTheLogForgot(t *testing.T) {
	c := newClock()
	log := newLog()
	a := open(t, log, Options{Now: c.Now})
	appendOK(t, a, request("1", rootRole, token("rt", "root"), operator("alice"), &eventlog.AuthEnabled{}))
	appendOK(t, a, request("2", &eventlog.TimerSet{Name: ScheduledTimer + "1", At: c.Now().Add(time.Hour).UnixMilli(), Events: put("k", "v")}))
	appendOK(t, a, request("3", &eventlog.RoleRemoved{Actor: "alice"}))
	s := a.State()
	if _, err := log.WriteSnapshot(testContext(t), Describe(s), s.Save); err != nil {
		t.Fatal(err)
	}
	if err := log.Truncate(testContext(t), s.Position().Revision+1); err != nil {
		t.Fatal(err)
	}
	c.advance(time.Hour)
	if n := keeperOf(a, c).Step(testContext(t)); n != 1 || keyOf(t, a, "k") != "v" {
		t.Errorf("%d done, k is %q", n, keyOf(t, a, "k"))
	}
}
