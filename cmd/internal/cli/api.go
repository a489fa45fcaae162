package cli

import (
	"github.com/spf13/cobra"

	"dvr/controller/httpapi/openapi"
)

// apiCommand prints the description that this program was built with; it asks
// no node.
func apiCommand(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "api", Short: "The HTTP API's description, OpenAPI 3.1 in YAML or JSON", Args: cobra.NoArgs,
		Long: "Print the description of the HTTP API of nodes and launcher, OpenAPI 3.1: as it is written, or with -o json\n" +
			"in JSON. Nodes and the launcher serve the same at /openapi.yaml, and as a page to try at /docs.",
		Example: "  dvr api | less\n  dvr api -o json | jq '.paths | keys'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.checkOutput(); err != nil {
				return err
			}
			if c.output == "json" {
				return c.print(openapi.JSON(), nil, nil)
			}
			_, err := c.out.Write(openapi.YAML())
			return err
		},
	}
}
