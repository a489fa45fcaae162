package cli

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
)

func linkStateCommand(c *connection, state, short string) *cobra.Command {
	var m mutation
	var name string
	cmd := &cobra.Command{
		Use: state + " A B", Short: short, Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.change(cmd, &m, http.MethodPost, linkPath(args)+"/"+state, filters("name", name), nil)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "of the parallel link")
	m.bind(cmd)
	return cmd
}

func drainCommand(c *connection) *cobra.Command {
	var m mutation
	var hard bool
	cmd := &cobra.Command{
		Use: "drain ROUTER", Short: "Take a router out of transit; the rest of it stays as it is", Args: cobra.ExactArgs(1),
		Example: "  dvr router drain r1 --dry-run\n  dvr router drain r1 --wait installed --reason 'new line card'\n  dvr router undrain r1",
		RunE: func(cmd *cobra.Command, args []string) error {
			query := filters()
			if hard {
				query.Set("hard", "true")
			}
			return c.change(cmd, &m, http.MethodPost, "/v1/routers/"+url.PathEscape(args[0])+"/drain", query, nil)
		},
	}
	cmd.Flags().BoolVar(&hard, "hard", false, "nothing passes through it (default: its own prefixes stay reachable)")
	m.bind(cmd)
	return cmd
}

func undrainCommand(c *connection) *cobra.Command {
	var m mutation
	cmd := &cobra.Command{
		Use: "undrain ROUTER", Short: "Take a router into transit again", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.change(cmd, &m, http.MethodPost, "/v1/routers/"+url.PathEscape(args[0])+"/undrain", nil, nil)
		},
	}
	m.bind(cmd)
	return cmd
}

// pageFlags are those of a table that is listed page by page.
type pageFlags struct {
	limit uint16
	after string
}

func (p *pageFlags) bind(cmd *cobra.Command) {
	numberVar(cmd.Flags(), &p.limit, "limit", 100, 1, 10000, "at most so many, up to 10,000")
	cmd.Flags().StringVar(&p.after, "after", "", "begin after this destination")
}

func (p *pageFlags) call(router, table string) client.Call {
	return client.Call{
		Method: http.MethodGet, Path: "/v1/routers/" + url.PathEscape(router) + "/" + table,
		Query: filters("limit", strconv.Itoa(int(p.limit)), "after", p.after),
	}
}

func more(t *table, body any) {
	if next := member(body, "next"); next != nil {
		t.line("(more: --after %s)", text(next))
	}
}

func ribCommand(c *connection) *cobra.Command {
	var p pageFlags
	cmd := &cobra.Command{
		Use: "rib ROUTER", Short: "Every candidate that a router has or could learn, which it chose, and why not the others", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), p.call(args[0], "rib"), func(t *table, body any) {
				t.head("DESTINATION", "CHOSEN", "ROUTER", "NEXT HOP", "PREF", "METRIC", "WHY")
				for _, d := range list(body, "rib") {
					for _, r := range list(d, "candidates") {
						t.row(member(d, "destination"), member(r, "chosen"), member(r, "router"), hopOf(r), member(r, "preference"), member(r, "metric_here"), member(r, "why"))
					}
				}
				more(t, body)
			})
		},
	}
	p.bind(cmd)
	c.pastFlag(cmd)
	return cmd
}

func fibCommand(c *connection) *cobra.Command {
	var p pageFlags
	cmd := &cobra.Command{
		Use: "fib ROUTER", Short: "What a router forwards by: each prefix with its class and next hops", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), p.call(args[0], "fib"), func(t *table, body any) {
				t.head("DESTINATION", "CLASS", "NEXT HOPS")
				for _, e := range list(body, "fib") {
					t.row(member(e, "destination"), member(e, "class"), member(e, "next_hops"))
				}
				more(t, body)
			})
		},
	}
	p.bind(cmd)
	c.pastFlag(cmd)
	return cmd
}
