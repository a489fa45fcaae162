package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"dvr/cmd/internal/testbed"
	"dvr/controller/appender"
	"dvr/controller/etcdserver"
	"dvr/controller/node"
	"dvr/eventlog"
	"dvr/eventlog/etcdlog"
)

// store is an embedded etcd in this process, as a node has it.
func store(ctx context.Context, dir string) (*etcdserver.Server, error) {
	ports := [2]int{}
	for i := range ports {
		var err error
		if ports[i], err = testbed.FreePort(); err != nil {
			return nil, err
		}
	}
	s, err := etcdserver.Start(ctx, etcdserver.Config{
		Name: "bench", DataDir: dir, Logger: zap.NewNop(),
		PeerListen:   fmt.Sprintf("127.0.0.1:%d", ports[0]),
		ClientListen: fmt.Sprintf("127.0.0.1:%d", ports[1]),
	})
	if err != nil {
		return nil, err
	}
	return s, s.WaitReady(ctx)
}

// rawPuts is the baseline: callers that put 200-byte values under their own keys.
func rawPuts(ctx context.Context, client *clientv3.Client, callers int, d time.Duration) (float64, durations, error) {
	value := string(make([]byte, 200))
	return parallel(callers, d, func(w, i int) error {
		for {
			_, err := client.Put(ctx, fmt.Sprintf("/raw/%d/%d", w, i%1000), value)
			if err == nil || !strings.Contains(err.Error(), "too many requests") {
				return err // etcd's back pressure is its answer to such a load: the caller comes again
			}
		}
	})
}

// parallel runs call in n goroutines for d.
func parallel(n int, d time.Duration, call func(w, i int) error) (float64, durations, error) {
	var wg sync.WaitGroup
	samples := make([]durations, n)
	failures := make([]error, n)
	var stop atomic.Bool
	begin := time.Now()
	timer := time.AfterFunc(d, func() { stop.Store(true) })
	defer timer.Stop()
	for w := range n {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				start := time.Now()
				if err := call(w, i); err != nil {
					failures[w] = err
					return
				}
				samples[w] = append(samples[w], time.Since(start))
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(begin)
	var all durations
	for _, s := range samples {
		all = append(all, s...)
	}
	return float64(len(all)) / elapsed.Seconds(), all.sort(), errors.Join(failures...)
}

// benchAppend: concurrent callers of the appender against raw puts, interleaved,
// medians of three pairs. Each round of either side has an etcd of its own, new
// and alone, so that neither walks over what the other left behind: a hundred
// thousand keys of raw puts in etcd's index cost the next round a fifth.
func benchAppend(ctx context.Context, r *report) error {
	const callers, seconds = 1000, 3 * time.Second
	defer node.Tune()() // both sides run as they do in a node
	var ours, raw, ratios []float64
	for i := range 3 {
		rate, err := appendRound(ctx, filepath.Join(r.dir, fmt.Sprintf("append-%d", i)), callers, seconds)
		if err != nil {
			return err
		}
		base, err := rawRound(ctx, filepath.Join(r.dir, fmt.Sprintf("raw-%d", i)), callers, seconds)
		if err != nil {
			return err
		}
		ours, raw, ratios = append(ours, rate), append(raw, base), append(ratios, rate/base)
	}
	r.add(row{what: "1,000 callers, one-route commits, against raw etcd puts", value: median(ratios), unit: "x", must: 4, aim: 8, more: true,
		note: fmt.Sprintf("%.0f commits/s against %.0f puts/s", median(ours), median(raw))})
	return nil
}

func rawRound(ctx context.Context, dir string, callers int, d time.Duration) (float64, error) {
	s, err := store(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	runtime.GC() // what the round before left
	rate, _, err := rawPuts(ctx, s.Client(), callers, d)
	return rate, err
}

// appendRound gives commits a second. Everything is counted: ids are generated
// and checked, events validated, encoded, stored and folded.
func appendRound(ctx context.Context, dir string, callers int, d time.Duration) (float64, error) {
	s, err := store(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	log, err := etcdlog.Open(ctx, s.Client(), etcdlog.Options{Node: "bench"})
	if err != nil {
		return 0, err
	}
	a, err := appender.Open(ctx, log, appender.Options{Node: "bench"})
	if err != nil {
		return 0, err
	}
	defer a.Close()
	runtime.GC()
	before := a.State().Position().Revision
	rate, calls, err := parallel(callers, d, func(w, i int) error {
		_, err := a.Append(ctx, appender.Request{Actor: "bench", Events: []eventlog.Event{&eventlog.RouteAnnounced{
			RouteID: eventlog.RouteID{
				Router: eventlog.AllRouters, Origin: eventlog.DefaultOrigin,
				Destination: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(w >> 2), byte(w<<6) | byte(i&63), 0}), 24),
				NextHop:     netip.AddrFrom4([4]byte{192, 168, 1, byte(1 + w%200)}),
			},
			Metric: uint32(i % 1000), Preference: eventlog.DefaultPreference, Weight: eventlog.DefaultWeight,
		}}})
		return err
	})
	if err != nil {
		return 0, err
	}
	// Folded before the clock stopped: State is published before Append returns.
	if grown := a.State().Position().Revision - before; int(grown) < len(calls) {
		return 0, fmt.Errorf("%d calls were answered, the state grew by %d commits only", len(calls), grown)
	}
	return rate, nil
}

func median(v []float64) float64 {
	d := slices.Sorted(slices.Values(v))
	return d[len(d)/2]
}
