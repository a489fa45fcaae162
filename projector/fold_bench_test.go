package projector

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"dvr/eventlog"
)

// table is n distinct prefixes that are spread like an Internet table: mostly
// /24 with some shorter ones, 15 % IPv6.
func table(n int) []netip.Prefix {
	rng := rand.New(rand.NewPCG(1, 2))
	seen := make(map[netip.Prefix]bool, n)
	out := make([]netip.Prefix, 0, n)
	for len(out) < n {
		var p netip.Prefix
		if rng.IntN(100) < 15 {
			p = place{hi: 0x2000000000000000 | rng.Uint64()>>3, bits: uint8(28 + rng.IntN(21)), v6: true}.prefix().Masked()
		} else {
			l := 24
			if rng.IntN(100) < 40 {
				l = 12 + rng.IntN(12)
			}
			p = place{hi: uint64(rng.Uint32N(0xdf<<24)) << 32, bits: uint8(l)}.prefix().Masked()
		}
		if !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return out
}

// importCommits announces the table over so many next hops in commits of 1,000.
func importCommits(prefixes []netip.Prefix, hops int, first eventlog.Revision, metric uint32) []*eventlog.Commit {
	var out []*eventlog.Commit
	rng := rand.New(rand.NewPCG(3, 4))
	for chunk := range slices.Chunk(prefixes, 1000) {
		c := &eventlog.Commit{
			Revision: first, Time: 1_800_000_000_000 + int64(first), ID: "import/" + strconv.Itoa(int(first)), Actor: "bench",
		}
		routes := make([]eventlog.RouteAnnounced, len(chunk))
		for i, p := range chunk {
			routes[i] = announced(p, rng.IntN(hops), metric)
			c.Events = append(c.Events, &routes[i])
		}
		out = append(out, c)
		first++
	}
	return out
}

func announced(p netip.Prefix, hop int, metric uint32) eventlog.RouteAnnounced {
	a := netip.AddrFrom4([4]byte{192, 0, 2, byte(hop)})
	if p.Addr().Is6() {
		a = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(hop)})
	}
	return eventlog.RouteAnnounced{
		RouteID:    eventlog.RouteID{Router: eventlog.AllRouters, Destination: p, NextHop: a, Origin: eventlog.DefaultOrigin},
		Metric:     metric,
		Preference: eventlog.DefaultPreference, Weight: eventlog.DefaultWeight,
	}
}

func mustApply(tb testing.TB, f *Fold, commits ...*eventlog.Commit) {
	tb.Helper()
	for _, c := range commits {
		if err := f.Apply(c, eventlog.Hash{byte(c.Revision)}); err != nil {
			tb.Fatal(err)
		}
	}
}

func BenchmarkReplay(b *testing.B) {
	for _, n := range []int{1_000_000} {
		commits := importCommits(table(n), 64, 1, 100)
		b.Run(fmt.Sprintf("first/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mustApply(b, NewFold("bench"), commits...)
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mevents/s")
		})
		b.Run(fmt.Sprintf("again/%d", n), func(b *testing.B) {
			f := NewFold("bench")
			mustApply(b, f, commits...)
			next := importCommits(table(n), 64, 0, 200)
			b.ReportAllocs()
			for b.Loop() {
				for _, c := range next {
					c.Revision = f.pos.Revision + 1
					if err := f.Apply(c, eventlog.Hash{}); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mevents/s")
		})
	}
}

func BenchmarkFull(b *testing.B) {
	f := NewFold("bench")
	mustApply(b, f, importCommits(table(1_000_000), 64, 1, 100)...)
	s := f.State()
	b.Run("compile", func(b *testing.B) {
		for b.Loop() {
			s.FIB("r1", nil)
		}
	})
	fib := s.FIB("r1", nil)
	b.Run("delta", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for range fib.Delta(nil).Sets() {
			}
		}
	})
	b.Run("buckets", func(b *testing.B) {
		for b.Loop() {
			fib.Buckets()
		}
	})
}

func BenchmarkOneChange(b *testing.B) {
	prefixes := table(1_000_000)
	f := NewFold("bench")
	mustApply(b, f, importCommits(prefixes, 64, 1, 100)...)
	fib := f.State().FIB("r1", nil)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		r := announced(prefixes[i*7919%len(prefixes)], i%64, 100)
		c := &eventlog.Commit{Revision: f.pos.Revision + 1, ID: strconv.Itoa(i), Actor: "bench", Events: []eventlog.Event{&r}}
		mustApply(b, f, c)
		next := f.State().FIB("r1", fib)
		next.Delta(fib)
		fib = next
	}
}

func BenchmarkSnapshot(b *testing.B) {
	f := NewFold("bench")
	mustApply(b, f, importCommits(table(1_000_000), 64, 1, 100)...)
	s := f.State()
	var buf bytes.Buffer
	b.Run("save", func(b *testing.B) {
		for b.Loop() {
			buf.Reset()
			if err := s.Save(&buf); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(buf.Len())/1e6, "bytes/prefix")
	})
	b.Run("load", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Load(bytes.NewReader(buf.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkFreeze(b *testing.B) {
	prefixes := table(1_000_000)
	f := NewFold("bench")
	mustApply(b, f, importCommits(prefixes, 64, 1, 100)...)
	f.State()
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		r := announced(prefixes[i*7919%len(prefixes)], i%64, 100)
		mustApply(b, f, &eventlog.Commit{Revision: f.pos.Revision + 1, ID: strconv.Itoa(i), Actor: "bench", Events: []eventlog.Event{&r}})
		f.State()
	}
}

func BenchmarkSingleCommits(b *testing.B) {
	prefixes := table(1_000_000)
	f := NewFold("bench")
	mustApply(b, f, importCommits(prefixes, 64, 1, 100)...)
	i := 0
	r := announced(prefixes[0], 0, 100)
	c := &eventlog.Commit{Actor: "bench", Events: []eventlog.Event{&r}}
	b.ReportAllocs()
	for b.Loop() {
		i++
		r.Destination = prefixes[i*7919%len(prefixes)]
		c.Revision, c.ID = f.pos.Revision+1, strconv.Itoa(i)
		mustApply(b, f, c)
	}
}

// BenchmarkMetricChanges is one-route commits that give routes metrics which
// few others have, the state frozen every 30 commits as an appender does.
func BenchmarkMetricChanges(b *testing.B) {
	f := NewFold("bench")
	rev := eventlog.Revision(0)
	for i := range b.N {
		w := i % 64
		r := announced(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(w), byte(i / 64 % 250), 0}), 24), w, uint32(i/64%1000))
		rev++
		c := &eventlog.Commit{Revision: rev, Time: 1_800_000_000_000, ID: strconv.Itoa(i), Actor: "bench", Events: []eventlog.Event{&r}}
		if err := f.Apply(c, eventlog.Hash{}); err != nil {
			b.Fatal(err)
		}
		if i%30 == 0 {
			f.State()
		}
	}
}

func BenchmarkLinkFlap(b *testing.B) {
	for _, routers := range []int{16, 100} {
		b.Run(strconv.Itoa(routers), func(b *testing.B) {
			f := NewFold("bench")
			c := &eventlog.Commit{Revision: 1}
			name := func(i int) eventlog.RouterID { return eventlog.RouterID(fmt.Sprintf("r%03d", i)) }
			for i := range routers {
				for _, j := range []int{i + 1, i + 10} {
					if j < routers {
						c.Events = append(c.Events, &eventlog.LinkSet{LinkID: eventlog.LinkID{A: name(i), B: name(j)}, CostAB: 1, CostBA: 1, InterfaceA: "to-b", InterfaceB: "to-a"})
					}
				}
			}
			for i, p := range table(10_000) {
				r := announced(p, i%64, 100)
				r.Router = name(i % routers)
				c.Events = append(c.Events, &r)
			}
			mustApply(b, f, c)
			fib := f.State().FIB(name(0), nil)
			state := eventlog.ObservedDown
			b.ReportAllocs()
			for b.Loop() {
				e := &eventlog.LinkObserved{LinkID: eventlog.LinkID{A: name(0), B: name(1)}, Router: name(0), State: state}
				mustApply(b, f, &eventlog.Commit{Revision: f.pos.Revision + 1, Events: []eventlog.Event{e}})
				next := f.State().FIB(name(0), fib)
				next.Delta(fib)
				fib = next
				if state == eventlog.ObservedDown {
					state = eventlog.ObservedUp
				} else {
					state = eventlog.ObservedDown
				}
			}
			b.ReportMetric(float64(f.State().Stats().Classes), "classes")
		})
	}
}

// BenchmarkMemory reports what a folded table of a million prefixes holds on the heap.
func BenchmarkMemory(b *testing.B) {
	prefixes := table(1_000_000)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		before := heap()
		f := NewFold("bench")
		for i, c := range importCommits(prefixes, 64, 1, 100) {
			mustApply(b, f, c)
			if i%100 == 0 {
				f.State()
			}
		}
		s := f.State()
		b.ReportMetric(float64(heap()-before)/1e6, "bytes/prefix")
		runtime.KeepAlive(s)
		runtime.KeepAlive(f)
	}
}

// BenchmarkRevisit is what the first question about the past costs before
// anything is folded.
func BenchmarkRevisit(b *testing.B) {
	prefixes := table(1_000_000)
	f := NewFold("bench")
	mustApply(b, f, importCommits(prefixes, 64, 1, 100)...)
	for i := range 100_000 {
		r := announced(prefixes[i*7919%len(prefixes)], i%64, uint32(i%100))
		mustApply(b, f, &eventlog.Commit{Revision: f.pos.Revision + 1, Time: 1_800_000_000_000, ID: strconv.Itoa(i), Actor: "bench", Events: []eventlog.Event{&r}})
	}
	s := f.State()
	b.ReportAllocs()
	for b.Loop() {
		Revisit(s)
	}
}
