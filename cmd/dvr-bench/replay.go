package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"dvr/dataplane/tables"
	"dvr/eventlog"
	"dvr/projector"
)

// benchReplay: stored batches of the full table, as an import leaves them, to
// the state with classes and digest. One decoder and one fold, overlapped as
// at a node's start.
func benchReplay(_ context.Context, r *report) error {
	origins, err := tables.Full()
	if err != nil {
		return err
	}
	raws, err := batches(origins)
	if err != nil {
		return err
	}
	var rates []float64
	var last *projector.State
	for range 5 {
		runtime.GC()
		begin := time.Now()
		state, err := replay(raws)
		if err != nil {
			return err
		}
		rates = append(rates, float64(len(origins))/time.Since(begin).Seconds()/1e6)
		last = state
	}
	stats := last.Stats()
	if stats.Destinations4+stats.Destinations6 != len(origins) {
		return fmt.Errorf("%d destinations, want %d", stats.Destinations4+stats.Destinations6, len(origins))
	}
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	r.add(row{what: "stored bytes to state with classes and digest", value: median(rates), unit: "M events/s", must: 1, aim: 3, more: true,
		note: fmt.Sprintf("%d events, %d classes, digest %s", len(origins), stats.Classes, last.Digest())})
	runtime.KeepAlive(last)
	return nil
}

// batches encodes the table in commits of 1,000 events.
func batches(origins []tables.Origin) ([][]byte, error) {
	raw, head := eventlog.FirstBatch("bench", eventlog.Nonce{1}, 1_700_000_000_000, "bench")
	raws := [][]byte{raw}
	spread := tables.NewSpread(64)
	builder := eventlog.NewBatchBuilder(head, "bench")
	seal := func() {
		raw, next := builder.Finish()
		raws = append(raws, append([]byte(nil), raw...))
		builder.Reset(next, "bench")
	}
	for begin := 0; begin < len(origins); begin += 1000 {
		c := &eventlog.Commit{Epoch: head.Epoch, ID: fmt.Sprintf("table/%d", begin/1000+1), Time: 1_700_000_000_000 + int64(begin), Actor: "bench"}
		for _, o := range origins[begin:min(begin+1000, len(origins))] {
			c.Events = append(c.Events, &eventlog.RouteAnnounced{
				RouteID: eventlog.RouteID{Router: eventlog.AllRouters, Origin: eventlog.DefaultOrigin, Destination: o.Prefix, NextHop: tables.NextHop(spread.Index(o), o.Prefix)},
				Metric:  10, Preference: eventlog.DefaultPreference, Weight: eventlog.DefaultWeight,
			})
		}
		c.Revision = builder.Next()
		if err := builder.Add(c); err != nil {
			if builder.Len() == 0 {
				return nil, err
			}
			seal()
			if err := builder.Add(c); err != nil {
				return nil, err
			}
		}
	}
	seal()
	return raws, nil
}

// replay decodes in one goroutine and folds in this one.
func replay(raws [][]byte) (*projector.State, error) {
	type decoded struct {
		batch *eventlog.Batch
		err   error
	}
	ch := make(chan decoded, 4)
	go func() {
		defer close(ch)
		for _, raw := range raws {
			b, err := new(eventlog.Decoder).DecodeBatch(raw)
			ch <- decoded{b, err}
		}
	}()
	fold := projector.NewFold("bench")
	for d := range ch {
		if d.err != nil {
			return nil, d.err
		}
		for i := range d.batch.Commits {
			hash := d.batch.Hash // of the last; the fold keeps only the newest
			if err := fold.Apply(&d.batch.Commits[i], hash); err != nil {
				return nil, err
			}
		}
	}
	return fold.State(), nil
}
