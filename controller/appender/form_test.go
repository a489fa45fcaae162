package appender

import (
	"testing"

	"dvr/eventlog"
)

// TestFormEqualsEncoding compares the form that is completed on the loop with
// the codec's own bytes.
func TestFormEqualsEncoding(t *testing.T) {
	for _, c := range []eventlog.Commit{
		{ID: "a", Actor: "alice", Events: []eventlog.Event{route(1)}},
		{ID: `","time":"1970-01-01T00:00:00.000Z`, Actor: `\"`, Events: []eventlog.Event{route(1), route(2)}},
		{ID: `\`, Actor: "a", Source: "[::1]:1", For: "bob", Reason: `,"time":"x`, Forced: []string{"g"}, Reverts: []eventlog.Revision{3}},
	} {
		var f form
		f.encode(&c)
		for _, r := range []eventlog.Revision{1, 9, 10, 1<<64 - 1} {
			c.Revision, c.Time = r, 1_795_297_761_123
			var text [timeLen]byte
			eventlog.AppendTime(text[:0], c.Time)
			want := eventlog.AppendCommit(nil, &c)
			if got := f.appendTo(nil, r, &text); string(got) != string(want) {
				t.Errorf("got  %swant %s", got, want)
			}
			if len(want) > len(f.bytes)+maxGrowth {
				t.Errorf("grew by %d", len(want)-len(f.bytes))
			}
		}
	}
}

func TestIDs(t *testing.T) {
	now := newClock().Now()
	seen := map[string]bool{}
	for range 1000 {
		s := NewID(now)
		if len(s) != 26 || seen[s] {
			t.Fatalf("id %q", s)
		}
		seen[s] = true
	}
	if NewID(now) >= NewID(now.Add(1e9)) {
		t.Fatal("ids do not grow with time")
	}
}
