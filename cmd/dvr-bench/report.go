package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// report collects the rows of a run. more says whether more is better.
type report struct {
	dir  string
	out  io.Writer
	rows []row
}

type row struct {
	what            string
	value           float64
	unit            string
	must, aim       float64
	more, unbounded bool
	note            string
}

// add prints a row and keeps it for the summary.
func (r *report) add(w row) {
	r.rows = append(r.rows, w)
	fmt.Fprintf(r.out, "%-58s %s %s  %s\n", w.what, figure(w.value), w.unit, w.note)
}

func figure(v float64) string {
	switch {
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// summary prints every row against its bars and gives how many missed what
// must be reached.
func (r *report) summary() (missed int) {
	fmt.Fprintln(r.out)
	t := tabwriter.NewWriter(r.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "what\tfigure\tmust\taim\t")
	for _, w := range r.rows {
		if w.unbounded {
			fmt.Fprintf(t, "%s\t%s %s\t\t\t%s\n", w.what, figure(w.value), w.unit, w.note)
			continue
		}
		var verdict string
		reached := func(bar float64) bool { return (w.more && w.value >= bar) || (!w.more && w.value <= bar) }
		switch {
		case reached(w.aim):
			verdict = "aim reached"
		case reached(w.must):
			verdict = "reached"
		default: // also where the figure is no number
			verdict = "MISSED"
			missed++
		}
		fmt.Fprintf(t, "%s\t%s %s\t%s\t%s\t%s; %s\n", w.what, figure(w.value), w.unit, figure(w.must), figure(w.aim), verdict, w.note)
	}
	t.Flush()
	return missed
}

// durations are sorted samples.
type durations []time.Duration

func (d durations) sort() durations { slices.Sort(d); return d }

// at is the q-quantile of sorted samples, 0 ≤ q ≤ 1.
func (d durations) at(q float64) time.Duration { return d[min(int(q*float64(len(d))), len(d)-1)] }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
