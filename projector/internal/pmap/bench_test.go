package pmap

import (
	"math/rand/v2"
	"runtime"
	"testing"
)

type value struct {
	set *int
	rev uint64
}

const million = 1_000_000

// spread is a bijection on 40 bits that scatters.
func spread(i int) Uint { return Uint(i) * 0x9e3779b97f4a7c15 >> 24 }

func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

func fill(key func(int) Uint) *Map[Uint, value] {
	var m Map[Uint, value]
	for i := range million {
		m.Set(key(i), value{rev: uint64(i)})
	}
	return &m
}

func BenchmarkFill(b *testing.B) {
	for _, c := range []struct {
		name string
		key  func(int) Uint
	}{
		{"ascending", func(i int) Uint { return Uint(i) << 8 }},
		{"random", spread},
	} {
		b.Run(c.name, func(b *testing.B) {
			before := heap()
			var m *Map[Uint, value]
			for b.Loop() {
				m = nil
				m = fill(c.key)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/million, "ns/insert")
			b.ReportMetric(float64(heap()-before)/float64(m.Len()), "B/entry")
		})
	}
}

func BenchmarkGet(b *testing.B) {
	m := fill(spread)
	i := 0
	for b.Loop() {
		i = (i + 7919) % million
		if _, ok := m.Get(spread(i)); !ok {
			b.Fatal("lost", i)
		}
	}
}

func BenchmarkReplace(b *testing.B) {
	m := fill(spread)
	i := 0
	for b.Loop() {
		i = (i + 7919) % million
		m.Set(spread(i), value{})
	}
}

func BenchmarkSetAfterFreeze(b *testing.B) {
	m := fill(spread)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i = (i + 7919) % million
		m.Freeze()
		m.Set(spread(i), value{})
	}
}

func BenchmarkDiffOfOne(b *testing.B) {
	m := fill(spread)
	before := m.Freeze()
	m.Set(spread(77), value{rev: 1})
	after := m.Freeze()
	for b.Loop() {
		n := 0
		Diff(before, after, func(a, b *value) bool { return *a == *b }, func(Uint, *value, *value) bool { n++; return true })
		if n != 1 {
			b.Fatal(n)
		}
	}
}

func BenchmarkChurn(b *testing.B) {
	m := fill(spread)
	r := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		i := r.IntN(2 * million)
		if _, ok := m.Delete(spread(i)); !ok {
			m.Set(spread(i), value{})
		}
	}
}

func BenchmarkAll(b *testing.B) {
	m := fill(spread)
	for b.Loop() {
		n := 0
		for range m.All() {
			n++
		}
		if n != million {
			b.Fatal(n)
		}
	}
}

// BenchmarkLongest looks up random addresses in a table of 1M prefixes whose
// lengths are spread like those of the Internet's: mostly /24.
func BenchmarkLongest(b *testing.B) {
	r := rand.New(rand.NewPCG(11, 12))
	var m Map[V4, value]
	for m.Len() < million {
		n := 24
		if r.IntN(3) == 0 {
			n = 12 + r.IntN(12)
		}
		m.Set(V4(r.Uint32N(1<<31)).host().Cut(n), value{})
	}
	v := m.Freeze()
	for b.Loop() {
		Longest(v, V4(r.Uint32N(1<<31)).host())
	}
}

// host is the /32 of an address held in k.
func (k V4) host() V4 { return k<<8 | 32 }
