package cli

import (
	"encoding/json"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"dvr/eventlog"
)

// Version is set when a release is linked: -ldflags "-X dvr/cmd/internal/cli.Version=1.2.3".
var Version = ""

// version falls back to what the Go tool recorded.
func version() string {
	if Version != "" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "development"
}

// versionCommand tells of this program; GET /version tells of a node.
func versionCommand(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "This program's version and the formats it knows", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.checkOutput(); err != nil {
				return err
			}
			raw, err := json.Marshal(map[string]any{
				"version": version(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
				"log_format": eventlog.Format, "max_level": eventlog.MaxLevel,
			})
			if err != nil {
				return err
			}
			body, err := decode(raw)
			if err != nil {
				return err
			}
			return c.print(raw, body, members)
		},
	}
}
