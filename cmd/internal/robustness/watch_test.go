package robustness

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// stream makes what a node sends: each part is "beat <revision>", "<revision>
// <key> <value>" for the last change of a commit, or "part <revision> <key>
// <value>" for one before it; value - deletes.
func stream(parts ...string) string {
	var b strings.Builder
	b.WriteString("retry: 1000\n")
	for _, p := range parts {
		f := strings.Fields(p)
		if f[0] == "beat" {
			fmt.Fprintf(&b, "id: log/1/%s\n: heartbeat\n\n", f[1])
			continue
		}
		if f[0] == "part" {
			f = f[1:]
		} else {
			fmt.Fprintf(&b, "id: log/1/%s\n", f[0])
		}
		if f[2] == "-" {
			fmt.Fprintf(&b, "event: delete\ndata: {\"key\":%q,\"revision\":%s}\n\n", f[1], f[0])
		} else {
			fmt.Fprintf(&b, "event: put\ndata: {\"key\":%q,\"value\":%q,\"revision\":%s}\n\n", f[1], f[2], f[0])
		}
	}
	return b.String()
}

func TestCheckWatchJudgesStreams(t *testing.T) {
	log := []Entry{
		{Events: []event{{Kind: "key.put", Key: "a", Value: "1"}}},
		{Events: []event{{Kind: "route.announced", Destination: "d"}}},
		{Events: []event{{Kind: "key.put", Key: "a", Value: "2"}, {Kind: "key.put", Key: "b", Value: "3"}}},
		{Events: []event{{Kind: "key.deleted", Key: "a"}}},
	}
	for i := range log {
		log[i].Revision = uint64(i + 1)
	}
	cut := func(s string, n int) string { return s[:len(s)-n] }
	for _, test := range []struct {
		name    string
		prefix  string
		streams []string
		told    int
		wrong   bool
	}{
		{"everything", "", []string{stream("beat 0", "1 a 1", "beat 2", "part 3 a 2", "3 b 3", "4 a -")}, 4, false},
		{"one prefix", "b", []string{stream("beat 1", "3 b 3", "beat 4")}, 1, false},
		{"cut in the middle of a commit and repeated", "", []string{stream("1 a 1", "part 3 a 2"), stream("beat 1", "part 3 a 2", "3 b 3")}, 3, false},
		{"cut in the middle of a line", "", []string{cut(stream("1 a 1", "part 3 a 2", "3 b 3"), 9), stream("beat 1", "part 3 a 2", "3 b 3")}, 3, false},
		{"not yet told of the rest", "", []string{stream("1 a 1")}, 1, false},
		{"a change is left out", "", []string{stream("1 a 1", "3 b 3")}, 0, true},
		{"a commit is left out", "", []string{stream("1 a 1", "4 a -")}, 0, true},
		{"a heartbeat goes beyond what was told", "", []string{stream("1 a 1", "beat 3")}, 0, true},
		{"another value", "", []string{stream("1 a 2")}, 0, true},
		{"out of order", "", []string{stream("1 a 1", "3 b 3", "part 3 a 2")}, 0, true},
		{"what was told comes again", "", []string{stream("1 a 1"), stream("1 a 1")}, 0, true},
		{"a heartbeat within a commit", "", []string{stream("1 a 1", "part 3 a 2", "beat 3")}, 0, true},
		{"back", "", []string{stream("1 a 1", "part 3 a 2", "3 b 3", "beat 1")}, 0, true},
		{"of another prefix", "b", []string{stream("1 a 1")}, 0, true},
		{"beyond the log", "", []string{stream("1 a 1", "part 3 a 2", "3 b 3", "4 a -", "9 a 9")}, 0, true},
		{"no id", "", []string{"id: nonsense\n: heartbeat\n\n"}, 0, true},
		{"no event", "", []string{"id: log/1/1\nevent: put\ndata: {\"key\":\n\n"}, 0, true},
	} {
		w := &Watcher{Prefix: test.prefix}
		var v Violations
		for _, s := range test.streams {
			if err := w.hear(strings.NewReader(s), func() {}); err != nil {
				v.Addf("watch", "%v", err)
			}
		}
		told := CheckWatch(w, log, &v)
		if test.wrong != (v.Count("watch") > 0) || !test.wrong && told != test.told {
			t.Errorf("%s: told of %d, noticed:\n%s", test.name, told, v.String())
		}
	}
}

// TestWatchBeginsAnew where the log was truncated behind it, and only there; what
// it was told before is judged all the same.
func TestWatchBeginsAnew(t *testing.T) {
	answer := func(low int) *http.Response {
		return &http.Response{Body: io.NopCloser(strings.NewReader(fmt.Sprintf(`{"detail":"changes after revision 1: no longer retained: the log begins at revision %d"}`, low)))}
	}
	log := []Entry{
		{Revision: 1, Events: []event{{Kind: "key.put", Key: "a", Value: "1"}}},
		{Revision: 2, Events: []event{{Kind: "key.put", Key: "a", Value: "2"}}},
		{Revision: 3, Events: []event{{Kind: "key.put", Key: "a", Value: "3"}}},
		{Revision: 4, Events: []event{{Kind: "key.put", Key: "a", Value: "4"}}},
	}
	for first, wrong := range map[string]bool{"1 a 1": false, "1 a 9": true} {
		w := &Watcher{}
		if err := w.hear(strings.NewReader(stream(first)), func() {}); err != nil {
			t.Fatal(err)
		}
		if err := w.anew(answer(2)); err == nil {
			t.Error("revision 2 is the next, and there")
		}
		if err := w.anew(&http.Response{Body: io.NopCloser(strings.NewReader(`{"detail":"gone"}`))}); err == nil {
			t.Error("it is not said where the log begins")
		}
		if err := w.anew(answer(3)); err != nil {
			t.Fatal(err)
		}
		if err := w.hear(strings.NewReader(stream("3 a 3", "4 a 4")), func() {}); err != nil {
			t.Fatal(err)
		}
		var v Violations
		if told := CheckWatch(w, log, &v); told != 3 || wrong != (v.Count("") > 0) {
			t.Errorf("%s: told %d, noticed %s", first, told, v.String())
		}
	}
}
