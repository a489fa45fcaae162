package robustness

import "testing"

// imported makes the commits of an import: n lines from a line on.
func imported(id string, first uint64, from, n int) Entry {
	e := Entry{ID: id, Actor: Importer}
	for i := from; i < from+n; i++ {
		e.Events = append(e.Events, event{Kind: "route.announced", Destination: importDestination(i), NextHop: "192.0.2.1", Metric: first + uint64(i)})
	}
	return e
}

func TestCheckImportsJudgesLogs(t *testing.T) {
	done := &Import{Key: "k", First: 100, Lines: 3, Done: true, Last: 2}
	open := &Import{Key: "k", First: 100, Lines: 3}
	elsewhere := imported("k/1", 100, 0, 3)
	elsewhere.Events[2].Destination = importDestination(7)
	for _, test := range []struct {
		name    string
		of      *Import
		log     []Entry
		promise string
	}{
		{"all is well", done, []Entry{imported("k/1", 100, 0, 2), imported("k/2", 100, 2, 1)}, ""},
		{"a part of one without an answer", open, []Entry{imported("k/1", 100, 0, 2)}, ""},
		{"a part of one that was acknowledged", done, []Entry{imported("k/1", 100, 0, 2)}, "never lost"},
		{"acknowledged too early", done, []Entry{imported("k/1", 100, 0, 2), {Actor: "another"}, imported("k/2", 100, 2, 1)}, "never lost"},
		{"a commit twice", open, []Entry{imported("k/1", 100, 0, 2), imported("k/1", 100, 2, 1)}, "once"},
		{"a line twice", open, []Entry{imported("k/1", 100, 0, 2), imported("k/2", 100, 1, 2)}, "once"},
		{"of no import", open, []Entry{imported("x/1", 100, 0, 2)}, "asked"},
		{"a line that it does not have", open, []Entry{imported("k/1", 100, 2, 2)}, "asked"},
		{"a line at another destination", open, []Entry{elsewhere}, "asked"},
	} {
		for i := range test.log {
			test.log[i].Revision = uint64(i + 1)
		}
		var v Violations
		CheckImports([]*Import{test.of}, test.log, &v)
		if (test.promise == "") != (v.Count("") == 0) || test.promise != "" && v.Count(test.promise) == 0 {
			t.Errorf("%s: want %q, noticed:\n%s", test.name, test.promise, v.String())
		}
	}
}
