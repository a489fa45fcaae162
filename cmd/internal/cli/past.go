package cli

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
)

// pastFlag lets a command that reads be about the past. DVR_AT is the default of
// all of them, so that a script that knows nothing of the past can be asked
// about it.
func (c *connection) pastFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.at, "at", os.Getenv("DVR_AT"), "as it was at this revision, or at this time (2026-11-21T22:00:00Z); default: now (DVR_AT)")
}

// aboutThePresent are the commands that can only tell how things are now, or
// what happens from now on.
var aboutThePresent = []string{
	"dvr status", "dvr top", "dvr watch", "dvr whoami", "dvr auth audit", "dvr cluster members", "dvr cluster status", "dvr dataplane list",
	"dvr kv watch", "dvr log follow",
}

// refuseThePast makes the commands about the present fail where DVR_AT asks for
// the past: their answer would be taken for one about it.
func refuseThePast(root *cobra.Command) {
	at := os.Getenv("DVR_AT")
	if at == "" {
		return
	}
	for _, path := range aboutThePresent {
		cmd, _, err := root.Find(strings.Fields(path)[1:])
		if err != nil {
			continue // a test holds the list against the commands
		}
		check := cmd.Args
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return err
			}
			return usageError{fmt.Errorf("%s is about the present, and DVR_AT asks for %s: unset it", cmd.CommandPath(), at)}
		}
	}
}

// revisionAt is the revision that a revision or time means; "": the newest.
func (c *connection) revisionAt(ctx context.Context, moment string) (uint64, error) {
	if n, err := strconv.ParseUint(moment, 10, 63); err == nil {
		return n, nil
	}
	var at struct{ Revision uint64 }
	_, err := c.call(ctx, client.Call{Method: http.MethodGet, Path: "/v1/links", Query: filters("at", moment)}, &at)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", moment, err)
	}
	return at.Revision, nil
}
