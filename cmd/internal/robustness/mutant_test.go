package robustness

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// mutants are nodes that are broken on purpose, each with the faults under
// which it shows and the promises that it breaks, any of them.
var mutants = []struct {
	name     string
	plan     []string
	promises []string
}{
	{"nodedupe", []string{"kill"}, []string{"once"}},
	{"earlyack", []string{"kill all", "cut off", "kill all", "cut off", "kill"}, []string{"never lost"}},
	{"noguard", []string{"cut off", "pause", "cut off", "pause", "cut off"}, []string{"never lost", "same log", "chain", "dense", "digest"}},
	{"absent", []string{"deaf", "deaf", "cut off", "deaf", "deaf", "pause", "deaf"}, []string{"refused"}},
}

// TestMutantsAreCaught lets the campaign judge nodes of which each breaks one
// rule: without the head's guard, without deduplication, with answers before
// the commit, with an absent batch taken for a failure.
func TestMutantsAreCaught(t *testing.T) {
	if testing.Short() || os.Getenv(durationVariable) == "" {
		t.Skip("builds the nodes anew and takes minutes: make robustness runs it")
	}
	needNetwork(t)
	binary := filepath.Join(t.TempDir(), "mutant.test")
	build := exec.Command("go", "test", "-c", "-tags", "mutant", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			for attempt := range 5 {
				c := newCampaign(t)
				c.Seed += uint64(attempt)
				c.Binary, c.Plan, c.Hold, c.Keys = binary, m.plan, 2*time.Second, true
				c.Environment = []string{"MUTANT=" + m.name}
				c.Rate, c.Callers = 600, 32
				c.Impatient = true
				r := c.mustRun(t)
				for _, p := range m.promises {
					if r.Violations.Count(p) > 0 {
						return
					}
				}
			}
			t.Errorf("nobody noticed the mutant %s", m.name)
		})
	}
}
