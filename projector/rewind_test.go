package projector

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"dvr/eventlog"
	"dvr/projector/internal/reference"
)

// sameWorld compares all that two states say, and that what is not saved
// follows alike in both.
func sameWorld(t *rapid.T, got, want *State) {
	t.Helper()
	var a, b bytes.Buffer
	if err := got.Save(&a); err != nil {
		t.Fatal(err)
	}
	if err := want.Save(&b); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Fatalf("revision %d saves as\n%s\nwant\n%s", want.pos.Revision, a.Bytes(), b.Bytes())
	}
	if got.digest != want.digest || got.Stats() != want.Stats() || got.keysAt != want.keysAt {
		t.Fatalf("revision %d: %s %+v, want %s %+v", want.pos.Revision, got.digest, got.Stats(), want.digest, want.Stats())
	}
	if g, w := slices.Collect(got.Routers()), slices.Collect(want.Routers()); len(g) != len(w) {
		t.Fatalf("routers %v, want %v", g, w)
	}
	for _, r := range routersAsked {
		g, w := got.FIB(r, nil), want.FIB(r, nil)
		g4, g6 := g.Len()
		w4, w6 := w.Len()
		if g.Digest() != w.Digest() || g4 != w4 || g6 != w6 || *g.Buckets() != *w.Buckets() {
			t.Fatalf("%s at %d: another FIB", r, want.pos.Revision)
		}
	}
}

// A fold that is moved to and fro between states, its own and those of another
// fold, and folds on from there, gives what a fold from the beginning gives.
func TestRewoundFoldsEqualReplay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		commits := commitsOf(t, reference.World{}.Events(40).Draw(t, "events"), 4)
		var replayed []*State // by revision, each of a fold of its own
		live := NewFold("log")
		lives := []*State{live.State()}
		for r := 0; r <= len(commits); r++ {
			f := NewFold("log")
			mustApplyRapid(t, f, commits[:r]...)
			replayed = append(replayed, f.State())
			if r > 0 {
				mustApplyRapid(t, live, commits[r-1])
				lives = append(lives, live.State())
			}
		}
		f := Revisit(lives[rapid.IntRange(0, len(commits)).Draw(t, "first")])
		var own []*State
		for range rapid.IntRange(1, 8).Draw(t, "moves") {
			pool := lives
			if len(own) > 0 && rapid.Bool().Draw(t, "own") {
				pool = own
			}
			f.Rewind(rapid.SampledFrom(pool).Draw(t, "to"))
			at := int(f.pos.Revision)
			sameWorld(t, f.State(), replayed[at])
			for range rapid.IntRange(0, len(commits)-at).Draw(t, "on") {
				mustApplyRapid(t, f, commits[at])
				if at++; rapid.Bool().Draw(t, "freeze") {
					own = append(own, f.State())
				}
			}
			s := f.State()
			own = append(own, s)
			sameWorld(t, s, replayed[at])
			if err := consistent(&f.intern); err != "" {
				t.Fatal(err)
			}
		}
		for i, s := range lives { // nothing of theirs was touched
			sameWorld(t, s, replayed[i])
		}
	})
}

// consistent: every record is used, found under its identity, and the free
// slots are exactly the empty ones.
func consistent(in *interner) string {
	used := 0
	for i, r := range in.sets {
		if r.set == nil {
			continue
		}
		used++
		if int(r.set.slot) != i || r.refs <= 0 {
			return "a set's record"
		}
		for _, b := range r.set.bodies {
			if in.bodies[b.slot].body != b || in.byBody[b.id] != b {
				return "a set's body is not the one of the records"
			}
		}
		if c := r.set.class; c != nil && (in.byClass[c.id] != r.tally || r.tally.class != c || in.classes[c.slot] != r.tally) {
			return "a set's class is not the one of the records"
		}
	}
	if used+len(in.free.sets) != len(in.sets) || len(in.byBody)+len(in.free.bodies) != len(in.bodies) || len(in.byClass)+len(in.free.classes) != len(in.classes) {
		return "free slots"
	}
	return ""
}

func TestRevisitedFoldsKeepNoIndexOfTheWindow(t *testing.T) {
	f := NewFold("log")
	mustApply(t, f, &eventlog.Commit{Revision: 1, Time: 1, Actor: "a", ID: "1"})
	p := Revisit(f.State())
	mustApply(t, p, &eventlog.Commit{Revision: 2, Time: 2, Actor: "a", ID: "2"})
	if _, ok := p.Seen("a", "2"); ok || p.window.index.parts != nil {
		t.Fatal("an index is kept")
	}
	mustApply(t, f, &eventlog.Commit{Revision: 2, Time: 2, Actor: "a", ID: "2"})
	if !bytes.Equal(saved(t, p.State()), saved(t, f.State())) {
		t.Fatal("another window")
	}
	q, err := LoadPast(bytes.NewReader(saved(t, f.State())))
	if err != nil || q.window.index.parts != nil || !bytes.Equal(saved(t, q.State()), saved(t, f.State())) {
		t.Fatal("a loaded one differs, or keeps an index", err)
	}
}

func TestDistanceCountsWhatDiffers(t *testing.T) {
	f := NewFold("log")
	mustApply(t, f, &eventlog.Commit{Revision: 1, Time: 1, Events: []eventlog.Event{announcing("10.0.0.0/8", "192.0.2.1"), announcing("10.1.0.0/16", "192.0.2.1")}})
	a := f.State()
	mustApply(t, f, &eventlog.Commit{Revision: 2, Time: 2, Events: []eventlog.Event{announcing("10.0.0.0/8", "192.0.2.2"), announcing("2001:db8::/32", "2001:db8::1"), &eventlog.KeyPut{Key: "k", Value: "v"}}})
	b := f.State()
	for _, c := range []struct {
		a, b       *State
		most, want int
	}{{a, a, 9, 0}, {a, b, 9, 3}, {b, a, 9, 3}, {b, a, 2, 2}} {
		if got := c.a.Distance(c.b, c.most); got != c.want {
			t.Errorf("%d of at most %d, want %d", got, c.most, c.want)
		}
	}
}
