package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"dvr/controller/node"
)

// recoverQuota is the largest that a node may have (ETCD_QUOTA): a recovery must
// not run into one that is smaller than the node's own.
const recoverQuota = 64 << 30

// recoverLimit bounds a recovery: etcd reads its data, nobody is waited for.
const recoverLimit = 5 * time.Minute

// recoverCommand works on the data directory of a stopped node.
func recoverCommand(c *connection) *cobra.Command {
	var dir, reason string
	var yes bool
	cmd := &cobra.Command{
		Use: "recover", Short: "On a stopped survivor: go on alone after the majority is lost for ever", Args: cobra.NoArgs,
		Long: "Make the stopped member whose data are in --data-dir the only member of its cluster, and open a\n" +
			"new epoch of the log. It is the way out when a majority of the voters is lost for ever: with a\n" +
			"majority left, `dvr cluster remove` is right instead.\n\n" +
			"What the lost members had acknowledged and this one had not received is gone: choose the survivor\n" +
			"with the highest revision. The lost members must never run again on their data. Afterwards start\n" +
			"this node as before; data planes notice the new epoch and reconcile; let new nodes join with JOIN.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.checkOutput(); err != nil {
				return err
			}
			if dir == "" {
				return usageError{errors.New("--data-dir is empty")}
			}
			if !yes {
				return usageError{fmt.Errorf("this makes the member in %s the only one and cannot be undone; say --yes", dir)}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), recoverLimit)
			defer cancel()
			r, err := node.Recover(ctx, dir, reason, recoverQuota, recoverLog(c.errOut))
			if err != nil {
				return err
			}
			c.notice("%s", recovered(r))
			return c.printObject(r, recoveredTable)
		},
	}
	byDefault := "./data"
	for _, name := range []string{"DATA_DIR", "DVR_DATA_DIR"} {
		if v := os.Getenv(name); v != "" {
			byDefault = v
		}
	}
	cmd.Flags().StringVar(&dir, "data-dir", byDefault, "data directory of the stopped survivor (DATA_DIR)")
	cmd.Flags().StringVar(&reason, "reason", "", "why, as kept in the log")
	cmd.Flags().BoolVar(&yes, "yes", false, "the other voters are lost for ever")
	return cmd
}

func recoveredTable(t *table, body any) {
	t.row("node", member(body, "node_id"))
	t.row("cluster", member(body, "cluster_id"))
	t.row("log", member(body, "log_id"))
	t.row("epoch", member(body, "epoch"))
	t.row("revision", member(body, "revision"))
	t.row("members that are gone", member(body, "dropped"))
}

// recovered says what is to be done next.
func recovered(r *node.Recovery) string {
	if len(r.Dropped) == 0 {
		return fmt.Sprintf("%s was the only member of cluster %s already; a new epoch is open. Start it as before.", r.NodeID, r.ClusterID)
	}
	return fmt.Sprintf("%s is the only member of cluster %s now. Start it as before; empty the DATA_DIR of the others (%s) before they join again.",
		r.NodeID, r.ClusterID, strings.Join(r.Dropped, ", "))
}

// recoverLog shows what etcd warns of.
func recoverLog(w io.Writer) *zap.Logger {
	c := zap.NewProductionEncoderConfig()
	c.EncodeTime = zapcore.ISO8601TimeEncoder
	c.EncodeLevel = zapcore.CapitalLevelEncoder
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(c), zapcore.Lock(zapcore.AddSync(w)), zap.WarnLevel))
}
