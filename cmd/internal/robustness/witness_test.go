package robustness

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestWitnessed: what the log tells of calls without an answer.
func TestWitnessed(t *testing.T) {
	log := commits(t, `
		a d h 1
		b e h 2
		- d h 4
		c d h 0`)
	for _, test := range []struct {
		call string
		want Outcome
		at   uint64
	}{
		{"1 - set unknown value:1 id:a", Done, 1},
		{"1 - set unknown value:9 id:z", Refused, 0},
		{"1 - set unknown value:2 id:b", Unknown, 0}, // of another item: not for the log to tell
		{"1 - set unknown value:4", Done, 3},
		{"1 - set unknown value:5", Refused, 0},
		{"1 - remove unknown id:c", Done, 4},
		{"1 - remove unknown", Unknown, 0},
		{"1 2 set refused value:1 id:a", Refused, 0}, // it was answered
	} {
		c := Witnessed(parse(t, test.call), log)[0]
		if c.Outcome != test.want || c.Revision != test.at || c.Unanswered != (test.at != 0) {
			t.Errorf("%s: %v at %d", test.call, c.Outcome, c.Revision)
		}
	}
	twice := Witnessed(parse(t, "1 - set unknown value:4\n2 3 set done value:4 at:3"), log)
	if twice[0].Outcome != Unknown {
		t.Error("which of two attempts made the commit the log does not tell")
	}
}

// TestWitnessedHistories: a log that does not fit what was answered and read is
// no way out, and one that does decides what could not be tried out.
func TestWitnessedHistories(t *testing.T) {
	many := func(read string) string {
		lines := []string{"1 2 set done value:100 id:x at:1"}
		for i := range 40 {
			lines = append(lines, fmt.Sprintf("%d - set unknown value:%d id:u%d", i+3, i+1, i+1))
		}
		return strings.Join(append(lines, read), "\n")
	}
	for _, test := range []struct {
		name, log, history string
		good               bool
	}{
		{"none of many happened", "x d h 100", many("100 101 get done has:h=100 version:1 at:1"), true},
		{"one of many happened", "x d h 100\nu7 d h 7", many("100 101 get done has:h=7 version:2 at:2"), true},
		{"it happened, and a later read does not show it", "x d h 100\nu7 d h 7", many("100 101 get done has:h=100 version:1 at:1") + "\n102 103 get done has:h=7 version:2 at:2\n104 105 get done has:h=100 version:1 at:2", false},
		{"what was read is not in the log", "x d h 100", many("100 101 get done has:h=7 version:2 at:2"), false},
		{"it happened before it was asked for", "u1 d h 1\nx d h 100", "1 2 set done value:100 id:x at:2\n3 - set unknown value:1 id:u1", false},
	} {
		var v Violations
		Linearizable(Witnessed(parse(t, test.history), commits(t, test.log)), time.Minute, &v)
		if good := v.Count("") == 0; good != test.good || strings.Contains(v.String(), "in time") {
			t.Errorf("%s: good: %v\n%s", test.name, good, v.String())
		}
	}
}
