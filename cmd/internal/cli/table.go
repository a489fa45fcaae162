package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"
)

// table writes aligned columns; a cell is any JSON value.
type table struct {
	w     *tabwriter.Writer
	width int        // of the terminal; 0: nothing is cut
	rows  int        // that were written, titles and lines with them
	under [][]string // a head and its rows, kept until all are there
}

// gap is between two columns.
const gap = 2

// newTable is one without a width: nothing is cut.
func newTable(w io.Writer) *table {
	return &table{w: tabwriter.NewWriter(w, 0, 4, gap, ' ', 0)}
}

// table is one on the output, as wide as that is.
func (c *connection) table() *table {
	t := newTable(c.out)
	t.width = c.width
	return t
}

// head names the columns of the rows that follow. On a terminal these are cut to
// its width. Rows without a head are not: their text has no other place.
func (t *table) head(columns ...string) {
	t.settle()
	t.under = [][]string{columns}
}

func (t *table) row(cells ...any) {
	t.rows++
	texts := make([]string, len(cells))
	for i, cell := range cells {
		texts[i] = text(cell)
	}
	if t.under != nil {
		t.under = append(t.under, texts)
		return
	}
	fmt.Fprintln(t.w, strings.Join(texts, "\t"))
}

// entry is a row of a section.
func (t *table) entry(label string, cells ...any) { t.row(append([]any{"  " + label}, cells...)...) }

// section begins a group of rows under a title.
func (t *table) section(title string) {
	t.settle()
	if t.rows > 0 {
		fmt.Fprintln(t.w)
	}
	t.rows++
	fmt.Fprintln(t.w, title)
}

// line is text that takes no part in the alignment of what is around it.
func (t *table) line(format string, args ...any) {
	t.rows++
	_ = t.flush() // the writer keeps the error for the end
	fmt.Fprintf(t.w, format+"\n", args...)
	_ = t.w.Flush()
}

// settle writes the rows under the last head; rows that follow have none.
func (t *table) settle() {
	if t.width > 0 {
		fit(t.under, t.width)
	}
	for _, cells := range t.under {
		fmt.Fprintln(t.w, strings.Join(cells, "\t"))
	}
	t.under = nil
}

func (t *table) flush() error {
	t.settle()
	return t.w.Flush()
}

// legible is what a column is never cut below.
const legible = 8

// fit cuts cells until the rows take at most width columns of a terminal: the
// widest columns first, and only then the first one, which says what a row is
// about, and times, which are nothing when cut. Where legible columns have no
// room either they stay, and lines wrap.
func fit(rows [][]string, width int) {
	var wide []int
	for _, cells := range rows {
		for i, cell := range cells {
			if i == len(wide) {
				wide = append(wide, 0)
			}
			wide[i] = max(wide[i], utf8.RuneCountInString(cell))
		}
	}
	over := gap*(len(wide)-1) - width
	for _, w := range wide {
		over += w
	}
	last := make([]bool, len(wide))
	for i := range wide {
		last[i] = i == 0 || times(rows, i)
	}
	for _, firm := range []bool{false, true} {
		for ; over > 0; over-- {
			widest := -1
			for i, w := range wide {
				if w > legible && last[i] == firm && (widest < 0 || w > wide[widest]) {
					widest = i
				}
			}
			if widest < 0 {
				break
			}
			wide[widest]--
		}
	}
	for _, cells := range rows {
		for i := range cells {
			cells[i] = clip(cells[i], wide[i])
		}
	}
}

// times says that all cells of a column but its head are times.
func times(rows [][]string, column int) bool {
	for _, cells := range rows[1:] {
		if column < len(cells) {
			if _, err := time.Parse(time.RFC3339, cells[column]); err != nil {
				return false
			}
		}
	}
	return len(rows) > 1
}
