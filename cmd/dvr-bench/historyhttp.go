package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"dvr/controller/appender"
	"dvr/controller/fibstream"
	"dvr/controller/history"
	"dvr/controller/httpapi"
	"dvr/controller/service"
	"dvr/eventlog"
)

// asked is a node's API in this process, on loopback: the clients' way to the
// same log, without the other parts of a node.
type asked struct {
	url    string
	client *http.Client
	server *http.Server
	planes *fibstream.Server
}

// alone is the status of the one node.
type alone struct{}

func (alone) Status() httpapi.NodeStatus {
	return httpapi.NodeStatus{NodeID: "bench", RaftState: "Leader", Quorum: true, Etcd: "embedded", Started: time.Now()}
}

// serve begins to listen; it follows what passes by until ctx ends.
func serve(ctx context.Context, a *appender.Appender, log history.Log) (*asked, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	planes := fibstream.New(a, fibstream.Options{Node: "bench"})
	s := service.New(service.Writer(a), service.Planes(planes, "bench"), log)
	go s.FollowPast(ctx, a.Passed()) // ends with ctx
	api := httpapi.New(httpapi.Config{Service: s, Node: alone{}, Version: "bench"})
	out := &asked{
		url: "http://" + l.Addr().String(), client: &http.Client{Timeout: time.Minute}, planes: planes,
		server: &http.Server{Handler: api.Handler(), ReadHeaderTimeout: time.Minute},
	}
	go func() { _ = out.server.Serve(l) }() // ends with close
	return out, nil
}

func (s *asked) close() {
	_ = s.server.Close()
	s.planes.Close()
}

// get reads an answer to its end, and gives its length.
func (s *asked) get(path string) (int64, error) {
	r, err := http.NewRequest(http.MethodGet, s.url+path, nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Accept", "application/json")
	a, err := s.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer a.Body.Close()
	n, err := io.Copy(io.Discard, a.Body)
	if err == nil && a.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s", path, a.Status)
	}
	return n, err
}

// benchAsked asks through HTTP what benchHistory asks in process.
func benchAsked(r *report, s *asked, first, head eventlog.Revision, timed func(wall, cpu *durations, call func() error) error) error {
	random := rand.New(rand.NewPCG(3, 1))
	var firsts, near, diffs, firstsCPU, nearCPU, diffsCPU durations
	lookup := func(at eventlog.Revision) func() error {
		return func() error {
			_, err := s.get(fmt.Sprintf("/v1/lookup?address=8.8.8.8&at=%d", at))
			return err
		}
	}
	for range 12 {
		at := first + eventlog.Revision(random.Int64N(int64(head-first)))
		if err := timed(&firsts, &firstsCPU, lookup(at)); err != nil {
			return err
		}
		for range 8 {
			beside := min(max(at+eventlog.Revision(random.IntN(1000)), first+500)-500, head)
			if err := timed(&near, &nearCPU, lookup(beside)); err != nil {
				return err
			}
		}
	}
	size := int64(0)
	for range 24 {
		from := head - 10000 + eventlog.Revision(random.IntN(9000))
		if err := timed(&diffs, &diffsCPU, func() error {
			n, err := s.get(fmt.Sprintf("/v1/diff?from=%d&to=%d&router=%s&limit=10000", from, from+1000, benchRouter))
			size += n
			return err
		}); err != nil {
			return err
		}
	}
	cold := diffs[0]
	of := func(cpu durations) string {
		return fmt.Sprintf("processor time %v", cpu.sort().at(.5).Round(10*time.Microsecond))
	}
	firsts, near, diffs = firsts.sort(), near.sort(), diffs.sort()
	r.add(row{what: "GET /v1/lookup?at= a random revision among 1M commits, median", value: firsts.at(.5).Seconds(), unit: "s", must: 2, aim: 0.5,
		note: fmt.Sprintf("%s; slowest %v", of(firstsCPU), firsts.at(1).Round(time.Millisecond))})
	r.add(row{what: "  within 500 revisions of it, median", value: milliseconds(near.at(.5)), unit: "ms", must: 50, aim: 5,
		note: fmt.Sprintf("%s; p90 %v, p99 %v", of(nearCPU), near.at(.9).Round(10*time.Microsecond), near.at(.99).Round(time.Millisecond))})
	r.add(row{what: "GET /v1/diff 1,000 commits apart, within 10,000 of head, median", value: milliseconds(diffs.at(.5)), unit: "ms", must: 200, aim: 20,
		note: fmt.Sprintf("%s; the first %v, slowest %v; %d KB each", of(diffsCPU), cold.Round(time.Millisecond), diffs.at(1).Round(time.Millisecond), size/24/1000)})
	return nil
}
