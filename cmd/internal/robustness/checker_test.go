package robustness

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dvr/projector"
)

// Histories are written by hand here, a line a call:
//
//	<begin> <end> set|replace|remove|get <slot> <value> <outcome> key=value…
//
// begin and end are numbers; end is "-" for a call without an answer. What is
// read is given as content=…; the item is always one destination.
func parse(t *testing.T, text string) []*Call {
	t.Helper()
	var out []*Call
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		f := strings.Fields(line)
		c := &Call{Client: len(out), Node: "n", Item: Item{Routes, "d"}}
		if len(f) < 4 {
			t.Fatalf("%q", line)
		}
		c.Begin = number(t, f[0])
		c.Kind = map[string]Kind{"set": Set, "replace": Replace, "remove": Remove, "get": Get}[f[2]]
		switch f[3] {
		case "done":
			c.Outcome = Done
		case "failed":
			c.Outcome = Failed
		case "refused":
			c.Outcome = Refused
		case "unknown":
			c.Outcome = Unknown
		default:
			t.Fatalf("%q", line)
		}
		if f[1] != "-" {
			c.End = number(t, f[1])
		}
		for _, kv := range f[4:] {
			k, v, _ := strings.Cut(kv, ":")
			switch k {
			case "key":
				c.Space = Keys
			case "slot":
				c.Slot = v
			case "value":
				c.Value = uint64(number(t, v))
			case "id":
				c.ID = v
			case "match":
				c.IfMatch = uint64(number(t, v))
			case "none":
				c.IfAbsent = true
			case "at":
				c.Revision = uint64(number(t, v))
			case "version":
				c.Version = uint64(number(t, v))
			case "has":
				c.Content = v
			case "absent":
				c.Absent = true
			case "local":
				c.Local = true
			case "batch":
				c.Batch = int(number(t, v))
			case "item":
				c.Name = v
			default:
				t.Fatalf("%q: %s", line, k)
			}
		}
		if c.write() && c.Kind != Remove && c.Space == Routes && c.Slot == "" {
			c.Slot = "h"
		}
		out = append(out, c)
	}
	return out
}

func number(t *testing.T, s string) time.Duration {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return time.Duration(n)
}

func TestLinearizableJudgesHistories(t *testing.T) {
	for _, test := range []struct {
		name, history string
		good          bool
	}{
		{"one after the other", `
			1 2 set done value:1 at:10
			3 4 get done has:h=1 version:10 at:10
			5 6 remove done at:11
			7 8 get done absent at:11`, true},
		{"a stale read", `
			1 2 set done value:1 at:10
			3 4 set done value:2 at:11
			5 6 get done has:h=1 version:10 at:10`, false},
		{"a stale local read is allowed", `
			1 2 set done value:1 at:10
			3 4 set done value:2 at:11
			5 6 get done has:h=1 version:10 at:10 local`, true},
		{"a lost write", `
			1 2 set done value:1 at:10
			3 4 get done absent at:10`, false},
		{"a write without an answer, seen", `
			1 - set unknown value:1
			3 4 get done has:h=1 version:10 at:12`, true},
		{"a write without an answer, seen late", `
			1 - set unknown value:1
			3 4 get done absent at:9
			5 6 get done has:h=1 version:10 at:12`, true},
		{"a write without an answer, gone again", `
			1 - set unknown value:1
			3 4 get done has:h=1 version:10 at:12
			5 6 get done absent at:13`, false},
		{"a refused write, seen", `
			1 2 set refused value:1
			3 4 get done has:h=1 version:10 at:12`, false},
		{"overlapping reads do not go back", `
			1 20 set done value:1 at:10
			2 3 get done has:h=1 version:10 at:10
			4 5 get done absent at:9`, false},
		{"revisions go back", `
			1 2 set done value:1 at:10
			3 4 set done value:2 at:9`, false},
		{"a wrong version", `
			1 2 set done value:1 at:10
			3 4 get done has:h=1 version:9 at:10`, false},
		{"two slots, one replaced by the other", `
			1 2 set done slot:a value:1 at:10
			3 4 set done slot:b value:2 at:11
			5 6 get done has:a=1,b=2 version:11 at:11
			7 8 replace done slot:c value:3 at:12
			9 9 get done has:c=3 version:12 at:12`, true},
		{"replace leaves another slot", `
			1 2 set done slot:a value:1 at:10
			3 4 replace done slot:c value:3 at:12
			5 6 get done has:a=1,c=3 version:12 at:12`, false},
		{"If-Match holds", `
			1 2 set done value:1 at:10
			3 4 set done value:2 match:10 at:11
			5 6 set failed value:3 match:10`, true},
		{"If-Match is ignored", `
			1 2 set done value:1 at:10
			3 4 set done value:2 at:11
			5 6 set done value:3 match:10 at:12`, false},
		{"If-Match is refused though it holds", `
			1 2 set done value:1 at:10
			3 4 set failed value:2 match:10`, false},
		{"If-Match against a version that was not told", `
			1 - set unknown value:1
			3 4 set done value:2 match:10 at:11`, true},
		{"If-Match against two versions that were not told", `
			1 - set unknown value:1
			3 4 set done value:2 match:10 at:11
			5 6 get done has:h=1 version:12 at:12`, false},
		{"create only", `
			1 2 set done value:1 none: at:10
			3 4 set failed value:2 none:
			5 6 remove done at:11
			7 8 set done value:3 none: at:12`, true},
		{"create only, twice", `
			1 2 set done value:1 none: at:10
			3 4 set done value:2 none: at:11`, false},
		{"a refusal for a state that nobody was shown", `
			1 20 set done value:1 at:10
			2 3 set failed value:2 none:
			4 5 get done absent at:9`, false},
		{"nothing to remove", `
			1 2 remove failed absent
			3 4 set done value:1 at:10
			5 6 remove failed absent`, false},
		{"a repetition is answered alike", `
			1 2 set done value:1 id:x at:10
			3 4 set done value:2 at:11
			5 6 set done value:1 id:x at:10
			7 8 get done has:h=2 version:11 at:11`, true},
		{"a repetition is done again", `
			1 2 set done value:1 id:x at:10
			3 4 set done value:2 at:11
			5 6 set done value:1 id:x at:12`, false},
		{"a repetition after no answer", `
			1 - set unknown value:1 id:x
			3 4 set done value:1 id:x at:10
			5 6 get done has:h=1 version:10 at:10`, true},
		{"a repetition is refused by its precondition though the first was stored", `
			1 2 set done value:1 id:x none: at:10
			3 4 set failed value:1 id:x none:`, false},
		{"a lost attempt lands after its repetition failed", `
			1 2 set done value:9 at:8
			3 - set unknown value:1 id:x none:
			4 5 set failed value:1 id:x none:
			6 7 remove done at:9
			8 9 get done has:h=1 version:10 at:10`, true},
		{"a key that is not there is removed", `
			1 2 remove done key absent at:7
			3 4 set done key value:1 at:10
			5 6 remove done key at:11`, true},
		{"a key that is there is said not to be", `
			1 2 set done key value:1 at:10
			3 4 remove done key absent at:11`, false},
		{"a key that is not there is said to be", `
			1 2 remove done key at:7`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var v Violations
			Linearizable(parse(t, test.history), time.Minute, &v)
			if good := v.Count("") == 0; good != test.good {
				t.Errorf("good: %v\n%s", good, v.String())
			}
		})
	}
}

// TestUndecidedIsNoProof: a history that is not searched to its end is told.
func TestUndecidedIsNoProof(t *testing.T) {
	var lines []string
	for i := range 40 {
		lines = append(lines, fmt.Sprintf("%d - set unknown value:%d", i+1, i+1))
	}
	lines = append(lines, "100 101 get done has:h=99 version:7 at:7")
	var v Violations
	Linearizable(parse(t, strings.Join(lines, "\n")), 50*time.Millisecond, &v)
	if !strings.Contains(v.String(), "in time") {
		t.Errorf("%s", v.String())
	}
}

// commits makes a log: each line is "<id> [item slot value]…", value 0 withdraws.
func commits(t *testing.T, text string) []Entry {
	t.Helper()
	var out []Entry
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		f := strings.Fields(line)
		e := Entry{Revision: uint64(len(out) + 1), Epoch: 1, ID: f[0], Actor: Actor}
		for ; len(f) > 3; f = f[3:] {
			ev := event{Kind: "route.announced", Destination: f[1], NextHop: f[2], Metric: uint64(number(t, f[3]))}
			if ev.Metric == 0 {
				ev.Kind = "route.withdrawn"
			}
			e.Events = append(e.Events, ev)
		}
		out = append(out, e)
	}
	return out
}

func TestCheckCallsJudgesLogs(t *testing.T) {
	for _, test := range []struct{ name, log, calls, promise string }{
		{"all is well", `
			a d h 1
			b d h 2
			c d h 0`, `
			1 2 set done value:1 id:a at:1
			3 4 set done value:2 id:b at:2
			4 9 get done has:h=2 version:2 at:2
			5 6 remove done id:c at:3
			7 8 set done value:2 id:b at:2
			9 10 get done absent at:3`, ""},
		{"an acknowledged change is not there", `a d h 1`, `
			1 2 set done value:1 id:a at:1
			3 4 set done value:2 id:b at:2`, "never lost"},
		{"another one is in its place", `
			a d h 1
			x d h 3`, `
			1 2 set done value:1 id:a at:1
			3 4 set done value:2 id:b at:2
			3 4 set done value:3 id:x at:2`, "never lost"},
		{"it is there with another content", `a d h 7`, `
			1 - set unknown value:7 id:b
			1 2 set done value:1 id:a at:1`, "never lost"},
		{"a removal that removed nothing", `a`, `
			1 2 remove done id:a at:1`, "never lost"},
		{"an id is there twice", `
			a d h 1
			a d h 1`, `
			1 2 set done value:1 id:a at:1`, "once"},
		{"a value is there twice under two ids", `
			a d h 1
			b d h 1`, `
			1 2 set done value:1 at:1`, "once"},
		{"a refused change is there", `a d h 1`, `
			1 2 set refused value:1 id:a`, "refused"},
		{"a refused change without an id is there", `a d h 1`, `
			1 2 set refused value:1`, "refused"},
		{"a change that met a precondition is there", `a d h 1`, `
			1 2 set failed value:1 id:a none:`, "refused"},
		{"one attempt was refused, another had no answer", `a d h 1`, `
			1 2 set refused value:1 id:a
			3 - set unknown value:1 id:a`, ""},
		{"a commit of two items", `
			a d h 1 e h 2
			b d h 3 e h 4`, `
			1 2 set done value:1 id:a at:1 batch:1
			1 2 set done value:2 id:a at:1 batch:1 item:e
			3 - set unknown value:3 batch:2
			3 - set unknown value:4 batch:2 item:e
			3 - set unknown value:5 batch:3
			3 - set unknown value:6 batch:3 item:e`, ""},
		{"half of a commit", `a d h 1`, `
			1 - set unknown value:1 id:a batch:1
			1 - set unknown value:2 id:a batch:1 item:e`, "atomic"},
		{"a commit in two", `
			a d h 1
			a e h 2`, `
			1 - set unknown value:1 batch:1
			1 - set unknown value:2 batch:1 item:e`, "atomic"},
		{"half of an acknowledged commit", `a d h 1`, `
			1 2 set done value:1 id:a at:1 batch:1
			1 2 set done value:2 id:a at:1 batch:1 item:e`, "never lost"},
		{"what nobody asked for", `
			a d h 1
			b d h 9`, `
			1 2 set done value:1 id:a at:1`, "asked"},
		{"acknowledgements against real time", `
			b d h 2
			a d h 1`, `
			1 2 set done value:1 id:a at:2
			3 4 set done value:2 id:b at:1`, "real time"},
		{"concurrent ones in any order", `
			b d h 2
			a d h 1`, `
			1 4 set done value:1 id:a at:2
			2 3 set done value:2 id:b at:1`, ""},
		{"an old linearizable read", `
			a d h 1
			b d h 2`, `
			1 2 set done value:1 id:a at:1
			3 4 set done value:2 id:b at:2
			5 6 get done has:h=1 version:1 at:1`, "real time"},
		{"an old local read", `
			a d h 1
			b d h 2`, `
			1 2 set done value:1 id:a at:1
			3 4 set done value:2 id:b at:2
			5 6 get done has:h=1 version:1 at:1 local`, ""},
		{"a local read of what never was", `
			a d h 1
			b d h 2`, `
			1 2 set done value:1 id:a at:1
			3 4 set done value:2 id:b at:2
			5 6 get done has:h=1 version:1 at:2 local`, "reads"},
		{"a local read of the future", `a d h 1`, `
			1 2 set done value:1 id:a at:1
			5 6 get done has:h=1 version:1 at:9 local`, "never lost"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var v Violations
			CheckCalls(parse(t, test.calls), commits(t, test.log), &v)
			switch {
			case test.promise == "" && v.Count("") > 0:
				t.Errorf("%s", v.String())
			case test.promise != "" && v.Count(test.promise) == 0:
				t.Errorf("%s was not noticed: %s", test.promise, v.String())
			}
		})
	}
}

func TestWrongAnswersAreTold(t *testing.T) {
	var v Violations
	CheckCalls([]*Call{{Outcome: Wrong, Detail: "500"}}, nil, &v)
	if v.Count("answer") != 1 {
		t.Errorf("%s", v.String())
	}
}

func TestCheckDigestsJudgesSightings(t *testing.T) {
	log := []Entry{{Revision: 1, Hash: [32]byte{1}, Digest: projector.Digest{Lo: 1}}, {Revision: 2, Hash: [32]byte{2}, Digest: projector.Digest{Lo: 2}}}
	hash := func(n int) string { return fmt.Sprintf("%x", log[n-1].Hash) }
	digest := func(n int) string { return log[n-1].Digest.String() }
	for _, test := range []struct {
		name string
		add  Sighting
		good bool
	}{
		{"the same", Sighting{"b", 1, hash(1), digest(1)}, true},
		{"another digest", Sighting{"b", 1, hash(1), digest(2)}, false},
		{"another history", Sighting{"b", 1, hash(2), digest(1)}, false},
		{"beyond the log", Sighting{"b", 3, hash(2), digest(2)}, false},
	} {
		var s Sightings
		var v Violations
		s.Add(Sighting{"a", 1, hash(1), digest(1)})
		s.Add(test.add)
		n, compared := CheckDigests(&s, log, &v)
		if good := v.Count("") == 0; good != test.good || n != 2 || test.good && compared != 1 {
			t.Errorf("%s: good %v, %d sightings, %d compared: %s", test.name, good, n, compared, v.String())
		}
	}
}
