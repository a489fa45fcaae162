package main

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"dvr/cmd/internal/simulation"
	"dvr/controller/fibstream"
	"dvr/eventlog"
	"dvr/projector"
)

// benchVectors: what a link event costs in the projector alone.
func benchVectors(ctx context.Context, r *report) error {
	for _, step := range []func(context.Context, *report) error{benchGrid, benchPlanes, benchBehind} {
		if err := step(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// benchGrid: the grid of Open/R's benchmark of its decision, but all routers'
// vectors instead of one's.
func benchGrid(ctx context.Context, r *report) error {
	var whole []float64
	var rep *simulation.Report
	for range 5 {
		t, err := simulation.Generate("grid:1024", 1)
		if err != nil {
			return err
		}
		if rep, err = simulation.Run(ctx, t, simulation.Options{Prefixes: 10, Vectors: 1024, Events: 60, Seed: 1}); err != nil {
			return err
		}
		whole = append(whole, rep.FromNothing.Seconds())
	}
	r.add(row{what: "grid of 1,024 routers x 10 prefixes: all vectors from nothing", value: median(whole), unit: "s", must: 1, aim: .2,
		note: fmt.Sprintf("%d decisions", rep.Decisions)})
	one := churn(rep, func(e *simulation.Event) time.Duration { return e.Fold + e.Vectors })
	r.add(row{what: "  and after one link change", value: milliseconds(one.at(.5)), unit: "ms", must: 10, aim: 1,
		note: fmt.Sprintf("median of %d, the most %.2f ms", len(one), milliseconds(one.at(1)))})
	t, err := simulation.Generate("grid:1024", 1)
	if err != nil {
		return err
	}
	if rep, err = simulation.Run(ctx, t, simulation.Options{Prefixes: 10, Vectors: 1, DataPlanes: 1, Events: 60, Seed: 1}); err != nil {
		return err
	}
	one = churn(rep, func(e *simulation.Event) time.Duration { return e.Fold + e.FIBs })
	r.add(row{what: "  one router alone: vector and FIB from nothing", value: milliseconds(rep.FromNothing + rep.FIBsFromNothing), unit: "ms", unbounded: true,
		note: fmt.Sprintf("one link change %.3f ms", milliseconds(one.at(.5)))})
	return nil
}

// benchDecision: the grids of Open/R's benchmark of its decision, seen from one
// router as there: its vector and table from nothing, and after one link change.
func benchDecision(ctx context.Context, r *report) error {
	for _, routers := range []int{100, 1024, 10_000} {
		for _, prefixes := range []int{1, 10, 100} {
			t, err := simulation.Generate(fmt.Sprintf("grid:%d", routers), 1)
			if err != nil {
				return err
			}
			rep, err := simulation.Run(ctx, t, simulation.Options{Prefixes: prefixes, Vectors: 1, DataPlanes: 1, Events: 200, Seed: 1})
			if err != nil {
				return err
			}
			one := churn(rep, func(e *simulation.Event) time.Duration { return e.Fold + e.Vectors + e.FIBs })
			r.add(row{what: fmt.Sprintf("grid of %d routers x %d prefixes, seen from one: vector and table from nothing", rep.Routers, prefixes), value: milliseconds(rep.FromNothing + rep.FIBsFromNothing), unit: "ms", unbounded: true,
				note: fmt.Sprintf("one link change, vector, table and delta: p50 %.3f, p99 %.3f, the most %.3f ms", milliseconds(one.at(.5)), milliseconds(one.at(.99)), milliseconds(one.at(1)))})
		}
	}
	return nil
}

func churn(rep *simulation.Report, of func(*simulation.Event) time.Duration) (out durations) {
	for i := range rep.Churn {
		out = append(out, of(&rep.Churn[i]))
	}
	return out.sort()
}

// benchPlanes: 10,000 routers, of which 100 have a data plane.
func benchPlanes(ctx context.Context, r *report) error {
	for _, kind := range []string{"isp", "grid", "random"} {
		t, err := simulation.Generate(kind+":10000", 1)
		if err != nil {
			return err
		}
		rep, err := simulation.Run(ctx, t, simulation.Options{Prefixes: 1, DataPlanes: 100, Events: 100, Seed: 1})
		if err != nil {
			return err
		}
		all := churn(rep, func(e *simulation.Event) time.Duration { return e.Fold + e.FIBs })
		r.add(row{what: fmt.Sprintf("%s of %d routers, 100 data planes: one link change, all deltas", kind, rep.Routers), value: milliseconds(all.at(.5)), unit: "ms", must: 200, aim: 30,
			note: fmt.Sprintf("median of %d; from nothing %.0f ms", len(all), milliseconds(rep.FIBsFromNothing))})
		r.add(row{what: "  p99", value: milliseconds(all.at(.99)), unit: "ms", unbounded: true, note: fmt.Sprintf("p90 %.1f ms, the most %.1f ms", milliseconds(all.at(.9)), milliseconds(all.at(1)))})
	}
	return nil
}

// behindRouters have data planes; all are linked to a and b, and these to x,
// which announces everything: by a, unless the link a–x is down.
var behindRouters = []eventlog.RouterID{"r1", "r2", "r3", "r4", "r5", "r6", "a", "b"}

func behindLinks() (links []*eventlog.LinkSet) {
	add := func(p, q eventlog.RouterID, cost uint32) {
		n := byte(len(links))
		links = append(links, &eventlog.LinkSet{
			LinkID: eventlog.LinkID{A: min(p, q), B: max(p, q)}, CostAB: cost, CostBA: cost,
			AddressA: []netip.Addr{netip.AddrFrom4([4]byte{172, 16, n, 1})}, AddressB: []netip.Addr{netip.AddrFrom4([4]byte{172, 16, n, 2})},
		})
	}
	add("a", "x", 1)
	add("b", "x", 10)
	add("a", "b", 1)
	for _, p := range behindRouters[:6] {
		add("a", p, 1)
		add("b", p, 1)
	}
	return links
}

func behindRoute(i int) *eventlog.RouteAnnounced {
	a := 16<<24 + uint32(i)<<8
	return &eventlog.RouteAnnounced{
		RouteID: eventlog.RouteID{
			Router: "x", Origin: eventlog.DefaultOrigin,
			Destination: netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8)}), 24),
			NextHop:     netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 64)}),
		},
		Metric: 1, Preference: eventlog.DefaultPreference, Weight: eventlog.DefaultWeight,
	}
}

// behind is a state with n prefixes behind the link a–x, and the FIBs.
type behind struct {
	fold     *projector.Fold
	revision eventlog.Revision
	fibs     []*projector.FIB
	link     *eventlog.LinkSet
}

func newBehind(n int) (*behind, error) {
	b := &behind{fold: projector.NewFold("bench")}
	var events []eventlog.Event
	for _, l := range behindLinks() {
		events = append(events, l)
	}
	b.link = behindLinks()[0]
	if err := b.apply(events); err != nil {
		return nil, err
	}
	for at := 0; at < n; at += 1000 {
		events = events[:0:0]
		for i := at; i < min(n, at+1000); i++ {
			events = append(events, behindRoute(i))
		}
		if err := b.apply(events); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (b *behind) apply(events []eventlog.Event) error {
	b.revision++
	return b.fold.Apply(&eventlog.Commit{Revision: b.revision, Time: 1_800_000_000_000 + int64(b.revision), ID: fmt.Sprint(b.revision), Actor: "bench", Events: events}, eventlog.Hash{})
}

// flip takes the link down or up, and gives the time until all deltas are
// there, and their bytes.
func (b *behind) flip() (time.Duration, int, error) {
	l := *b.link
	l.Down = !l.Down
	b.link = &l
	begin := time.Now()
	if err := b.apply([]eventlog.Event{&l}); err != nil {
		return 0, 0, err
	}
	s := b.fold.State()
	deltas := make([]*projector.Delta, len(b.fibs))
	for i, was := range b.fibs {
		b.fibs[i] = s.FIB(was.Router(), was)
		deltas[i] = b.fibs[i].Delta(was)
	}
	took, size := time.Since(begin), 0
	for _, d := range deltas {
		if d.Empty() {
			return 0, 0, fmt.Errorf("a router did not switch")
		}
		size += fibstream.EncodedSize(d)
	}
	return took, size, nil
}

// benchBehind: the projector's share of a link failure with 10,000 and with
// 1,000,000 prefixes behind it, in turns; and what eight FIBs hold.
func benchBehind(_ context.Context, r *report) error {
	sizes := []int{10_000, 1_000_000}
	var states [2]*behind
	for i, n := range sizes {
		var err error
		if states[i], err = newBehind(n); err != nil {
			return err
		}
		before := live()
		s := states[i].fold.State()
		for _, id := range behindRouters {
			states[i].fibs = append(states[i].fibs, s.FIB(id, nil))
		}
		if v4, _ := states[i].fibs[0].Len(); v4 != n {
			return fmt.Errorf("%d prefixes in a FIB, want %d", v4, n)
		}
		if held := float64(live()) - float64(before); n == 1_000_000 {
			r.add(row{what: "memory per (prefix, router), 8 routers x 1,000,000 prefixes", value: max(0, held) / 8 / float64(n), unit: "bytes", must: 8, aim: 1,
				note: fmt.Sprintf("%.0f KiB for eight FIBs beside the tables that they share", held/1024)})
		}
	}
	var times [2]durations
	var bytes [2][]float64
	for range 300 {
		for i, b := range states {
			took, size, err := b.flip()
			if err != nil {
				return err
			}
			times[i], bytes[i] = append(times[i], took), append(bytes[i], float64(size))
		}
	}
	small, large := times[0].sort().at(.5), times[1].sort().at(.5)
	r.add(row{what: "link failure, 1,000,000 prefixes against 10,000: projector's time", value: float64(large) / float64(small), unit: "x", must: 1.2, aim: 1.2,
		note: fmt.Sprintf("%.3f ms against %.3f ms for eight FIBs and deltas, medians", milliseconds(large), milliseconds(small))})
	r.add(row{what: "  bytes of the deltas", value: median(bytes[1]) / median(bytes[0]), unit: "x", must: 1.2, aim: 1.2,
		note: fmt.Sprintf("%.0f bytes against %.0f for eight routers", median(bytes[1]), median(bytes[0]))})
	runtime.KeepAlive(states)
	return nil
}

// live is the bytes of the heap that are in use.
func live() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
