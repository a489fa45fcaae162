package projector

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dvr/eventlog"
)

// Old logs stay: the fixture log of format 1, with every kind of event, folds
// for ever to the states that it folded to when it was made. The stage that it
// refers to lies in no fixture, so that commit is folded with an event in its
// place, as the appender expands it.
func TestFixtureLogOfFormat1(t *testing.T) {
	const golden = "testdata/fixture-v1.txt"
	files, err := filepath.Glob("../eventlog/testdata/v1/*.ndjson")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d batches, %v", len(files), err)
	}
	f := NewFold("")
	var got strings.Builder
	var d eventlog.Decoder
	staged := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b, head, err := eventlog.VerifyBatch(raw, f.State().Head())
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Commits {
			c := &b.Commits[i]
			if len(c.Events) == 1 && c.Events[0].Kind() == eventlog.KindCommitStaged {
				staged++
				events, err := d.DecodeEvents([]byte(`{"kind":"key.put","key":"staged","value":"1"}` + "\n"))
				if err != nil {
					t.Fatal(err)
				}
				c.Events = events
			}
			var hash eventlog.Hash // those within a batch are never asked for
			if c.Revision == b.Last() {
				hash = b.Hash
			}
			if err := f.Apply(c, hash); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&got, "%d %s\n", c.Revision, f.Current().Digest())
		}
		if s := f.State(); s.Head() != head {
			t.Errorf("%s: folded to head %+v, the log's is %+v", file, s.Head(), head)
		}
	}
	if staged != 1 {
		t.Errorf("%d staged commits, want 1", staged)
	}
	s := f.State()
	got.Write(saved(t, s))
	for r := range s.Routers() {
		fib := s.FIB(r.Router, nil)
		n4, n6 := fib.Len()
		fmt.Fprintf(&got, "fib %s %d %d %s\n", r.Router, n4, n6, fib.Digest())
	}
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Fatalf("the meaning of format 1, level 1 has changed:\n%s", diff)
	}
	if _, err := Load(bytes.NewReader(saved(t, s))); err != nil {
		t.Fatal(err)
	}
}
