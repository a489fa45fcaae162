package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"dvr/cmd/internal/client"
	"dvr/cmd/internal/testbed"
)

// historyCommits is how many commits lie behind the table.
const historyCommits = 1_000_000

// benchHistory: a full table and a million commits of one route behind it; then
// states of random revisions, of revisions near one that was asked for, and
// diffs of a thousand commits near the head, each by one HTTP call.
func benchHistory(ctx context.Context, r *report) error {
	body, err := ndjson(64, 0)
	if err != nil {
		return err
	}
	n, err := freshNode(ctx, filepath.Join(r.dir, "history"))
	if err != nil {
		return err
	}
	defer n.Kill()
	if _, err := n.Client.Do(ctx, client.Call{
		Method: http.MethodPost, Path: "/v1/routes/import?timeout=5m", Body: body, Header: http.Header{"Content-Type": {"application/x-ndjson"}},
	}, nil); err != nil {
		return err
	}
	first, err := headOf(ctx, n)
	if err != nil {
		return err
	}
	head := first
	begin := time.Now()
	for head < first+historyCommits {
		if _, _, err := hammer(ctx, n.API, "/routes?wait=logged", 256, 5*time.Second, route); err != nil {
			return err
		}
		if head, err = headOf(ctx, n); err != nil {
			return err
		}
	}
	note := fmt.Sprintf("%d revisions, written in %.0f s", head, time.Since(begin).Seconds())
	random := rand.New(rand.NewPCG(1, 1))
	ask := func(path string, q url.Values) (time.Duration, error) {
		q.Set("timeout", "1m")
		start := time.Now()
		_, err := n.Client.Do(ctx, client.Call{Method: http.MethodGet, Path: path, Query: q}, nil)
		return time.Since(start), err
	}
	var firsts, near, diffs durations
	for range 16 {
		at := first + uint64(random.Int64N(int64(head-first)))
		d, err := ask("/v1/links", url.Values{"at": {fmt.Sprint(at)}})
		if err != nil {
			return err
		}
		firsts = append(firsts, d)
		for range 8 {
			beside := min(max(at+uint64(random.IntN(1000)), first+500)-500, head)
			if d, err = ask("/v1/links", url.Values{"at": {fmt.Sprint(beside)}}); err != nil {
				return err
			}
			near = append(near, d)
		}
	}
	for range 24 {
		from := head - 10000 + uint64(random.IntN(9000))
		d, err := ask("/v1/diff", url.Values{"from": {fmt.Sprint(from)}, "to": {fmt.Sprint(from + 1000)}, "router": {"*"}})
		if err != nil {
			return err
		}
		diffs = append(diffs, d)
	}
	cold := diffs[0]
	firsts, near, diffs = firsts.sort(), near.sort(), diffs.sort()
	r.add(row{what: "state at a random revision among 1M commits, median", value: firsts.at(.5).Seconds(), unit: "s", must: 2, aim: 0.5,
		note: fmt.Sprintf("slowest %v; %s", firsts.at(1).Round(time.Millisecond), note)})
	r.add(row{what: "state within 500 revisions of it, median", value: milliseconds(near.at(.5)), unit: "ms", must: 50, aim: 5,
		note: fmt.Sprintf("p90 %v, slowest %v", near.at(.9).Round(10*time.Microsecond), near.at(1).Round(time.Millisecond))})
	r.add(row{what: "diff 1,000 commits apart, within 10,000 of head, median", value: milliseconds(diffs.at(.5)), unit: "ms", must: 200, aim: 20,
		note: fmt.Sprintf("the first %v, slowest %v", cold.Round(time.Millisecond), diffs.at(1).Round(time.Millisecond))})
	return nil
}

// headOf is the newest revision of a node.
func headOf(ctx context.Context, n *testbed.Node) (uint64, error) {
	var status struct{ Revision uint64 }
	_, err := n.Client.Do(ctx, client.Call{Method: http.MethodGet, Path: "/v1/status"}, &status)
	return status.Revision, err
}
