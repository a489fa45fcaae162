package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"dvr/cmd/internal/client"
	"dvr/cmd/internal/testbed"
	"dvr/controller/node"
	"dvr/controller/service"
	"dvr/controller/settings"
	"dvr/eventlog"
)

const clusterNodes = 3

// order is what the parent tells a member to do, one JSON object a line; a
// member answers with an outcome.
type order struct {
	Kind    string // commit or put
	Callers int
	First   int // number of the first caller, so that members write different routes
	For     time.Duration
}

type outcome struct {
	Calls    int
	Rate     float64
	P50, P99 time.Duration
	CPU      time.Duration // of the member's process meanwhile
	Error    string        `json:",omitempty"`
}

// serveMember is a node as `dvr node` runs it, and callers in its process on
// request: what the log can do without HTTP.
func serveMember() error {
	defer node.Tune()()
	s, err := settings.Load(nil, os.Environ())
	if err != nil {
		return err
	}
	ctx := context.Background()
	n, err := node.Start(ctx, s, node.Options{Version: "bench"})
	if err != nil {
		return err
	}
	defer n.Close()
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(outcome{}); err != nil {
		return err
	}
	for in := json.NewDecoder(os.Stdin); ; {
		var o order
		if err := in.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var rate float64
		var samples durations
		before := processorTime()
		if o.Kind == "put" {
			rate, samples, err = rawPuts(ctx, n.Etcd(), o.Callers, o.For)
		} else {
			rate, samples, err = parallel(o.Callers, o.For, func(w, i int) error {
				_, err := n.Service().PutRoute(ctx, &service.Mutation{Actor: "bench", Wait: service.WaitLogged}, benchRoute(o.First+w, i))
				return err
			})
		}
		done := outcome{Calls: len(samples), Rate: rate, CPU: processorTime() - before}
		if err != nil {
			done.Error, _, _ = strings.Cut(err.Error(), "\n") // as a rule they all fail alike
		}
		if len(samples) > 0 {
			done.P50, done.P99 = samples.at(.5), samples.at(.99)
		}
		if err := out.Encode(done); err != nil {
			return err
		}
	}
}

// processorTime is what this process has used of the processors.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchRoute(w, i int) *eventlog.RouteAnnounced {
	return &eventlog.RouteAnnounced{
		RouteID: eventlog.RouteID{
			Router: eventlog.AllRouters, Origin: eventlog.DefaultOrigin,
			Destination: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(w >> 2), byte(w<<6) | byte(i&63), 0}), 24),
			NextHop:     netip.AddrFrom4([4]byte{192, 168, 1, byte(1 + w%200)}),
		},
		Metric: uint32(i % 1000), Preference: eventlog.DefaultPreference, Weight: eventlog.DefaultWeight,
	}
}

// member is a process of serveMember.
type member struct {
	*testbed.Node
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

// do has the member do what is ordered.
func (m *member) do(o order) (outcome, error) {
	raw, err := json.Marshal(o)
	if err != nil {
		return outcome{}, err
	}
	if _, err := m.in.Write(append(raw, '\n')); err != nil {
		return outcome{}, err
	}
	var done outcome
	if err := m.out.Decode(&done); err != nil {
		return done, err
	}
	if done.Error != "" {
		return done, errors.New(done.Error)
	}
	return done, nil
}

func (m *member) stop() {
	_ = m.in.Close()
	timer := time.AfterFunc(10*time.Second, func() { _ = m.cmd.Process.Kill() })
	defer timer.Stop()
	_ = m.cmd.Wait() // it was measured: how it ends does not matter
}

// startMembers starts a cluster of this program's own processes.
func startMembers(ctx context.Context, dir string) (list []*member, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	nodes, err := testbed.NewCluster(dir, clusterNodes)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			for _, m := range list {
				_ = m.cmd.Process.Kill()
				_ = m.cmd.Wait()
			}
		}
	}()
	for _, n := range nodes {
		cmd := exec.Command(self, "member")
		cmd.Env = append(os.Environ(), "LOG_LEVEL=warn",
			"DATA_DIR="+filepath.Join(n.Dir, "data"), "API_ADDR="+n.API, "FIB_ADDR="+n.FIB, "RAFT_ADDR="+n.Raft, "CLIENT_ADDR="+n.Etcd)
		cmd.Env = append(cmd.Env, n.Environment...)
		log, err := os.Create(filepath.Join(n.Dir, "node.log"))
		if err != nil {
			return list, err
		}
		defer log.Close()
		cmd.Stderr = log
		in, err := cmd.StdinPipe()
		if err != nil {
			return list, err
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return list, err
		}
		if err := cmd.Start(); err != nil {
			return list, err
		}
		list = append(list, &member{Node: n, cmd: cmd, in: in, out: json.NewDecoder(bufio.NewReader(out))})
	}
	for _, m := range list {
		var up outcome
		if err := m.out.Decode(&up); err != nil {
			log, _ := os.ReadFile(filepath.Join(m.Dir, "node.log"))
			return list, fmt.Errorf("a member did not start: %w\n%s", err, log)
		}
	}
	return list, nil
}

// together has all members do the same and adds up what they did; cost is the
// processor time of all of them for one call.
func together(list []*member, kind string, callers int, d time.Duration) (rate float64, cost time.Duration, err error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failures []error
	calls := 0
	share := (callers + len(list) - 1) / len(list)
	for i, m := range list {
		wg.Go(func() {
			got, err := m.do(order{Kind: kind, Callers: share, First: i * share, For: d})
			mu.Lock()
			defer mu.Unlock()
			rate, calls, cost, failures = rate+got.Rate, calls+got.Calls, cost+got.CPU, append(failures, err)
		})
	}
	wg.Wait()
	return rate, cost / time.Duration(max(calls, 1)), errors.Join(failures...)
}

// benchCluster: three nodes, each a process on this machine, against raw puts
// through the same three nodes, interleaved, medians of three.
func benchCluster(ctx context.Context, r *report) error {
	const callers, seconds = 1000, 3 * time.Second
	list, err := startMembers(ctx, filepath.Join(r.dir, "cluster"))
	if err != nil {
		return err
	}
	defer func() {
		for _, m := range list {
			m.stop()
		}
	}()
	var raw, log, api, logRatios, apiRatios []float64
	var rawCost, logCost durations
	for range 3 {
		commits, commit, err := together(list, "commit", callers, seconds)
		if err != nil {
			return err
		}
		puts, put, err := together(list, "put", callers, seconds)
		if err != nil {
			return err
		}
		posts, err := hammerAll(ctx, list, callers, seconds)
		if err != nil {
			return err
		}
		raw, log, api = append(raw, puts), append(log, commits), append(api, posts)
		logCost, rawCost = append(logCost, commit), append(rawCost, put)
		logRatios, apiRatios = append(logRatios, commits/puts), append(apiRatios, posts/puts)
	}
	r.add(row{what: "3 nodes, 1,000 callers, one-route commits at the log, against raw puts", value: median(logRatios), unit: "x", must: 6, aim: 10, more: true,
		note: fmt.Sprintf("%.0f commits/s against %.0f puts/s; %.1f against %.1f µs of processor time each, all nodes together", median(log), median(raw),
			float64(logCost.sort().at(.5))/1e3, float64(rawCost.sort().at(.5))/1e3)})
	r.add(row{what: "3 nodes, 1,000 connections, POST /routes, against raw puts", value: median(apiRatios), unit: "x", must: 1.3, aim: 2, more: true,
		note: fmt.Sprintf("%.0f POST/s against %.0f puts/s", median(api), median(raw))})
	return benchImport(ctx, r, list)
}

// hammerAll posts over connections spread over all nodes.
func hammerAll(ctx context.Context, list []*member, connections int, d time.Duration) (float64, error) {
	var wg sync.WaitGroup
	rates, failures := make([]float64, len(list)), make([]error, len(list))
	share := (connections + len(list) - 1) / len(list)
	for i, m := range list {
		wg.Go(func() {
			rates[i], _, failures[i] = hammer(ctx, m.API, "/routes?wait=logged", share, d, func(w, n int) []byte { return route((i*share+w)%250, n) })
		})
	}
	wg.Wait()
	sum := 0.
	for _, v := range rates {
		sum += v
	}
	return sum, errors.Join(failures...)
}

// benchImport: a million routes through a node that does not lead.
func benchImport(ctx context.Context, r *report, list []*member) error {
	body, err := ndjson(64, 0)
	if err != nil {
		return err
	}
	var follower *member
	for _, m := range list {
		if leads, err := m.Leads(ctx); err != nil {
			return err
		} else if !leads {
			follower = m
		}
	}
	var rates []float64
	for i := range 3 {
		begin := time.Now()
		var out imported
		if _, err := follower.Client.Do(ctx, client.Call{
			Method: http.MethodPost, Path: "/v1/routes/import?timeout=5m", Body: body, IdempotencyKey: fmt.Sprintf("import-%d", i),
			Header: http.Header{"Content-Type": {"application/x-ndjson"}},
		}, &out); err != nil {
			return err
		}
		if want := strings.Count(string(body), "\n"); out.Accepted != want {
			return fmt.Errorf("%d routes of %d accepted", out.Accepted, want)
		}
		rates = append(rates, float64(out.Accepted)/time.Since(begin).Seconds())
	}
	r.add(row{what: "3 nodes, bulk import through a follower", value: median(rates), unit: "routes/s", must: 200_000, aim: 400_000, more: true})
	return nil
}
