package projector

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"dvr/dataplane/tables"
	"dvr/eventlog"
)

// The full Internet table behind 64 next hops, then five minutes of its real
// churn with the peers as next hops: lookups equal those in plain maps, what is
// kept up change by change equals what is computed at once, the snapshot comes
// back, and the digests are what they always were.
func TestRealTable(t *testing.T) {
	if testing.Short() {
		t.Skip("folds a million routes: 5 s, under the race detector a minute")
	}
	origins, err := tables.Full()
	if err != nil {
		t.Fatal(err)
	}
	updates, err := tables.Churn()
	if err != nil {
		t.Fatal(err)
	}
	const router = eventlog.RouterID("edge")
	f := NewFold("6f9619ff-8b86-4d01-b42d-00cf4fc964ff")
	model := map[netip.Prefix]map[netip.Addr]bool{}
	var events []eventlog.Event
	commit := func() {
		r := f.pos.Revision + 1
		mustApply(t, f, &eventlog.Commit{Revision: r, Time: 1_800_000_000_000 + int64(r), Actor: "a", ID: "c", Events: events})
		events = nil
	}
	announce := func(p netip.Prefix, hop netip.Addr) {
		r := announcing(p.String(), hop.String())
		events = append(events, r)
		if model[p] == nil {
			model[p] = map[netip.Addr]bool{}
		}
		model[p][hop] = true
	}
	for _, o := range origins {
		announce(o.Prefix, netip.AddrFrom4([4]byte{192, 0, 2, byte(o.ASN % 64)}))
		if len(events) == 1000 {
			commit()
		}
	}
	commit()
	full := f.State()
	before := full.FIB(router, nil)
	if n4, n6 := before.Len(); n4 != 901_899 || n6 != 160_147 {
		t.Fatalf("%d IPv4, %d IPv6", n4, n6)
	}
	kept := before
	for i, u := range updates {
		if !u.Withdraw {
			announce(u.Prefix, u.Peer)
		} else {
			events = append(events, &eventlog.RouteWithdrawn{RouteID: announcing(u.Prefix.String(), u.Peer.String()).RouteID})
			if delete(model[u.Prefix], u.Peer); len(model[u.Prefix]) == 0 {
				delete(model, u.Prefix)
			}
		}
		if len(events) == 100 || i == len(updates)-1 {
			commit()
		}
		if i%5000 == 4999 {
			kept = f.State().FIB(router, kept)
		}
	}
	s := f.State()
	kept = s.FIB(router, kept)
	fresh := s.FIB(router, nil)
	if kept.Digest() != fresh.Digest() {
		t.Errorf("kept up: %s, computed at once: %s", kept.Digest(), fresh.Digest())
	}
	if st := s.Stats(); st.Destinations4+st.Destinations6 != len(model) {
		t.Errorf("%d destinations, want %d", st.Destinations4+st.Destinations6, len(model))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		a := origins[rng.IntN(len(origins))].Prefix.Addr()
		if rng.IntN(2) == 0 && a.Is4() {
			a = netip.AddrFrom4([4]byte{byte(rng.IntN(224)), byte(rng.IntN(256)), byte(rng.IntN(256)), byte(rng.IntN(256))})
		}
		want := netip.Prefix{}
		for n := a.BitLen(); n >= 0 && !want.IsValid(); n-- {
			if p, err := a.Prefix(n); err == nil && model[p] != nil {
				want = p
			}
		}
		d, ok := s.Lookup(router, a)
		if ok != want.IsValid() || ok && (d.Prefix != want || len(d.NextHops) != min(len(model[want]), maxNextHops)) {
			t.Fatalf("%s: %v %+v, want %s with %d next hops", a, ok, d, want, len(model[want]))
		}
	}
	var b bytes.Buffer
	if err := s.Save(&b); err != nil {
		t.Fatal(err)
	}
	again, err := Load(&b)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.State().FIB(router, nil).Digest(); got != fresh.Digest() || again.State().Digest() != s.Digest() {
		t.Errorf("the snapshot has digests %s, %s, want %s, %s", again.State().Digest(), got, s.Digest(), fresh.Digest())
	}
	for _, d := range []struct {
		what      string
		got, want string
	}{
		{"state, full table", full.Digest().String(), "8df08854b870156402b7b0f39406e608"},
		{"FIB, full table", before.Digest().String(), "e16a661e9aa4f404a67c5a2b3797c50d"},
		{"state after the churn", s.Digest().String(), "e1344681d767cdd3057e79ce5a831734"},
		{"FIB after the churn", fresh.Digest().String(), "aaa2df1207ed428c937129801a8c8709"},
	} {
		if d.got != d.want {
			t.Errorf("%s: digest %s, was %s", d.what, d.got, d.want)
		}
	}
}
