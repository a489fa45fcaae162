package cli

import (
	"net/http"
	"sort"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
)

func statusCommand(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "The node's and the log's state", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/status"}, members)
		},
	}
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
