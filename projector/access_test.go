package projector

import (
	"crypto/sha256"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"dvr/eventlog"
)

func grant(role string, scope ...string) eventlog.Grant {
	g := eventlog.Grant{Role: role}
	for _, s := range scope {
		what, value, _ := strings.Cut(s, "=")
		switch what {
		case "prefix":
			g.Prefixes = append(g.Prefixes, netip.MustParsePrefix(value))
		case "router":
			g.Routers = append(g.Routers, eventlog.RouterID(value))
		case "tag":
			g.Tags = append(g.Tags, value)
		case "key":
			g.Keys = append(g.Keys, value)
		}
	}
	return g
}

// accessWorld is a state with what scopes are about.
func accessWorld(t *testing.T, events ...eventlog.Event) *State {
	t.Helper()
	f := NewFold("log")
	gold := accessRoute("r1", "10.1.0.0/16", "gold")
	timer := &eventlog.TimerSet{Name: "at-1", At: 1 << 40, Events: []eventlog.Event{accessRoute("r1", "10.5.0.0/16")}}
	for i, list := range [][]eventlog.Event{
		{gold, &eventlog.RouterSet{Router: "r1", Tags: []string{"gold"}}, &eventlog.LinkSet{LinkID: eventlog.LinkID{A: "r1", B: "r2"}, CostAB: 1, CostBA: 1}, timer,
			&eventlog.TimerSet{Name: "at-9", At: 1 << 40, Events: []eventlog.Event{&eventlog.GuardRemoved{Name: "g"}}}},
		{&eventlog.RouterSet{Router: "r2"}, accessRoute("r2", "11.0.0.0/8"), &eventlog.ConfirmationOpened{Deadline: 1 << 40}},
		{&eventlog.GuardSet{Name: "g", Type: "max_routes", Limit: 10}, &eventlog.ConfirmationOpened{Deadline: 1 << 40}},
		events,
	} {
		if err := f.Apply(&eventlog.Commit{Revision: eventlog.Revision(i + 1), Epoch: 1, ID: "c", Time: 1000, Actor: "x", Events: list}, eventlog.Hash{}); err != nil {
			t.Fatal(err)
		}
	}
	return f.State()
}

func accessRoute(router, prefix string, tags ...string) *eventlog.RouteAnnounced {
	return &eventlog.RouteAnnounced{
		RouteID: eventlog.RouteID{Router: eventlog.RouterID(router), Destination: netip.MustParsePrefix(prefix), NextHop: netip.MustParseAddr("192.0.2.1"), Origin: "static"},
		Tags:    tags, Preference: 1, Weight: 1,
	}
}

func withdrawn(r *eventlog.RouteAnnounced) eventlog.Event {
	return &eventlog.RouteWithdrawn{RouteID: r.RouteID}
}

// TestAllow is the table of who may do what.
func TestAllow(t *testing.T) {
	link := eventlog.LinkID{A: "r1", B: "r2"}
	timer := func(events ...eventlog.Event) eventlog.Event {
		return &eventlog.TimerSet{Name: "at-2", At: 1 << 40, Events: events}
	}
	admins := []eventlog.Event{
		&eventlog.RoleSet{Actor: "eve", Grants: []eventlog.Grant{grant("admin")}}, &eventlog.RoleRemoved{Actor: "a"}, &eventlog.TokenSet{ID: "x", Actor: "eve"},
		&eventlog.TokenRemoved{ID: "x"}, &eventlog.AuthEnabled{}, &eventlog.AuthDisabled{}, &eventlog.GuardSet{Name: "g"}, &eventlog.GuardRemoved{Name: "g"},
		timer(&eventlog.GuardRemoved{Name: "g"}),
		// What an admin scheduled, or has to confirm, is an admin's to end.
		&eventlog.TimerCancelled{Name: "at-9"}, &eventlog.TimerFired{Name: "at-9"}, &eventlog.TimerSet{Name: "at-9", At: 1 << 40, Events: []eventlog.Event{accessRoute("r1", "10.1.0.0/16")}},
		&eventlog.ConfirmationConfirmed{Revision: 3}, &eventlog.ConfirmationUndone{Revision: 3},
	}
	systems := []eventlog.Event{&eventlog.LevelRaised{Level: 9}, &eventlog.ClockStepped{}, &eventlog.EpochStarted{}, &eventlog.ConfirmationUndone{Revision: 9}, &eventlog.TimerFailed{Name: "at-1"}}
	everything := []eventlog.Event{
		accessRoute("r1", "10.1.0.0/16"), accessRoute("*", "0.0.0.0/0"), withdrawn(accessRoute("r2", "11.0.0.0/8")), &eventlog.RouterSet{Router: "r9"}, &eventlog.RouterRemoved{Router: "r1"},
		&eventlog.LinkSet{LinkID: link}, &eventlog.LinkRemoved{LinkID: link}, &eventlog.LinkObserved{LinkID: link, Router: "r1"}, &eventlog.KeyPut{Key: "k"}, &eventlog.KeyDeleted{Key: "k"},
		&eventlog.FreezeSet{Name: "f"}, &eventlog.FreezeRemoved{Name: "f"}, timer(accessRoute("r1", "0.0.0.0/0")), &eventlog.TimerCancelled{Name: "at-1"}, &eventlog.ConfirmationConfirmed{Revision: 2}, &eventlog.ConfirmationUndone{Revision: 2},
	}
	for name, c := range map[string]struct {
		grants  []eventlog.Grant
		may     []eventlog.Event
		mayNot  []eventlog.Event
		anyRank Rank
	}{
		"nobody":       {nil, nil, append(append(everything, admins...), systems...), RankNone},
		"unknown role": {[]eventlog.Grant{grant("root")}, nil, append(everything, admins...), RankNone},
		"viewer":       {[]eventlog.Grant{grant("viewer")}, nil, append(append(everything, admins...), systems...), RankViewer},
		"operator":     {[]eventlog.Grant{grant("operator")}, everything, append(admins, systems...), RankOperator},
		"admin":        {[]eventlog.Grant{grant("admin")}, append(everything, admins...), systems, RankAdmin},
		"admin of a scope": {[]eventlog.Grant{grant("admin", "prefix=10.0.0.0/8")},
			[]eventlog.Event{accessRoute("r1", "10.9.0.0/16")}, append(append(admins, systems...), accessRoute("r1", "0.0.0.0/0")), RankAdmin},
		"prefix": {[]eventlog.Grant{grant("operator", "prefix=10.0.0.0/8", "prefix=2001:db8::/32")},
			[]eventlog.Event{accessRoute("r1", "10.0.0.0/8"), accessRoute("*", "10.200.0.0/16"), withdrawn(accessRoute("r1", "10.1.0.0/16")), accessRoute("r1", "2001:db8:1::/48"),
				timer(accessRoute("r1", "10.3.0.0/16")), &eventlog.TimerCancelled{Name: "at-1"}, &eventlog.ConfirmationOpened{Deadline: 5}},
			[]eventlog.Event{accessRoute("r1", "0.0.0.0/0"), accessRoute("r1", "8.0.0.0/5"), accessRoute("r1", "11.0.0.0/8"), accessRoute("r1", "2001:db9::/32"), accessRoute("r1", "::/0"),
				withdrawn(accessRoute("r2", "11.0.0.0/8")), &eventlog.RouterSet{Router: "r1"}, &eventlog.LinkSet{LinkID: link}, &eventlog.KeyPut{Key: "k"}, &eventlog.FreezeSet{Name: "f"},
				timer(accessRoute("r1", "10.3.0.0/16"), accessRoute("r1", "11.0.0.0/8")), &eventlog.TimerSet{Name: "at-2", Stage: &eventlog.CommitStaged{}},
				&eventlog.TimerCancelled{Name: "absent"}, &eventlog.ConfirmationConfirmed{Revision: 2}, &eventlog.ConfirmationUndone{Revision: 2}, &eventlog.ConfirmationConfirmed{Revision: 7}}, RankOperator},
		"router": {[]eventlog.Grant{grant("operator", "router=r1")},
			[]eventlog.Event{accessRoute("r1", "0.0.0.0/0"), &eventlog.RouterSet{Router: "r1"}},
			[]eventlog.Event{accessRoute("*", "10.0.0.0/8"), accessRoute("r2", "10.0.0.0/8"), &eventlog.RouterSet{Router: "r2"}, &eventlog.LinkSet{LinkID: link}, &eventlog.LinkRemoved{LinkID: link}, &eventlog.KeyPut{Key: "k"}}, RankOperator},
		"both ends": {[]eventlog.Grant{grant("operator", "router=r1", "router=r2")},
			[]eventlog.Event{&eventlog.LinkSet{LinkID: link}, &eventlog.LinkRemoved{LinkID: link}, &eventlog.LinkObserved{LinkID: link}, &eventlog.ConfirmationConfirmed{Revision: 2}, &eventlog.ConfirmationUndone{Revision: 2}},
			[]eventlog.Event{&eventlog.LinkSet{LinkID: eventlog.LinkID{A: "r1", B: "r3"}}}, RankOperator},
		"prefix and router": {[]eventlog.Grant{grant("operator", "prefix=10.0.0.0/8", "router=r1")},
			[]eventlog.Event{accessRoute("r1", "10.0.0.0/8")},
			[]eventlog.Event{accessRoute("r2", "10.0.0.0/8"), accessRoute("r1", "11.0.0.0/8"), &eventlog.RouterSet{Router: "r1"}}, RankOperator},
		"tag": {[]eventlog.Grant{grant("operator", "tag=gold")},
			[]eventlog.Event{accessRoute("r1", "10.1.0.0/16", "blue", "gold"), accessRoute("r7", "12.0.0.0/8", "gold"), withdrawn(accessRoute("r1", "10.1.0.0/16")), &eventlog.RouterSet{Router: "r1", Tags: []string{"gold"}}},
			[]eventlog.Event{accessRoute("r1", "10.1.0.0/16"), accessRoute("r2", "11.0.0.0/8", "gold"), accessRoute("r7", "12.0.0.0/8", "blue"), withdrawn(accessRoute("r2", "11.0.0.0/8")),
				&eventlog.RouterSet{Router: "r2", Tags: []string{"gold"}}, &eventlog.RouterSet{Router: "r1"}, &eventlog.RouterRemoved{Router: "r2"}, &eventlog.KeyPut{Key: "gold"}}, RankOperator},
		"keys": {[]eventlog.Grant{grant("operator", "key=app/")},
			[]eventlog.Event{&eventlog.KeyPut{Key: "app/x"}, &eventlog.KeyDeleted{Key: "app/"}},
			[]eventlog.Event{&eventlog.TimerSet{Name: "at-1", At: 1 << 40, Events: []eventlog.Event{&eventlog.KeyPut{Key: "app/x"}}}, &eventlog.KeyPut{Key: "app"}, &eventlog.KeyPut{Key: "ap"}, &eventlog.KeyDeleted{Key: "b/app/"}, accessRoute("r1", "10.1.0.0/16"), &eventlog.RouterSet{Router: "r1"}, &eventlog.FreezeSet{Name: "f"}}, RankOperator},
		"two grants": {[]eventlog.Grant{grant("viewer"), grant("operator", "prefix=10.0.0.0/8"), grant("operator", "key=app/")},
			[]eventlog.Event{accessRoute("r1", "10.1.0.0/16"), &eventlog.KeyPut{Key: "app/x"}, timer(accessRoute("r1", "10.1.0.0/16"), &eventlog.KeyPut{Key: "app/x"})},
			[]eventlog.Event{accessRoute("r1", "11.0.0.0/8"), &eventlog.KeyPut{Key: "x"}}, RankOperator},
	} {
		t.Run(name, func(t *testing.T) {
			var events []eventlog.Event
			if c.grants != nil {
				events = append(events, &eventlog.RoleSet{Actor: "a", Grants: c.grants})
			}
			s := accessWorld(t, events...)
			for holder, p := range map[string]*Principal{"actor": {Actor: "a"}, "group": {Actor: "b", Via: []string{"group:none", "group:g"}}} {
				a := s.Access()
				if holder == "group" {
					a = accessWorld(t, &eventlog.RoleSet{Actor: "group:g", Grants: append(c.grants, grant("nothing"))}).Access()
				}
				if rank, _ := a.Rank(p); rank != c.anyRank {
					t.Errorf("%s: rank %s, want %s", holder, rank, c.anyRank)
				}
				for _, e := range c.may {
					if err := a.Allow(s, p, []eventlog.Event{e}); err != nil {
						t.Errorf("%s: %v", holder, err)
					}
				}
				for _, e := range c.mayNot {
					err := a.Allow(s, p, append(append([]eventlog.Event(nil), c.may...), e))
					var d *DeniedError
					if !errors.As(err, &d) || d.Event != len(c.may) || d.Kind != e.Kind() || !strings.Contains(err.Error(), p.Actor) {
						t.Errorf("%s: %s: %v", holder, eventlog.AppendEvent(nil, e), err)
					}
				}
			}
		})
	}
}

// TestToken: a token is known by id and secret, until it expires, is revoked or
// becomes another's.
func TestToken(t *testing.T) {
	secret := sha256.Sum256([]byte("secret"))
	other := sha256.Sum256([]byte("other"))
	set := func(actor string, expires int64, join bool) *Access {
		return accessWorld(t, &eventlog.TokenSet{ID: "k", Actor: actor, SHA256: secret, Expires: expires, Join: join}).Access()
	}
	a := set("alice", 5000, false)
	tok := a.Token("k", &secret, 4999)
	if tok == nil || tok.Principal.Actor != "alice" || tok.Principal.Via[0] != "token:k" || tok.Revision != 4 {
		t.Fatalf("%+v", tok)
	}
	if a.Token("k", &other, 1) != nil || a.Token("x", &secret, 1) != nil || a.Token("", &secret, 1) != nil || a.Token("k", &secret, 5000) != nil {
		t.Error("a wrong secret, a wrong id or an expired token is taken")
	}
	p := &tok.Principal
	for what, h := range map[string]struct {
		a    *Access
		now  int64
		want bool
	}{
		"valid": {a, 4999, true}, "expired": {a, 5000, false}, "revoked": {accessWorld(t).Access(), 1, false}, "another's": {set("bob", 0, false), 1, false},
		"for joining": {set("alice", 0, true), 1, false}, "for ever": {set("alice", 0, false), 1 << 60, true},
	} {
		if got := h.a.Holds(p, h.now); got != h.want {
			t.Errorf("%s: %v", what, got)
		}
	}
	if !accessWorld(t).Access().Holds(&Principal{Actor: "oidc:x", Via: []string{"group:a"}}, 1) {
		t.Error("who has no token has nothing to lose")
	}
	if got := testing.AllocsPerRun(100, func() { a.Token("k", &secret, 1) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// TestKeepsAdmin: nobody can be locked out, themselves included.
func TestKeepsAdmin(t *testing.T) {
	admin := func(actor string) eventlog.Event {
		return &eventlog.RoleSet{Actor: actor, Grants: []eventlog.Grant{grant("admin")}}
	}
	half := &eventlog.RoleSet{Actor: "a", Grants: []eventlog.Grant{grant("admin", "router=r1"), grant("operator")}}
	gone, off, on := &eventlog.RoleRemoved{Actor: "a"}, &eventlog.AuthDisabled{}, &eventlog.AuthEnabled{}
	for i, c := range []struct {
		before, events []eventlog.Event
		want           bool
	}{
		{nil, []eventlog.Event{on}, false},
		{nil, []eventlog.Event{half, on}, false},
		{nil, []eventlog.Event{admin("a"), on}, true},
		{nil, []eventlog.Event{gone}, true},
		{[]eventlog.Event{admin("a"), on}, []eventlog.Event{gone}, false},
		{[]eventlog.Event{admin("a"), on}, []eventlog.Event{half}, false},
		{[]eventlog.Event{admin("a"), on}, []eventlog.Event{gone, off}, true},
		{[]eventlog.Event{admin("a"), on}, []eventlog.Event{gone, admin("b")}, true},
		{[]eventlog.Event{admin("a"), admin("b"), on}, []eventlog.Event{gone}, true},
		{[]eventlog.Event{admin("a"), on}, []eventlog.Event{&eventlog.KeyPut{Key: "k"}}, true},
	} {
		if got := accessWorld(t, c.before...).Access().KeepsAdmin(c.events); got != c.want {
			t.Errorf("case %d: %v", i, got)
		}
	}
}

// TestLastAdminToken: which revocation would leave no admin a token to come in by.
func TestLastAdminToken(t *testing.T) {
	admin := func(actor string, scopes ...string) eventlog.Event {
		return &eventlog.RoleSet{Actor: actor, Grants: []eventlog.Grant{grant("admin", scopes...)}}
	}
	token := func(id, actor string, expires int64) *eventlog.TokenSet {
		return &eventlog.TokenSet{ID: id, Actor: actor, Expires: expires}
	}
	revoked := func(ids ...string) (out []eventlog.Event) {
		for _, id := range ids {
			out = append(out, &eventlog.TokenRemoved{ID: id})
		}
		return out
	}
	join := token("j", "a", 0)
	join.Join = true
	on, off := &eventlog.AuthEnabled{}, &eventlog.AuthDisabled{}
	base := []eventlog.Event{admin("a"), token("k1", "a", 0), on}
	with := func(more ...eventlog.Event) []eventlog.Event { return append(slices.Clone(base), more...) }
	for i, c := range []struct {
		before, events []eventlog.Event
		want           string
	}{
		{base, revoked("k1"), "k1"},
		{base, []eventlog.Event{&eventlog.KeyPut{Key: "k"}}, ""},
		{base, []eventlog.Event{&eventlog.RoleRemoved{Actor: "a"}}, ""}, // that is about roles
		{base[:2], revoked("k1"), ""},                                   // nobody is asked
		{base, append(revoked("k1"), off), ""},
		{base[:2], append(revoked("k1"), on), "k1"},
		{with(token("k2", "a", 0)), revoked("k1"), ""},
		{with(token("k2", "a", 0)), revoked("k2", "k1"), "k1"},
		{with(token("k2", "b", 0)), revoked("k2"), ""},
		{with(token("k2", "b", 0)), revoked("k1"), "k1"}, // b has no role
		{with(token("k2", "b", 0), admin("b", "router=r1")), revoked("k1"), "k1"},
		{with(token("k2", "b", 0), admin("b")), revoked("k1"), ""},
		{with(token("k2", "b", 0), admin("b")), append(revoked("k1"), &eventlog.RoleRemoved{Actor: "b"}), "k1"},
		{with(token("k2", "b", 0)), append(revoked("k1"), admin("b")), ""},
		{with(token("k2", "a", 100)), revoked("k1"), "k1"}, // it has expired
		{with(token("k2", "a", 101)), revoked("k1"), ""},
		{with(join), revoked("k1"), "k1"},
		{with(join), revoked("j"), ""},
		{base, append(revoked("k1"), token("k2", "a", 0)), ""},
		{[]eventlog.Event{admin("a"), admin("group:g"), on, token("k2", "b", 0)}, revoked("k2"), ""}, // none comes in by a token
	} {
		if got := accessWorld(t, c.before...).Access().LastAdminToken(c.events, 100); got != c.want {
			t.Errorf("case %d: %q, want %q", i, got, c.want)
		}
	}
}

// TestAccessInSnapshot: roles and tokens are in what is saved, and equal after it is loaded.
func TestAccessInSnapshot(t *testing.T) {
	s := accessWorld(t, &eventlog.TokenSet{ID: "k", Actor: "alice", SHA256: [32]byte{1}}, &eventlog.TokenSet{ID: "j", Actor: "n", SHA256: [32]byte{2}, Join: true, Node: "n4"},
		&eventlog.AuthEnabled{}, &eventlog.RoleSet{Actor: "alice", Grants: []eventlog.Grant{grant("admin", "tag=a", "key=b")}})
	var b strings.Builder
	if err := s.Save(&b); err != nil {
		t.Fatal(err)
	}
	f, err := Load(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	loaded := f.State()
	if loaded.Digest() != s.Digest() {
		t.Error("the digests differ")
	}
	a := loaded.Access()
	if !a.Enabled() || a.Tokens() != 2 || !a.HasRole("alice") {
		t.Errorf("%+v", a)
	}
	n := 0
	for range loaded.Tokens() {
		n++
	}
	if n != 2 {
		t.Errorf("%d tokens", n)
	}
	f = Resume(loaded)
	if err := f.Apply(&eventlog.Commit{Revision: 5, Epoch: 1, ID: "c5", Time: 1000, Actor: "x", Events: []eventlog.Event{&eventlog.TokenRemoved{ID: "k"}, &eventlog.AuthDisabled{}}}, eventlog.Hash{}); err != nil {
		t.Fatal(err)
	}
	if a := f.Current().Access(); a.Enabled() || a.Tokens() != 1 {
		t.Errorf("%+v", a)
	}
}

// TestAdminsAfter: who is admin without scope behind events; what widens a role.
func TestAdminsAfter(t *testing.T) {
	role := func(actor string, grants ...eventlog.Grant) *eventlog.RoleSet {
		return &eventlog.RoleSet{Actor: actor, Grants: grants}
	}
	a := &Access{enabled: true, roles: map[string]*standing{
		"a": standingOf([]eventlog.Grant{grant("admin")}), "b": standingOf([]eventlog.Grant{grant("admin", "prefix=10.0.0.0/8"), grant("viewer")}), "group:g": standingOf([]eventlog.Grant{grant("admin")}),
	}}
	for i, c := range []struct {
		events  []eventlog.Event
		enabled bool
		admins  int
	}{
		{nil, true, 2},
		{[]eventlog.Event{&eventlog.KeyPut{}}, true, 2},
		{[]eventlog.Event{role("b", grant("admin"))}, true, 3},
		{[]eventlog.Event{role("a", grant("operator")), &eventlog.RoleRemoved{Actor: "group:g"}}, true, 0},
		{[]eventlog.Event{&eventlog.RoleRemoved{Actor: "b"}, &eventlog.RoleRemoved{Actor: "nobody"}}, true, 2},
		{[]eventlog.Event{&eventlog.AuthDisabled{}}, false, 2},
	} {
		if enabled, admins := a.AdminsAfter(c.events); enabled != c.enabled || admins != c.admins {
			t.Errorf("%d: %t, %d", i, enabled, admins)
		}
		if got, want := a.KeepsAdmin(c.events), c.admins > 0 || !c.enabled; got != want {
			t.Errorf("%d: keeps %t", i, got)
		}
	}
	for i, c := range []struct {
		set  *eventlog.RoleSet
		want bool
	}{
		{role("a", grant("admin")), false},
		{role("a"), false},
		{role("a", grant("admin"), grant("viewer")), true},
		{role("b", grant("viewer")), false},
		{role("b", grant("admin")), true},
		{role("b", grant("admin", "prefix=10.0.0.0/9")), true}, // less, in truth: to be told apart is not worth a mistake
		{role("nobody", grant("viewer")), true},
		{role("nobody"), false},
	} {
		if got := a.Widens(c.set); got != c.want {
			t.Errorf("%d: %t", i, got)
		}
	}
}
