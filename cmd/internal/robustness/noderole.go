package robustness

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"dvr/controller/node"
	"dvr/controller/settings"
)

// roleVariable makes the test binary a node; clockVariable names the file that
// its clock follows.
const (
	roleVariable  = "ROBUSTNESS_ROLE"
	clockVariable = "ROBUSTNESS_CLOCK"
)

// RunNode is `dvr node`, with a clock that jumps by what the file says, a
// duration. It returns the exit status.
func RunNode() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	flags := pflag.NewFlagSet("node", pflag.ContinueOnError)
	settings.Flags(flags)
	s, err := settings.Load(flags, nodeEnvironment())
	if err == nil {
		c := &clock{path: os.Getenv(clockVariable)}
		go c.follow(ctx)
		err = node.Run(ctx, s, node.Options{Version: "robustness", Now: c.now})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		return 1
	}
	return 0
}

// nodeEnvironment is the environment without the campaign's own variables.
func nodeEnvironment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "DVR_") {
			env = append(env, kv)
		}
	}
	return env
}

// clock is the machine's clock and an offset.
type clock struct {
	path   string
	offset atomic.Int64
}

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

// follow reads the offset every now and then until ctx ends.
func (c *clock) follow(ctx context.Context) {
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for {
		if raw, err := os.ReadFile(c.path); err == nil {
			if d, err := time.ParseDuration(strings.TrimSpace(string(raw))); err == nil {
				c.offset.Store(int64(d))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
