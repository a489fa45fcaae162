package projector

import (
	"bytes"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"dvr/eventlog"
)

func nothing(r eventlog.Revision, time int64, id string) *eventlog.Commit {
	return &eventlog.Commit{Revision: r, Time: time, Actor: "a", ID: id, Request: eventlog.RequestHash{1: byte(r)}}
}

// The window is checked against a map and a rescan, ids that repeat included.
func TestWindowRemembersTenMinutes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := NewFold("log")
		var history []*eventlog.Commit
		now := int64(1_800_000_000_000)
		for range rapid.IntRange(1, 60).Draw(t, "commits") {
			now += int64(rapid.SampledFrom([]int{0, 1, 1000, 60_000, windowSpan - 1, windowSpan, windowSpan + 1}).Draw(t, "pause"))
			c := nothing(eventlog.Revision(len(history)+1), now, strconv.Itoa(rapid.IntRange(0, 30).Draw(t, "id")))
			history = append(history, c)
			mustApplyRapid(t, f, c)
			want := map[string]Seen{}
			n, since := 0, now
			for i := len(history) - 1; i >= 0 && history[i].Time >= now-windowSpan; i-- {
				h := history[i]
				n, since = n+1, h.Time
				if _, ok := want[h.ID]; !ok {
					want[h.ID] = Seen{h.Revision, h.Request, h.Time}
				}
			}
			if w := f.Current().Window(); w != (Window{n, since}) {
				t.Fatalf("window %+v, want %d since %d", w, n, since)
			}
			for id := range 31 {
				got, ok := f.Seen("a", strconv.Itoa(id))
				w, wok := want[strconv.Itoa(id)]
				if ok != wok || got != w {
					t.Fatalf("seen %d: %v %+v, want %v %+v", id, ok, got, wok, w)
				}
			}
			if _, ok := f.Seen("b", c.ID); ok {
				t.Fatal("another actor's id is taken for this one's")
			}
		}
	})
}

// Within the time span a million commits stay, and not one more; evicted
// chunks are let go.
func TestWindowIsBounded(t *testing.T) {
	var w window
	key := func(i int) (k [16]byte) {
		var scratch []byte
		return windowKey(&scratch, "actor", strconv.Itoa(i))
	}
	const n = windowMax + 3*windowChunk
	for i := 1; i <= n; i++ {
		w.add(eventlog.Revision(i), int64(i/10), key(i), eventlog.RequestHash{})
	}
	if w.len() != windowMax || w.index.keys() != windowMax {
		t.Fatalf("%d commits, %d indexed", w.len(), w.index.keys())
	}
	if len(w.chunks) > windowMax/windowChunk+2 {
		t.Fatalf("%d chunks are kept", len(w.chunks))
	}
	for _, i := range []int{n - windowMax, 1} {
		if _, ok := w.find(key(i)); ok {
			t.Errorf("commit %d is still there", i)
		}
	}
	for _, i := range []int{n - windowMax + 1, n / 2, n} {
		if seen, ok := w.find(key(i)); !ok || seen.Revision != eventlog.Revision(i) {
			t.Errorf("commit %d: %v %+v", i, ok, seen)
		}
	}
}

// keys counts what is indexed.
func (x *keyIndex) keys() (n int) {
	for i := range x.parts {
		n += x.parts[i].n
	}
	return n
}

// One commit makes one part grow at most, and a part is small, whatever the ids
// are, as long as they are hashed.
func TestIndexGrowsInSmallSteps(t *testing.T) {
	var w window
	var scratch []byte
	grown, most := 0, 0
	for i := 1; i <= windowMax; i++ {
		key := windowKey(&scratch, "actor", strconv.Itoa(i))
		w.append(eventlog.Revision(i), key, eventlog.RequestHash{}, 0)
		if n := len(w.index.part(key).slots); n > most {
			grown, most = grown+1, n
		}
	}
	if most > 4*windowMax/indexParts*2 || grown < 5 {
		t.Errorf("a part has %d slots after %d steps", most, grown)
	}
}

// A slot has room for a part of the revision only; the rest comes from where
// the window stands, wherever in the revisions that is.
func TestIndexFindsLargeRevisions(t *testing.T) {
	for _, first := range []eventlog.Revision{1, 1<<44 - 50, 1 << 44, 3<<44 - 1, 1 << 62} {
		var w window
		key := func(i int) (k [16]byte) {
			var scratch []byte
			return windowKey(&scratch, "actor", strconv.Itoa(i))
		}
		for i := range 100 {
			w.append(first+eventlog.Revision(i), key(i), eventlog.RequestHash{}, 0)
		}
		for i := range 100 {
			if seen, ok := w.find(key(i)); !ok || seen.Revision != first+eventlog.Revision(i) {
				t.Fatalf("from %d, commit %d: %v %+v", first, i, ok, seen)
			}
		}
		if _, ok := w.find(key(100)); ok {
			t.Errorf("from %d: what was never added is found", first)
		}
		for i := range 99 {
			w.index.remove(&w, w.first)
			w.first++
			if _, ok := w.find(key(i)); ok {
				t.Fatalf("from %d: commit %d is still found", first, i)
			}
		}
		if seen, ok := w.find(key(99)); !ok || seen.Revision != first+99 || w.index.keys() != 1 {
			t.Errorf("from %d: %v %+v, %d indexed", first, ok, seen, w.index.keys())
		}
	}
}

// A step must not take a deadline to where the log cannot write it: the
// snapshot would hold another one, and the copies part when the clock is set back.
func TestClockStepKeepsDeadlinesWritable(t *testing.T) {
	const start = int64(1_800_000_000_000)
	for name, at := range map[string]int64{"last": eventlog.MaxTime, "first": 1} {
		f := NewFold("log")
		mustApply(t, f, &eventlog.Commit{Revision: 1, Time: start, Actor: "a", ID: "1", Events: []eventlog.Event{
			&eventlog.TimerSet{Name: "t", At: at, Events: []eventlog.Event{&eventlog.KeyPut{Key: "k", Value: "v"}}},
			&eventlog.ConfirmationOpened{Deadline: at},
		}})
		by := int64(86_400_000)
		if at == 1 {
			by = -by
		}
		step := func(r eventlog.Revision, from, to int64) *eventlog.Commit {
			return &eventlog.Commit{Revision: r, Time: to, Actor: "system", ID: "step", Events: []eventlog.Event{&eventlog.ClockStepped{From: from, To: to}}}
		}
		mustApply(t, f, step(2, start, start+by))
		again, err := Load(bytes.NewReader(saved(t, f.State())))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		back := step(3, start+by, start)
		mustApply(t, f, back)
		mustApply(t, again, back)
		if a, b := f.State().Digest(), again.State().Digest(); a != b {
			t.Errorf("%s: the fold has digest %s, its copy %s", name, a, b)
		}
	}
}

func TestClockStepMovesDeadlinesAndWindow(t *testing.T) {
	const start = int64(1_800_000_000_000)
	f := NewFold("log")
	mustApply(t, f,
		nothing(1, start, "one"),
		&eventlog.Commit{Revision: 2, Time: start, Actor: "a", ID: "two", Events: []eventlog.Event{
			&eventlog.TimerSet{Name: "t", At: start + 5000, Events: []eventlog.Event{&eventlog.KeyPut{Key: "k", Value: "v"}}},
			&eventlog.KeyPut{Key: "x", Value: "y"},
			&eventlog.ConfirmationOpened{Deadline: start + 60_000},
		}},
	)
	before := f.State()
	const back = 3_600_000
	mustApply(t, f, &eventlog.Commit{Revision: 3, Time: start - back, Actor: "system", ID: "step", Events: []eventlog.Event{
		&eventlog.ClockStepped{From: start, To: start - back},
	}})
	s := f.State()
	for timer := range s.Timers() {
		if timer.At != start+5000-back || timer.Revision != 2 {
			t.Errorf("timer at %d, revision %d", timer.At-start, timer.Revision)
		}
	}
	for c := range s.Confirmations() {
		if c.Deadline != start+60_000-back || c.Revision != 2 || len(c.Inverse) != 2 {
			t.Errorf("confirmation %+v", c)
		}
	}
	if seen, ok := f.Seen("a", "one"); !ok || seen.Time != start-back {
		t.Errorf("seen %v %+v", ok, seen)
	}
	// Nine minutes on, the first is still remembered; two more, no longer.
	mustApply(t, f, nothing(4, start-back+9*60_000, "four"))
	if _, ok := f.Seen("a", "one"); !ok {
		t.Error("forgotten too early")
	}
	mustApply(t, f, nothing(5, start-back+11*60_000, "five"))
	if _, ok := f.Seen("a", "one"); ok {
		t.Error("not forgotten")
	}
	for timer := range before.Timers() {
		if timer.At != start+5000 {
			t.Errorf("the older state's timer moved to %d", timer.At-start)
		}
	}
	step := &eventlog.Commit{Revision: 6, Time: start, Actor: "system", ID: "back", Events: []eventlog.Event{
		&eventlog.ClockStepped{From: start - back, To: start},
	}}
	mustApply(t, f, step)
	if got, want := f.State().Digest(), before.Digest(); got != want {
		t.Errorf("stepped back and forth: digest %s, was %s", got, want)
	}
}
