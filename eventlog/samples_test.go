package eventlog

import (
	"net/netip"
	"slices"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addr(s string) netip.Addr  { return netip.MustParseAddr(s) }

const sampleTime = 1795300161123 // 2026-11-21T22:29:21.123Z

func route(dest, nextHop string, metric uint32) *RouteAnnounced {
	r := &RouteAnnounced{
		RouteID: RouteID{Router: AllRouters, Destination: pfx(dest), Origin: DefaultOrigin},
		Metric:  metric, Preference: DefaultPreference, Weight: DefaultWeight,
	}
	if nextHop != "" {
		r.NextHop = addr(nextHop)
	}
	return r
}

// samples holds every kind, with every member set and with none but the
// needed ones.
func samples() []Event {
	full := &RouteAnnounced{
		RouteID: RouteID{
			VRF: "blue", Router: "r1", Destination: pfx("2001:db8:1::/48"), NextHop: addr("fe80::1"),
			Interface: "eth0", Origin: "bgp:65001",
		},
		Metric: MetricUnusable, Preference: 0, Weight: 256, Tags: []string{"customer", "gold"}, Expires: sampleTime,
	}
	recursive := route("10.3.0.0/16", "192.168.1.1", 7)
	recursive.Recursive, recursive.ViaDefault = true, true
	blackhole := route("10.4.0.0/16", "", 0)
	blackhole.Type = Blackhole
	link := LinkID{A: "r1", B: "r2", Name: "second"}
	staged := &CommitStaged{ID: "import-7", Parts: 2, Events: 5000, Bytes: 300000, SHA256: [32]byte{1, 2, 255}}
	return []Event{
		route("10.1.0.0/16", "192.168.1.1", 100),
		full, recursive, blackhole,
		&RouteWithdrawn{RouteID{Router: AllRouters, Destination: pfx("0.0.0.0/0"), NextHop: addr("2001:db8::1"), Origin: DefaultOrigin}},
		&RouteWithdrawn{RouteID{Router: "r1", Destination: pfx("::/0"), Type: Prohibit, Origin: "x"}},
		&RouterSet{Router: "r1", Description: "edge \"one\"\n\\ ünïcode \x01", Tags: []string{"a", "b"}, Drained: DrainSoft},
		&RouterSet{Router: "r2"},
		&RouterRemoved{Router: "r3"},
		&LinkSet{
			LinkID: link, CostAB: 10, CostBA: MaxLinkCost, AddressA: []netip.Addr{addr("10.0.0.1"), addr("2001:db8::1")},
			AddressB: []netip.Addr{addr("10.0.0.2")}, InterfaceA: "eth1", InterfaceB: "eth2", Down: true, Tags: []string{"fibre"},
		},
		&LinkSet{LinkID: LinkID{A: "r1", B: "r3"}, CostAB: 1, CostBA: 1},
		&LinkRemoved{LinkID{A: "r2", B: "r3"}},
		&LinkObserved{LinkID: link, Router: "r2", State: ObservedDown},
		&NextHopObserved{VRF: "blue", Router: "r1", NextHop: addr("fe80::2"), Interface: "eth0", State: ObservedUp},
		&NextHopObserved{Router: "r1", NextHop: addr("192.0.2.1"), State: ObservedUnknown},
		&KeyPut{Key: "motd", Value: "line one\nline two\t\u2028 \U0001F600"},
		&KeyDeleted{Key: "old/key"},
		&GuardSet{Name: "core", Type: GuardProtected, Prefixes: []netip.Prefix{pfx("10.0.0.0/8"), pfx("2001:db8::/32")}, Routers: []RouterID{"r1", "r2"}},
		&GuardSet{Name: "shrink", Type: GuardMaxShrink, Percent: 20, Above: 1000},
		&GuardSet{Name: "many", Type: GuardMaxRoutes, Actor: "alice", Origin: "bgp", Limit: 1000000},
		&GuardRemoved{Name: "ancient"},
		&FreezeSet{Name: "xmas", Prefixes: []netip.Prefix{pfx("10.0.0.0/8")}, Routers: []RouterID{"r1"}, From: sampleTime, Until: sampleTime + 1},
		&FreezeSet{Name: "all"},
		&FreezeRemoved{Name: "easter"},
		&RoleSet{Actor: "alice", Grants: []Grant{{Role: "operator", Prefixes: []netip.Prefix{pfx("10.0.0.0/8")}, Routers: []RouterID{"r1"}}, {Role: "viewer"}}},
		&RoleRemoved{Actor: "bob@example.org"},
		&TimerSet{Name: "t1", At: sampleTime + 60000, Events: []Event{route("10.9.0.0/16", "192.0.2.9", 1), &KeyDeleted{Key: "k"}}},
		&TimerSet{Name: "t2", At: sampleTime + 60000, Stage: staged},
		&TimerFired{Name: "t3"}, &TimerCancelled{Name: "t4"}, &TimerFailed{Name: "t5", Cause: "refused: guard core"},
		&ConfirmationOpened{Deadline: sampleTime + 300000},
		&ConfirmationConfirmed{Revision: 3}, &ConfirmationUndone{Revision: 4},
		staged,
		&EpochStarted{Epoch: 1, LogID: "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", Nonce: Nonce{1, 2, 3}, Cause: CauseCreated},
		&EpochStarted{Epoch: 2, LogID: "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", Nonce: Nonce{4}, Cause: CauseRestored,
			From: &EpochOrigin{Epoch: 1, Revision: 9, Hash: Hash{9, 9}}},
		&LevelRaised{Level: 1},
		&ClockStepped{From: sampleTime, To: sampleTime - 5000},
	}
}

// accessSamples are the same of what came with authorization; samples, which the
// first fixtures are made of, stays as it is.
func accessSamples() []Event {
	return []Event{
		&TokenSet{ID: "k7f3", Actor: "alice", SHA256: [32]byte{1, 31: 255}},
		&TokenSet{ID: "j1", Actor: "join:n4", SHA256: [32]byte{2}, Expires: sampleTime + 60000, Join: true, Node: "n4"},
		&TokenRemoved{ID: "old"},
		&AuthEnabled{},
		&AuthDisabled{},
		&RoleSet{Actor: "group:net-ops", Grants: []Grant{
			{Role: "operator", Prefixes: []netip.Prefix{pfx("10.0.0.0/8")}, Routers: []RouterID{"r1"}, Tags: []string{"customer", "gold"}, Keys: []string{"app/", "motd"}},
			{Role: "viewer"},
		}},
		&GuardSet{Name: "four-eyes", Type: GuardApproval, Prefixes: []netip.Prefix{pfx("0.0.0.0/0")}, Routers: []RouterID{"r1"}},
		&GuardSet{Name: "all-eyes", Type: GuardApproval},
		&TimerSet{Name: "proposal-1", At: sampleTime + 60000, Events: []Event{&KeyDeleted{Key: "k"}}, Proposer: "alice"},
	}
}

// timerSamples are the same of what came with lifetimes that restore.
func timerSamples() []Event {
	return []Event{
		&TimerSet{Name: "until-1", At: sampleTime + 60000, Undo: true},
		&TimerSet{Name: "at-1", At: sampleTime + 60000, Events: []Event{&KeyDeleted{Key: "k"}}, Unchanged: true},
		&TimerSet{Name: "at-2", At: sampleTime + 60000, Events: []Event{&KeyPut{Key: "k", Value: "v"}, &TimerSet{Name: "until-2", At: sampleTime + 90000, Undo: true}}},
	}
}

// probeSamples are the same of what came with probes.
func probeSamples() []Event {
	return []Event{
		&RouterSet{Router: "r1", Probes: []Probe{{Interval: MaxProbeInterval}}},
		&RouterSet{Router: "r2", Description: "edge", Tags: []string{"a"}, Drained: DrainHard, Probes: []Probe{
			{Interval: 5000}, {Interface: "eth1", Interval: 1000}, {NextHop: addr("192.0.2.1"), Interval: MinProbeInterval},
			{NextHop: addr("192.0.2.1"), Interface: "eth0", Interval: 200}, {NextHop: addr("fe80::1"), Interface: "eth0", Interval: 60000},
		}},
	}
}

func allSamples() []Event {
	return slices.Concat(samples(), accessSamples(), timerSamples(), probeSamples())
}
