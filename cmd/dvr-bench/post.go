package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"dvr/cmd/internal/testbed"
)

// echoServer starts the baseline in a process of its own.
func echoServer() (addr string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	port, err := testbed.FreePort()
	if err != nil {
		return "", nil, err
	}
	addr = fmt.Sprintf("127.0.0.1:%d", port)
	cmd := exec.Command(self, "echo-server", "-listen", addr)
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	for range 500 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return addr, stop, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	return "", nil, fmt.Errorf("echo server does not answer on %s", addr)
}

// freshNode starts a node on an empty directory and waits until it is ready.
func freshNode(ctx context.Context, dir string, environment ...string) (*testbed.Node, error) {
	return wrappedNode(ctx, dir, nil, environment...)
}

func wrappedNode(ctx context.Context, dir string, wrapper []string, environment ...string) (*testbed.Node, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	n, err := testbed.NewNode(dir, environment...)
	if err != nil {
		return nil, err
	}
	n.Wrapper = wrapper
	if err := n.Start(); err != nil {
		return nil, err
	}
	if err := n.Ready(ctx); err != nil {
		n.Kill()
		return nil, err
	}
	return n, nil
}

// benchPost: 64 connections from this process against a node and against a
// bare echo handler, each a process of its own, in turns: the median of the
// ratios of many short rounds, since what else the machine does changes by the second.
func benchPost(ctx context.Context, r *report) error {
	const connections, rounds, round = 64, 21, 600 * time.Millisecond
	n, err := freshNode(ctx, filepath.Join(r.dir, "post"))
	if err != nil {
		return err
	}
	defer n.Kill()
	echo, stop, err := echoServer()
	if err != nil {
		return err
	}
	defer stop()
	var ours, base, ratios []float64
	var latency durations
	for range rounds {
		rate, l, err := hammer(ctx, n.API, "/routes?wait=logged", connections, round, route)
		if err != nil {
			return err
		}
		bare, _, err := hammer(ctx, echo, "/routes", connections, round, route)
		if err != nil {
			return err
		}
		ours, base, ratios, latency = append(ours, rate), append(base, bare), append(ratios, rate/bare), append(latency, l...)
	}
	latency = latency.sort()
	r.add(row{what: "POST /routes?wait=logged, 64 connections, against bare echo", value: median(ratios), unit: "x", must: 0.5, aim: 0.65, more: true,
		note: fmt.Sprintf("%.0f/s against %.0f/s; p50 %v, p99 %v", median(ours), median(base), latency.at(.5).Round(time.Microsecond), latency.at(.99).Round(time.Microsecond))})
	return nil
}

// benchSingle: one connection's POST against one in-process etcd put.
func benchSingle(ctx context.Context, r *report) error {
	n, err := freshNode(ctx, filepath.Join(r.dir, "single"))
	if err != nil {
		return err
	}
	defer n.Kill()
	s, err := store(ctx, filepath.Join(r.dir, "single-raw"))
	if err != nil {
		return err
	}
	defer s.Close()
	var ratios, ours, base []float64
	for range 15 {
		_, l, err := hammer(ctx, n.API, "/routes?wait=logged", 1, 400*time.Millisecond, route)
		if err != nil {
			return err
		}
		_, raw, err := rawPuts(ctx, s.Client(), 1, 400*time.Millisecond)
		if err != nil {
			return err
		}
		ours, base = append(ours, milliseconds(l.at(.5))), append(base, milliseconds(raw.at(.5)))
		ratios = append(ratios, float64(l.at(.5))/float64(raw.at(.5)))
	}
	r.add(row{what: "one connection, POST p50 against an in-process etcd put", value: median(ratios), unit: "x", must: 2.5, aim: 2,
		note: fmt.Sprintf("%.3f ms against %.3f ms", median(ours), median(base))})
	return nil
}

// benchDurability repeats post and single with a delay injected into every
// fdatasync of the node, since the disk here may be faster than real ones.
func benchDurability(ctx context.Context, r *report) error {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return fmt.Errorf("strace is needed to slow fdatasync down: %w", err)
	}
	for _, delay := range []time.Duration{time.Millisecond, 5 * time.Millisecond} {
		// -D makes the node our own child; a seccomp filter lets every other call pass at full speed.
		n, err := wrappedNode(ctx, filepath.Join(r.dir, "durability-"+delay.String()), []string{strace, "-D", "-f", "-qq", "--seccomp-bpf",
			"-o", "/dev/null", "-e", "trace=fdatasync", "-e", fmt.Sprintf("inject=fdatasync:delay_enter=%d", delay.Microseconds())})
		if err != nil {
			return err
		}
		err = slowed(ctx, r, n, delay)
		n.Kill()
		if err != nil {
			return err
		}
	}
	return nil
}

func slowed(ctx context.Context, r *report, n *testbed.Node, delay time.Duration) error {
	_, one, err := hammer(ctx, n.API, "/routes?wait=logged", 1, 2*time.Second, route)
	if err != nil {
		return err
	}
	if one.at(.5) < delay {
		return fmt.Errorf("the delay of %v is not felt: p50 %v", delay, one.at(.5))
	}
	rate, many, err := hammer(ctx, n.API, "/routes?wait=logged", 64, 3*time.Second, route)
	if err != nil {
		return err
	}
	r.add(row{what: fmt.Sprintf("fdatasync +%v: one connection p50", delay), value: milliseconds(one.at(.5)), unit: "ms", unbounded: true})
	r.add(row{what: fmt.Sprintf("fdatasync +%v: 64 connections", delay), value: rate, unit: "POST/s", unbounded: true,
		note: fmt.Sprintf("p50 %.1f ms, p99 %.1f ms", milliseconds(many.at(.5)), milliseconds(many.at(.99)))})
	return nil
}

// get is a GET that must answer 200.
func get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d", url, resp.StatusCode)
	}
	return nil
}
