// Command dvr-bench measures DVR against baselines in the same run and prints
// the ratios that docs/performance.md records. It starts the real binaries
// (make build) on free loopback ports and data in a temporary directory.
//
//	dvr-bench [flags] all | post tls single append replay full memory durability cluster outage join vectors decision switched history change planes
//	dvr-bench table [-next-hops N]     the full Internet table as NDJSON routes
//	dvr-bench profile FILE             the CPU profile that builds are optimised by
//
// The exit status is 1 where a benchmark failed or a figure that must be
// reached was missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is one measurement; it prints its rows through r.
type bench struct {
	name string
	run  func(ctx context.Context, r *report) error
}

var benches = []bench{
	{"post", benchPost},
	{"tls", benchTLS},
	{"single", benchSingle},
	{"append", benchAppend},
	{"replay", benchReplay},
	{"full", benchFull},
	{"memory", benchMemory},
	{"durability", benchDurability},
	{"cluster", benchCluster},
	{"outage", benchOutage},
	{"join", benchJoin},
	{"vectors", benchVectors},
	{"decision", benchDecision},
	{"switched", benchSwitched},
	{"history", benchHistory},
	{"change", benchChange},
	{"planes", benchFleet},
}

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "table":
			exit(printTable(os.Args[2:], os.Stdout))
		case "member": // a node of the cluster benchmark, with callers in its process
			exit(serveMember())
		case "profile":
			exit(renewProfile(os.Args[2:]))
		case "load": // the callers of profile
			exit(load(os.Args[2:]))
		case "echo-server": // the baseline of post, in a process of its own
			exit(serveEcho(os.Args[2:]))
		}
	}
	os.Exit(measure())
}

// errNoneChosen: what takes minutes and the whole machine is not begun unasked.
var errNoneChosen = errors.New("no benchmark is chosen")

// choose is the names of the benchmarks that the arguments ask for.
func choose(args, names []string) ([]string, error) {
	if len(args) == 0 {
		return nil, errNoneChosen
	}
	if slices.Equal(args, []string{"all"}) {
		return names, nil
	}
	for _, name := range args {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("no benchmark %q; there are all, %s", name, strings.Join(names, ", "))
		}
	}
	return args, nil
}

// measure runs the chosen benchmarks and gives the exit code.
func measure() int {
	names := make([]string, len(benches))
	for i, b := range benches {
		names[i] = b.name
	}
	flags := flag.NewFlagSet("dvr-bench", flag.ExitOnError)
	keep := flags.Bool("keep", false, "keep the temporary directory")
	profile := flags.String("cpuprofile", "", "write this process's CPU profile to the file (append and replay run in it)")
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "dvr-bench [flags] all | NAME...   measure; NAME is one of\n    %s\ndvr-bench table [-next-hops N]\ndvr-bench profile FILE\n", strings.Join(names, " "))
		flags.PrintDefaults()
	}
	_ = flags.Parse(os.Args[1:]) // ExitOnError
	chosen, err := choose(flags.Args(), names)
	if errors.Is(err, errNoneChosen) {
		flags.Usage()
		return 2
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "dvr-bench:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "dvr-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "dvr-bench:", err)
		return 1
	}
	if !*keep {
		defer os.RemoveAll(dir)
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "dvr-bench:", err)
			return 1
		}
		defer func() {
			pprof.StopCPUProfile()
			_ = f.Close() // a profile cut short is seen by who reads it
		}()
	}
	r := &report{dir: dir, out: os.Stdout}
	fmt.Printf("dvr-bench, %s, %s, %d CPUs, %s\n", time.Now().Format("2006-01-02"), runtime.Version(), runtime.NumCPU(), processor())
	failed := false
	for _, b := range benches {
		if !slices.Contains(chosen, b.name) {
			continue
		}
		fmt.Printf("\n== %s\n", b.name)
		if err := b.run(ctx, r); err != nil {
			fmt.Printf("%s failed: %v\n", b.name, err)
			failed = true
		}
		runtime.GC()
	}
	if missed := r.summary(); failed || missed > 0 {
		return 1
	}
	return 0
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "dvr-bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// processor is the CPU's name as the kernel gives it.
func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return "unknown CPU"
}
