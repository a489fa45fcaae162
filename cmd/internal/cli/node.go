package cli

import (
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"dvr/controller/node"
	"dvr/controller/settings"
	"dvr/controller/systemd"
)

// nodeCommand runs a node in the foreground.
func nodeCommand(out, logs io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Run a node",
		Long: "Run a node in the foreground until SIGINT or SIGTERM.\n\n" +
			"Every setting is a flag, an environment variable (NODE_ID or DVR_NODE_ID for --node-id) and\n" +
			"a key of the YAML file that --config or DVR_CONFIG names; flags win over the environment,\n" +
			"that over the file, that over the defaults.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := settings.Load(cmd.Flags(), os.Environ())
			if err != nil {
				var e *settings.Error
				if errors.As(err, &e) {
					return usageError{err}
				}
				return err
			}
			manager, err := systemd.FromEnvironment(os.Environ(), os.Getpid())
			if err != nil {
				return err
			}
			return node.Run(cmd.Context(), s, node.Options{Version: version(), Out: out, Logs: logs, Manager: manager})
		},
	}
	settings.Flags(cmd.Flags())
	return cmd
}
