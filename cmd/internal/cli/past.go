package cli

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
)

// pastFlag lets a command that reads be about the past. DVR_AT is the default of
// all of them, so that a script that knows nothing of the past can be asked
// about it.
func (c *connection) pastFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.at, "at", os.Getenv("DVR_AT"), "as it was at this revision, or at this time (2026-11-21T22:00:00Z); default: now (DVR_AT)")
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
