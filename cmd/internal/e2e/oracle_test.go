package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"dvr/dataplane/tables"
)

// oracle is the routing table as a reader of the promises would build it: a
// map of candidates, the lowest metric wins, the longest prefix that has any.
type oracle map[netip.Prefix]map[netip.Addr]uint32

func (o oracle) announce(p netip.Prefix, hop netip.Addr, metric uint32) {
	if o[p] == nil {
		o[p] = map[netip.Addr]uint32{}
	}
	o[p][hop] = metric
}

func (o oracle) withdraw(p netip.Prefix, hop netip.Addr) {
	delete(o[p], hop)
	if len(o[p]) == 0 {
		delete(o, p)
	}
}

// answer is the prefix that a matches and its next hops, in the order of their addresses.
func (o oracle) answer(a netip.Addr) string {
	for bits := a.BitLen(); bits >= 0; bits-- {
		p, _ := a.Prefix(bits) // bits is in range
		hops, ok := o[p]
		if !ok {
			continue
		}
		best := ^uint32(0)
		for _, metric := range hops {
			best = min(best, metric)
		}
		var names []string
		for hop, metric := range hops {
			if metric == best {
				names = append(names, hop.String())
			}
		}
		slices.Sort(names)
		return p.String() + " " + strings.Join(names, " ")
	}
	return "nothing"
}

func (h hit) String() string {
	if !h.found {
		return "nothing"
	}
	var names []string
	for _, hop := range h.hops {
		a, _ := netip.AddrFromSlice(hop.Address)
		names = append(names, a.String())
	}
	slices.Sort(names)
	return h.prefix.String() + " " + strings.Join(names, " ")
}

// addresses are n random ones: half anywhere, half inside a prefix of the
// table, where the long prefixes are, two thirds of them IPv4.
func addresses(r *rand.Rand, n int, origins []tables.Origin) []netip.Addr {
	out := make([]netip.Addr, n)
	for i := range out {
		var base netip.Addr
		fixed := 0
		v4 := i%3 != 0
		if i%2 == 0 {
			p := origins[r.IntN(len(origins))].Prefix
			base, fixed, v4 = p.Addr(), p.Bits(), p.Addr().Is4()
		}
		var raw [16]byte
		for j := range raw {
			raw[j] = byte(r.Uint32())
		}
		if v4 {
			a := netip.AddrFrom4([4]byte(raw[:4]))
			if base.IsValid() {
				a = mix(base, a, fixed)
			}
			out[i] = a
			continue
		}
		raw[0] = 0x20 | raw[0]&0x0f // 2000::/4, where the table is
		a := netip.AddrFrom16(raw)
		if base.IsValid() {
			a = mix(base, a, fixed)
		}
		out[i] = a
	}
	return out
}

// mix is the first bits of base and the others of a.
func mix(base, a netip.Addr, bits int) netip.Addr {
	x, y := base.AsSlice(), a.AsSlice()
	for i := range x {
		keep := min(max(bits-8*i, 0), 8)
		mask := byte(0xff << (8 - keep))
		x[i] = x[i]&mask | y[i]&^mask
	}
	out, _ := netip.AddrFromSlice(x)
	return out
}

// compare asks the data plane for every address and reports the differences.
func (o oracle) compare(t *testing.T, p *plane, list []netip.Addr) {
	t.Helper()
	ctx := within(t, patience)
	const workers = 32
	var next, wrong, found atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(list) {
					return
				}
				if ok := o.check(ctx, t, p, list[i], &wrong); ok {
					found.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if wrong.Load() > 0 {
		t.Errorf("%d of %d lookups differ from the oracle", wrong.Load(), len(list))
	}
	if f := found.Load(); f < int64(len(list)/2) || f == int64(len(list)) {
		t.Errorf("%d of %d addresses have a route: the sample shows too little", f, len(list))
	}
}

func (o oracle) check(ctx context.Context, t *testing.T, p *plane, a netip.Addr, wrong *atomic.Int64) (found bool) {
	got, err := p.lookup(ctx, a)
	text := got.String()
	if err != nil {
		text = fmt.Sprint("error ", err)
	}
	if want := o.answer(a); text != want && wrong.Add(1) <= 5 {
		t.Errorf("%v: data plane %s, oracle %s", a, text, want)
	}
	return got.found
}
