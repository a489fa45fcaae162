package archive

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dvr/controller/backup"
	"dvr/eventlog"
	"dvr/projector"
)

func (w *world) verify() Report {
	w.t.Helper()
	r, err := w.dir().Verify(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// A sound archive is found sound, and everything in it is read.
func TestVerify(t *testing.T) {
	for _, truncated := range []bool{false, true} {
		w := newWorld(t, 40)
		w.some(100)
		first := w.ends[0]
		if truncated {
			w.truncate(w.ends[20])
			first = w.ends[20] + 1
		}
		w.archive(w.head.Revision)
		r := w.verify()
		if r.Sound() != nil || r.LogID != logID || len(r.Spans) != 1 || r.Spans[0].First != first || r.Spans[0].Last != w.head.Revision || r.Spans[0].Hash != hashText(w.head.Hash) ||
			r.Commits != int64(w.head.Revision-first+1) || r.Histories != len(w.names(historyExtension)) || r.States != len(w.names(stateExtension)) || len(r.Left) > 0 || r.Events == 0 {
			t.Errorf("%+v: %v", r, r.Sound())
		}
	}
	empty := newWorld(t, 1)
	if r := empty.verify(); r.Sound() != nil || r.Newest() != nil {
		t.Errorf("an absent directory: %+v", r)
	}
}

// Every defect is found and named by its file, and the rest is verified all the same.
func TestVerifyFindsEveryDefect(t *testing.T) {
	w := newWorld(t, 41)
	w.some(140)
	w.archive(w.head.Revision)
	names, states := w.names(historyExtension), w.names(stateExtension)
	flip := func(b []byte) []byte { b[len(b)/2] ^= 8; return b }
	w.change(names[1], flip)
	w.remove(names[3])
	w.change(states[5], flip)
	w.change(names[5], func(b []byte) []byte { // only the SHA-256 sees it
		return bytes.Replace(b, []byte("node-1"), []byte("node-2"), 1)
	})
	// A state that is sound and a lie: another revision's under the hash of this one.
	_, last, _ := parseName(names[6])
	var lie bytes.Buffer
	h := backup.Describe(w.states[last])
	h.Digest = w.states[last-1].Digest().String()
	if err := backup.WriteSaved(&lie, h, w.states[last-1].Save); err != nil {
		t.Fatal(err)
	}
	w.change(StateName(last, h.Hash), func([]byte) []byte { return lie.Bytes() })
	if err := os.WriteFile(filepath.Join(w.path, "notes.txt"), []byte("of somebody"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := w.verify()
	text := r.Sound().Error()
	for _, name := range []string{names[1], names[5], states[5], StateName(last, h.Hash)} {
		if !strings.Contains(text, name+": damaged") {
			t.Errorf("%s is not named in\n%s", name, text)
		}
	}
	gap, end, _ := parseName(names[3])
	if g := r.Gaps(); len(g) < 2 || !strings.Contains(text, "are missing") {
		t.Errorf("gaps %v, want one of %d to %d: %s", g, gap, end, text)
	}
	if len(r.Defects) != 4 || strings.Contains(text, "notes.txt") {
		t.Errorf("defects: %s", text)
	}
}

// A state that is sound in itself and another than the commits before it give is
// found, though it has their hash.
func TestAForgedStateIsFound(t *testing.T) {
	w := newWorld(t, 45)
	w.some(60)
	w.archive(w.head.Revision)
	states := w.names(stateExtension)
	last, _, _ := parseName(states[1])
	forged := projector.NewFold(logID)
	if err := w.log.Read(context.Background(), 0, func(b *eventlog.Batch) error {
		for i := range b.Commits {
			c := b.Commits[i]
			if c.Revision > last {
				return errFull
			}
			if s, ok := only(c.Events).(*eventlog.CommitStaged); ok {
				c.Events, _ = w.log.Staged(context.Background(), s)
			}
			if c.Revision == last {
				c.Events = []eventlog.Event{&eventlog.KeyPut{Key: "forged", Value: "1"}}
			}
			h, err := eventlog.HashAt(b.Raw, c.Revision)
			if err != nil {
				return err
			}
			if err := forged.Apply(&c, h); err != nil {
				return err
			}
		}
		return nil
	}); err != errFull {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := backup.Write(&b, forged.State(), backup.Maker{}, time.UnixMilli(0)); err != nil {
		t.Fatal(err)
	}
	w.change(states[1], func([]byte) []byte { return b.Bytes() })
	r := w.verify()
	if len(r.Defects) != 1 || r.Defects[0].File != states[1] || !strings.Contains(r.Defects[0].Why, "the commits up to it give") {
		t.Errorf("%+v", r.Defects)
	}
}

// Damage cannot be hidden by making the file's checksums anew: the next file's
// hash chain does not continue it.
func TestARewrittenFileIsNotPartOfHistory(t *testing.T) {
	w := newWorld(t, 42)
	w.some(100)
	w.archive(w.head.Revision)
	names, first, last := w.spans()
	twin := newWorld(t, 43)
	twin.some(200)
	var to = last[1]
	for _, r := range twin.ends {
		if r >= to {
			to = r
			break
		}
	}
	_, _, raw := twin.written(Range{After: first[1] - 1, To: to})
	w.change(names[1], func([]byte) []byte { return raw })
	r := w.verify()
	if g := r.Gaps(); len(g) != 1 || g[0][1] != last[1] {
		t.Errorf("gaps %v, want %d to %d; %+v", g, first[1], last[1], r)
	}
	if len(r.Left) != 1 || r.Left[0] != names[1] {
		t.Errorf("%+v", r)
	}
}

// Files that overlap, and those of a history that was left, are no defects.
func TestVerifyKnowsWhatWasLeft(t *testing.T) {
	w := newWorld(t, 44)
	w.some(60)
	w.archive(w.ends[20])
	whole := w.archivist()
	whole.FileBytes = 1 << 20
	for _, n := range w.names(historyExtension) {
		if err := os.Rename(filepath.Join(w.path, n), filepath.Join(t.TempDir(), n)); err != nil {
			t.Fatal(err)
		}
	}
	w.archive(w.ends[10])
	if err := whole.Through(context.Background(), w.head.Revision); err != nil {
		t.Fatal(err)
	}
	r := w.verify()
	if r.Sound() != nil || len(r.Left) > 0 || r.Unstated != 0 {
		t.Errorf("%+v: %v", r, r.Sound())
	}
	// Without its last state, what lies behind the one before is to have one.
	states := w.names(stateExtension)
	w.remove(states[len(states)-1])
	if r := w.survey(); r.Unstated == 0 || r.Sound() != nil {
		t.Errorf("%+v", r)
	}
}
