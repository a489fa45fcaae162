package cli

import (
	"encoding/json"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/doctor"
	"dvr/controller/settings"
)

// errUnwell: a check of dvr doctor failed; the table says which.
var errUnwell = errors.New("a node would not do well here")

// doctorCommand examines this machine for a node with the same settings.
func doctorCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Would a node do well on this machine? What to do if not", Args: cobra.NoArgs,
		Long: "Examine this machine for a node with the settings that dvr node would have (flags, environment, file):\n" +
			"disk, fsync latency, clock, ports, limits, and what a data plane with --sink kernel wants. What it\n" +
			"writes is DATA_DIR, where there is none, and a file of 8 KiB in it; it removes both. Ports of a node that\n" +
			"runs here are its own.\n\n" +
			"The exit code is 0 where nothing failed, warnings or not, else 1.",
		Example: "  dvr doctor\n  DATA_DIR=/var/lib/dvr API_ADDR=192.0.2.1:9090 INSECURE=true dvr doctor -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.checkOutput(); err != nil {
				return err
			}
			s, err := settings.Load(cmd.Flags(), os.Environ())
			if err != nil {
				return usageError{err}
			}
			list := doctor.Examine(cmd.Context(), s)
			raw, err := json.Marshal(map[string]any{"findings": list})
			if err != nil {
				return err
			}
			body, err := decode(raw)
			if err != nil {
				return err
			}
			if err := c.print(raw, body, func(t *table, _ any) { findings(t, list) }); err != nil {
				return err
			}
			if doctor.Worst(list) == doctor.Fail {
				return errUnwell
			}
			return nil
		},
	}
	settings.Flags(cmd.Flags())
	return cmd
}

// findings prints each with what to do below it.
func findings(t *table, list []doctor.Finding) {
	width := 0
	for _, f := range list {
		width = max(width, len(f.Check))
	}
	for _, f := range list {
		t.line("%-5s %-*s  %s", f.Level, width, f.Check, f.Found)
		if f.Advice != "" {
			t.line("%s", strings.Repeat(" ", 8+width)+"→ "+f.Advice)
		}
	}
	if worst := doctor.Worst(list); worst == doctor.OK {
		t.line("\nA node will do well here.")
	} else if worst == doctor.Warn {
		t.line("\nA node will run here; see what the warnings are about.")
	}
}
