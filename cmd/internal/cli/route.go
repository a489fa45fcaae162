package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
)

// routeFlags are the members of a route beside its destination.
type routeFlags struct {
	router, routeType, iface string
	metric                   uint32
	preference               uint8
	weight                   uint16
	recursive, viaDefault    bool
	tags                     []string
}

func (r *routeFlags) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.router, "router", "", "router that has the route (default: every router)")
	f.StringVar(&r.routeType, "type", "", "unicast, blackhole, unreachable or prohibit")
	f.StringVar(&r.iface, "interface", "", "outgoing interface")
	numberVar(f, &r.metric, "metric", 0, 0, math.MaxUint32, "lower wins")
	numberVar(f, &r.preference, "preference", 1, 0, math.MaxUint8, "lower wins, before the metric")
	numberVar(f, &r.weight, "weight", 1, 1, 256, "share among equal next hops")
	f.BoolVar(&r.recursive, "recursive", false, "resolve the next hop through the router's own routes and those of *")
	f.BoolVar(&r.viaDefault, "via-default", false, "let a recursive next hop resolve through a default route")
	f.StringSliceVar(&r.tags, "tag", nil, "tag, repeatable")
}

// object is the JSON object of the route as far as flags were given.
func (r *routeFlags) object(cmd *cobra.Command, destination, nextHop string) map[string]any {
	o := map[string]any{"metric": r.metric}
	if destination != "" {
		o["destination"] = destination
	}
	if nextHop != "" {
		o["next_hop"] = nextHop
	}
	for _, m := range []struct {
		flag, member string
		value        any
	}{
		{"router", "router", r.router}, {"type", "type", r.routeType}, {"interface", "interface", r.iface},
		{"preference", "preference", r.preference}, {"weight", "weight", r.weight},
		{"recursive", "recursive", r.recursive}, {"via-default", "via_default", r.viaDefault}, {"tag", "tags", r.tags},
	} {
		if cmd.Flags().Changed(m.flag) {
			o[m.member] = m.value
		}
	}
	return o
}

func routeCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "route", Short: "Add, withdraw, list, import and look up routes", Args: cobra.NoArgs}
	cmd.AddCommand(routeAdd(c), routeSet(c), routeDelete(c), routeGet(c), routeList(c), routeImport(c), routeExport(c), routeLookup(c))
	return cmd
}

// changed prints the answer of a mutation; what is not installed as was asked is an error.
func changed(c *connection, m *mutation, answer *client.Answer, body any) error {
	if err := c.print(answer.Body, body, func(t *table, body any) {
		name := ""
		for _, k := range []string{"destination", "router", "a", "b", "name", "commit"} {
			if v := member(body, k); v != nil {
				name += " " + text(v)
			}
		}
		if name = strings.TrimSpace(name); name != "" {
			name += ": "
		}
		status, timer := text(member(body, "status")), text(member(body, "timer"))
		switch {
		case strings.HasPrefix(timer, "proposal-"):
			status = "proposed"
		case strings.HasPrefix(timer, "at-"):
			status = "scheduled"
		}
		t.line("%s%s at revision %s", name, status, text(member(body, "revision")))
		if member(body, "status") == "nothing to roll back" {
			t.line("No commit matches that is not taken back already: `dvr log list` has them all.")
		}
		pledges(t, body, member(body, "revision"))
		if answer.Header.Get("DVR-Replayed") == "true" {
			t.line("(made before, under the same key)")
		}
		if installed := member(body, "installed"); installed != nil {
			t.row("installed", installed)
		}
		for _, k := range []string{"pending", "failed", "disconnected"} {
			if l := list(body, k); len(l) > 0 {
				t.row(k, l)
			}
		}
	}); err != nil {
		return err
	}
	return m.installed(c, answer.Status, body)
}

// pledges tells what is still to come of a change, which a commit made where one
// did: that it undoes itself, is done later or by another, or is taken back.
func pledges(t *table, body, commit any) {
	if by := member(body, "confirm_by"); by != nil {
		t.line("It undoes itself unless confirmed by %s: dvr confirm %s", text(by), text(commit))
	}
	timer := member(body, "timer")
	switch name := text(timer); {
	case timer == nil:
	case strings.HasPrefix(name, "proposal-"):
		t.line("Another actor does it until %s: dvr approve %s", text(member(body, "timer_at")), name)
	case strings.HasPrefix(name, "at-"):
		t.line("It is done at %s, unless: dvr timer cancel %s", text(member(body, "timer_at")), name)
	default:
		t.line("It is taken back at %s, unless: dvr timer cancel %s", text(member(body, "timer_at")), name)
	}
}

func routeAdd(c *connection) *cobra.Command {
	var r routeFlags
	var m mutation
	cmd := &cobra.Command{
		Use: "add DESTINATION [NEXT_HOP]", Short: "Add a candidate, or replace its attributes", Args: candidateArgs,
		Example: "  dvr route add 10.1.0.0/16 192.168.1.1 --metric 100 --wait installed\n  dvr route add 10.9.0.0/16 --type blackhole --reason 'scanner'",
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := json.Marshal(r.object(cmd, args[0], strings.Join(args[1:], "")))
			if err != nil {
				return err
			}
			stray := c.stray(cmd.Context(), r.router, &m)
			var out any
			answer, err := c.call(cmd.Context(), m.call(http.MethodPost, "/routes", nil, body, c.timeout), &out)
			if err != nil {
				return err
			}
			c.warn(stray)
			return changed(c, &m, answer, out)
		},
	}
	r.bind(cmd)
	m.bind(cmd)
	return cmd
}

func routeSet(c *connection) *cobra.Command {
	var r routeFlags
	var m mutation
	cmd := &cobra.Command{
		Use: "set DESTINATION [NEXT_HOP]", Short: "Make this the only candidate of the router for the destination", Args: candidateArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := json.Marshal(r.object(cmd, "", strings.Join(args[1:], "")))
			if err != nil {
				return err
			}
			stray := c.stray(cmd.Context(), r.router, &m)
			var out any
			answer, err := c.call(cmd.Context(), m.call(http.MethodPut, "/routes/"+args[0], nil, body, c.timeout), &out)
			if err != nil {
				return err
			}
			c.warn(stray)
			return changed(c, &m, answer, out)
		},
	}
	r.bind(cmd)
	m.bind(cmd)
	return cmd
}

func routeDelete(c *connection) *cobra.Command {
	var m mutation
	var nextHop, router string
	cmd := &cobra.Command{
		Use: "delete DESTINATION", Aliases: []string{"withdraw"}, Short: "Withdraw a destination, or one candidate of it", Args: destinationArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			var out any
			answer, err := c.call(cmd.Context(), m.call(http.MethodDelete, "/routes/"+args[0], filters("next_hop", nextHop, "router", router), nil, c.timeout), &out)
			if err != nil {
				return err
			}
			return changed(c, &m, answer, out)
		},
	}
	cmd.Flags().StringVar(&nextHop, "next-hop", "", "only the candidate with this next hop")
	cmd.Flags().StringVar(&router, "router", "", "only the candidates of this router")
	m.bind(cmd)
	return cmd
}

func routeGet(c *connection) *cobra.Command {
	var router string
	cmd := &cobra.Command{
		Use: "get DESTINATION", Short: "The candidates of a destination, which are chosen and why", Args: destinationArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.showItem(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/routes/" + args[0], Query: filters("router", router, "at", c.at)}, func(t *table, body any) {
				t.head("CHOSEN", "ROUTER", "NEXT HOP", "PREF", "METRIC", "REVISION", "WHY")
				for _, r := range list(body, "candidates") {
					t.row(member(r, "chosen"), member(r, "router"), hopOf(r), member(r, "preference"), member(r, "metric_here"), member(r, "revision"), member(r, "why"))
				}
			})
		},
	}
	cmd.Flags().StringVar(&router, "router", "", "as this router decides (default: by the routes of every router)")
	c.pastFlag(cmd)
	return cmd
}

// filters builds query values from key, value pairs, empty values left out.
func filters(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

func routeList(c *connection) *cobra.Command {
	var router, within, covering, nextHop, tag, cursor string
	var limit uint16
	cmd := &cobra.Command{
		Use: "list", Short: "The routes as they are stored, every candidate", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			q := filters("router", router, "within", within, "covering", covering, "next_hop", nextHop, "tag", tag, "limit", strconv.Itoa(int(limit)), "cursor", cursor, "at", c.at)
			none := false
			err := c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/routes", Query: q}, func(t *table, body any) {
				none = len(list(body, "routes")) == 0
				t.head("DESTINATION", "ROUTER", "NEXT HOP", "PREF", "METRIC", "REVISION")
				for _, r := range list(body, "routes") {
					t.row(member(r, "destination"), member(r, "router"), hopOf(r), member(r, "preference"), member(r, "metric"), member(r, "revision"))
				}
				if next := member(body, "next"); next != nil {
					t.line("(more: --cursor %s; all: `dvr route export`)", text(next))
				}
			})
			if err == nil && none && router != "" && cursor == "" {
				c.hintOtherRouters(cmd.Context(), router, filters("within", within, "covering", covering, "next_hop", nextHop, "tag", tag, "limit", "1", "at", c.at))
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&router, "router", "", "only routes that are this router's own (* for those that every router has; default: all)")
	f.StringVar(&within, "within", "", "only destinations inside this prefix, itself included")
	f.StringVar(&covering, "covering", "", "only destinations that contain this prefix or address")
	f.StringVar(&nextHop, "next-hop", "", "only routes with this next hop")
	f.StringVar(&tag, "tag", "", "only routes with this tag")
	numberVar(f, &limit, "limit", 100, 1, 10000, "at most so many, up to 10,000")
	f.StringVar(&cursor, "cursor", "", "go on where a list ended, at the same revision and with the same filters")
	c.pastFlag(cmd)
	return cmd
}

// hintOtherRouters explains an empty list: the routes are of other routers. It
// is a hint, so its failing is nobody's matter.
func (c *connection) hintOtherRouters(ctx context.Context, router string, q url.Values) {
	var body any
	if _, err := c.call(ctx, client.Call{Method: http.MethodGet, Path: "/v1/routes", Query: q}, &body); err != nil {
		return
	}
	if routes := list(body, "routes"); len(routes) > 0 {
		whose := func(router string) string {
			if router == "*" {
				return "of every router (*)"
			}
			return "router " + router + "'s own"
		}
		c.notice("no such route is %s, but one is %s: leave --router away to see all", whose(router), whose(text(member(routes[0], "router"))))
	}
}

// hopOf is a candidate's next hop, its type where it has none.
func hopOf(r any) string {
	m, _ := r.(map[string]any)
	if m["next_hop"] == nil {
		var parts []string
		if m["type"] != nil || m["interface"] == nil {
			parts = append(parts, text(m["type"]))
		}
		if i, ok := m["interface"].(string); ok {
			parts = append(parts, "dev "+i)
		}
		return strings.Join(parts, " ")
	}
	return nextHop(m["next_hop"], m)
}

// matched prints the longest match of an address.
func matched(t *table, body any) {
	t.row("destination", member(body, "destination"))
	for _, hop := range list(body, "next_hops") {
		t.row("next hop", hop)
	}
	t.row("class", member(body, "class"))
	by := text(member(body, "source"))
	if router := text(member(body, "router")); router != "-" && router != "*" {
		by += " of " + router
	}
	t.row("answered by", fmt.Sprintf("%s at revision %s", by, text(member(body, "revision"))))
}

func routeLookup(c *connection) *cobra.Command {
	var router, source string
	cmd := &cobra.Command{
		Use: "lookup ADDRESS", Short: "The longest match of an address", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := filters("address", args[0], "router", router, "source", source, "at", c.at)
			return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/lookup", Query: q}, matched)
		},
	}
	cmd.Flags().StringVar(&router, "router", "", "router that is asked about (default: the routes of every router)")
	cmd.Flags().StringVar(&source, "source", "", "controller (default) or dataplane")
	c.pastFlag(cmd)
	return cmd
}
