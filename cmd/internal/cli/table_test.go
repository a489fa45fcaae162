package cli

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTableFitsTheTerminal(t *testing.T) {
	for _, test := range []struct {
		name  string
		width int
		fill  func(*table)
		want  string
	}{
		{"what has room is whole", 30, func(t *table) { t.head("KEY", "VALUE"); t.row("a", "some text") }, "KEY  VALUE\na    some text\n"},
		{"exactly as wide", 14, func(t *table) { t.head("KEY", "VALUE"); t.row("a", "some text") }, "KEY  VALUE\na    some text\n"},
		{"one too wide", 13, func(t *table) { t.head("KEY", "VALUE"); t.row("a", "some text") }, "KEY  VALUE\na    some te…\n"},
		{"no terminal", 0, func(t *table) { t.head("KEY", "VALUE"); t.row("a", strings.Repeat("x", 300)) }, "KEY  VALUE\na    " + strings.Repeat("x", 300) + "\n"},
		{"the widest is cut, the first last", 34, func(t *table) {
			t.head("DESTINATION", "WHY", "N")
			t.row("2001:db8:1::/48", "another has a higher preference", 1.0)
		}, "DESTINATION      WHY             N\n2001:db8:1::/48  another has a…  1\n"},
		{"the first, too, where nothing else gives room", 25, func(t *table) {
			t.head("DESTINATION", "WHY", "N")
			t.row("2001:db8:1::/48", "another has a higher preference", 1.0)
		}, "DESTINATION   WHY       N\n2001:db8:1:…  another…  1\n"},
		{"times are kept, too", 41, func(t *table) {
			t.head("N", "TIME", "REASON")
			t.row(1.0, "2026-11-22T16:26:26.123Z", "another has a higher preference")
		}, "N  TIME                      REASON\n1  2026-11-22T16:26:26.123Z  another has…\n"},
		{"columns stay legible", 5, func(t *table) { t.head("DESTINATION", "WHY"); t.row("10.0.0.0/8", "metric") }, "DESTINA…  WHY\n10.0.0.…  metric\n"},
		{"letters count, not bytes", 13, func(t *table) { t.head("KEY", "VALUE"); t.row("ä", "ßßßßßßßß") }, "KEY  VALUE\nä    ßßßßßßßß\n"},
		{"rows without a head are whole", 10, func(t *table) { t.row("value", "some long text") }, "value  some long text\n"},
		{"so are lines, titles, and rows behind a title", 16, func(t *table) {
			t.head("KEY", "VALUE")
			t.row("a", "some long text")
			t.line("(more: --cursor abcdefgh)")
			t.section("A TITLE OF SOME LENGTH")
			t.entry("log", "0123456789abcdef")
		}, "KEY  VALUE\na    some long …\n(more: --cursor abcdefgh)\n\nA TITLE OF SOME LENGTH\n  log  0123456789abcdef\n"},
		{"each table by itself", 20, func(t *table) {
			t.head("KEY", "VALUE")
			t.row("a", "some text of length")
			t.head("KEY", "VALUE")
			t.row("b", "short")
		}, "KEY  VALUE\na    some text of l…\nKEY  VALUE\nb    short\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b bytes.Buffer
			table := newTable(&b)
			table.width = test.width
			test.fill(table)
			if err := table.flush(); err != nil || b.String() != test.want {
				t.Errorf("%v\n%s\nwant\n%s", err, b.String(), test.want)
			}
		})
	}
}

// Whatever the cells are: as wide as the terminal where legible columns fit, the
// beginning of each cell kept, and nothing cut without need.
func TestFitAnyCells(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		columns, width := 1+random.IntN(9), 1+random.IntN(160)
		rows := make([][]string, 1+random.IntN(6))
		for i := range rows {
			for range columns {
				rows[i] = append(rows[i], strings.Repeat("ä", random.IntN(60)))
			}
		}
		before := make([][]string, len(rows))
		for i := range rows {
			before[i] = slices.Clone(rows[i])
		}
		was, _, _ := takes(before)
		fit(rows, width)
		is, least, cut := takes(rows)
		if was <= width && cut > 0 {
			t.Fatalf("%d of %d columns were cut", was, width)
		}
		if was > width && is != max(width, least) {
			t.Fatalf("%d columns of a terminal take %d of %d, at least %d", columns, is, width, least)
		}
		for i := range rows {
			for j, cell := range rows[i] {
				if head, was := strings.CutSuffix(cell, "…"); was && !strings.HasPrefix(before[i][j], head) || !was && cell != before[i][j] {
					t.Fatalf("%q of %q", cell, before[i][j])
				}
			}
		}
	}
}

// takes is how wide rows are, the least that they can be cut to, and how many
// cells are cut.
func takes(rows [][]string) (width, least, cut int) {
	for i := range rows[0] {
		widest := 0
		for _, cells := range rows {
			widest = max(widest, utf8.RuneCountInString(cells[i]))
			if strings.HasSuffix(cells[i], "…") {
				cut++
			}
		}
		width, least = width+widest, least+min(widest, legible)
	}
	return width + gap*(len(rows[0])-1), least + gap*(len(rows[0])-1), cut
}

// The verbs: a list is cut on a terminal only, and an answer about one thing never.
func TestVerbsOnATerminal(t *testing.T) {
	long := strings.Repeat("a long story ", 20) + "END"
	list := `{"commits":[{"revision":7,"time":"2026-11-22T10:00:00Z","actor":"alice","reason":"` + long + `","n":1,"events":[{"type":"kv.put","key":"a","value":"b"}]}]}`
	for _, test := range []struct {
		args   string
		answer string
		width  int
		whole  bool
	}{
		{"log list", list, 0, true},
		{"log list", list, 80, false},
		{"log list -o json", list, 80, true},
		{"log list -o yaml", list, 80, true},
		{"kv list", `{"a":"b","story":"` + long[:60] + `END"}`, 40, false},
		{"kv get story", `{"key":"story","value":"` + long + `"}`, 80, true},
	} {
		s := httptest.NewServer(&exchange{code: 200, answer: test.answer})
		var out bytes.Buffer
		root := Root(Streams{In: strings.NewReader(""), Out: &out, Err: io.Discard, Width: test.width})
		root.SetArgs(append([]string{"--endpoint", s.URL}, strings.Fields(test.args)...))
		err := root.ExecuteContext(context.Background())
		s.Close()
		if err != nil || strings.Contains(out.String(), "END") != test.whole || strings.Contains(out.String(), "…") == test.whole {
			t.Errorf("%s: %v\n%s", test.args, err, out.String())
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); !test.whole && n > test.width {
				t.Errorf("%s: a line of %d columns of %d: %s", test.args, n, test.width, line)
			}
		}
	}
}

// A file is no terminal.
func TestColumnsOfAFile(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n := columns(f); n != 0 {
		t.Errorf("%d", n)
	}
}
