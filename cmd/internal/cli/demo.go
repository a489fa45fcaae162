package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/demo"
)

// unhurried: the process would leave others behind, so a second SIGINT does not
// cut it short.
var unhurried atomic.Bool

// untilHangup ends with the terminal, too, unless the process was started to
// outlive it (nohup). For what leaves processes behind that nobody looks after.
func untilHangup(ctx context.Context) (context.Context, context.CancelFunc) {
	if signal.Ignored(syscall.SIGHUP) {
		return ctx, func() {}
	}
	return signal.NotifyContext(ctx, syscall.SIGHUP)
}

// demoCommand runs a cluster to look at.
func demoCommand(out io.Writer) *cobra.Command {
	var o demo.Options
	cmd := &cobra.Command{
		Use: "demo", Short: "Run a cluster to look at: three nodes, nine routers, a full Internet table", Args: cobra.NoArgs,
		Long: "Run three nodes, a network of nine routers with a full Internet table, data planes (memory sink) at\n" +
			"three of them, and a change every second, until Ctrl-C or the terminal's end (not under nohup);\n" +
			"print where the dashboard is.\n" +
			"It takes some 2 GB of memory with all routes. docs/tutorial.md walks through it.",
		Example: "  dvr demo\n  dvr demo --routes 10000\n  dvr demo --data-dir ./data/demo      # kept, and gone on with the next time",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Binary, err = executable(); err != nil {
				return err
			}
			o.PlaneBinary = filepath.Join(filepath.Dir(o.Binary), "dvr-dataplane")
			if _, err := os.Stat(o.PlaneBinary); err != nil {
				o.PlaneBinary = ""
			}
			o.Out = out
			unhurried.Store(true)
			defer unhurried.Store(false)
			ctx, stop := untilHangup(cmd.Context())
			defer stop()
			return demo.Run(ctx, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.DataDir, "data-dir", "", "directory that keeps everything (default: a temporary one, removed at the end)")
	f.StringVar(&o.Listen, "listen", ":8080", "address of the dashboard and the control API; no host means loopback")
	f.IntVar(&o.APIBase, "api-base", 9000, "API port of the first node, the others 10 and 20 above; data planes connect 100 above, and serve 200 above")
	f.IntVar(&o.RaftBase, "raft-base", 8310, "Raft port of the first node, the others one by one; etcd clients 5921 below")
	f.IntVar(&o.Routes, "routes", 2000000, "at most so many of the Internet's 1,062,046 routes")
	f.DurationVar(&o.Pace, "pace", time.Second, "time between two changes; 0: none")
	return cmd
}
