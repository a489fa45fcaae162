package cli

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"
)

// frame draws the overview on so many lines of so many columns: no line is
// longer, and what has no room is counted.
func (o *overall) frame(width, height int, now time.Time) []string {
	lines := o.head(width, now)
	nodes := rowsOf("NODE\tROLE\tSTATE\tAPI", o.nodeRows())
	planes := rowsOf("ROUTER\tSTATE\tREVISION\tFAILED\tSINK\tNODE", o.planeRows())
	commits := rowsOf("REVISION\tTIME\tACTOR\tEVENTS\tREASON", o.commitRows())
	left := height - len(lines) - 3 // a blank line before each table
	room := func(table []string, most int) []string {
		if len(table) <= most {
			return table
		}
		if most < 2 {
			return nil
		}
		more := len(table) - most + 1
		return append(table[:most-1:most-1], fmt.Sprintf("… and %d more", more))
	}
	// Nodes are few; of the others each gets at least a part.
	nodes = room(nodes, max(left/3, left-len(planes)-len(commits)))
	planes = room(planes, max((left-len(nodes))/2, left-len(nodes)-len(commits)))
	commits = commits[:max(0, min(len(commits), left-len(nodes)-len(planes)))]
	for _, table := range [][]string{nodes, planes, commits} {
		lines = append(append(lines, ""), table...)
	}
	for i, line := range lines {
		lines[i] = clip(line, width)
	}
	return lines[:min(len(lines), max(height, 0))]
}

// head is whether it is fine, and the figures.
func (o *overall) head(width int, now time.Time) []string {
	verdict := "all is well"
	if !o.lost.IsZero() {
		// What is shown may be so no more: neither good nor bad is said of it.
		verdict = fmt.Sprintf("NOT CURRENT: no node tells since %s; what is shown was so then", o.lost.Format("15:04:05"))
	} else if len(o.unsaid) > 0 {
		verdict = "asking"
	} else if troubles := o.troubles(); len(troubles) > 0 {
		verdict = strings.Join(troubles, "; ")
	}
	if len(o.frozen) > 0 {
		verdict += "; FROZEN by " + strings.Join(o.frozen, ", ")
	}
	rates := o.rates(now)
	sum := 0
	for _, n := range rates {
		sum += n
	}
	span := int(min(max(int64(now.Sub(o.start)/time.Second), 1), rateSpan))
	s := &o.status.State
	return []string{
		"dvr top  " + now.Format("15:04:05") + "  asks " + orDash(o.status.Node) + "  " + verdict,
		fmt.Sprintf("revision %s  %s commits/s over %d s  %s", thousands(int64(max(o.revision, o.status.Revision))), strconv.FormatFloat(float64(sum)/float64(span), 'f', 1, 64), span, sparks(rates, max(0, min(rateSpan, width-50)))),
		fmt.Sprintf("%s routes, %s + %s destinations, %d routers, %d links, %s keys, store %s of %s",
			thousands(int64(s.Routes)), thousands(int64(s.Destinations4)), thousands(int64(s.Destinations6)), s.Routers, s.Links, thousands(int64(s.Keys)), size(o.status.Store.Bytes), size(o.status.Store.Quota)),
	}
}

// troubles is what is not as it should be.
func (o *overall) troubles() (out []string) {
	if o.status.Fault != "" {
		out = append(out, "the log cannot be folded on")
	}
	if o.status.Node != "" && !o.status.Quorum {
		out = append(out, "NO QUORUM")
	}
	away := 0
	for _, n := range o.nodes {
		if n.State == "" && !n.Online {
			away++
		}
	}
	if away > 0 {
		out = append(out, fmt.Sprintf("%d of %d nodes away", away, len(o.nodes)))
	}
	for _, n := range o.nodeList() {
		for _, a := range n.Alarms {
			out = append(out, fmt.Sprintf("alarm at %s: %s (dvr status says what to do)", n.Node, a.Name))
		}
	}
	bad := 0
	for _, p := range o.planes {
		if p.state(o.revision) != "in sync" {
			bad++
		}
	}
	if bad > 0 {
		out = append(out, fmt.Sprintf("%d of %d data planes not in sync", bad, len(o.planes)))
	}
	return out
}

func (o *overall) nodeRows() (out []string) {
	for _, n := range o.nodeList() {
		state := "offline"
		switch {
		case n.State != "":
			state = strings.ToLower(n.State)
		case n.Leader && n.Online:
			state = "leads"
		case n.Online:
			state = "online"
		}
		out = append(out, strings.Join([]string{n.Node, orDash(n.Role), state, orDash(n.API)}, "\t"))
	}
	return out
}

func (o *overall) planeRows() (out []string) {
	for _, p := range o.planeList() {
		out = append(out, fmt.Sprintf("%s\t%s\t%d\t%d\t%s\t%s", p.Router, p.state(o.revision), p.Position.Revision, p.Failed, orDash(strings.Join(p.Sinks, ",")), orDash(p.Node)))
	}
	return out
}

func (o *overall) commitRows() (out []string) {
	for i := len(o.recent) - 1; i >= 0; i-- {
		c := &o.recent[i]
		out = append(out, fmt.Sprintf("%d\t%s\t%s\t%d\t%s", c.Revision, c.Time.Local().Format("15:04:05"), c.Actor, c.N, orDash(plainText(c.Reason))))
	}
	return out
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// plainText is one line of a text of others, without what a terminal obeys.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

// rowsOf aligns rows under their head; without rows there is none.
func rowsOf(head string, rows []string) []string {
	if len(rows) == 0 {
		return nil
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, head)
	for _, r := range rows {
		fmt.Fprintln(w, r)
	}
	_ = w.Flush()
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

// clip cuts a line to so many columns; what is cut is marked.
func clip(line string, width int) string {
	if utf8.RuneCountInString(line) <= width {
		return line
	}
	if width < 1 {
		return ""
	}
	return string([]rune(line)[:width-1]) + "…"
}

// sparks draws the newest of the counts in so many columns.
func sparks(counts []int, width int) string {
	counts = counts[len(counts)-min(width, len(counts)):]
	most := 1
	for _, n := range counts {
		most = max(most, n)
	}
	var b strings.Builder
	for _, n := range counts {
		if n == 0 {
			b.WriteByte(' ')
			continue
		}
		b.WriteRune([]rune("▁▂▃▄▅▆▇█")[(n*8-1)/most])
	}
	return b.String()
}
