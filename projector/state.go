package projector

import (
	"iter"
	"net/netip"
	"strings"

	"dvr/eventlog"
	"dvr/projector/internal/pmap"
)

// State is everything the log says at one revision. Immutable; safe for concurrent use.
type State struct {
	pos    eventlog.Position
	nonce  eventlog.Nonce
	hash   eventlog.Hash
	level  uint32
	time   int64
	digest Digest
	epochs []Epoch

	v4      pmap.View[pmap.V4, entry]
	v6      pmap.View[pmap.V6, entry]
	items   pmap.View[pmap.String, *item]
	held    pmap.View[pmap.String, *hold]
	classes pmap.View[pmap.ID, account]
	origins pmap.View[originKey, *class]
	named   pmap.View[pmap.String, uint32]
	authors pmap.View[pmap.String, authored]
	counted pmap.View[pmap.String, int]

	routes, links, keys int
	keyBytes            int64
	keysAt              eventlog.Revision
	window              windowView
	topology            *topologyCell
	agenda              *agendaCell
	policy              *policyCell
	recursive           []*class
	resolution          *resolutionCell
	slots               slots // of the fold that made it
}

// Position is where in the log the state was taken.
func (s *State) Position() eventlog.Position { return s.pos }

// Head is the log's head at the state, with a zero Guard.
func (s *State) Head() eventlog.Head {
	return eventlog.Head{Revision: s.pos.Revision, Epoch: s.pos.Epoch, Nonce: s.nonce, Hash: s.hash, Level: s.level}
}

// Time is the log time of the last commit, Unix milliseconds.
func (s *State) Time() int64 { return s.time }

// Digest is the state digest (decision 3).
func (s *State) Digest() Digest { return s.digest }

// Window describes the idempotency window in force.
func (s *State) Window() Window { return s.window.info() }

// EpochOf is the epoch that a revision up to the state's belongs to; 0: none was started yet.
func (s *State) EpochOf(r eventlog.Revision) uint64 {
	for i := len(s.epochs) - 1; i >= 0; i-- {
		if s.epochs[i].First <= r {
			return s.epochs[i].Epoch
		}
	}
	return 0
}

// Stats counts what a state holds.
type Stats struct {
	Destinations4, Destinations6, Routes, Classes, Routers, Links, Keys int
	KeyBytes                                                            int64 // see State.KeyBytes
}

// Stats counts. Cost: O(routers).
func (s *State) Stats() Stats {
	st := Stats{
		Destinations4: s.v4.Len(), Destinations6: s.v6.Len(), Routes: s.routes,
		Classes: s.classes.Len(), Links: s.links, Keys: s.keys, KeyBytes: s.keyBytes, Routers: s.named.Len(),
	}
	for k := range itemsOf(s.items, pmap.String(rune(itemRouter))) {
		if !s.named.Has(k[1:]) {
			st.Routers++
		}
	}
	return st
}

// Candidate is one route of a destination with the revision of its last change.
type Candidate struct {
	eventlog.RouteAnnounced
	Revision eventlog.Revision
}

// Destination is a prefix and its candidates in canonical order.
type Destination struct {
	Prefix     netip.Prefix
	Revision   eventlog.Revision // newest change of any candidate, withdrawals included while others remain
	Candidates []Candidate
}

func (s *State) entry(p place) *entry {
	if p.v6 {
		return s.v6.Ptr(p.key6())
	}
	return s.v4.Ptr(p.key4())
}

func (e *entry) destination(p place) Destination {
	d := Destination{Prefix: p.prefix(), Revision: e.rev, Candidates: make([]Candidate, len(e.set.bodies))}
	for i, b := range e.set.bodies {
		d.Candidates[i] = Candidate{b.at(p), e.revision(i)}
	}
	return d
}

// Destination is what the log says about exactly p; false: nothing.
func (s *State) Destination(p netip.Prefix) (Destination, bool) {
	if !p.IsValid() {
		return Destination{}, false
	}
	at := placeOf(p)
	e := s.entry(at)
	if e == nil {
		return Destination{}, false
	}
	return e.destination(at), true
}

// Route finds one route by its identity.
func (s *State) Route(id eventlog.RouteID) (Candidate, bool) {
	if !id.Destination.IsValid() {
		return Candidate{}, false
	}
	p := placeOf(id.Destination)
	e := s.entry(p)
	if e == nil {
		return Candidate{}, false
	}
	i, ok := e.set.find(&id)
	if !ok {
		return Candidate{}, false
	}
	return Candidate{e.set.bodies[i].at(p), e.revision(i)}, true
}

// Destinations iterates in order (IPv4 before IPv6, address, length) over what
// lies within the given prefix (zero: everything), strictly after the cursor (zero: from the start).
func (s *State) Destinations(within, after netip.Prefix) iter.Seq[Destination] {
	return func(yield func(Destination) bool) {
		for p, e := range s.entries(within, after) {
			if !yield(e.destination(p)) {
				return
			}
		}
	}
}

// entries is Destinations without the copying.
func (s *State) entries(within, after netip.Prefix) iter.Seq2[place, *entry] {
	return func(yield func(place, *entry) bool) {
		var in, from place // the zero place is /0 of either family
		if within.IsValid() {
			in = placeOf(within)
		}
		if after.IsValid() {
			from = placeOf(after)
		}
		visit := func(p place, e *entry) bool { return after.IsValid() && p == from || yield(p, e) }
		if !(within.IsValid() && in.v6) && !(after.IsValid() && from.v6) {
			for k, e := range pmap.WithinFrom(s.v4, in.key4(), from.key4()) {
				if !visit(place4(k), e) {
					return
				}
			}
		}
		if within.IsValid() && !in.v6 {
			return
		}
		if !from.v6 {
			from = place{}
		}
		for k, e := range pmap.WithinFrom(s.v6, in.key6(), from.key6()) {
			if !visit(place6(k), e) {
				return
			}
		}
	}
}

// Covering lists the destinations that contain p, longest first, p's own included.
func (s *State) Covering(p netip.Prefix) []Destination {
	if !p.IsValid() {
		return nil
	}
	var out []Destination
	for at, e := range s.covering(placeOf(p)) {
		out = append(out, e.destination(at))
	}
	return out
}

// covering iterates over the entries that contain p, longest first.
func (s *State) covering(p place) iter.Seq2[place, *entry] {
	return func(yield func(place, *entry) bool) {
		if p.v6 {
			for k, e := range pmap.Covering(s.v6, p.key6()) {
				if !yield(place6(k), e) {
					return
				}
			}
			return
		}
		for k, e := range pmap.Covering(s.v4, p.key4()) {
			if !yield(place4(k), e) {
				return
			}
		}
	}
}

// Router is a router's declaration, or its name where it is only named.
type Router struct {
	eventlog.RouterSet
	Declared bool // false: only named by a route or link
	Revision eventlog.Revision
}

// Link is a link's declaration and what is seen of it.
type Link struct {
	eventlog.LinkSet
	Observed map[eventlog.RouterID]eventlog.ObservedState // by observer
	Revision eventlog.Revision
}

// itemsOf iterates over the items whose keys begin with prefix.
func itemsOf(items pmap.View[pmap.String, *item], prefix pmap.String) iter.Seq2[pmap.String, *item] {
	return itemsFrom(items, prefix, prefix)
}

func itemsFrom(items pmap.View[pmap.String, *item], prefix, from pmap.String) iter.Seq2[pmap.String, *item] {
	return func(yield func(pmap.String, *item) bool) {
		for k, it := range items.From(from) {
			if !strings.HasPrefix(string(k), string(prefix)) || !yield(k, *it) {
				return
			}
		}
	}
}

func routerOf(it *item) Router {
	return Router{RouterSet: *it.event.(*eventlog.RouterSet), Declared: true, Revision: it.rev}
}

// Router finds a router that is known: declared, or named by a route or link.
func (s *State) Router(id eventlog.RouterID) (Router, bool) {
	if it, ok := s.items.Get(itemKeyOf(itemRouter, string(id))); ok {
		return routerOf(it), true
	}
	if s.named.Has(pmap.String(id)) {
		return Router{RouterSet: eventlog.RouterSet{Router: id}}, true
	}
	return Router{}, false
}

// Routers iterates over the known routers by name.
func (s *State) Routers() iter.Seq[Router] {
	return func(yield func(Router) bool) {
		next, stop := iter.Pull2(itemsOf(s.items, pmap.String(rune(itemRouter))))
		defer stop()
		k, it, ok := next()
		for name := range s.named.All() {
			for ok && k[1:] <= name {
				if k[1:] == name {
					break
				}
				if !yield(routerOf(it)) {
					return
				}
				k, it, ok = next()
			}
			r := Router{RouterSet: eventlog.RouterSet{Router: eventlog.RouterID(name)}}
			if ok && k[1:] == name {
				r = routerOf(it)
				k, it, ok = next()
			}
			if !yield(r) {
				return
			}
		}
		for ; ok; k, it, ok = next() {
			if !yield(routerOf(it)) {
				return
			}
		}
	}
}

func (s *State) linkOf(it *item) Link {
	l := Link{LinkSet: *it.event.(*eventlog.LinkSet), Revision: it.rev}
	for _, seen := range itemsOf(s.items, linkKey(itemLinkSeen, &l.LinkID, "")) {
		if l.Observed == nil {
			l.Observed = map[eventlog.RouterID]eventlog.ObservedState{}
		}
		o := seen.event.(*eventlog.LinkObserved)
		l.Observed[o.Router] = o.State
	}
	return l
}

// Link finds a declared link.
func (s *State) Link(id eventlog.LinkID) (Link, bool) {
	it, ok := s.items.Get(linkKey(itemLink, &id))
	if !ok {
		return Link{}, false
	}
	return s.linkOf(it), true
}

// Seen is the revision at which a router last saw another state of a link; 0: never.
func (s *State) Seen(id eventlog.LinkID, by eventlog.RouterID) eventlog.Revision {
	it, ok := s.items.Get(linkKey(itemLinkSeen, &id, string(by)))
	if !ok {
		return 0
	}
	return it.rev
}

// Links iterates over the declared links by (a, b, name).
func (s *State) Links() iter.Seq[Link] {
	return func(yield func(Link) bool) {
		for _, it := range itemsOf(s.items, pmap.String(rune(itemLink))) {
			if !yield(s.linkOf(it)) {
				return
			}
		}
	}
}

// Key is an entry of the key-value store.
type Key struct {
	Key, Value string
	Revision   eventlog.Revision
}

// Key finds an entry of the key-value store.
func (s *State) Key(k string) (Key, bool) {
	it, ok := s.items.Get(itemKeyOf(itemKey, k))
	if !ok {
		return Key{}, false
	}
	return keyOf(it), true
}

func keyOf(it *item) Key {
	k := it.event.(*eventlog.KeyPut)
	return Key{k.Key, k.Value, it.rev}
}

// KeyBytes is what the key-value store holds: the bytes of its keys and values. O(1).
func (s *State) KeyBytes() int64 { return s.keyBytes }

// KeysChanged is a revision after which, up to the state's own, no event is
// about a key: the last one's, or the revision of the snapshot that the fold
// began at. O(1).
func (s *State) KeysChanged() eventlog.Revision { return s.keysAt }

// Keys iterates in byte order over the keys that begin with prefix, strictly after the cursor ("": from the start).
func (s *State) Keys(prefix, after string) iter.Seq[Key] {
	return func(yield func(Key) bool) {
		for _, it := range itemsFrom(s.items, itemKeyOf(itemKey, prefix), itemKeyOf(itemKey, max(prefix, after))) {
			if k := keyOf(it); (after == "" || k.Key != after) && !yield(k) {
				return
			}
		}
	}
}
