package cli

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
	"dvr/controller/fibpb"
)

func dataplaneAudit(c *connection) *cobra.Command {
	var router string
	at := ownAddress()
	cmd := &cobra.Command{
		Use: "audit", Short: "Compare what is installed with what should be, and set right what differs", Args: cobra.NoArgs,
		Long: "Have a data plane compare all that its sinks keep outside of it (the kernel's routes and next\n" +
			"hops) with what they should, and set right what differs: by --router through a node, else on the\n" +
			"data plane's own loopback service (--at), which needs no node. It takes seconds for a million routes.",
		Example: "  dvr dataplane audit --router r1\n  dvr dataplane audit --at " + ownService,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if router != "" {
				return c.show(cmd.Context(), client.Call{
					Method: http.MethodPost, Path: "/v1/dataplanes/" + router + "/audit", Query: filters("timeout", c.timeout.String()),
				}, audited)
			}
			return c.direct(cmd.Context(), at, audited, func(ctx context.Context, d fibpb.DataPlaneClient) (map[string]any, error) {
				report, err := d.Audit(ctx, &fibpb.AuditRequest{})
				if err != nil {
					return nil, err
				}
				return auditOf(report), nil
			})
		},
	}
	bindPlane(cmd, &router, &at)
	return cmd
}

// bindPlane adds the flags that say which data plane is asked, and by which way.
func bindPlane(cmd *cobra.Command, router, at *string) {
	cmd.Flags().StringVar(router, "router", "", "router whose data plane is asked, through the node it is connected to")
	cmd.Flags().StringVar(at, "at", *at, "address of the data plane's own service, its --listen (DVR_LISTEN), asked without a node")
	cmd.MarkFlagsMutuallyExclusive("router", "at")
}

// auditOf is a report in the API's form.
func auditOf(report *fibpb.AuditReport) map[string]any {
	sinks := make([]any, len(report.Sinks))
	for i, k := range report.Sinks {
		differences := make([]any, len(k.Differences))
		for j, d := range k.Differences {
			differences[j] = map[string]any{"prefix": d.Prefix, "cause": d.Cause, "count": d.Count}
		}
		sinks[i] = map[string]any{"name": k.Name, "complete": k.Complete, "entries": k.Entries, "failed": k.Failed, "took_ms": k.TookMs, "differences": differences}
	}
	return map[string]any{"sinks": sinks}
}

// audited prints an audit's report.
func audited(t *table, body any) {
	sinks := list(body, "sinks")
	if len(sinks) == 0 {
		t.line("Nothing to audit: no sink of this data plane keeps routes outside of it.")
		return
	}
	t.head("SINK", "COMPARED", "FAILED", "TOOK", "RESULT")
	for _, k := range sinks {
		differences := list(k, "differences")
		result := "right"
		switch {
		case member(k, "complete") != true:
			result = "not all could be compared: it kept changing, or too many asked"
		case len(differences) > 0:
			result = "differed, set right"
		}
		t.row(text(member(k, "name")), grouped(member(k, "entries")), member(k, "failed"), text(member(k, "took_ms"))+" ms", result)
	}
	for _, k := range sinks {
		differences := list(k, "differences")
		if len(differences) == 0 {
			continue
		}
		t.section("DIFFERENCES OF SINK " + text(member(k, "name")))
		t.head("  ROUTES", "SHORTEST", "CAUSE")
		for _, d := range differences {
			t.row("  "+grouped(member(d, "count")), text(member(d, "prefix")), text(member(d, "cause")))
		}
	}
}
