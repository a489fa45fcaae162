package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"dvr/cmd/internal/client"
	"dvr/cmd/internal/testbed"
	"dvr/eventlog"
)

// benchSwitched: a node, eight data planes with memory sinks and a million
// prefixes; POST of a link's failure until all have acknowledged. The data planes
// keep their state in memory, since routers do not share a disk with a node; then
// the same with all on one disk, where their checkpoints hold up the node's log.
func benchSwitched(ctx context.Context, r *report) error {
	const prefixes = 1_000_000
	dir := filepath.Join(r.dir, "switched")
	n, err := freshNode(ctx, dir)
	if err != nil {
		return err
	}
	defer n.Kill()
	var topology, body bytes.Buffer
	for _, l := range behindLinks() {
		topology.Write(append(eventlog.AppendEvent(nil, l), '\n'))
	}
	for i := range prefixes {
		body.Write(append(eventlog.AppendEvent(nil, behindRoute(i)), '\n'))
	}
	var out imported
	for _, lines := range []*bytes.Buffer{&topology, &body} {
		out = imported{}
		if _, err := n.Client.Do(ctx, client.Call{
			Method: http.MethodPost, Path: "/v1/topology/import?timeout=5m", Body: lines.Bytes(), Header: http.Header{"Content-Type": {"application/x-ndjson"}},
		}, &out); err != nil {
			return err
		}
		if len(out.Refused) > 0 {
			return fmt.Errorf("refused: %s", out.Refused[0].Reason)
		}
	}
	inMemory, err := os.MkdirTemp("/dev/shm", "dvr-bench-")
	if err != nil {
		return fmt.Errorf("a directory in memory: %w", err)
	}
	defer os.RemoveAll(inMemory)
	samples, flush, err := switched(ctx, n, inMemory, out.LastRevision)
	if err != nil {
		return err
	}
	r.add(row{what: "a link fails, 1,000,000 prefixes, 8 data planes: POST to all switched, p50", value: milliseconds(samples.at(.5)), unit: "ms", must: 10, aim: 2, note: "400 events, memory sinks, until all have acked"})
	r.add(row{what: "  p99", value: milliseconds(samples.at(.99)), unit: "ms", must: 30, aim: 8,
		note: fmt.Sprintf("the data planes' state in memory; the slowest flush of 4 KiB to the node's disk meanwhile %.1f ms", milliseconds(flush))})
	if samples, flush, err = switched(ctx, n, dir, out.LastRevision); err != nil {
		return err
	}
	r.add(row{what: "  p99 with the data planes' state on the node's disk", value: milliseconds(samples.at(.99)), unit: "ms", unbounded: true,
		note: fmt.Sprintf("the slowest flush of 4 KiB to it meanwhile %.1f ms", milliseconds(flush))})
	return nil
}

// switched starts the data planes with their state below dir, lets the link fail
// and come back, and gives the times until all have acknowledged, and the longest
// that a flush to the node's disk took meanwhile.
func switched(ctx context.Context, n *testbed.Node, dir string, revision uint64) (samples durations, flush time.Duration, err error) {
	names := make([]string, len(behindRouters))
	for i, id := range behindRouters {
		names[i] = string(id)
		d, err := testbed.NewDataPlane(dir, names[i], n.FIB, "--takeover")
		if err == nil {
			err = d.Start()
		}
		if err != nil {
			return nil, 0, err
		}
		defer d.Kill()
	}
	for _, name := range names {
		if err := n.InSync(ctx, name, revision); err != nil {
			return nil, 0, err
		}
	}
	c, err := dial(n.API)
	if err != nil {
		return nil, 0, err
	}
	defer c.conn.Close()
	probing, enough := context.WithCancel(ctx)
	defer enough()
	probed := make(chan time.Duration, 1)
	go func() { probed <- slowestFlush(probing, filepath.Join(n.Dir, "probe")) }()
	slices.Sort(names)
	for i := range 400 {
		state := []string{"down", "up"}[i%2]
		begin := time.Now()
		if err := c.post(n.API, "/v1/links/a/x/"+state+"?wait=installed&require="+strings.Join(names, ","), nil, http.StatusOK); err != nil {
			return nil, 0, err
		}
		samples = append(samples, time.Since(begin))
		select {
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		case <-time.After(5 * time.Millisecond): // idle between events is what is measured
		}
	}
	enough()
	return samples.sort(), <-probed, nil
}

// slowestFlush overwrites 4 KiB of a file every 5 ms until ctx ends, and gives the
// longest time that fdatasync took; 0 where the file cannot be written.
func slowestFlush(ctx context.Context, path string) (most time.Duration) {
	f, err := os.Create(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	block := make([]byte, 4096)
	for ctx.Err() == nil {
		if _, err := f.WriteAt(block, 0); err != nil {
			return 0
		}
		begin := time.Now()
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0
		}
		most = max(most, time.Since(begin))
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond): // as often as events
		}
	}
	return most
}
