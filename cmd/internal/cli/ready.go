package cli

import (
	"net/http"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
	"dvr/controller/certs"
)

// readyCommand is a probe for what has no HTTP client: containers, scripts.
func readyCommand(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "ready", Short: "Wait until a node is ready", Args: cobra.NoArgs,
		Long: "Wait until the node has folded the log and has a quorum (GET /readyz), for --timeout at most: exit code 0\n" +
			"when it is, 5 when it is not. No certificate is shown: in TLS --cacert is enough.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			// A node's own certificate, which a container names for the node, is not good for calling one.
			c.files = certs.Files{CA: c.files.CA, CRL: c.files.CRL}
			return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/readyz"}, func(t *table, body any) {
				t.line("%s at revision %s, transport %s", text(member(body, "status")), text(member(body, "revision")), text(member(body, "transport")))
			})
		},
	}
}
