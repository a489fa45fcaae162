package eventlog

import (
	"net/netip"
	"strings"
)

// Kind names a kind of event exactly as the stored JSON does.
type Kind string

// The kinds of format 1, level 1.
const (
	KindRouteAnnounced        Kind = "route.announced"
	KindRouteWithdrawn        Kind = "route.withdrawn"
	KindRouterSet             Kind = "router.set"
	KindRouterRemoved         Kind = "router.removed"
	KindLinkSet               Kind = "link.set"
	KindLinkRemoved           Kind = "link.removed"
	KindLinkObserved          Kind = "link.observed"
	KindNextHopObserved       Kind = "nexthop.observed"
	KindKeyPut                Kind = "key.put"
	KindKeyDeleted            Kind = "key.deleted"
	KindGuardSet              Kind = "guard.set"
	KindGuardRemoved          Kind = "guard.removed"
	KindFreezeSet             Kind = "freeze.set"
	KindFreezeRemoved         Kind = "freeze.removed"
	KindRoleSet               Kind = "role.set"
	KindRoleRemoved           Kind = "role.removed"
	KindTimerSet              Kind = "timer.set"
	KindTimerFired            Kind = "timer.fired"
	KindTimerCancelled        Kind = "timer.cancelled"
	KindTimerFailed           Kind = "timer.failed"
	KindConfirmationOpened    Kind = "confirmation.opened"
	KindConfirmationConfirmed Kind = "confirmation.confirmed"
	KindConfirmationUndone    Kind = "confirmation.undone"
	KindCommitStaged          Kind = "commit.staged"
	KindEpochStarted          Kind = "epoch.started"
	KindLevelRaised           Kind = "level.raised"
	KindClockStepped          Kind = "clock.stepped"
)

// Event is one fact. The implementations are the pointer types of this
// package (*RouteAnnounced, …); the set is closed. Events are immutable once
// they are part of a commit.
type Event interface {
	Kind() Kind
	// Validate reports the first member that is not well formed as a
	// *FieldError. It looks at the event alone, never at any state.
	Validate() error
}

// RouterID names a router; AllRouters ("*") stands for every router.
type RouterID string

// AllRouters in a route means: local at every router.
const AllRouters RouterID = "*"

// RouteType says what is done with a packet that matches.
type RouteType uint8

// The route types; their text forms are unicast, blackhole, unreachable, prohibit.
const (
	Unicast RouteType = iota
	Blackhole
	Unreachable
	Prohibit
)

// Defaults and limits of a route's attributes.
const (
	DefaultPreference = 1
	DefaultWeight     = 1
	MaxWeight         = 256
	DefaultOrigin     = "static"
	// MetricUnusable on a route takes its candidate out of every decision.
	MetricUnusable = 1<<32 - 1
	MaxLinkCost    = 1 << 24
	MaxTags        = 16
)

// RouteID is the identity of a route. The zero VRF is the default one, the
// zero NextHop and Interface mean none.
type RouteID struct {
	VRF         string
	Router      RouterID // AllRouters or a router; never empty
	Destination netip.Prefix
	Type        RouteType
	NextHop     netip.Addr
	Interface   string
	Origin      string // never empty; DefaultOrigin for the operators' own
}

// RouteAnnounced sets one candidate: it adds the route or replaces the
// attributes of the route with the same identity.
type RouteAnnounced struct {
	RouteID
	Metric     uint32 // 0…2³²−2; MetricUnusable
	Preference uint8  // lower wins before metric
	Weight     uint16 // 1…MaxWeight
	Recursive  bool
	ViaDefault bool
	Tags       []string // sorted, distinct
	Expires    int64    // Unix milliseconds; 0 = never
}

// RouteWithdrawn removes the route of that identity; absent is no error.
type RouteWithdrawn struct{ RouteID }

// Drain says how a router is taken out of transit.
type Drain string

// The drain modes.
const (
	DrainNone Drain = ""
	DrainSoft Drain = "soft" // transit avoided, own prefixes reachable
	DrainHard Drain = "hard" // nothing through it
)

// RouterSet declares a router or replaces its attributes.
type RouterSet struct {
	Router      RouterID
	Description string
	Tags        []string
	Drained     Drain
	Probes      []Probe // sorted by CompareProbes, each next hop and interface once
}

// Limits of probes.
const (
	MaxProbes        = 64
	MinProbeInterval = 100     // ms
	MaxProbeInterval = 3600000 // ms
)

// Probe has a router's data plane ask next hops that it uses whether they are
// there: those with the address and on the interface, where they are named. Of
// several that hold for a next hop the one with the address counts, then the one
// with the interface.
type Probe struct {
	NextHop   netip.Addr // zero: any
	Interface string     // empty: any
	Interval  uint32     // ms between two questions, MinProbeInterval…MaxProbeInterval
}

// CompareProbes orders probes by next hop (none first, IPv4 before IPv6), then by
// interface.
func CompareProbes(a, b Probe) int {
	if c := a.NextHop.Compare(b.NextHop); c != 0 {
		return c
	}
	return strings.Compare(a.Interface, b.Interface)
}

// RouterRemoved removes a router's declaration.
type RouterRemoved struct{ Router RouterID }

// LinkID is the identity of a link, A < B.
type LinkID struct {
	A, B RouterID
	Name string // distinguishes parallel links; "" is the ordinary one
}

// LinkSet declares a link or replaces its attributes.
type LinkSet struct {
	LinkID
	CostAB, CostBA         uint32       // 1…MaxLinkCost
	AddressA, AddressB     []netip.Addr // at most one IPv4 and one IPv6 each
	InterfaceA, InterfaceB string
	Down                   bool // administrative
	Tags                   []string
}

// LinkRemoved removes a link.
type LinkRemoved struct{ LinkID }

// ObservedState is what an observer sees.
type ObservedState string

// The observed states.
const (
	ObservedUp      ObservedState = "up"
	ObservedDown    ObservedState = "down"
	ObservedUnknown ObservedState = "unknown"
)

// LinkObserved records what a data plane sees of a link, apart from its
// administrative state.
type LinkObserved struct {
	LinkID
	Router RouterID // the observer, A or B
	State  ObservedState
}

// NextHopObserved records that a next hop answers or not at a router.
type NextHopObserved struct {
	VRF       string
	Router    RouterID
	NextHop   netip.Addr
	Interface string
	State     ObservedState
}

// KeyPut sets a key of the key-value store.
type KeyPut struct{ Key, Value string }

// KeyDeleted removes a key.
type KeyDeleted struct{ Key string }

// GuardSet sets a guard rail: Type is protected, max_shrink, max_routes or needs_approval.
type GuardSet struct {
	Name, Type    string
	Prefixes      []netip.Prefix // protected, needs_approval; sorted
	Routers       []RouterID
	Actor, Origin string // max_routes
	Percent       uint32 // max_shrink
	Above         uint64 // max_shrink: only above so many entries
	Limit         uint64 // max_routes
}

// GuardRemoved removes a guard rail.
type GuardRemoved struct{ Name string }

// FreezeSet forbids changes between From and Until (Unix milliseconds; 0 = at
// once, until removed) to what Prefixes and Routers name; both empty: to all.
type FreezeSet struct {
	Name        string
	Prefixes    []netip.Prefix
	Routers     []RouterID
	From, Until int64
}

// FreezeRemoved ends a freeze.
type FreezeRemoved struct{ Name string }

// Grant is one role, limited to what is named: nothing named is everything.
type Grant struct {
	Role     string
	Prefixes []netip.Prefix
	Routers  []RouterID
	Tags     []string // sorted, distinct
	Keys     []string // prefixes of keys; sorted, distinct
}

// RoleSet gives an actor its roles.
type RoleSet struct {
	Actor  string
	Grants []Grant
}

// RoleRemoved takes all roles of an actor.
type RoleRemoved struct{ Actor string }

// TimerSet schedules events for a point of log time: Events, or Stage where
// they are too large for a batch, or with Undo the end of a lifetime.
type TimerSet struct {
	Name   string
	At     int64 // Unix milliseconds
	Events []Event
	Stage  *CommitStaged
	// Proposer: the events are that actor's proposal. They become a commit only
	// by another actor's approval, and lapse at At.
	Proposer string
	// Undo: at At the commit that carries the timer is undone, as far as nobody
	// changed since what it changed; Stage is empty. With Events only the items that
	// they are about come to an end, and become what the events say.
	Undo bool
	// Unchanged: the events are committed only if nobody changed since what they
	// are about.
	Unchanged bool
}

// TimerFired ends a timer; its effects are explicit events of the same commit.
type TimerFired struct{ Name string }

// TimerFailed ends a timer whose events were refused.
type TimerFailed struct{ Name, Cause string }

// TimerCancelled ends a timer unfired.
type TimerCancelled struct{ Name string }

// ConfirmationOpened makes the commit that carries it undo itself at Deadline
// (Unix milliseconds) unless confirmed.
type ConfirmationOpened struct{ Deadline int64 }

// ConfirmationConfirmed keeps the commit at Revision.
type ConfirmationConfirmed struct{ Revision Revision }

// ConfirmationUndone ends the pending confirmation of Revision; the inverse
// events are in the same commit.
type ConfirmationUndone struct{ Revision Revision }

// CommitStaged stands for the events of a commit that is too large for a
// batch. The reader of the log replaces it by the staged events.
type CommitStaged struct {
	ID     string
	Parts  int
	Events int
	Bytes  int64
	SHA256 [32]byte // over the parts in order
}

// EpochStarted opens an epoch. Cause is created, recovered or restored.
type EpochStarted struct {
	Epoch uint64
	LogID string
	Nonce Nonce
	Cause string
	From  *EpochOrigin // nil when created
}

// EpochOrigin is the commit that a new epoch continues.
type EpochOrigin struct {
	Epoch    uint64
	Revision Revision
	Hash     Hash
}

// ClockStepped corrects log time (Unix milliseconds); pending deadlines move by To − From.
type ClockStepped struct{ From, To int64 }

// LevelRaised switches the meaning of the fold from the next commit on.
type LevelRaised struct{ Level uint32 }

func (*RouteAnnounced) Kind() Kind        { return KindRouteAnnounced }
func (*RouteWithdrawn) Kind() Kind        { return KindRouteWithdrawn }
func (*RouterSet) Kind() Kind             { return KindRouterSet }
func (*RouterRemoved) Kind() Kind         { return KindRouterRemoved }
func (*LinkSet) Kind() Kind               { return KindLinkSet }
func (*LinkRemoved) Kind() Kind           { return KindLinkRemoved }
func (*LinkObserved) Kind() Kind          { return KindLinkObserved }
func (*NextHopObserved) Kind() Kind       { return KindNextHopObserved }
func (*KeyPut) Kind() Kind                { return KindKeyPut }
func (*KeyDeleted) Kind() Kind            { return KindKeyDeleted }
func (*GuardSet) Kind() Kind              { return KindGuardSet }
func (*GuardRemoved) Kind() Kind          { return KindGuardRemoved }
func (*FreezeSet) Kind() Kind             { return KindFreezeSet }
func (*FreezeRemoved) Kind() Kind         { return KindFreezeRemoved }
func (*RoleSet) Kind() Kind               { return KindRoleSet }
func (*RoleRemoved) Kind() Kind           { return KindRoleRemoved }
func (*TimerSet) Kind() Kind              { return KindTimerSet }
func (*TimerFired) Kind() Kind            { return KindTimerFired }
func (*TimerCancelled) Kind() Kind        { return KindTimerCancelled }
func (*ConfirmationOpened) Kind() Kind    { return KindConfirmationOpened }
func (*ConfirmationConfirmed) Kind() Kind { return KindConfirmationConfirmed }
func (*ConfirmationUndone) Kind() Kind    { return KindConfirmationUndone }
func (*CommitStaged) Kind() Kind          { return KindCommitStaged }
func (*EpochStarted) Kind() Kind          { return KindEpochStarted }
func (*LevelRaised) Kind() Kind           { return KindLevelRaised }
func (*TimerFailed) Kind() Kind           { return KindTimerFailed }
func (*ClockStepped) Kind() Kind          { return KindClockStepped }
