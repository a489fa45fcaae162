package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	past "dvr/controller/history"
	"dvr/eventlog"
	"dvr/eventlog/memlog"
	"dvr/projector"
)

func saved(t testing.TB, s *projector.State) string {
	t.Helper()
	var b bytes.Buffer
	if err := s.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// holds holds everything that can be asked of the past against a replay.
func (w *world) holds(l *Log, low eventlog.Revision, log string) {
	w.t.Helper()
	ctx := context.Background()
	if got, err := l.Low(ctx); err != nil || got != low {
		w.t.Fatalf("history begins at %d, %v; want %d (%s)", got, err, low, l.Beyond())
	}
	a := past.NewArchive(l)
	for range 15 {
		at := max(low, 1) + eventlog.Revision(w.rand.IntN(int(w.head.Revision-max(low, 1))+1))
		st, err := a.State(ctx, w.now(), at)
		if err != nil {
			w.t.Fatalf("revision %d: %v", at, err)
		}
		if st.Digest() != w.states[at].Digest() || saved(w.t, st) != saved(w.t, w.states[at]) {
			w.t.Fatalf("another state at revision %d", at)
		}
		if st.Time() != w.states[at].Time() {
			w.t.Fatalf("another time at revision %d", at)
		}
	}
	for range 5 {
		after := low - 1 + eventlog.Revision(w.rand.IntN(int(w.head.Revision-low)+1))
		if got, want := raws(w.t, l, after), tailOf(w.t, log, after); got != want {
			w.t.Fatalf("after revision %d %d bytes, want %d", after, len(got), len(want))
		}
	}
	if low > 1 {
		if _, err := readAll(l, low-2); !errors.Is(err, eventlog.ErrTruncated) {
			w.t.Fatalf("before the beginning: %v", err)
		}
		_, err := a.State(ctx, w.now(), max(low, 3)-2)
		var gone *past.GoneError
		if !errors.As(err, &gone) || gone.Oldest > low+1000 {
			w.t.Fatalf("the state before the beginning: %v", err)
		}
	}
}

// tailOf is what of a log's bytes a read after a revision gives.
func tailOf(t testing.TB, log string, after eventlog.Revision) string {
	t.Helper()
	for rest := log; rest != ""; {
		l, _, err := eventlog.DecodeBatchLine([]byte(rest))
		if err != nil {
			t.Fatal(err)
		}
		if l.Last > after {
			return rest
		}
		next := strings.Index(rest[1:], `{"format":1,"epoch"`)
		if next < 0 {
			return ""
		}
		rest = rest[1+next:]
	}
	return ""
}

// Time travel from an archive equals replay: however often the log was archived
// and truncated, and whichever way a reader comes.
func TestThePastFromAnArchiveEqualsReplay(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, seed)
			w.some(5)
			whole := ""
			kept := w.over() // sees the archive change
			low := eventlog.Revision(1)
			for range 4 {
				w.some(10 + w.rand.IntN(30))
				whole += raws(t, w.log, lastOf(t, whole))
				if w.rand.IntN(2) == 0 {
					w.snapshot(w.end(low))
				}
				to := w.end(low)
				w.archive(to)
				if w.rand.IntN(4) > 0 {
					w.truncate(to)
					low = to + 1
				}
				w.holds(w.over(), 1, whole)
				w.holds(kept, 1, whole)
			}
			if low > 1 && len(w.names(historyExtension)) < 2 {
				t.Errorf("files: %q", w.names(historyExtension))
			}
		})
	}
}

func lastOf(t testing.TB, log string) eventlog.Revision {
	t.Helper()
	i := strings.LastIndex(log, `{"format":1,"epoch"`)
	if i < 0 {
		return 0
	}
	l, _, err := eventlog.DecodeBatchLine([]byte(log[i:]))
	if err != nil {
		t.Fatal(err)
	}
	return l.Last
}

// archived is a world whose log lies in an archive of several files, but for the
// newest commits.
func archivedWorld(t testing.TB, seed uint64) (w *world, whole string) {
	t.Helper()
	w = newWorld(t, seed)
	w.some(120)
	whole = raws(t, w.log, 0)
	to := w.ends[len(w.ends)-10]
	w.archive(to)
	w.truncate(to)
	if n := len(w.names(historyExtension)); n < 4 {
		t.Fatalf("%d files", n)
	}
	return w, whole
}

// spans are the first and last revisions of the files of history, by name.
func (w *world) spans() (names []string, first, last []eventlog.Revision) {
	for _, n := range w.names(historyExtension) {
		f, l, _ := parseName(n)
		names, first, last = append(names, n), append(first, f), append(last, l)
	}
	return names, first, last
}

func says(what string) func(name string, first, last eventlog.Revision) string {
	return func(name string, _, _ eventlog.Revision) string { return name + what }
}

// What is missing, damaged, foreign or of another history is never given away;
// history begins behind it, and the reason names it.
func TestHistoryBeginsBehindWhatIsNotSound(t *testing.T) {
	other := newWorldOf(t, 99, otherID)
	other.some(60)
	other.archive(other.head.Revision)
	for _, k := range []struct {
		name string
		do   func(w *world, name string)
		why  func(name string, first, last eventlog.Revision) string
	}{
		{"missing", func(w *world, name string) { w.remove(name) }, func(_ string, first, last eventlog.Revision) string {
			return fmt.Sprintf("revisions %d to %d are missing in ", first, last)
		}},
		{"cut off", func(w *world, name string) { w.change(name, func(b []byte) []byte { return b[:len(b)/2] }) }, says(": damaged: its end is missing")},
		{"empty", func(w *world, name string) { w.change(name, func([]byte) []byte { return nil }) }, says(": foreign")},
		{"another log's", func(w *world, name string) {
			theirs, err := os.ReadFile(filepath.Join(other.path, other.names(historyExtension)[0]))
			if err != nil {
				w.t.Fatal(err)
			}
			w.change(name, func([]byte) []byte { return theirs })
		}, says(": foreign: it is of log " + otherID)},
		{"rewritten", func(w *world, name string) {
			// A sound file whose commits somebody changed.
			twin := newWorld(w.t, 1234)
			twin.some(300)
			first, last, _ := parseName(name)
			_, _, raw := twin.written(Range{After: first - 1, To: last})
			w.change(name, func([]byte) []byte { return raw })
		}, says(" holds another history")},
	} {
		t.Run(k.name, func(t *testing.T) {
			w, whole := archivedWorld(t, 5)
			names, first, last := w.spans()
			at := len(names) - 3
			k.do(w, names[at])
			l := w.over()
			w.holds(l, last[at]+1, whole)
			if want := k.why(names[at], first[at], last[at]); !strings.Contains(l.Beyond(), want) {
				t.Errorf("the reason is %q, want %q", l.Beyond(), want)
			}
		})
	}
}

// Damage within a file is found when it is read: nothing of the block is given
// away, and from then on history begins behind the file. Put back, it is history again.
func TestDamageIsFoundByReading(t *testing.T) {
	w, whole := archivedWorld(t, 6)
	names, first, last := w.spans()
	at := len(names) - 3
	sound, err := os.ReadFile(filepath.Join(w.path, names[at]))
	if err != nil {
		t.Fatal(err)
	}
	l := w.over()
	w.change(names[at], func(b []byte) []byte { b[len(b)/3] ^= 4; return b })
	got, err := readAll(l, first[at]-1)
	if !errors.Is(err, eventlog.ErrTruncated) || !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), names[at]) {
		t.Errorf("%v", err)
	}
	if want := tailOf(t, whole, first[at]-1); !strings.HasPrefix(want, got) {
		t.Error("something else than the log was read")
	}
	w.holds(l, last[at]+1, whole)
	if !strings.Contains(l.Beyond(), names[at]) {
		t.Errorf("the reason is %q", l.Beyond())
	}
	w.change(names[at], func([]byte) []byte { return sound })
	w.holds(w.over(), 1, whole)
	l.dir.scanned = l.dir.scanned.Add(-2 * lookAgain)
	w.holds(l, 1, whole)
}

// A rebuilding that meets damage takes another way, or says what there is.
func TestRebuildingMeetsDamage(t *testing.T) {
	w, _ := archivedWorld(t, 7)
	ctx := context.Background()
	names, _, last := w.spans()
	at := len(names) - 3
	// A damaged state: an older one and the history behind it serve.
	state := w.names(stateExtension)[at]
	w.change(state, func(b []byte) []byte { b[len(b)-90] ^= 1; return b })
	l := w.over()
	a := past.NewArchive(l)
	r := last[at] + 1
	st, err := a.State(ctx, w.now(), r)
	if err != nil || st.Digest() != w.states[r].Digest() {
		t.Fatalf("behind a damaged state: %v", err)
	}
	// Damaged history: the error has the oldest that there is.
	w.change(names[at], func(b []byte) []byte { b[len(b)/3] ^= 4; return b })
	a = past.NewArchive(l)
	_, err = a.State(ctx, w.now(), last[at]-1)
	var gone *past.GoneError
	if !errors.As(err, &gone) || gone.Oldest < last[at] || !strings.Contains(gone.Why, names[at]) {
		t.Fatalf("behind damaged history: %v", err)
	}
	if st, err := a.State(ctx, w.now(), gone.Oldest); err != nil || st.Digest() != w.states[gone.Oldest].Digest() {
		t.Errorf("the oldest, %d: %v", gone.Oldest, err)
	}
}

// Files may overlap, and an archive may hold more than the log lost.
func TestFilesOverlap(t *testing.T) {
	w := newWorld(t, 8)
	w.some(80)
	whole := raws(t, w.log, 0)
	s, err := w.dir().Begin(logID)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []Range{{After: 0, To: w.ends[30]}, {After: w.ends[10], To: w.ends[50]}, {After: w.ends[40], To: w.ends[70]}, {After: w.ends[20], To: w.ends[25]}} {
		if _, _, err := s.History(logID, Tip{}, func(out io.Writer) error {
			_, _, err := Write(context.Background(), out, w.log, r, Maker{LogID: logID})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	w.truncate(w.ends[60]) // in the middle of a file
	w.holds(w.over(), 1, whole)
}

// A log that was begun anew from a backup goes on above the archive of the one
// before.
func TestAnArchiveGoesOnThroughARestore(t *testing.T) {
	w := newWorld(t, 9)
	w.some(40)
	whole := raws(t, w.log, 0)
	w.archive(w.head.Revision)
	at := w.ends[30] // the backup's; the archive holds more, which was lost
	lost := w.states[at+1:]
	w.states = w.states[:at+1]
	var keep []eventlog.Revision
	for _, r := range w.ends {
		if r <= at {
			keep = append(keep, r)
		}
	}
	w.ends = keep
	whole = whole[:len(whole)-len(tailOf(t, whole, at))]

	st := w.now()
	h := st.Head()
	b := eventlog.NewBatchBuilder(h, "node-9")
	c := eventlog.Commit{ID: "restored", Actor: "system", Time: st.Time(), Events: []eventlog.Event{&eventlog.EpochStarted{
		Epoch: 2, LogID: logID, Nonce: eventlog.Nonce{9}, Cause: "restored", From: &eventlog.EpochOrigin{Epoch: 1, Revision: at, Hash: h.Hash},
	}}}
	if err := b.Add(&c); err != nil {
		t.Fatal(err)
	}
	raw, next := b.Finish()
	var err error
	if w.log, err = memlog.Plant(describe(st), st.Save, raw, next); err != nil {
		t.Fatal(err)
	}
	if w.fold, err = projector.Load(strings.NewReader(saved(t, st))); err != nil {
		t.Fatal(err)
	}
	w.follow(at)
	w.some(20)
	whole += raws(t, w.log, at)
	w.holds(w.over(), 1, whole)

	// The next archiving goes on from where both part.
	to := w.head.Revision
	w.archive(to)
	w.truncate(to)
	w.some(3)
	whole += raws(t, w.log, to)
	w.holds(w.over(), 1, whole)
	if len(lost) == 0 {
		t.Error("nothing was lost: the test does not test")
	}
}

// The events of a staged commit are read from the archive piece by piece when the
// live log has let them go.
func TestStagesAreReadInPieces(t *testing.T) {
	w, _ := archivedWorld(t, 5)
	l := w.over()
	stages := 0
	want := map[string]string{}
	if err := l.Read(t.Context(), 0, func(b *eventlog.Batch) error {
		for _, c := range b.Commits {
			s := past.StageOf(&c)
			if s == nil {
				continue
			}
			events, err := l.Staged(t.Context(), s)
			if err != nil {
				return err
			}
			want[s.ID] = string(eventlog.AppendEventLines(nil, events))
			if stages++; b.Last() <= w.ends[len(w.ends)-11] {
				if err := w.log.Unstage(t.Context(), s.ID); err != nil {
					return err
				}
			}
			got := ""
			err = past.StagedLines(t.Context(), l, s, func(line []byte) error {
				got += string(line) + "\n"
				return nil
			})
			if err != nil || got != want[s.ID] {
				t.Errorf("revision %d: %d bytes, want %d: %v", c.Revision, len(got), len(want[s.ID]), err)
			}
			page, err := past.StagedPage(t.Context(), l, s, 1, 1)
			if err != nil || len(page) != 1 || string(page[0]) != strings.Split(got, "\n")[1] {
				t.Errorf("revision %d: a page of %d lines, %v", c.Revision, len(page), err)
			}
			stop := errors.New("stop")
			if err := l.StageParts(t.Context(), s, func([]byte) error { return stop }); err != stop {
				t.Errorf("stopped: %v", err)
			}
			other := *s
			other.ID += "x"
			if err := l.StageParts(t.Context(), &other, func([]byte) error { return nil }); !errors.Is(err, eventlog.ErrNotFound) {
				t.Errorf("one that is not there: %v", err)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if stages < 5 {
		t.Errorf("%d stages", stages)
	}
}
