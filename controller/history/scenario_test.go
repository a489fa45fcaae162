package history

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dvr/eventlog"
)

var update = flag.Bool("update", false, "write the golden files")

// Scenarios are files that a network engineer can read and write. A line is a
// commit, or asks; the answer follows, indented.
//
//	WHO, WHY[, forced GUARD]: EVENT; EVENT …
//	N times WHO, WHY: EVENT …           a commit each; # in an event counts 1 to N
//	explain ADDRESS from ROUTER
//
// Events: link A B COST [down] · unlink A B · seen A B STATE by R · drain R soft|hard|no ·
// route PREFIX via ADDRESS at R [metric N] [recursive] · withdraw PREFIX via ADDRESS at R
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/explain-*.txt")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

func play(t *testing.T, script string) string {
	w := newWorld(t, 1)
	var out strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "    ") {
			continue // an answer
		}
		out.WriteString(line + "\n")
		switch {
		case line == "" || line[0] == '#':
		case strings.HasPrefix(line, "explain "):
			words := strings.Fields(line)
			out.WriteString(reasonsText(t, w, netip.MustParseAddr(words[1]), eventlog.RouterID(words[3])))
		default:
			n := 1
			if head, rest, ok := strings.Cut(line, " times "); ok {
				var err error
				if n, err = strconv.Atoi(head); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				line = rest
			}
			who, what, ok := strings.Cut(line, ": ")
			if !ok {
				t.Fatalf("%q: who did what?", line)
			}
			for i := range n {
				c := eventlog.Commit{}
				c.Actor, c.Reason, _ = strings.Cut(who, ", ")
				if reason, guard, forced := strings.Cut(c.Reason, ", forced "); forced {
					c.Reason, c.Forced = reason, []string{guard}
				}
				for _, text := range strings.Split(strings.ReplaceAll(what, "#", strconv.Itoa(i+1)), "; ") {
					c.Events = append(c.Events, eventOf(t, strings.Fields(text)))
				}
				w.store(c)
			}
		}
	}
	return out.String()
}

// reasonsText explains; a line a reason.
func reasonsText(t *testing.T, w *world, a netip.Addr, from eventlog.RouterID) string {
	e := Explain(w.now(), from, a)
	got, err := NewArchive(w.log).Reasons(context.Background(), w.now(), w.now(), e)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	var hops []string
	for i := range e.Hops {
		hops = append(hops, string(e.Hops[i].Router))
	}
	fmt.Fprintf(&out, "    %s: %s\n", strings.Join(hops, " "), e.Outcome)
	for i := range got.List {
		r := &got.List[i]
		line := fmt.Sprintf("    %-9s %d %s, %s", r.Relevance, r.Revision, r.Actor, r.Reason)
		if len(r.Forced) > 0 {
			line += ", forced " + strings.Join(r.Forced, " ")
		}
		if r.Relevance == Changed {
			line += fmt.Sprintf(" | at %s: %s, was %s", r.Router, r.After, r.Before)
		}
		if len(r.Why) > 0 {
			line += " | " + strings.Join(r.Why, "; ")
		}
		out.WriteString(line + "\n")
	}
	if got.LeftOut > 0 {
		fmt.Fprintf(&out, "    and %d more\n", got.LeftOut)
	}
	return out.String()
}

func eventOf(t *testing.T, words []string) eventlog.Event {
	id := func(i int) eventlog.RouterID { return eventlog.RouterID(words[i]) }
	number := func(i int) uint32 {
		n, err := strconv.ParseUint(words[i], 10, 32)
		if err != nil {
			t.Fatalf("%v: %v", words, err)
		}
		return uint32(n)
	}
	// Addresses tell which ends they are at: 172.16.<a>.<b>.
	address := func(a, b eventlog.RouterID) []netip.Addr {
		return []netip.Addr{netip.AddrFrom4([4]byte{172, 16, a[0], b[0]})}
	}
	linked := func() eventlog.LinkID { return eventlog.LinkID{A: id(1), B: id(2)} }
	routed := func() eventlog.RouteID {
		return eventlog.RouteID{Destination: netip.MustParsePrefix(words[1]), NextHop: netip.MustParseAddr(words[3]), Router: id(5), Origin: eventlog.DefaultOrigin}
	}
	switch words[0] {
	case "link":
		return &eventlog.LinkSet{LinkID: linked(), CostAB: number(3), CostBA: number(3), AddressA: address(id(1), id(2)), AddressB: address(id(2), id(1)), Down: slices.Contains(words, "down")}
	case "unlink":
		return &eventlog.LinkRemoved{LinkID: linked()}
	case "seen":
		return &eventlog.LinkObserved{LinkID: linked(), State: eventlog.ObservedState(words[3]), Router: id(5)}
	case "drain":
		return &eventlog.RouterSet{Router: id(1), Drained: map[string]eventlog.Drain{"soft": eventlog.DrainSoft, "hard": eventlog.DrainHard}[words[2]]}
	case "route":
		r := &eventlog.RouteAnnounced{RouteID: routed(), Preference: 1, Weight: 1, Recursive: slices.Contains(words, "recursive")}
		if i := slices.Index(words, "metric"); i > 0 {
			r.Metric = number(i + 1)
		}
		return r
	case "withdraw":
		return &eventlog.RouteWithdrawn{RouteID: routed()}
	}
	t.Fatalf("what is %v?", words)
	return nil
}
