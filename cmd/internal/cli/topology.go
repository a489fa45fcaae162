package cli

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
)

func routerCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "router", Short: "Declare, show and remove routers", Args: cobra.NoArgs}
	var m, d mutation
	var description, drained string
	var tags, probes []string
	set := &cobra.Command{
		Use: "set ROUTER", Aliases: []string{"add"}, Short: "Declare a router or replace its attributes", Args: cobra.ExactArgs(1),
		Long: "Declare a router or replace its attributes, all of them: what is not given is no more. `dvr router drain`\nand `dvr router undrain` leave the others as they are.",
		RunE: func(cmd *cobra.Command, args []string) error {
			o := map[string]any{}
			if description != "" {
				o["description"] = description
			}
			if len(tags) > 0 {
				o["tags"] = tags
			}
			if drained != "" {
				o["drained"] = drained
			}
			if len(probes) > 0 {
				list, err := probeList(probes)
				if err != nil {
					return err
				}
				o["probes"] = list
			}
			return c.change(cmd, &m, http.MethodPut, "/v1/routers/"+url.PathEscape(args[0]), nil, o)
		},
	}
	set.Flags().StringVar(&description, "description", "", "free text")
	set.Flags().StringSliceVar(&tags, "tag", nil, "tag, repeatable")
	set.Flags().StringVar(&drained, "drained", "", "soft: no transit, its own prefixes stay reachable; hard: nothing through it")
	set.Flags().StringArrayVar(&probes, "probe", nil, "have the data plane ask the next hops that it uses whether they are there: INTERVAL (5s) for all, NEXT-HOP=INTERVAL, %INTERFACE=INTERVAL or NEXT-HOP%INTERFACE=INTERVAL; repeatable")
	m.bind(set)
	remove := &cobra.Command{
		Use: "delete ROUTER", Short: "Remove a router's declaration", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.change(cmd, &d, http.MethodDelete, "/v1/routers/"+url.PathEscape(args[0]), nil, nil)
		},
	}
	d.bind(remove)
	get := &cobra.Command{
		Use: "get ROUTER", Short: "One router", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.showItem(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/routers/" + url.PathEscape(args[0]), Query: filters("at", c.at)}, members)
		},
	}
	all := &cobra.Command{
		Use: "list", Short: "All routers that are known", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/routers", Query: filters("at", c.at)}, func(t *table, body any) {
				t.head("ROUTER", "DECLARED", "DATA PLANE", "DESCRIPTION", "TAGS", "REVISION")
				for _, r := range list(body, "routers") {
					revision := member(r, "revision")
					if count(revision) == 0 {
						revision = nil // known, but not declared
					}
					t.row(member(r, "router"), member(r, "declared"), member(r, "dataplane"), member(r, "description"), member(r, "tags"), revision)
				}
			})
		},
	}
	c.pastFlag(get)
	c.pastFlag(all)
	cmd.AddCommand(set, remove, get, all, drainCommand(c), undrainCommand(c), ribCommand(c), fibCommand(c))
	return cmd
}

// probeList is what --probe names as the API takes it; next hops and interfaces are
// the API's to judge.
func probeList(flags []string) ([]map[string]any, error) {
	var list []map[string]any
	for _, flag := range flags {
		of, text, named := strings.Cut(flag, "=")
		if !named {
			of, text = "", flag
		}
		interval, err := time.ParseDuration(text)
		if err != nil || interval <= 0 || interval%time.Millisecond != 0 {
			return nil, usageError{fmt.Errorf("--probe %s: %q is no interval: say 500ms or 5s", flag, text)}
		}
		p := map[string]any{"interval_ms": interval.Milliseconds()}
		nextHop, on, _ := strings.Cut(of, "%")
		if nextHop != "" {
			p["next_hop"] = nextHop
		}
		if on != "" {
			p["interface"] = on
		}
		if named && len(p) == 1 {
			return nil, usageError{fmt.Errorf("--probe %s: names no next hop and no interface before the =", flag)}
		}
		list = append(list, p)
	}
	return list, nil
}

func linkCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "link", Short: "Declare, show and remove links between routers", Args: cobra.NoArgs}
	var m, d mutation
	var name, interfaceA, interfaceB, deleteName, getName string
	var cost, costAB, costBA uint32
	var addressA, addressB, tags []string
	var down bool
	set := &cobra.Command{
		Use: "set A B", Aliases: []string{"add"}, Short: "Declare a link or replace its attributes", Args: cobra.ExactArgs(2),
		Long: "Declare a link or replace its attributes. It is used from an end where that end's interface or the\n" +
			"other end's address is given, so mostly both addresses are: a link without any carries nothing.",
		Example: "  dvr link set r1 r2 --cost 10 --address-a 10.0.12.1 --address-b 10.0.12.2",
		RunE: func(cmd *cobra.Command, args []string) error {
			o := map[string]any{}
			changed := cmd.Flags().Changed
			if changed("cost") {
				o["cost_ab"], o["cost_ba"] = cost, cost
			}
			for _, f := range []struct {
				flag, member string
				value        any
			}{
				{"cost-ab", "cost_ab", costAB}, {"cost-ba", "cost_ba", costBA},
				{"address-a", "address_a", addressA}, {"address-b", "address_b", addressB},
				{"interface-a", "interface_a", interfaceA}, {"interface-b", "interface_b", interfaceB},
				{"down", "down", down}, {"tag", "tags", tags},
			} {
				if changed(f.flag) {
					o[f.member] = f.value
				}
			}
			return c.change(cmd, &m, http.MethodPut, linkPath(args), filters("name", name), o)
		},
	}
	f := set.Flags()
	f.StringVar(&name, "name", "", "distinguishes parallel links")
	numberVar(f, &cost, "cost", 1, 0, math.MaxUint32, "cost in both directions")
	numberVar(f, &costAB, "cost-ab", 1, 0, math.MaxUint32, "cost from A to B")
	numberVar(f, &costBA, "cost-ba", 1, 0, math.MaxUint32, "cost from B to A")
	f.StringSliceVar(&addressA, "address-a", nil, "A's address on the link (one IPv4, one IPv6)")
	f.StringSliceVar(&addressB, "address-b", nil, "B's address on the link")
	f.StringVar(&interfaceA, "interface-a", "", "A's interface")
	f.StringVar(&interfaceB, "interface-b", "", "B's interface")
	f.BoolVar(&down, "down", false, "administratively down")
	f.StringSliceVar(&tags, "tag", nil, "tag, repeatable")
	m.bind(set)
	remove := &cobra.Command{
		Use: "delete A B", Short: "Remove a link", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.change(cmd, &d, http.MethodDelete, linkPath(args), filters("name", deleteName), nil)
		},
	}
	remove.Flags().StringVar(&deleteName, "name", "", "of the parallel link")
	d.bind(remove)
	get := &cobra.Command{
		Use: "get A B", Short: "One link", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.showItem(cmd.Context(), client.Call{Method: http.MethodGet, Path: linkPath(args), Query: filters("name", getName, "at", c.at)}, members)
		},
	}
	get.Flags().StringVar(&getName, "name", "", "of the parallel link")
	all := &cobra.Command{
		Use: "list", Short: "All links", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/links", Query: filters("at", c.at)}, func(t *table, body any) {
				t.head("A", "B", "NAME", "COST A>B", "COST B>A", "ADDRESS A", "ADDRESS B", "STATE", "REVISION")
				for _, l := range list(body, "links") {
					t.row(member(l, "a"), member(l, "b"), member(l, "name"), member(l, "cost_ab"), member(l, "cost_ba"), member(l, "address_a"), member(l, "address_b"), linkState(l)+unusable(l), member(l, "revision"))
				}
			})
		},
	}
	c.pastFlag(get)
	c.pastFlag(all)
	cmd.AddCommand(set, remove, get, all, linkStateCommand(c, "down", "Take a link out administratively; the rest of it stays as it is"), linkStateCommand(c, "up", "Take a link into use again"))
	return cmd
}

// linkState is what is set and, where it is up, who sees it otherwise.
func linkState(l any) string {
	if member(l, "down") == true {
		return "down"
	}
	observed, _ := member(l, "observed").(map[string]any)
	state := "up"
	for _, router := range sortedKeys(observed) {
		if seen := text(observed[router]); seen != "up" {
			state += ", " + seen + " for " + router
		}
	}
	return state
}

// unusable says from which end nothing can be sent over a link.
func unusable(l any) string {
	var from []string
	for here, there := range map[string]string{"a": "b", "b": "a"} {
		if member(l, "interface_"+here) == nil && member(l, "address_"+there) == nil {
			from = append(from, text(member(l, here)))
		}
	}
	if len(from) == 0 {
		return ""
	}
	slices.Sort(from)
	return ", UNUSABLE from " + strings.Join(from, " and ")
}

func linkPath(args []string) string {
	return "/v1/links/" + url.PathEscape(args[0]) + "/" + url.PathEscape(args[1])
}

func vectorCommand(c *connection) *cobra.Command {
	var limit uint16
	var after string
	cmd := &cobra.Command{
		Use: "vector ROUTER", Short: "A router's distance vector: its best path to every destination", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			call := client.Call{Method: http.MethodGet, Path: "/v1/routers/" + url.PathEscape(args[0]) + "/vector", Query: filters("limit", strconv.Itoa(int(limit)), "after", after, "at", c.at)}
			return c.show(cmd.Context(), call, func(t *table, body any) {
				t.head("DESTINATION", "PREF", "METRIC", "VIA", "ORIGIN", "NEXT HOPS")
				for _, e := range list(body, "vector") {
					via := text(member(e, "via"))
					if via == "-" {
						via = "(own route)"
					}
					t.row(member(e, "destination"), member(e, "preference"), member(e, "metric"), via, member(e, "origin"), member(e, "next_hops"))
				}
				if next := member(body, "next"); next != nil {
					t.line("(more: --after %s)", text(next))
				}
			})
		},
	}
	numberVar(cmd.Flags(), &limit, "limit", 100, 1, 10000, "at most so many, up to 10,000")
	cmd.Flags().StringVar(&after, "after", "", "begin after this destination")
	c.pastFlag(cmd)
	return cmd
}

// change does a mutation with an optional JSON body and prints what came of it.
func (c *connection) change(cmd *cobra.Command, m *mutation, method, path string, query url.Values, object map[string]any) error {
	var body []byte
	if object != nil {
		var err error
		if body, err = json.Marshal(object); err != nil {
			return err
		}
	}
	var out any
	answer, err := c.call(cmd.Context(), m.call(method, path, query, body, c.timeout), &out)
	if err != nil {
		return err
	}
	return changed(c, m, answer, out)
}
