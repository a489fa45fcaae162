package projector

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"dvr/eventlog"
	"dvr/projector/internal/reference"
)

// commitsOf packs events into commits of up to most events.
func commitsOf(t *rapid.T, events []eventlog.Event, most int) []*eventlog.Commit {
	var out []*eventlog.Commit
	for len(events) > 0 {
		n := rapid.IntRange(0, min(most, len(events))).Draw(t, "commit")
		r := eventlog.Revision(len(out) + 1)
		out = append(out, &eventlog.Commit{
			Revision: r, Time: 1_800_000_000_000 + int64(r)*1000, ID: strconv.Itoa(int(r)), Actor: "test",
			Request: eventlog.RequestHash{byte(r)}, Events: events[:n],
		})
		events = events[n:]
	}
	return out
}

var routersAsked = append([]eventlog.RouterID{"nobody"}, reference.Routers...)

func hopsOf(hops []reference.NextHop) []NextHop {
	var out []NextHop
	for _, h := range hops {
		out = append(out, NextHop(h))
	}
	return out
}

func TestVectorsFIBsAndLookupsEqualTheReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := reference.World{}.Events(40).Draw(t, "events")
		model := reference.New()
		model.Apply(events...)
		f := NewFold("log")
		mustApplyRapid(t, f, commitsOf(t, events, 8)...)
		s := f.State()
		vectors := model.Vectors(routersAsked...)
		for _, r := range routersAsked {
			want := vectors[r]
			got := map[netip.Prefix]bool{}
			for d := range s.Vector(r, netip.Prefix{}) {
				got[d.Prefix] = true
				compareDecision(t, r, d, want[d.Prefix])
				checkExplained(t, s, r, d)
				best, ok := f.Current().Best(r, d.Prefix)
				if !ok {
					t.Fatalf("%s: %s is in the vector but has no best", r, d.Prefix)
				}
				compareDecision(t, r, best, want[d.Prefix])
			}
			for p := range want {
				if !got[p] {
					t.Fatalf("%s: %s is missing", r, p)
				}
			}
			for d := range s.Destinations(netip.Prefix{}, netip.Prefix{}) {
				for _, j := range s.Explain(r, d.Prefix) {
					if j.Chosen && !got[d.Prefix] {
						t.Fatalf("%s: %+v is chosen but not forwarded", r, j)
					}
				}
			}
			fib, wantFIB := s.FIB(r, nil), want.FIB()
			if len(wantFIB.Ambiguous) > 0 {
				t.Fatalf("%s: the reference is ambiguous at %v", r, wantFIB.Ambiguous)
			}
			if fib.Digest().String() != wantFIB.Digest() {
				t.Fatalf("%s: FIB digest %s, want %s", r, fib.Digest(), wantFIB.Digest())
			}
			if n4, n6 := fib.Len(); n4+n6 != len(wantFIB.Prefixes) {
				t.Fatalf("%s: %d+%d prefixes, want %d", r, n4, n6, len(wantFIB.Prefixes))
			}
			for c, hops := range wantFIB.Groups {
				if diff := cmp.Diff(hopsOf(hops), fib.Group(ClassID(c)), compareAddrs); diff != "" {
					t.Fatalf("%s: group of %x: %s", r, c, diff)
				}
			}
			for range 5 {
				a := reference.Addresses().Draw(t, "address")
				d, ok := s.Lookup(r, a)
				w, wantOK := want.Lookup(a)
				if ok != wantOK {
					t.Fatalf("%s: lookup of %s: %v, want %v", r, a, ok, wantOK)
				}
				if ok {
					compareDecision(t, r, d, w)
				}
			}
		}
	})
}

// checkExplained holds the judgements against the decision.
func checkExplained(t *rapid.T, s *State, r eventlog.RouterID, d Decision) {
	t.Helper()
	chosen := 0
	for _, j := range s.Explain(r, d.Prefix) {
		if j.Why == "" {
			t.Fatalf("%s: %s: nothing is said about %v", r, d.Prefix, j.RouteID)
		}
		if !j.Chosen {
			continue
		}
		chosen++
		local := j.Router == eventlog.AllRouters || j.Router == r
		if j.Metric != d.Metric || j.Preference != d.Preference || local && !slices.Contains(d.Origins, r) ||
			!local && !slices.Contains(d.Origins, j.Router) {
			t.Fatalf("%s: %+v is chosen, but the decision is %+v", r, j, d)
		}
	}
	if chosen == 0 {
		t.Fatalf("%s: nothing is chosen for %+v", r, d)
	}
}

var compareAddrs = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()}

func compareDecision(t *rapid.T, r eventlog.RouterID, got Decision, want reference.Decision) {
	t.Helper()
	w := Decision{
		Prefix: want.Prefix, Class: ClassID(want.Class), Preference: want.Preference, Metric: want.Metric,
		NextHops: hopsOf(want.NextHops), Origins: want.Origins, Revision: got.Revision,
	}
	if diff := cmp.Diff(w, got, compareAddrs); diff != "" {
		t.Fatalf("%s: %s (-want +got):\n%s", r, got.Prefix, diff)
	}
}

func mustApplyRapid(t *rapid.T, f *Fold, commits ...*eventlog.Commit) {
	t.Helper()
	for _, c := range commits {
		if err := f.Apply(c, sha256.Sum256([]byte(c.ID))); err != nil {
			t.Fatal(err)
		}
	}
}

// installed is what a data plane has, by the rules of decision 2.
type installed struct {
	prefixes map[netip.Prefix]ClassID
	groups   map[ClassID][]NextHop
}

func newInstalled() *installed {
	return &installed{map[netip.Prefix]ClassID{}, map[ClassID][]NextHop{}}
}

func prefixes(c *Columns, each func(p netip.Prefix, class int)) {
	for i, a := range c.Addr4 {
		class := -1
		if len(c.Class4) > 0 {
			class = int(c.Class4[i])
		}
		each(netip.PrefixFrom(place4(0).with(uint64(a)<<32), int(c.Len4[i])), class)
	}
	for i, a := range c.Addr6 {
		class := -1
		if len(c.Class6) > 0 {
			class = int(c.Class6[i])
		}
		each(netip.PrefixFrom(netip.AddrFrom16(a), int(c.Len6[i])), class)
	}
}

func (p place) with(hi uint64) netip.Addr { p.hi = hi; return p.prefix().Addr() }

// apply follows the delta, and is strict about what it may say.
func (d *installed) apply(t *rapid.T, delta *Delta) {
	t.Helper()
	if delta.Full && delta.Buckets == nil {
		*d = *newInstalled()
	}
	if delta.Full {
		for id := range d.groups {
			if !slices.ContainsFunc(delta.Classes, func(c ClassGroup) bool { return c.ID == id }) {
				delete(d.groups, id)
				for p, c := range d.prefixes {
					if c == id {
						delete(d.prefixes, p)
					}
				}
			}
		}
		for p := range d.prefixes {
			if delta.Buckets != nil && named(delta.Buckets, placeOf(p)) {
				delete(d.prefixes, p)
			}
		}
	}
	for _, c := range delta.Classes {
		if c.NextHops != nil {
			d.groups[c.ID] = c.NextHops
		} else if delta.Full || d.groups[c.ID] == nil {
			t.Fatalf("class %x comes without a group", c.ID)
		}
	}
	for block := range delta.Sets() {
		prefixes(block, func(p netip.Prefix, class int) {
			id := delta.Classes[class].ID
			if was, ok := d.prefixes[p]; ok && was == id && !delta.Full {
				t.Fatalf("%s is set to what it was", p)
			}
			d.prefixes[p] = id
		})
	}
	prefixes(&delta.Removed, func(p netip.Prefix, _ int) {
		if _, ok := d.prefixes[p]; !ok {
			t.Fatalf("%s is removed but was not there", p)
		}
		delete(d.prefixes, p)
	})
	for _, id := range delta.Withdrawn {
		n := 0
		for p, c := range d.prefixes {
			if c == id {
				delete(d.prefixes, p)
				n++
			}
		}
		delete(d.groups, id)
	}
	used := map[ClassID]bool{}
	for _, c := range d.prefixes {
		used[c] = true
	}
	for id := range d.groups {
		if !used[id] {
			delete(d.groups, id)
		}
	}
	if got := d.digest(); got != delta.Digest {
		t.Fatalf("the digest after the delta is %s, not %s", got, delta.Digest)
	}
}

func (d *installed) digest() (sum Digest) {
	for p, c := range d.prefixes {
		sum = sum.Add(prefixItem(p, c, ""))
	}
	for c, g := range d.groups {
		sum = sum.Add(groupItem(c, g))
	}
	return sum
}

func TestDeltasAppliedGiveTheFIB(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := reference.World{}.Events(60).Draw(t, "events")
		router := rapid.SampledFrom(routersAsked).Draw(t, "router")
		f := NewFold("log")
		var compiled, sent *FIB
		dp := newInstalled()
		for _, c := range commitsOf(t, events, 6) {
			mustApplyRapid(t, f, c)
			if rapid.IntRange(0, 3).Draw(t, "freeze") == 0 {
				continue
			}
			s := f.State()
			switch rapid.IntRange(0, 9).Draw(t, "restart") {
			case 0:
				again, err := Load(bytes.NewReader(saved(t, s)))
				if err != nil {
					t.Fatal(err)
				}
				f = again
				s = f.State()
			case 1:
				f = Resume(s)
			}
			compiled = s.FIB(router, compiled)
			fresh := s.FIB(router, nil)
			if compiled.Digest() != fresh.Digest() {
				t.Fatalf("revision %d: compiled from an earlier table %s, from nothing %s", c.Revision, compiled.Digest(), fresh.Digest())
			}
			a4, a6 := compiled.Len()
			if b4, b6 := fresh.Len(); a4 != b4 || a6 != b6 {
				t.Fatalf("revision %d: %d+%d prefixes, %d+%d from nothing", c.Revision, a4, a6, b4, b6)
			}
			if !fresh.Delta(compiled).Empty() {
				t.Fatalf("revision %d: the same table, but the delta is %+v", c.Revision, fresh.Delta(compiled))
			}
			// Some states are not sent: their deltas merge into the next.
			if rapid.Bool().Draw(t, "send") {
				dp.apply(t, compiled.Delta(sent))
				sent = compiled
				if dp.digest() != compiled.Digest() || len(dp.prefixes) != a4+a6 {
					t.Fatalf("revision %d: the data plane has %d prefixes, %s; want %d, %s",
						c.Revision, len(dp.prefixes), dp.digest(), a4+a6, compiled.Digest())
				}
			}
			checkBuckets(t, compiled)
		}
		if compiled != nil && sent != nil {
			// From any earlier table, a reconcile of the buckets that differ does as well.
			dp.apply(t, compiled.DeltaBuckets(differing(sent, compiled)))
		}
	})
}

func checkBuckets(t *rapid.T, f *FIB) {
	var sum Digest
	for _, b := range f.Buckets() {
		sum = sum.Add(b)
	}
	for k, g := range f.groups.All() {
		sum = sum.Add(groupItem(ClassID(k), (*g).hops))
	}
	if sum != f.Digest() {
		t.Fatalf("the buckets and groups sum up to %s, the digest is %s", sum, f.Digest())
	}
}

func differing(a, b *FIB) *[128]byte {
	out := new([128]byte)
	x, y := a.Buckets(), b.Buckets()
	for i := range x {
		if x[i] != y[i] {
			out[i/8] |= 1 << (i % 8)
		}
	}
	return out
}

// digestOf is the state digest from scratch.
func digestOf(model *reference.State, revs map[string]eventlog.Revision) (sum Digest) {
	add := func(e eventlog.Event, key string) {
		line := eventlog.AppendEvent(nil, e)
		sum = sum.Add(hashItem(binary.LittleEndian.AppendUint64(line, uint64(revs[key]))))
	}
	for id, r := range model.Routes {
		body := sha256.Sum256(eventlog.AppendRouteBody(nil, &r))
		item := appendPrefixItem(nil, id.Destination, ClassID(body[:16]), "")
		sum = sum.Add(hashItem(binary.LittleEndian.AppendUint64(item, uint64(revs[fmt.Sprint(id)]))))
	}
	for id, r := range model.Routers {
		add(&r, string(id))
	}
	for id, l := range model.Links {
		add(&l, fmt.Sprint(id))
		for r, state := range model.Observed[id] {
			add(&eventlog.LinkObserved{LinkID: id, Router: r, State: state}, fmt.Sprint(id, r))
		}
	}
	for k, v := range model.Keys {
		add(&eventlog.KeyPut{Key: k, Value: v}, "key "+k)
	}
	return sum
}

func TestStateDigestEqualsTheSumOverItems(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := reference.World{}.Events(60).Draw(t, "events")
		f, model := NewFold("log"), reference.New()
		revs := map[string]eventlog.Revision{}
		var changed eventlog.Revision
		for _, c := range commitsOf(t, events, 6) {
			mustApplyRapid(t, f, c)
			model.Apply(c.Events...)
			for _, e := range c.Events {
				switch e := e.(type) {
				case *eventlog.RouteAnnounced:
					revs[fmt.Sprint(e.RouteID)] = c.Revision
				case *eventlog.RouterSet:
					revs[string(e.Router)] = c.Revision
				case *eventlog.LinkSet:
					revs[fmt.Sprint(e.LinkID)] = c.Revision
				case *eventlog.LinkObserved:
					revs[fmt.Sprint(e.LinkID, e.Router)] = c.Revision
				case *eventlog.KeyPut:
					revs["key "+e.Key], changed = c.Revision, c.Revision
				case *eventlog.KeyDeleted:
					changed = c.Revision
				}
			}
			s := f.Current()
			if got, want := s.Digest(), digestOf(model, revs); got != want {
				t.Fatalf("revision %d: digest %s, want %s", c.Revision, got, want)
			}
			if st := s.Stats(); st.Routes != len(model.Routes) || st.Links != len(model.Links) ||
				st.Keys != len(model.Keys) || st.Routers != len(model.Known()) {
				t.Fatalf("revision %d: %+v, want %d routes, %d links, %d keys, routers %v", c.Revision, st,
					len(model.Routes), len(model.Links), len(model.Keys), model.Known())
			}
			if got, want := s.KeyBytes(), bytesOf(model.Keys); got != want || s.Stats().KeyBytes != want || s.KeysChanged() != changed {
				t.Fatalf("revision %d: %d bytes of keys, changed at %d; want %d, %d", c.Revision, got, s.KeysChanged(), want, changed)
			}
			var known []eventlog.RouterID
			for r := range s.Routers() {
				known = append(known, r.Router)
			}
			if !slices.Equal(known, model.Known()) {
				t.Fatalf("routers %v, want %v", known, model.Known())
			}
			for id, r := range model.Routes {
				got, ok := s.Route(id)
				if !ok || got.Revision != revs[fmt.Sprint(id)] || !cmp.Equal(got.RouteAnnounced, r, compareAddrs) {
					t.Fatalf("route %v is %v %+v, want %+v at %d", id, ok, got, r, revs[fmt.Sprint(id)])
				}
			}
		}
	})
}

func bytesOf(keys map[string]string) (n int64) {
	for k, v := range keys {
		n += int64(len(k) + len(v))
	}
	return n
}

func saved(t interface{ Fatal(...any) }, s *State) []byte {
	var b bytes.Buffer
	if err := s.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSaveLoadResumeContinue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		commits := commitsOf(t, reference.World{}.Events(60).Draw(t, "events"), 6)
		straight := NewFold("log")
		mustApplyRapid(t, straight, commits...)
		want := straight.State()

		f := NewFold("log")
		for _, c := range commits {
			switch rapid.IntRange(0, 3).Draw(t, "interruption") {
			case 0:
				again, err := Load(bytes.NewReader(saved(t, f.State())))
				if err != nil {
					t.Fatal(err)
				}
				f = again
			case 1:
				s := f.State()
				other := Resume(s)
				f = Resume(s)
				// Another fold of the same state goes its own way.
				mustApplyRapid(t, other, &eventlog.Commit{
					Revision: s.Position().Revision + 1, ID: "other", Actor: "other", Time: c.Time,
					Events: []eventlog.Event{reference.World{}.Route().Draw(t, "other")},
				})
			case 2:
				f.State()
			}
			mustApplyRapid(t, f, c)
		}
		got := f.State()
		if got.Digest() != want.Digest() {
			t.Fatalf("digest %s, want %s", got.Digest(), want.Digest())
		}
		if a, b := saved(t, got), saved(t, want); !bytes.Equal(a, b) {
			t.Fatalf("saved:\n%s\nwant:\n%s", a, b)
		}
		if got.KeyBytes() != want.KeyBytes() || got.KeysChanged() < want.KeysChanged() || got.KeysChanged() > got.Position().Revision {
			t.Fatalf("%d bytes of keys, changed up to %d; want %d, %d", got.KeyBytes(), got.KeysChanged(), want.KeyBytes(), want.KeysChanged())
		}
		for _, r := range routersAsked {
			if a, b := got.FIB(r, nil).Digest(), want.FIB(r, nil).Digest(); a != b {
				t.Fatalf("FIB of %s: %s, want %s", r, a, b)
			}
		}
		for _, c := range commits {
			seen, ok := f.Seen(c.Actor, c.ID)
			if !ok || seen != (Seen{c.Revision, c.Request, c.Time}) {
				t.Fatalf("commit %d is remembered as %v %+v", c.Revision, ok, seen)
			}
		}
	})
}

func TestStatesDoNotChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		commits := commitsOf(t, reference.World{}.Events(60).Draw(t, "events"), 6)
		f := NewFold("log")
		var states []*State
		var bytesThen [][]byte
		for _, c := range commits {
			mustApplyRapid(t, f, c)
			s := f.State()
			states, bytesThen = append(states, s), append(bytesThen, saved(t, s))
		}
		for i, s := range states {
			if !bytes.Equal(saved(t, s), bytesThen[i]) {
				t.Fatalf("the state at revision %d has changed", s.Position().Revision)
			}
		}
	})
}
