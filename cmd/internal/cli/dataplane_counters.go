package cli

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
	"dvr/controller/fibpb"
)

func dataplaneCounters(c *connection) *cobra.Command {
	var router string
	at := ownAddress()
	cmd := &cobra.Command{
		Use: "counters", Short: "What a data plane has counted since it was started", Args: cobra.NoArgs,
		Long: "Show a data plane's counters: by --router what it told its node last (every five seconds), else\n" +
			"from the data plane's own loopback service (--at), which needs no node.",
		Example: "  dvr dataplane counters --router r1\n  dvr dataplane counters --at " + ownService,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if router != "" {
				return c.countersOf(cmd.Context(), router)
			}
			return c.direct(cmd.Context(), at, counterRows, func(ctx context.Context, d fibpb.DataPlaneClient) (map[string]any, error) {
				stats, err := d.GetStats(ctx, &fibpb.StatsRequest{})
				if err != nil {
					return nil, err
				}
				k := stats.GetCounters()
				counters := map[string]any{
					"lookups": k.GetLookups(), "packets": k.GetPackets(), "bytes": k.GetBytes(), "resident_bytes": k.GetResidentBytes(),
				}
				for name, v := range k.GetMore() {
					counters[name] = v
				}
				return map[string]any{"router": stats.Router, "counters": counters}, nil
			})
		},
	}
	bindPlane(cmd, &router, &at)
	return cmd
}

// countersOf prints the counters of the router's data plane as the nodes know them.
func (c *connection) countersOf(ctx context.Context, router string) error {
	var body any
	if _, err := c.call(ctx, client.Call{Method: http.MethodGet, Path: "/v1/dataplanes"}, &body); err != nil {
		return err
	}
	for _, d := range list(body, "dataplanes") {
		if text(member(d, "router")) != router {
			continue
		}
		return c.printObject(map[string]any{"router": router, "counters": member(d, "counters")}, counterRows)
	}
	return &client.Problem{Status: http.StatusNotFound, Detail: fmt.Sprintf("no data plane of router %s is known", router)}
}

// counterRows prints counters by name.
func counterRows(t *table, body any) {
	counters, _ := member(body, "counters").(map[string]any)
	t.head("COUNTER", "VALUE")
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		t.row(name, grouped(counters[name]))
	}
}
