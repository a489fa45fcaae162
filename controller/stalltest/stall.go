// Package stalltest gives tests and benchmarks times that hold on a machine
// which others use at the same moment: what passed, less what the machine took.
package stalltest

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// every is how often the scheduler is asked for its time, and slack how late it
// is on a quiet machine.
const (
	every = 10 * time.Millisecond
	slack = 2 * time.Millisecond
)

// Begin starts a stopwatch. What it returns tells, once, the time that passed
// less that in which work waited for the machine: tasks for a processor or a
// disk (Linux's pressure stall information), the processors for their
// hypervisor, this process for its turn. So a limit that a quiet machine keeps
// is kept on a loaded one too, and time that is spent waiting for something else
// counts in full. Cost: a goroutine until then, or until the test ends.
func Begin(t testing.TB) (own func() time.Duration) {
	began, before := time.Now(), taken()
	ended, late := make(chan struct{}), make(chan time.Duration, 1)
	go func() { late <- lateness(ended) }()
	end := sync.OnceFunc(func() { close(ended) })
	t.Cleanup(end)
	return func() time.Duration {
		passed := time.Since(began)
		end()
		return max(0, passed-max(taken()-before, <-late))
	}
}

// lateness adds up by how much sleeps were overslept, until ended is closed.
func lateness(ended <-chan struct{}) (sum time.Duration) {
	for {
		began := time.Now()
		select {
		case <-ended:
			return sum + over(time.Since(began))
		case <-time.After(every):
			sum += over(time.Since(began))
		}
	}
}

func over(slept time.Duration) time.Duration { return max(0, slept-every-slack) }

// taken is the machine's sum since it started; what it does not tell is 0.
func taken() time.Duration {
	read := func(path string) string {
		text, _ := os.ReadFile(path) // not every kernel has it
		return string(text)
	}
	return pressure(read("/proc/pressure/cpu")) + pressure(read("/proc/pressure/io")) + stolen(read("/proc/stat"))
}

// pressure reads "some avg10=0.00 avg60=0.00 avg300=0.00 total=123", in
// microseconds.
func pressure(text string) time.Duration {
	line, _, _ := strings.Cut(text, "\n")
	_, total, _ := strings.Cut(line, " total=")
	n, _ := strconv.ParseInt(total, 10, 64)
	return time.Duration(n) * time.Microsecond
}

// stolen reads the eighth number of "cpu  1 2 3 4 5 6 7 8 9 10", in hundredths
// of a second, of all processors.
func stolen(text string) time.Duration {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0
	}
	n, _ := strconv.ParseInt(fields[8], 10, 64)
	return time.Duration(n) * 10 * time.Millisecond
}
