package cli

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
)

// topologyCommand is about all routers and links at once.
func topologyCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "topology", Short: "Show, import and export routers and links as a whole", Args: cobra.NoArgs}
	cmd.AddCommand(topologyShow(c), topologyImport(c), topologyExport(c))
	return cmd
}

func topologyShow(c *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show [ROUTER…]", Short: "A picture of the routers with the links of each: costs, states, drains", Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			var routers, links any
			answer, err := c.call(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/routers", Query: filters("at", c.at)}, &routers)
			if err != nil {
				return err
			}
			at := c.at
			if at == "" { // both of one revision, even while it changes
				at = text(member(routers, "revision"))
			}
			linked, err := c.call(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/links", Query: filters("at", at)}, &links)
			if err != nil {
				return err
			}
			var whole struct {
				Routers  json.RawMessage `json:"routers"`
				Links    json.RawMessage `json:"links"`
				Revision json.RawMessage `json:"revision"`
			}
			for _, body := range [][]byte{answer.Body, linked.Body} {
				if err := json.Unmarshal(body, &whole); err != nil {
					return err
				}
			}
			return c.printValue(whole, func(t *table, body any) { network(t, body, args) })
		},
	}
	c.pastFlag(cmd)
	return cmd
}

// network draws the routers, of those chosen or all, each with its links as it
// sees them.
func network(t *table, body any, chosen []string) {
	routers, links := list(body, "routers"), list(body, "links")
	down, drained := 0, 0
	own := map[string][]any{} // links by end
	for _, l := range links {
		for _, end := range []string{"a", "b"} {
			name := text(member(l, end))
			own[name] = append(own[name], l)
		}
		if linkState(l) != "up" {
			down++
		}
	}
	for _, r := range routers {
		if member(r, "drained") != nil {
			drained++
		}
	}
	t.line("%s, %d drained; %s, %d not up; revision %s", plural(json.Number(strconv.Itoa(len(routers))), "router"), drained, plural(json.Number(strconv.Itoa(len(links))), "link"), down, text(member(body, "revision")))
	for _, r := range routers {
		name := text(member(r, "router"))
		if len(chosen) > 0 && !slices.Contains(chosen, name) {
			continue
		}
		t.line("")
		t.line("%s", routerLine(name, r))
		for i, l := range own[name] {
			branch := "├─ "
			if i == len(own[name])-1 {
				branch = "└─ "
			}
			t.row(append([]any{branch + neighbour(l, name)}, sides(l, name)...)...)
		}
	}
}

// routerLine is a router with what is out of the ordinary about it.
func routerLine(name string, r any) string {
	words := []string{name}
	if v := member(r, "description"); v != nil {
		words = append(words, text(v))
	}
	if v := member(r, "tags"); v != nil {
		words = append(words, "["+text(v)+"]")
	}
	if member(r, "dataplane") == true {
		words = append(words, "data plane")
	}
	if member(r, "declared") != true {
		words = append(words, "(not declared)")
	}
	switch text(member(r, "drained")) {
	case "soft":
		words = append(words, "DRAINED: no transit")
	case "hard":
		words = append(words, "DRAINED: nothing passes")
	}
	return strings.Join(words, "  ")
}

// neighbour is the other end of a link.
func neighbour(l any, of string) string {
	other := text(member(l, "b"))
	if other == of {
		other = text(member(l, "a"))
	}
	if name := member(l, "name"); name != nil {
		other += " (" + text(name) + ")"
	}
	return other
}

// sides are a link's costs, state and how each end sends over it, as one end sees it.
func sides(l any, of string) []any {
	here, there := "a", "b"
	if text(member(l, "b")) == of {
		here, there = there, here
	}
	cost := "cost " + text(member(l, "cost_"+here+there))
	if back := member(l, "cost_"+there+here); text(back) != text(member(l, "cost_"+here+there)) {
		cost += ", back " + text(back)
	}
	state := linkState(l)
	if seen, otherwise := strings.CutPrefix(state, "up, "); otherwise || state != "up" {
		what, whom, _ := strings.Cut(seen, " ")
		state = strings.TrimSpace(strings.ToUpper(what) + " " + whom)
	}
	var over []string
	if v := member(l, "interface_"+here); v != nil {
		over = append(over, "dev "+text(v))
	}
	if v := member(l, "address_"+there); v != nil {
		over = append(over, "to "+text(v))
	}
	how := strings.Join(over, " ")
	if how == "" {
		how = "UNUSABLE: no interface here, no address there"
	}
	return []any{cost, state, how}
}

func topologyExport(c *connection) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "export", Short: "Write the declared routers and all links as NDJSON, which import takes", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			call := client.Call{Method: http.MethodGet, Path: "/v1/topology", Query: filters("at", c.at), Header: http.Header{"Accept": {"application/x-ndjson"}}}
			return c.export(cmd.Context(), call, file)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "write to this file, which is replaced once all has come; compressed where it ends in .gz or .zst")
	c.pastFlag(cmd)
	return cmd
}
