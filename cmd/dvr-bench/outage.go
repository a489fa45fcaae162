package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"dvr/cmd/internal/testbed"
)

const outageTrials = 7

// stopLimit is how long an ordinary stop may take.
const stopLimit = 20 * time.Second

// runCluster starts nodes and waits until all are ready.
func runCluster(ctx context.Context, nodes []*testbed.Node) error {
	for _, n := range nodes {
		if err := n.Start(); err != nil {
			return err
		}
	}
	for _, n := range nodes {
		if err := n.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

func killAll(nodes []*testbed.Node) {
	for _, n := range nodes {
		if n.Running() {
			n.Kill()
		}
	}
}

// leading waits until a node leads, and gives the others too.
func leading(ctx context.Context, nodes []*testbed.Node) (*testbed.Node, []*testbed.Node, error) {
	for {
		var leader *testbed.Node
		var others []*testbed.Node
		for _, n := range nodes {
			short, cancel := context.WithTimeout(ctx, time.Second)
			leads, err := n.Leads(short)
			cancel()
			if err == nil && leads {
				leader = n
			} else {
				others = append(others, n)
			}
		}
		if leader != nil && len(others) == len(nodes)-1 {
			return leader, others, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("nobody leads: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond): // polls other processes
		}
	}
}

// benchOutage: how long writes through the other nodes stand still when the
// leader is killed, or stopped, and how long three nodes take from nothing, and
// from their data, to the first write.
func benchOutage(ctx context.Context, r *report) error {
	var blank, again []float64
	var nodes []*testbed.Node
	defer func() { killAll(nodes) }()
	for i := range 5 {
		killAll(nodes)
		var err error
		if nodes, err = testbed.NewCluster(filepath.Join(r.dir, fmt.Sprintf("outage-%d", i)), clusterNodes); err != nil {
			return err
		}
		for n, into := range []*[]float64{&blank, &again} {
			took, err := firstWrite(ctx, nodes, fmt.Sprintf("start-%d", n))
			if err != nil {
				return err
			}
			*into = append(*into, took.Seconds())
			if into == &blank {
				for _, n := range nodes {
					if err := n.Stop(stopLimit); err != nil {
						return fmt.Errorf("stop: %w", err)
					}
				}
			}
		}
	}
	r.add(row{what: "3 nodes, cold start without data to the first write", value: median(blank), unit: "s", must: 3, aim: 1, note: "median of 5"})
	r.add(row{what: "3 nodes, all started again, to the first write", value: median(again), unit: "s", must: 3, aim: 1, note: "median of 5"})

	for _, end := range []struct {
		what      string
		unit      string
		must, aim float64
		end       func(*testbed.Node) error
		scale     float64
	}{
		{"write outage, leader killed", "s", 2, 1.2, func(n *testbed.Node) error { n.Kill(); return nil }, 1},
		{"write outage, leader stopped", "ms", 100, 20, func(n *testbed.Node) error { return n.Stop(stopLimit) }, 1000},
	} {
		var took []float64
		for i := range outageTrials {
			d, err := outage(ctx, nodes, fmt.Sprintf("%s-%d", end.unit, i), end.end)
			if err != nil {
				return err
			}
			took = append(took, d.Seconds()*end.scale)
		}
		value := median(took)
		r.add(row{what: end.what, value: value, unit: end.unit, must: end.must, aim: end.aim,
			note: fmt.Sprintf("median of %d, %s to %s; the slowest call of two clients, one at each other node", outageTrials, figure(slices.Min(took)), figure(slices.Max(took)))})
	}
	return nil
}

// firstWrite starts nodes and gives the time until a write through any of them
// has succeeded; it returns when all are ready.
func firstWrite(ctx context.Context, nodes []*testbed.Node, name string) (time.Duration, error) {
	begin := time.Now()
	for _, n := range nodes {
		if err := n.Start(); err != nil {
			return 0, err
		}
	}
	first := make(chan time.Duration, len(nodes))
	var list []*writer
	for i, n := range nodes {
		list = append(list, newWriter(n.API, fmt.Sprintf("%s-%d", name, i), time.Millisecond))
	}
	err := writing(ctx, list, func() error {
		for _, w := range list {
			go func() {
				if wait(ctx, []*writer{w}, func(w *writer) bool { return w.count() > 0 }) == nil {
					first <- time.Since(begin)
				}
			}()
		}
		for _, n := range nodes {
			if err := n.Ready(ctx); err != nil {
				return err
			}
		}
		return wait(ctx, list, func(w *writer) bool { return w.count() > 0 })
	})
	if err != nil {
		return 0, err
	}
	return <-first, nil
}

// outage ends the leader while the others are written to, gives the longest
// that a call took, and brings the node back.
func outage(ctx context.Context, nodes []*testbed.Node, name string, end func(*testbed.Node) error) (time.Duration, error) {
	leader, others, err := leading(ctx, nodes)
	if err != nil {
		return 0, err
	}
	var list []*writer
	for i, n := range others {
		list = append(list, newWriter(n.API, fmt.Sprintf("outage-%s-%d", name, i), time.Millisecond))
	}
	err = writing(ctx, list, func() error {
		if err := wait(ctx, list, func(w *writer) bool { return w.count() >= 100 }); err != nil {
			return err
		}
		if err := end(leader); err != nil {
			return err
		}
		ended := time.Now()
		return wait(ctx, list, func(w *writer) bool { return w.after(ended) })
	})
	took := slowest(list)
	if err == nil {
		err = leader.Start()
	}
	if err == nil {
		err = leader.Ready(ctx)
	}
	return took, errors.Join(err, ctx.Err())
}
