package pmap

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// model is a map and, when asked, its keys sorted.
type model[K Key[K]] map[K]int

func (m model[K]) sorted() []K { return slices.SortedFunc(maps.Keys(m), K.Compare) }

// version is a frozen view with what it must hold for ever.
type version[K Key[K]] struct {
	view View[K, int]
	want model[K]
}

// machine drives a Map and a model with the same operations.
type machine[K Key[K]] struct {
	key    func(int) K
	space  int
	m      Map[K, int]
	want   model[K]
	frozen []version[K]
	serial int
}

func (s *machine[K]) set(t *rapid.T, k K) {
	s.serial++
	before, ok := s.m.Set(k, s.serial)
	was, had := s.want[k]
	if ok != had || before != was {
		t.Fatalf("Set(%v) = %d, %v; want %d, %v", k, before, ok, was, had)
	}
	s.want[k] = s.serial
}

func (s *machine[K]) delete(t *rapid.T, k K) {
	before, ok := s.m.Delete(k)
	was, had := s.want[k]
	if ok != had || before != was {
		t.Fatalf("Delete(%v) = %d, %v; want %d, %v", k, before, ok, was, had)
	}
	delete(s.want, k)
}

func (s *machine[K]) run(t *rapid.T) {
	s.want = model[K]{}
	pick := rapid.IntRange(0, s.space-1)
	t.Repeat(map[string]func(*rapid.T){
		"set": func(t *rapid.T) { s.set(t, s.key(pick.Draw(t, "k"))) },
		"set run": func(t *rapid.T) {
			from, n, stride := pick.Draw(t, "from"), rapid.IntRange(1, 900).Draw(t, "n"), rapid.SampledFrom([]int{1, 1, -1, 7, 101}).Draw(t, "stride")
			for i := range n {
				s.set(t, s.key(((from+i*stride)%s.space+s.space)%s.space))
			}
		},
		"delete": func(t *rapid.T) { s.delete(t, s.key(pick.Draw(t, "k"))) },
		"delete run": func(t *rapid.T) {
			from, n, stride := pick.Draw(t, "from"), rapid.IntRange(1, 900).Draw(t, "n"), rapid.SampledFrom([]int{1, -1, 3, 103}).Draw(t, "stride")
			for i := range n {
				s.delete(t, s.key(((from+i*stride)%s.space+s.space)%s.space))
			}
		},
		"update": func(t *rapid.T) {
			k := s.key(pick.Draw(t, "k"))
			p := s.m.Update(k)
			if was, had := s.want[k]; (p != nil) != had || had && *p != was {
				t.Fatalf("Update(%v) = %v, want %d, %v", k, p, was, had)
			}
			if p != nil {
				s.serial++
				*p, s.want[k] = s.serial, s.serial
			}
		},
		"upsert": func(t *rapid.T) {
			k := s.key(pick.Draw(t, "k"))
			p, ok := s.m.Upsert(k)
			if was, had := s.want[k]; ok != had || *p != was {
				t.Fatalf("Upsert(%v) = %d, %v, want %d, %v", k, *p, ok, was, had)
			}
			*p += 1000
			s.want[k] += 1000
		},
		"freeze": func(t *rapid.T) {
			s.frozen = append(s.frozen, version[K]{s.m.Freeze(), maps.Clone(s.want)})
		},
		"go on from a version": func(t *rapid.T) {
			if len(s.frozen) > 0 {
				v := rapid.SampledFrom(s.frozen).Draw(t, "version")
				s.m, s.want = v.view.Thaw(), maps.Clone(v.want)
			}
		},
		"clear": func(t *rapid.T) {
			if rapid.IntRange(0, 9).Draw(t, "really") == 0 {
				s.m.Clear()
				s.want = model[K]{}
			}
		},
		"": func(t *rapid.T) { verify(t, &s.m.View, s.want) },
	})
	for i := range s.frozen {
		verify(t, &s.frozen[i].view, s.frozen[i].want)
	}
	for i := range s.frozen {
		for j := range s.frozen {
			if i < 6 && j < 6 || i == j+1 {
				verifyDiff(t, s.frozen[i], s.frozen[j])
			}
		}
		verifyDiff(t, s.frozen[i], version[K]{s.m.View, s.want})
	}
	verifyReads(t, s)
}

func verify[K Key[K]](t *rapid.T, v *View[K, int], want model[K]) {
	if _, err := v.check(); err != nil {
		t.Fatal(err)
	}
	if v.Len() != len(want) {
		t.Fatalf("Len = %d, want %d", v.Len(), len(want))
	}
	n := 0
	for k, p := range v.All() {
		if w, ok := want[k]; !ok || w != *p {
			t.Fatalf("All has %v = %d, want %d, %v", k, *p, w, ok)
		}
		n++
	}
	if n != len(want) {
		t.Fatalf("All gave %d entries of %d", n, len(want))
	}
}

type change struct{ before, after int } // −1: absent

func verifyDiff[K Key[K]](t *rapid.T, a, b version[K]) {
	want := map[K]change{}
	for k, x := range a.want {
		if y, ok := b.want[k]; !ok {
			want[k] = change{x, -1}
		} else if x != y {
			want[k] = change{x, y}
		}
	}
	for k, y := range b.want {
		if _, ok := a.want[k]; !ok {
			want[k] = change{-1, y}
		}
	}
	var last *K
	got := map[K]change{}
	Diff(a.view, b.view, func(x, y *int) bool { return *x == *y }, func(k K, x, y *int) bool {
		if last != nil && (*last).Compare(k) >= 0 {
			t.Fatalf("Diff gave %v after %v", k, *last)
		}
		last = &k
		c := change{-1, -1}
		if x != nil {
			c.before = *x
		}
		if y != nil {
			c.after = *y
		}
		got[k] = c
		return true
	})
	if !maps.Equal(got, want) {
		t.Fatalf("Diff = %v, want %v", got, want)
	}
	if len(want) > 1 {
		n, stop := 0, len(want)/2+1
		Diff(a.view, b.view, func(x, y *int) bool { return *x == *y }, func(K, *int, *int) bool { n++; return n < stop })
		if n != stop {
			t.Fatalf("Diff went on after the stop: %d, want %d", n, stop)
		}
	}
}

// verifyReads compares every way of reading at every key of the space.
func verifyReads[K Key[K]](t *rapid.T, s *machine[K]) {
	keys := s.want.sorted()
	v := s.m.Freeze()
	c := v.Cursor()
	for i := range s.space {
		k := s.key(i)
		at, exact := slices.BinarySearchFunc(keys, k, K.Compare)
		if got, ok := v.Get(k); ok != exact || got != s.want[k] {
			t.Fatalf("Get(%v) = %d, %v", k, got, ok)
		}
		if v.Has(k) != exact {
			t.Fatalf("Has(%v)", k)
		}
		if ok := c.Seek(k); ok != (at < len(keys)) || ok && (c.Key() != keys[at] || *c.Value() != s.want[keys[at]]) {
			t.Fatalf("Seek(%v)", k)
		}
		from := at
		for j := range 3 {
			if at+j >= len(keys) {
				if c.Valid() {
					t.Fatalf("Next from %v passes the end", k)
				}
				break
			}
			if !c.Valid() || c.Key() != keys[at+j] {
				t.Fatalf("Next from %v", k)
			}
			c.Next()
		}
		if exact {
			at++
		}
		f, p := v.Floor(k)
		if (p != nil) != (at > 0) || p != nil && (f != keys[at-1] || *p != s.want[f]) {
			t.Fatalf("Floor(%v) = %v, %v", k, f, p)
		}
		if ok := c.SeekFloor(k); ok != (at > 0) || ok && c.Key() != keys[at-1] {
			t.Fatalf("SeekFloor(%v)", k)
		}
		for j := at - 1; j >= max(0, at-70); j-- {
			if !c.Valid() || c.Key() != keys[j] {
				t.Fatalf("Prev from %v", k)
			}
			c.Prev()
		}
		if at <= 70 && c.Valid() {
			t.Fatalf("Prev from %v passes the start", k)
		}
		n := 0
		for got := range v.From(k) {
			if got != keys[from+n] {
				t.Fatalf("From(%v) gave %v, want %v", k, got, keys[from+n])
			}
			if n++; n == 70 {
				break
			}
		}
		if n != min(70, len(keys)-from) {
			t.Fatalf("From(%v) gave %d entries", k, n)
		}
	}
	if c.First() != (len(keys) > 0) || c.Valid() && c.Key() != keys[0] {
		t.Fatal("First")
	}
	if c.Last() != (len(keys) > 0) || c.Valid() && c.Key() != keys[len(keys)-1] {
		t.Fatal("Last")
	}
}

func TestMapAgainstModel(t *testing.T) {
	t.Run("uint", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			(&machine[Uint]{key: func(i int) Uint { return Uint(i) * 3 }, space: 9000}).run(t)
		})
	})
	t.Run("string", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			(&machine[String]{key: func(i int) String { return String(rune('a'+i%26)) + String(rune('a'+i/26)) }, space: 700}).run(t)
		})
	})
	t.Run("id", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			(&machine[ID]{key: func(i int) ID { return ID{byte(i * 37), 15: byte(i)} }, space: 256}).run(t)
		})
	})
}
