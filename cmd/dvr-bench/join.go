package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dvr/cmd/internal/client"
	"dvr/cmd/internal/testbed"
)

const joinTrials = 5

// benchJoin: a fourth node joins three that hold the full table, five times at
// rest and five times while clients write through the three.
func benchJoin(ctx context.Context, r *report) error {
	body, err := ndjson(64, 0)
	if err != nil {
		return err
	}
	nodes, err := testbed.NewCluster(filepath.Join(r.dir, "join"), clusterNodes)
	if err != nil {
		return err
	}
	defer func() { killAll(nodes) }()
	if err := runCluster(ctx, nodes); err != nil {
		return err
	}
	var out imported
	if _, err := nodes[0].Client.Do(ctx, client.Call{
		Method: http.MethodPost, Path: "/v1/routes/import?timeout=5m", Body: body, IdempotencyKey: "join",
		Header: http.Header{"Content-Type": {"application/x-ndjson"}},
	}, &out); err != nil {
		return err
	}
	var rest []float64
	for i := range joinTrials {
		took, err := joinOnce(ctx, r, nodes, fmt.Sprintf("joiner-%d", i))
		if err != nil {
			return err
		}
		rest = append(rest, took.Seconds())
	}
	value := median(rest)
	r.add(row{what: "join with 1,062,046 routes in the log until voter", value: value, unit: "s", must: 5, aim: 2,
		note: fmt.Sprintf("median of %d, %s to %s", joinTrials, figure(slices.Min(rest)), figure(slices.Max(rest)))})

	var before, during durations
	var loaded []float64
	for i := range joinTrials {
		list := joinWriters(nodes, fmt.Sprintf("calm-%d", i))
		if err := writing(ctx, list, func() error {
			return wait(ctx, list, func(w *writer) bool { return w.count() >= 200 })
		}); err != nil {
			return err
		}
		before = append(before, latencies(list)...)
		list = joinWriters(nodes, fmt.Sprintf("join-%d", i))
		if err := writing(ctx, list, func() error {
			took, err := joinOnce(ctx, r, nodes, fmt.Sprintf("loaded-%d", i))
			loaded = append(loaded, took.Seconds())
			return err
		}); err != nil {
			return err
		}
		during = append(during, latencies(list)...)
	}
	before.sort()
	during.sort()
	r.add(row{what: "p99 of writes while a node joins with 1,062,046 routes", value: milliseconds(during.at(.99)), unit: "ms", must: 50, aim: 15,
		note: fmt.Sprintf("%d writes of 6 clients in %d joins of %s s (median); p50 %s ms; before each join p50 %s ms, p99 %s ms", len(during), joinTrials, figure(median(loaded)),
			figure(milliseconds(during.at(.5))), figure(milliseconds(before.at(.5))), figure(milliseconds(before.at(.99))))})
	return nil
}

func joinWriters(nodes []*testbed.Node, name string) []*writer {
	var list []*writer
	for i := range 6 {
		list = append(list, newWriter(nodes[i%len(nodes)].API, fmt.Sprintf("%s-%d", name, i), 2*time.Millisecond))
	}
	return list
}

// joinOnce has a new node join, and leave again, and gives the time from the
// start of its process until the cluster lists it as a voter.
func joinOnce(ctx context.Context, r *report, nodes []*testbed.Node, id string) (time.Duration, error) {
	dir := filepath.Join(r.dir, id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	n, err := testbed.NewNode(dir, "NODE_ID="+id, "JOIN="+nodes[0].API)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := n.Start(); err != nil {
		return 0, err
	}
	defer n.Kill()
	for {
		var view struct {
			Members []struct {
				Node string `json:"node_id"`
				Role string
			}
		}
		err := nodes[0].Get(ctx, "/v1/cluster/members", &view)
		for _, m := range view.Members {
			if m.Node == id && m.Role == "voter" {
				took := time.Since(begin)
				_, err := nodes[0].Client.Do(ctx, client.Call{Method: http.MethodDelete, Path: "/v1/cluster/members/" + id}, nil)
				return took, err
			}
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("%s does not join: %w: %w", id, ctx.Err(), err)
		case <-time.After(20 * time.Millisecond): // polls other processes
		}
		if !n.Running() {
			text, _, _ := strings.Cut(n.Log(), "\n")
			return 0, fmt.Errorf("%s has ended: %s", id, text)
		}
	}
}
