package robustness

import (
	"context"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dvr/cmd/internal/testbed"
)

// needNetwork skips where no cluster can be put into namespaces.
func needNetwork(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: no clusters of processes")
	}
	if err := CanNetwork(); err != nil {
		t.Skipf("no network namespaces: %v", err)
	}
}

// seed is ROBUSTNESS_SEED, or a new one.
func seed(t *testing.T) uint64 {
	t.Helper()
	if v := os.Getenv("ROBUSTNESS_SEED"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return uint64(time.Now().UnixNano())
}

func newCampaign(t *testing.T) *Campaign {
	t.Helper()
	needNetwork(t)
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &Campaign{Options: Options{Dir: t.TempDir(), Binary: binary, Founders: 3}, Seed: seed(t), Logf: t.Logf}
	return c
}

func (c *Campaign) mustRun(t *testing.T) *Report {
	t.Helper()
	// Interrupted, it still ends its processes and removes its namespaces.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	r, err := c.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v", r)
	return r
}

// durationVariable is how long the long form lasts.
const durationVariable = "DVR_ROBUSTNESS"

// TestShort is a sequence of faults on three nodes under load; every promise holds.
func TestShort(t *testing.T) {
	c := newCampaign(t)
	c.Keys, c.Imports = true, 2*time.Second
	c.Plan = []string{"kill", "pause", "cut off", "bridge", "kill all", "delay+clock jumps"}
	c.Hold = 1500 * time.Millisecond
	if p := os.Getenv("ROBUSTNESS_PLAN"); p != "" {
		c.Plan = []string{p}
	}
	if r := c.mustRun(t); r.Violations.Count("") > 0 {
		t.Errorf("ROBUSTNESS_SEED=%d repeats this", c.Seed)
	}
}

// TestLong draws faults, alone and combined, for DVR_ROBUSTNESS.
func TestLong(t *testing.T) {
	v := os.Getenv(durationVariable)
	if v == "" {
		t.Skip("takes as long as " + durationVariable + " says: make robustness DURATION=30m runs it")
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		t.Fatal(err)
	}
	c := newCampaign(t)
	c.Spares, c.Faults, c.Duration, c.Keys, c.Rate, c.Callers = 1, Faults, d, true, 300, 24
	c.Hold, c.Imports = 3*time.Second, 5*time.Second
	if _, err := testbed.Binary("dvr-dataplane"); err == nil {
		c.DataPlane = true
	} else if os.Getenv("DVR_REQUIRE_BINARIES") != "" {
		t.Fatal(err)
	} else {
		t.Logf("without a data plane: %v", err)
	}
	if p := os.Getenv("ROBUSTNESS_PLAN"); p != "" {
		c.Plan = strings.Split(p, ",")
	}
	r := c.mustRun(t)
	if r.Violations.Count("") > 0 {
		t.Errorf("ROBUSTNESS_SEED=%d repeats this", c.Seed)
	}
	if c.Plan == nil && d >= 10*time.Minute {
		for _, f := range Faults {
			if r.Faults[f.Name] == 0 {
				t.Errorf("%s was never drawn", f.Name)
			}
		}
	}
}
