package appender

import (
	"fmt"
	"strings"
	"testing"

	"dvr/eventlog"
)

// A start hands over states of a little before the head, with and without a
// snapshot under them.
func TestOpenHandsOverWhatItFoldedPast(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{})
	if got := a.Passed(); len(got) != 1 || got[0].Position().Revision != 0 {
		t.Fatalf("of an empty log: %v", got)
	}
	value := strings.Repeat("x", 60<<10)
	put := func(n int) {
		for i := range n {
			if _, err := a.Append(testContext(t), Request{Actor: "alice", Events: []eventlog.Event{&eventlog.KeyPut{Key: fmt.Sprint(i % 3), Value: value}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(260) // 15 MiB
	check := func(what string, least, most eventlog.Revision) {
		t.Helper()
		b := open(t, log, Options{})
		got := b.Passed()
		head := b.State().Position().Revision
		if len(got) == 0 || len(got) > 2 {
			t.Fatalf("%s: %d states", what, len(got))
		}
		if r := head - got[0].Position().Revision; r < least || r > most {
			t.Errorf("%s: the first lies %d commits before the head, want %d to %d", what, r, least, most)
		}
		for _, s := range got {
			if s.Position().LogID != testLog || s.Position().Revision > head {
				t.Errorf("%s: a state at %s, the head is %d", what, s.Position(), head)
			}
		}
		if b.Passed() != nil {
			t.Errorf("%s: handed over twice", what)
		}
	}
	const each = passedBytes / (60 << 10)
	check("without a snapshot", each, 2*each+2)
	s := a.State()
	if _, err := log.WriteSnapshot(testContext(t), Describe(s), s.Save); err != nil {
		t.Fatal(err)
	}
	put(5)
	check("with a snapshot", 5, 5)
}
