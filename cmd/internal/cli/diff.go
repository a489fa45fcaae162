package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
)

func diffCommand(c *connection) *cobra.Command {
	var router string
	var limit int
	cmd := &cobra.Command{
		Use: "diff FROM [TO]", Short: "What changed between two revisions or times: intent, and every router's FIB", Args: cobra.RangeArgs(1, 2),
		Long:    "What changed between two revisions or times: intent, and every router's FIB.\nWithout TO up to now; FROM may be later than TO.",
		Example: "  dvr diff 4711 4712\n  dvr diff 2026-11-21T22:00:00Z --router r1",
		RunE: func(cmd *cobra.Command, args []string) error {
			q := filters("from", args[0], "router", router)
			if len(args) > 1 {
				q.Set("to", args[1])
			}
			if c.output != "table" {
				q.Set("limit", strconv.Itoa(min(max(limit, 1), 10000)))
				return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/diff", Query: q}, nil)
			}
			cl, err := c.open()
			if err != nil {
				return err
			}
			body, _, err := cl.Stream(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/diff", Query: q, Header: http.Header{"Accept": {"application/x-ndjson"}}})
			if err != nil {
				return c.advise(err)
			}
			defer body.Close()
			d := differing{out: c.out, limit: limit}
			return d.read(body)
		},
	}
	cmd.Flags().StringVar(&router, "router", "", "only the effect on this router")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many lines a section; 0: all")
	return cmd
}

// differing prints a diff as it comes: a section for routes, one for the rest of
// intent, one a router; then the sums.
type differing struct {
	out     io.Writer
	limit   int
	section string
	shown   int // lines of the section
	hidden  int
	sums    []*sum // in order of sections
	groups  groups // of the section, not printed yet
}

type sum struct {
	section                 string
	added, removed, changed int64
}

var errCutStream = errors.New("the answer was cut off: ask again")

// maxDiffLine is longer than any change: candidates have 64 tags at most.
const maxDiffLine = 4 << 20

func (d *differing) read(r io.Reader) error {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 64<<10), maxDiffLine)
	for in.Scan() {
		line, err := decode(in.Bytes())
		if err != nil {
			return err
		}
		switch text(member(line, "kind")) {
		case "diff":
			from, to := member(line, "from"), member(line, "to")
			fmt.Fprintf(d.out, "revision %s (%s) → %s (%s)\n", text(member(from, "revision")), text(member(from, "time")), text(member(to, "revision")), text(member(to, "time")))
		case "end":
			d.close()
			d.total()
			return nil
		default:
			d.line(line)
		}
	}
	if err := in.Err(); err != nil {
		return err
	}
	return errCutStream
}

func (d *differing) line(c any) {
	section := "routes"
	switch text(member(c, "kind")) {
	case "item":
		section = "routers, links, keys and the rest"
	case "group", "entry":
		section = "FIB of " + routerName(member(c, "router"))
	}
	if section != d.section {
		d.close()
		d.section = section
		d.sums = append(d.sums, &sum{section: section})
		fmt.Fprintf(d.out, "\n%s\n", section)
	}
	n := int64(1)
	if p := member(c, "prefixes"); p != nil {
		n = count(p)
	}
	switch s := d.sums[len(d.sums)-1]; text(member(c, "change")) {
	case "added":
		s.added += n
	case "removed":
		s.removed += n
	default:
		s.changed += n
	}
	if text(member(c, "kind")) == "group" {
		d.groups.add(c)
		return
	}
	d.flush()
	d.print(c)
}

// flush prints the groups of a section, which come before its entries.
func (d *differing) flush() {
	for _, c := range d.groups.lines {
		d.print(c)
	}
	d.groups = groups{}
}

func (d *differing) print(c any) {
	if d.limit > 0 && d.shown == d.limit {
		d.hidden++
		return
	}
	d.shown++
	fmt.Fprintf(d.out, "  %s %s\n", markOf(c), changeText(c))
}

func (d *differing) close() {
	d.flush()
	if d.hidden > 0 {
		fmt.Fprintf(d.out, "  (%s more lines: --limit 0 shows all)\n", grouped(d.hidden))
	}
	d.shown, d.hidden = 0, 0
}

func (d *differing) total() {
	if len(d.sums) == 0 {
		fmt.Fprintln(d.out, "nothing changed")
		return
	}
	fmt.Fprintln(d.out)
	t := newTable(d.out)
	for _, s := range d.sums {
		t.row(s.section, "+"+strconv.FormatInt(s.added, 10), "-"+strconv.FormatInt(s.removed, 10), "~"+strconv.FormatInt(s.changed, 10))
	}
	_ = t.flush() // as the lines before it
}

// changeText is a change in one line.
func changeText(c any) string {
	before, after := member(c, "before"), member(c, "after")
	switch text(member(c, "kind")) {
	case "route":
		return routeText(text(member(c, "destination")), before, after)
	case "item":
		return itemText(before, after)
	case "group":
		examples := list(c, "examples")
		if len(examples) == 0 {
			return prefixes(member(c, "prefixes")) + ": " + hopsText(before, after)
		}
		named := text(examples)
		if count(member(c, "prefixes")) > int64(len(examples)) {
			named += ", …"
		}
		return fmt.Sprintf("%s (%s): %s", prefixes(member(c, "prefixes")), named, hopsText(before, after))
	}
	return text(member(c, "destination")) + ": " + hopsText(before, after)
}

// prefixes is so many of them.
func prefixes(n any) string {
	if count(n) == 1 {
		return "1 prefix"
	}
	return grouped(n) + " prefixes"
}

// hopsText is how next hops changed; a side that is missing has no route.
func hopsText(before, after any) string {
	side := func(v any) string {
		if v == nil {
			return "no route"
		}
		return text(v)
	}
	switch {
	case before == nil:
		return side(after)
	case after == nil:
		return "was " + side(before)
	}
	return side(before) + " → " + side(after)
}
