package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
)

func explainCommand(c *connection) *cobra.Command {
	var router string
	cmd := &cobra.Command{
		Use: "explain ADDRESS", Short: "Where packets to an address go from a router, why, and whose doing it is", Args: cobra.ExactArgs(1),
		Example: "  dvr explain 10.1.2.3 --router r1\n  dvr explain 10.1.2.3 --router r1 --at 2026-11-21T22:00:00Z",
		RunE: func(cmd *cobra.Command, args []string) error {
			q := filters("address", args[0], "router", router, "at", c.at)
			return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/explain", Query: q}, explained)
		},
	}
	cmd.Flags().StringVar(&router, "router", "", "where the packet is (default: the routes of every router)")
	c.pastFlag(cmd)
	return cmd
}

// explained prints a picture of the way, then the decision of each router, then
// the commits behind it.
func explained(t *table, body any) {
	t.line("%s from %s at revision %s: %s", text(member(body, "address")), routerName(member(body, "router")), text(member(body, "revision")), text(member(body, "outcome")))
	t.line("")
	w := way{table: t, hops: map[string]any{}, drawn: map[string]bool{}}
	hops := list(body, "hops")
	for _, h := range hops {
		w.hops[text(member(h, "router"))] = h
	}
	if len(hops) > 0 {
		w.draw(text(member(hops[0], "router")), "  ", "  ")
	}
	if member(body, "cut") == true {
		t.line("  … and more routers")
	}
	for _, h := range hops {
		t.line("")
		decided(t, h)
	}
	if commits := list(body, "commits"); len(commits) > 0 {
		t.section(fmt.Sprintf("Whose doing it is, the likeliest first (looked for back to revision %s)", text(member(body, "searched_to"))))
		var idle []string
		for _, k := range commits {
			if text(member(k, "relevance")) == "concerns" {
				idle = append(idle, text(member(k, "revision")))
				continue
			}
			t.row("  "+text(member(k, "revision")), member(k, "time"), who(k), relevance(k), reasonOf(k))
		}
		if n := len(idle); n > 0 {
			named := strings.Join(idle[:min(n, 3)], ", ")
			if n > 3 {
				named += ", …"
			}
			t.line("  … %s about the same items without an effect here: %s (-o json has them)", plural(json.Number(strconv.Itoa(n)), "commit"), named)
		}
		if n := text(member(body, "left_out")); n != "0" {
			t.line("  … and %s more (dvr log list)", n)
		}
	}
}

// who has made a commit, and on whose behalf.
func who(commit any) any {
	if other := member(commit, "for"); other != nil {
		return text(member(commit, "actor")) + " for " + text(other)
	}
	return member(commit, "actor")
}

// relevance says what a commit has to do with the way.
func relevance(k any) string {
	var why []string
	for _, w := range list(k, "why") {
		why = append(why, text(w))
	}
	said := strings.Join(why, "; ")
	switch what := text(member(k, "relevance")); what {
	case "changed":
		c := member(k, "changed")
		changed := fmt.Sprintf("changed %s: %s, was %s", text(member(c, "router")), text(member(c, "after")), text(member(c, "before")))
		if said != "" {
			changed += " (" + said + ")"
		}
		return changed
	default:
		return what + ": " + said
	}
}

// reasonOf is what was given as the reason, and the guards that it passed by force.
func reasonOf(k any) string {
	reason := text(member(k, "reason"))
	var forced []string
	for _, g := range list(k, "forced") {
		forced = append(forced, text(g))
	}
	if len(forced) > 0 {
		reason += " (forced past " + strings.Join(forced, ", ") + ")"
	}
	return reason
}

// routerName is a router for a sentence.
func routerName(v any) string {
	if r := text(v); r != "*" {
		return r
	}
	return "every router (*)"
}

// way draws the routers that a packet may pass as a tree. A router is told once:
// where it comes again, its name is enough.
type way struct {
	table *table
	hops  map[string]any
	drawn map[string]bool
}

// draw writes a router's line behind head, and those behind it, each behind rest.
func (w *way) draw(router, head, rest string) {
	h, known := w.hops[router]
	if w.drawn[router] || !known {
		w.table.line("%s%s (above)", head, router)
		return
	}
	w.drawn[router] = true
	line := head + router
	if d := member(h, "destination"); d != nil {
		line += "  " + text(d) + "  metric " + text(member(h, "metric"))
	} else {
		line += "  no route"
	}
	w.table.line("%s%s", line, installedMark(h))
	exits, next := list(h, "exits"), list(h, "next")
	n := len(exits) + len(next)
	branch := func(i int) (head, more string) {
		if i == n-1 {
			return rest + "└▶ ", rest + "   "
		}
		return rest + "├▶ ", rest + "│  "
	}
	for i, e := range exits {
		head, _ := branch(i)
		w.table.line("%s%s", head, text(e))
	}
	for i, r := range next {
		head, more := branch(len(exits) + i)
		w.draw(text(r), head, more)
	}
}

// installedMark says what the data plane of a hop has.
func installedMark(h any) string {
	i := member(h, "installed")
	switch {
	case i == nil:
		return ""
	case member(i, "unknown") != nil:
		return "  [data plane: " + text(member(i, "unknown")) + "]"
	case member(i, "agrees") == true:
		return "  [installed]"
	case member(i, "destination") == nil:
		return fmt.Sprintf("  [DATA PLANE HAS NOTHING, at revision %s]", text(member(i, "revision")))
	}
	return fmt.Sprintf("  [DATA PLANE HAS %s → %s, at revision %s]", text(member(i, "destination")), text(member(i, "next_hops")), text(member(i, "revision")))
}

// decided prints the candidates of a hop's match, and what was passed over.
func decided(t *table, h any) {
	r := text(member(h, "router"))
	print := func(of any, note string) {
		t.line("%s: %s%s", r, text(member(of, "destination")), note)
		candidates := list(of, "candidates")
		slices.SortStableFunc(candidates, func(a, b any) int { // the chosen first
			x, y := member(a, "chosen") == true, member(b, "chosen") == true
			switch {
			case x == y:
				return 0
			case x:
				return -1
			}
			return 1
		})
		for _, k := range candidates {
			mark := "  -"
			if member(k, "chosen") == true {
				mark = "  ✓"
			}
			t.row(mark+" "+hopOf(k), "of "+text(member(k, "router")), "metric "+text(member(k, "metric_here")), member(k, "why"), "revision "+text(member(k, "revision")))
		}
	}
	if member(h, "destination") != nil {
		print(h, "")
	} else {
		t.line("%s: no route", r)
	}
	for _, l := range list(h, "links") {
		t.row("  link "+linkName(l), "", "cost "+text(member(l, "cost_ab"))+"/"+text(member(l, "cost_ba")), linkState(l), "revision "+text(member(l, "revision")))
	}
	for _, p := range list(h, "passed_over") {
		print(p, ", longer, but unusable")
	}
}

func blameCommand(c *connection) *cobra.Command {
	var limit uint16
	var before uint64
	cmd := &cobra.Command{
		Use: "blame DESTINATION", Short: "Who made a destination what it is, and what it went through", Args: destinationArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			q := filters("limit", fmt.Sprint(limit), "before", revisionText(before), "at", c.at)
			return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/blame/" + args[0], Query: q}, blamed)
		},
	}
	numberVar(cmd.Flags(), &limit, "limit", 20, 1, 1000, "at most so many earlier commits, up to 1,000")
	cmd.Flags().Uint64Var(&before, "before", 0, "those before this revision")
	c.pastFlag(cmd)
	return cmd
}

// blamed prints the candidates with who set each, then the commits, newest first.
func blamed(t *table, body any) {
	if now := list(body, "candidates"); len(now) > 0 {
		t.head("NEXT HOP", "ROUTER", "METRIC", "SET AT", "TIME", "BY", "REASON")
		for _, k := range now {
			by := member(k, "commit")
			t.row(hopOf(k), member(k, "router"), member(k, "metric"), member(k, "revision"), member(by, "time"), who(by), member(by, "reason"))
		}
	} else {
		t.line("%s is not there", text(member(body, "destination")))
	}
	t.section("What it went through, the newest first")
	for _, k := range list(body, "history") {
		for _, e := range list(k, "events") {
			metric := member(e, "metric")
			if metric == nil {
				metric = "0" // the log leaves out what is 0
			}
			what := "+ " + hopOf(e) + " metric " + text(metric)
			if strings.HasSuffix(text(member(e, "kind")), "withdrawn") {
				what = "- " + hopOf(e)
			}
			owner := member(e, "router")
			if owner == nil {
				owner = "*"
			}
			t.row("  "+text(member(k, "revision")), member(k, "time"), who(k), what, owner, member(k, "reason"))
		}
	}
	if next := member(body, "next"); next != nil {
		t.line("(earlier ones: dvr blame %s --before %s)", text(member(body, "destination")), text(next))
	} else if begins := member(body, "log_begins"); count(begins) > 1 {
		t.line("(the log begins at revision %s)", text(begins))
	}
}
