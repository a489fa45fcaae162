package fibstream

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"

	"dvr/controller/fibpb"
	"dvr/controller/fibstream/fibtest"
	"dvr/controller/fibstream/itemhash"
	"dvr/eventlog"
	"dvr/projector"
)

func prefixN(i int) string { return fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255) }

// TestChurn compares, at each ack, what the data planes hold with the FIB of
// the state of that position, under random changes of routes and links and
// random cuts.
func TestChurn(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			s := newSource(t, logA, 1)
			h := start(t, s, Options{ChunkBytes: 8 << 10, MaxInFlight: 1 + int(seed)})
			var mu sync.Mutex
			states := map[uint64]*projector.State{1: s.State()}
			checks := 0
			var planes []*fibtest.Plane
			var cuts []func()
			for i := range 3 {
				p := fibtest.NewPlane(fmt.Sprintf("r%d", i+1), "i")
				p.Credit = uint32(1 + i*4)
				p.OnAck = func(table *fibtest.Table, at *fibpb.Position, digest itemhash.Digest) {
					mu.Lock()
					state := states[at.GetRevision()]
					checks++
					mu.Unlock()
					fib := state.FIB(eventlog.RouterID(p.Router), nil)
					v4, v6 := fib.Len()
					if string(fib.Digest().Bytes()) != string(digest.Bytes()) || v4+v6 != len(table.Prefixes) {
						t.Errorf("%s at %d: %d prefixes, digest %x; want %d, %s", p.Router, at.GetRevision(), len(table.Prefixes), digest.Bytes(), v4+v6, fib.Digest())
					}
				}
				planes = append(planes, p)
				cuts = append(cuts, h.connect(t, p, nil))
			}
			for range 400 {
				var events []eventlog.Event
				used := map[string]bool{}
				for range 1 + rng.IntN(8) {
					e, key := randomEvent(rng)
					if !used[key] {
						used[key] = true
						events = append(events, e)
					}
				}
				mu.Lock()
				rev := s.commit(t, events...)
				states[uint64(rev)] = s.State()
				mu.Unlock()
				if rng.IntN(40) == 0 {
					i := rng.IntN(len(planes))
					cuts[i]()
					cuts[i] = h.connect(t, planes[i], nil)
				}
				if rng.IntN(10) == 0 {
					h.synced(t, planes[rng.IntN(len(planes))])
				}
			}
			for _, p := range planes {
				h.synced(t, p)
			}
			mu.Lock()
			defer mu.Unlock()
			if checks < 100 {
				t.Fatalf("only %d acks were checked", checks)
			}
		})
	}
}

func randomEvent(rng *rand.Rand) (eventlog.Event, string) {
	router := []string{"*", "r1", "r2", "r3", "r4"}[rng.IntN(5)]
	switch k := rng.IntN(20); {
	case k < 12:
		destination := prefixN(rng.IntN(200))
		hop := fmt.Sprintf("192.168.0.%d", 1+rng.IntN(4))
		if rng.IntN(4) == 0 {
			destination = fmt.Sprintf("2001:db8:%x::/48", rng.IntN(100))
			hop = fmt.Sprintf("2001:db8:ffff::%d", 1+rng.IntN(4))
		}
		r := route(router, destination, hop, uint32(rng.IntN(3)))
		key := fmt.Sprint(r.RouteID)
		if k < 4 {
			return withdraw(r), key
		}
		if rng.IntN(6) == 0 && prefix(destination).Addr().Is4() {
			r.NextHop, r.Recursive = netip.MustParseAddr(fmt.Sprintf("10.0.%d.7", rng.IntN(200))), true
			key = fmt.Sprint(r.RouteID)
		}
		return r, key
	case k < 18:
		pairs := [][2]string{{"r1", "r2"}, {"r2", "r3"}, {"r1", "r3"}, {"r3", "r4"}}
		p := pairs[rng.IntN(len(pairs))]
		if k < 14 {
			return &eventlog.LinkRemoved{LinkID: eventlog.LinkID{A: eventlog.RouterID(p[0]), B: eventlog.RouterID(p[1])}}, p[0] + p[1]
		}
		return link(p[0], p[1], uint32(1+rng.IntN(3))), p[0] + p[1]
	default:
		return &eventlog.KeyPut{Key: "k", Value: fmt.Sprint(rng.IntN(1000))}, "k"
	}
}
