package archive

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dvr/eventlog"
)

func (w *world) survey() Report {
	w.t.Helper()
	r, err := w.dir().Survey()
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// through archives and holds that everything up to a revision is there then.
func (w *world) through(a *Archivist, to eventlog.Revision) {
	w.t.Helper()
	if err := a.Through(context.Background(), to); err != nil {
		w.t.Fatal(err)
	}
	r := w.survey()
	if err := r.Sound(); err != nil || len(r.Spans) != 1 || r.Spans[0].Last < to || r.States < 1 {
		w.t.Fatalf("archived to %d: %+v, %v", to, r, err)
	}
	if problem := a.Problem(); problem != nil {
		w.t.Error(problem)
	}
}

// A second run goes on where the first ended, and one with nothing to do writes
// nothing.
func TestASecondRunGoesOn(t *testing.T) {
	w := newWorld(t, 20)
	w.some(40)
	w.snapshot(w.ends[15])
	w.snapshot(w.ends[25])
	if err := w.archivist().Step(context.Background()); err != nil {
		t.Fatal(err)
	}
	r := w.survey()
	if len(r.Spans) != 1 || r.Spans[0].First != 1 || r.Spans[0].Last != w.ends[25] || r.Sound() != nil {
		t.Fatalf("%+v", r)
	}
	// A file ends at each snapshot, with its state.
	for _, at := range []eventlog.Revision{w.ends[15], w.ends[25]} {
		if !slices.Contains(w.names(stateExtension), StateName(at, hashText(w.states[at].Head().Hash))) {
			t.Errorf("no state at %d in %q", at, w.names(stateExtension))
		}
	}
	before := append(w.names(historyExtension), w.names(stateExtension)...)
	for range 2 {
		if err := w.archivist().Step(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if after := append(w.names(historyExtension), w.names(stateExtension)...); !slices.Equal(before, after) {
		t.Errorf("a run with nothing to do wrote %q, had %q", after, before)
	}
	a := w.archivist()
	w.through(a, w.ends[30])
	w.through(a, w.head.Revision)
	if names := w.names(historyExtension); !slices.Equal(names[:3], before[:3]) {
		t.Errorf("%q, was %q", names, before)
	}
	w.through(a, w.ends[3]) // is there
}

// Whatever a crash leaves, nothing is lost and the next run goes on: nothing that
// the archive does not hold durably was to be truncated.
func TestACrashIsSurvived(t *testing.T) {
	for _, step := range []string{"written", "renamed"} {
		for nth := range 4 {
			w := newWorld(t, 21)
			w.some(60)
			whole := raws(t, w.log, 0)
			to := w.ends[50]
			a := w.archivist()
			left := nth
			a.step = func(s string) error {
				if s != step {
					return nil
				}
				if left--; left < 0 {
					return errCrash
				}
				return nil
			}
			if err := a.Through(context.Background(), to); !errors.Is(err, errCrash) || a.Problem() == nil {
				t.Fatalf("%s %d: %v, %v", step, nth, err, a.Problem())
			}
			if parts := w.names(partExtension); len(parts) != 1 && step == "written" {
				t.Errorf("a crash left %q: the test does not test", parts)
			}
			if r := w.survey(); r.Sound() != nil {
				t.Errorf("%s %d: after the crash %v", step, nth, r.Sound())
			}
			w.through(w.archivist(), to)
			if parts := w.names(partExtension); len(parts) > 0 {
				t.Errorf("what the crash left is still there: %q", parts)
			}
			w.truncate(to)
			w.holds(w.over(), 1, whole)
		}
	}
}

// What cannot be written is an error: of the disk, and of the log.
func TestWhatCannotBeArchived(t *testing.T) {
	w := newWorld(t, 22)
	w.some(30)
	a := w.archivist()
	full := errors.New("no space left")
	a.step = func(string) error { return full }
	if err := a.Through(context.Background(), w.head.Revision); !errors.Is(err, full) || !errors.Is(a.Problem(), full) {
		t.Errorf("%v, %v", err, a.Problem())
	}
	if left := w.names(""); len(left) != 1 || left[0] != lockName {
		t.Errorf("left behind: %q", left)
	}
	a.step = nil
	for _, r := range w.ends[20:21] {
		if err := w.log.DamageBatch(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Through(context.Background(), w.head.Revision); !errors.Is(err, eventlog.ErrCorrupt) {
		t.Errorf("damaged batches: %v", err)
	}
	for _, n := range w.names(historyExtension) {
		if _, last, _ := parseName(n); last >= w.ends[20] {
			t.Errorf("%s was written of damaged batches", n)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := NewArchivist(w.log, NewDirectory(file), "", "").Through(context.Background(), 3); err == nil {
		t.Error("into a file")
	}
}

// One writer at a time; a reader is not held up.
func TestOneWriter(t *testing.T) {
	w := newWorld(t, 23)
	w.some(20)
	w.archive(w.ends[5])
	s, err := w.dir().Begin(logID)
	if err != nil {
		t.Fatal(err)
	}
	second := w.archivist()
	second.Patience = time.Millisecond
	if err := second.Through(context.Background(), w.head.Revision); !errors.Is(err, ErrBusy) {
		t.Errorf("a second writer: %v", err)
	}
	if err := w.archivist().Through(context.Background(), w.ends[5]); err != nil {
		t.Errorf("what is there needs no writer: %v", err)
	}
	if r := w.survey(); len(r.Spans) != 1 {
		t.Errorf("%+v", r)
	}
	// Who waits goes on when the first has ended.
	done := make(chan error, 1)
	third := w.archivist()
	go func() { done <- third.Through(context.Background(), w.head.Revision) }()
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	w.through(w.archivist(), w.head.Revision)
}

// Another log's directory is refused, and left as it is.
func TestAnotherLogsArchiveIsRefused(t *testing.T) {
	theirs := newWorldOf(t, 24, otherID)
	theirs.some(10)
	theirs.archive(theirs.head.Revision)
	before := theirs.names("")
	w := newWorld(t, 24)
	w.some(10)
	w.path = theirs.path
	if err := w.archivist().Through(context.Background(), w.head.Revision); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), otherID) {
		t.Errorf("%v", err)
	}
	if after := w.names(""); !slices.Equal(before, after) {
		t.Errorf("%q, was %q", after, before)
	}
	to := w.ends[5]
	w.truncate(to)
	if low, err := w.over().Low(context.Background()); err != nil || low != to+1 {
		t.Errorf("history begins at %d, %v", low, err)
	}
}

// Where the log was truncated before it was archived, the archive begins with the
// state there; a gap stays a gap, until a file fills it.
func TestGaps(t *testing.T) {
	w := newWorld(t, 25)
	w.some(120)
	whole := raws(t, w.log, 0)
	var missing strings.Builder
	from, to := w.ends[40], w.ends[70]
	if _, _, err := Write(context.Background(), &missing, w.log, Range{After: from, To: to}, Maker{LogID: logID}); err != nil {
		t.Fatal(err)
	}
	w.truncate(w.ends[10])
	w.archive(from)
	w.truncate(to) // by a node that knows no archive
	w.archive(w.ends[100])
	w.truncate(w.ends[100])
	r := w.survey()
	if g := r.Gaps(); len(g) != 1 || g[0] != [2]eventlog.Revision{from + 1, to} || r.Spans[0].First != w.ends[10]+1 {
		t.Fatalf("%+v", r)
	}
	if err := r.Sound(); err == nil || !strings.Contains(err.Error(), "are missing") {
		t.Errorf("%v", err)
	}
	l := w.over()
	w.holds(l, to+1, whole)
	s, err := w.dir().Begin(logID)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.History(logID, Tip{}, func(out io.Writer) error { _, err := io.WriteString(out, missing.String()); return err }); err != nil {
		t.Fatal(err)
	}
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	w.holds(l, w.ends[10]+1, whole)
}

// What is damaged or missing of what the log still holds is written again.
func TestTheArchiveIsMended(t *testing.T) {
	w := newWorld(t, 26)
	w.some(120)
	whole := raws(t, w.log, 0)
	w.archive(w.head.Revision)
	names, states := w.names(historyExtension), w.names(stateExtension)
	w.change(names[1], func(b []byte) []byte { return b[:len(b)-3] })
	w.remove(names[3])
	w.remove(states[2])
	w.through(w.archivist(), w.head.Revision)
	if again := w.names(historyExtension); !slices.Equal(names, again) {
		t.Errorf("%q, was %q", again, names)
	}
	if again := w.names(stateExtension); !slices.Equal(states, again) {
		t.Errorf("%q, was %q", again, states)
	}
	w.truncate(w.ends[110])
	w.holds(w.over(), 1, whole)
}

// Files of what others sent are checked before they take their place.
func TestWhatIsSentIsChecked(t *testing.T) {
	w := newWorld(t, 27)
	w.some(30)
	_, _, sound := w.written(Range{})
	s, err := w.dir().Begin(logID)
	if err != nil {
		t.Fatal(err)
	}
	defer s.End()
	var tip Tip
	store := func(raw string, id string) error {
		_, _, err := s.History(id, tip, func(out io.Writer) error { _, err := io.WriteString(out, raw); return err })
		return err
	}
	for _, k := range []struct {
		name, raw, id string
		is            error
	}{
		{"cut off", string(sound[:len(sound)-1]), logID, ErrDamaged},
		{"a bit", string(sound[:len(sound)/3]) + "x" + string(sound[len(sound)/3+1:]), logID, ErrDamaged},
		{"another log's", string(sound), otherID, ErrForeign},
		{"text", "not found", logID, ErrForeign},
	} {
		if err := store(k.raw, k.id); !errors.Is(err, k.is) {
			t.Errorf("%s: %v", k.name, err)
		}
	}
	if names := w.names(""); len(names) != 1 {
		t.Errorf("left behind: %q", names)
	}
	tip = Tip{Hash: hashText(w.head.Hash)}
	if err := store(string(sound), logID); !errors.Is(err, ErrLeft) {
		t.Errorf("another history: %v", err)
	}
	tip.Hash = strings.Repeat("0", 64)
	if err := store(string(sound), logID); err != nil {
		t.Error(err)
	}
}
