package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"dvr/controller/appender"
	"dvr/controller/archive"
	"dvr/controller/history"
	"dvr/controller/node"
	"dvr/dataplane/tables"
	"dvr/eventlog"
	"dvr/eventlog/etcdlog"
	"dvr/projector"
)

const (
	historyCommits = 1_000_000 // of one route each, behind the table
	// snapshotEvery is about what 64 MiB of log are, the distance of a node's snapshots.
	snapshotEvery = 256_000
)

// benchHistory: a full table and a million commits of one route in an embedded
// etcd, snapshots as a node takes them; then states of random revisions, of
// revisions near one that was asked for, and diffs of a thousand commits near
// the head, with the effect on one router.
func benchHistory(ctx context.Context, r *report) error {
	defer node.Tune()()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := store(ctx, filepath.Join(r.dir, "history"))
	if err != nil {
		return err
	}
	defer s.Close()
	log, err := etcdlog.Open(ctx, s.Client(), etcdlog.Options{Node: "bench"})
	if err != nil {
		return err
	}
	a, err := appender.Open(ctx, log, appender.Options{Node: "bench"})
	if err != nil {
		return err
	}
	defer a.Close()
	past := history.NewArchive(log)
	go past.Follow(ctx, a) // ends with ctx
	api, err := serve(ctx, a, log)
	if err != nil {
		return err
	}
	defer api.close()
	if _, err := a.Append(ctx, appender.Request{Actor: "bench", Events: []eventlog.Event{&eventlog.RouterSet{Router: benchRouter}}}); err != nil {
		return err // the API answers about routers that are known
	}
	if err := appendTable(ctx, a); err != nil {
		return err
	}
	first := a.State().Position().Revision
	begin := time.Now()
	if err := appendCommits(ctx, a, log); err != nil {
		return err
	}
	now := a.State()
	head := now.Position().Revision
	note := fmt.Sprintf("%d revisions, written in %.0f s", head, time.Since(begin).Seconds())

	random := rand.New(rand.NewPCG(1, 1))
	var firsts, near, diffs, firstsCPU, nearCPU, diffsCPU durations
	timed := func(wall, cpu *durations, call func() error) error {
		used, start := processorTime(), time.Now()
		err := call()
		*wall, *cpu = append(*wall, time.Since(start)), append(*cpu, processorTime()-used)
		return err
	}
	state := func(at eventlog.Revision) func() error {
		return func() error {
			_, err := past.State(ctx, now, at)
			return err
		}
	}
	for range 16 {
		at := first + eventlog.Revision(random.Int64N(int64(head-first)))
		if err := timed(&firsts, &firstsCPU, state(at)); err != nil {
			return err
		}
		for range 8 {
			beside := min(max(at+eventlog.Revision(random.IntN(1000)), first+500)-500, head)
			if err := timed(&near, &nearCPU, state(beside)); err != nil {
				return err
			}
		}
	}
	if err := benchArchived(ctx, r, log, a, first, timed); err != nil {
		return err
	}
	lines := 0
	for range 24 {
		from := head - 10000 + eventlog.Revision(random.IntN(9000))
		if err := timed(&diffs, &diffsCPU, func() error {
			d, err := past.Diff(ctx, now, from, from+1000, func(_, _ *projector.State) ([]eventlog.RouterID, error) {
				return []eventlog.RouterID{benchRouter}, nil
			})
			if err != nil {
				return err
			}
			for range d.Lines() {
				lines++
			}
			return nil
		}); err != nil {
			return err
		}
	}
	cold := diffs[0]
	of := func(cpu durations) string {
		return fmt.Sprintf("processor time %v", cpu.sort().at(.5).Round(10*time.Microsecond))
	}
	firsts, near, diffs = firsts.sort(), near.sort(), diffs.sort()
	r.add(row{what: "state at a random revision among 1M commits, median", value: firsts.at(.5).Seconds(), unit: "s", must: 2, aim: 0.5,
		note: fmt.Sprintf("%s; slowest %v; %s", of(firstsCPU), firsts.at(1).Round(time.Millisecond), note)})
	r.add(row{what: "state within 500 revisions of it, median", value: milliseconds(near.at(.5)), unit: "ms", must: 50, aim: 5,
		note: fmt.Sprintf("%s; p90 %v, slowest %v", of(nearCPU), near.at(.9).Round(10*time.Microsecond), near.at(1).Round(time.Millisecond))})
	r.add(row{what: "diff 1,000 commits apart, within 10,000 of head, median", value: milliseconds(diffs.at(.5)), unit: "ms", must: 200, aim: 20,
		note: fmt.Sprintf("%s; the first %v, slowest %v; %d changes each", of(diffsCPU), cold.Round(time.Millisecond), diffs.at(1).Round(time.Millisecond), lines/len(diffs))})
	return benchAsked(r, api, first, head, timed)
}

// benchArchived archives the whole log, and asks the same of the archive as of the
// log: of a log that is truncated up to its head.
func benchArchived(ctx context.Context, r *report, log *etcdlog.Log, a *appender.Appender, first eventlog.Revision, timed func(wall, cpu *durations, call func() error) error) error {
	dir := archive.NewDirectory(filepath.Join(r.dir, "archive"))
	w := archive.NewArchivist(log, dir, "bench", "")
	w.State = func(ctx context.Context, at eventlog.Revision) (*projector.State, error) {
		return history.NewArchive(log).State(ctx, a.State(), at)
	}
	now := a.State()
	head := now.Position().Revision
	used, begin := processorTime(), time.Now()
	if err := w.Through(ctx, head); err != nil {
		return err
	}
	took, used := time.Since(begin), processorTime()-used
	s, err := dir.Survey()
	if err != nil {
		return err
	}
	past := history.NewArchive(archive.NewLog(truncated{log, head + 1}, dir))
	random := rand.New(rand.NewPCG(2, 1))
	var firsts, near, firstsCPU, nearCPU durations
	for range 12 {
		at := first + eventlog.Revision(random.Int64N(int64(head-first)))
		for i := range 9 {
			wall, cpu, to := &firsts, &firstsCPU, at
			if i > 0 {
				wall, cpu, to = &near, &nearCPU, min(max(at+eventlog.Revision(random.IntN(1000)), first+500)-500, head)
			}
			if err := timed(wall, cpu, func() error {
				_, err := past.State(ctx, now, to)
				return err
			}); err != nil {
				return err
			}
		}
	}
	of := func(cpu durations) string {
		return fmt.Sprintf("processor time %v", cpu.sort().at(.5).Round(10*time.Microsecond))
	}
	firsts, near = firsts.sort(), near.sort()
	r.add(row{what: "state at a random revision of an archive with 1M commits, median", value: firsts.at(.5).Seconds(), unit: "s", must: 2, aim: 0.5,
		note: fmt.Sprintf("%s; slowest %v; archived in %.1f s, processor time %v: %d files of history, %d states, %d MB",
			of(firstsCPU), firsts.at(1).Round(time.Millisecond), took.Seconds(), used.Round(time.Millisecond), s.Histories, s.States, s.Bytes/1_000_000)})
	r.add(row{what: "state within 500 revisions of it, from the archive, median", value: milliseconds(near.at(.5)), unit: "ms", must: 50, aim: 5,
		note: fmt.Sprintf("%s; p90 %v, slowest %v", of(nearCPU), near.at(.9).Round(10*time.Microsecond), near.at(1).Round(time.Millisecond))})
	return nil
}

// truncated is a log that begins with low.
type truncated struct {
	*etcdlog.Log
	low eventlog.Revision
}

func (l truncated) Low(context.Context) (eventlog.Revision, error) { return l.low, nil }

func (l truncated) Snapshots(ctx context.Context) ([]eventlog.SnapshotInfo, error) {
	list, err := l.Log.Snapshots(ctx)
	return slices.DeleteFunc(list, func(s eventlog.SnapshotInfo) bool { return s.Revision+1 < l.low }), err
}

// appendTable appends the full table in commits of 1,000 routes.
func appendTable(ctx context.Context, a *appender.Appender) error {
	origins, err := tables.Full()
	if err != nil {
		return err
	}
	spread := tables.NewSpread(64)
	for begin := 0; begin < len(origins); begin += 1000 {
		var events []eventlog.Event
		for _, o := range origins[begin:min(begin+1000, len(origins))] {
			events = append(events, &eventlog.RouteAnnounced{
				RouteID: eventlog.RouteID{Router: eventlog.AllRouters, Origin: eventlog.DefaultOrigin, Destination: o.Prefix, NextHop: tables.NextHop(spread.Index(o), o.Prefix)},
				Metric:  10, Preference: eventlog.DefaultPreference, Weight: eventlog.DefaultWeight,
			})
		}
		if _, err := a.Append(ctx, appender.Request{Actor: "bench", Events: events}); err != nil {
			return err
		}
	}
	return nil
}

// appendCommits appends historyCommits commits of one route by 1,000 callers,
// with a snapshot now and then.
func appendCommits(ctx context.Context, a *appender.Appender, log eventlog.Log) error {
	var made atomic.Int64
	for part := range historyCommits/snapshotEvery + 1 {
		upTo := int64(min((part+1)*snapshotEvery, historyCommits))
		enough := fmt.Errorf("enough")
		_, _, err := parallel(1000, 10*time.Minute, func(w, i int) error {
			if made.Add(1) > upTo {
				return enough
			}
			_, err := a.Append(ctx, appender.Request{Actor: "bench", Events: []eventlog.Event{benchRoute(w, i+part)}})
			return err
		})
		if made.Load() <= upTo {
			return err // it ended before
		}
		made.Store(upTo)
		st := a.State()
		if _, err := log.WriteSnapshot(ctx, appender.Describe(st), st.Save); err != nil {
			return err
		}
	}
	return nil
}
