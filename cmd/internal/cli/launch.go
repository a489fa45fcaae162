package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"dvr/controller/launcher"
)

// launchCommand runs a cluster of nodes on this machine.
func launchCommand(out, logs io.Writer) *cobra.Command {
	var o launcher.Options
	cmd := &cobra.Command{
		Use:   "launch",
		Short: "Run a cluster of nodes on this machine",
		Long: "Run a cluster of nodes on this machine, each a process of its own, until SIGINT or SIGTERM.\n\n" +
			"The first start makes the configuration (--nodes, --api-base, --api-step, --raft-base) and forms\n" +
			"the cluster; every later one goes on with what --data-dir holds. Nodes that crash are restarted.\n" +
			"When the launcher itself dies they run on, and its next start adopts them.\n\n" +
			"On --listen are a page and the control API (/api/control/nodes), which adds, stops, starts and\n" +
			"decommissions nodes, and each node's API under /api/node/<id>/.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Binary, err = executable(); err != nil {
				return err
			}
			o.PlaneBinary = filepath.Join(filepath.Dir(o.Binary), "dvr-dataplane")
			if o.DataPlanes {
				if _, err := os.Stat(o.PlaneBinary); err != nil {
					return fmt.Errorf("--data-planes: %w: make cpp builds it", err)
				}
			}
			o.Out, o.Environ, o.Logger, o.AskPlane = out, os.Environ(), launchLogger(logs), planeHealth
			if err := launcher.Run(cmd.Context(), o); err != nil {
				return err
			}
			if f := cmd.Flags().Lookup("data-dir"); f != nil {
				fmt.Fprintf(out, "Stopped. Data is kept in %s.\n", f.Value)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Nodes, "nodes", 3, "nodes of a new cluster, 1 to 7")
	f.StringVar(&o.DataDir, "data-dir", "./data/launcher", "directory that holds configuration, data and logs of the nodes")
	f.StringVar(&o.Listen, "listen", ":8080", "address of the page and the control API; no host means loopback")
	f.BoolVar(&o.Insecure, "insecure", false, "allow --listen beyond loopback in clear text, without authentication")
	f.BoolVar(&o.TLS, "tls", false, "make a new cluster in mutual TLS, its authority and certificates in DATA-DIR/certs, --listen included; it stays so")
	f.BoolVar(&o.DataPlanes, "data-planes", false, "run a data plane beside every node, its router named like the node")
	f.IntVar(&o.APIBase, "api-base", 9000, "API port of the first node of a new cluster; data planes connect 100 above, and serve 200 above")
	f.IntVar(&o.APIStep, "api-step", 10, "distance of the nodes' API ports")
	f.IntVar(&o.RaftBase, "raft-base", 8310, "Raft port of the first node, the others one by one; etcd clients 5921 below")
	return cmd
}

// executable is the file that nodes are started from.
func executable() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	if strings.Contains(path, string(filepath.Separator)+"go-build") {
		return "", errors.New("nodes cannot run from go run's temporary binary, which goes away: use go run ./cmd/kv-launcher/main.go, or make build and bin/dvr launch")
	}
	return path, nil
}

func launchLogger(out io.Writer) *zap.Logger {
	c := zap.NewProductionEncoderConfig()
	c.EncodeTime, c.EncodeLevel = zapcore.ISO8601TimeEncoder, zapcore.CapitalLevelEncoder
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(c), zapcore.Lock(zapcore.AddSync(out)), zapcore.InfoLevel))
}
