package simulation

import (
	"fmt"
	"io"
	"iter"
	"net/netip"
	"slices"
	"text/tabwriter"
	"time"

	"dvr/eventlog"
	"dvr/projector"
)

func pull(s *projector.State, id eventlog.RouterID) (func() (projector.Decision, bool), func()) {
	return iter.Pull(s.Vector(id, netip.Prefix{}))
}

// Print writes the report; events lists each event of the churn.
func (r *Report) Print(w io.Writer, events bool) {
	fmt.Fprintf(w, "%s, %s, %s in %s; %s followed, %s\n",
		counted(r.Routers, "router", "routers"), counted(r.Links, "link", "links"), counted(r.Prefixes, "prefix", "prefixes"), counted(r.Classes, "class", "classes"),
		counted(r.Vectors, "vector", "vectors"), counted(r.DataPlanes, "FIB", "FIBs"))
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(t, "fold of the topology\t%s\n", short(r.Fold))
	fmt.Fprintf(t, "vectors from nothing\t%s\t%d decisions, %d routers settled, %d links' ends looked at\n", short(r.FromNothing), r.Decisions, r.Work.Settled, r.Work.Scanned)
	if r.DataPlanes > 0 {
		fmt.Fprintf(t, "FIBs from nothing\t%s\n", short(r.FIBsFromNothing))
	}
	fmt.Fprintf(t, "heap\t%d MiB\n", r.Heap>>20)
	t.Flush()
	if r.Interrupted {
		fmt.Fprintf(w, "\ninterrupted after %d of %d events: what follows is of these alone\n", len(r.Churn), r.Asked)
	}
	if r.Verified > 0 {
		fmt.Fprintf(w, "\nverified: %d vectors and %d FIBs are equal to those computed from nothing, at the beginning and after each of %d events\n", r.Vectors, r.DataPlanes, r.Verified-1)
	}
	if len(r.Churn) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n", counted(len(r.Churn), "event", "events"))
	t = tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tmedian\tp99\tmost\t")
	duration := func(what string, of func(*Event) time.Duration) {
		row(t, what, r.Churn, func(e *Event) float64 { return float64(of(e)) }, func(v float64) string { return short(time.Duration(v)) })
	}
	count := func(what string, of func(*Event) int) {
		row(t, what, r.Churn, func(e *Event) float64 { return float64(of(e)) }, func(v float64) string { return fmt.Sprintf("%.0f", v) })
	}
	duration("fold", func(e *Event) time.Duration { return e.Fold })
	duration("all vectors", func(e *Event) time.Duration { return e.Vectors })
	if r.DataPlanes > 0 {
		duration("all FIBs and their deltas", func(e *Event) time.Duration { return e.FIBs })
	}
	count("vectors that changed", func(e *Event) int { return e.Routers })
	count("entries in them", func(e *Event) int { return e.Told })
	count("updates to neighbours, were each router a speaker", func(e *Event) int { return e.Messages })
	count("ends of links looked at", func(e *Event) int { return e.Work.Scanned })
	count("classes decided anew", func(e *Event) int { return e.Classes })
	if r.DataPlanes > 0 {
		count("deltas", func(e *Event) int { return e.Deltas })
		count("groups in them", func(e *Event) int { return e.Groups })
		count("prefixes in them", func(e *Event) int { return e.Prefixes })
	}
	t.Flush()
	if events {
		fmt.Fprintln(w)
		t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		fmt.Fprintln(t, "event\tfold\tvectors\tFIBs\tchanged\tentries\tclasses\tgroups")
		for _, e := range r.Churn {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\n", e.What, short(e.Fold), short(e.Vectors), short(e.FIBs), e.Routers, e.Told, e.Classes, e.Groups)
		}
		t.Flush()
	}
}

func counted(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, several)
}

func row(t io.Writer, what string, churn []Event, of func(*Event) float64, show func(float64) string) {
	values := make([]float64, len(churn))
	for i := range churn {
		values[i] = of(&churn[i])
	}
	slices.Sort(values)
	n := len(values)
	fmt.Fprintf(t, "%s\t%s\t%s\t%s\t\n", what, show(values[n/2]), show(values[min(n*99/100, n-1)]), show(values[n-1]))
}

// short is a duration with three digits.
func short(d time.Duration) string {
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%.2f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.1f µs", float64(d)/1e3)
}
