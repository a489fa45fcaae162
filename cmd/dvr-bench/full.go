package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"dvr/cmd/internal/client"
	"dvr/cmd/internal/testbed"
	"dvr/controller/fibpb"
	"dvr/dataplane/tables"
)

const benchRouter = "r1"

// pair is one node and one data plane.
type pair struct {
	node *testbed.Node
	dp   *testbed.DataPlane
}

func startPair(ctx context.Context, dir string, environment ...string) (*pair, error) {
	n, err := freshNode(ctx, dir, environment...)
	if err != nil {
		return nil, err
	}
	d, err := testbed.NewDataPlane(dir, benchRouter, n.FIB)
	if err == nil {
		err = d.Start()
	}
	if err != nil {
		n.Kill()
		return nil, err
	}
	p := &pair{n, d}
	if err := n.InSync(ctx, benchRouter, 0); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

func (p *pair) kill() {
	p.dp.Kill()
	p.node.Kill()
}

// imported is the answer of an import.
type imported struct {
	Accepted     int
	Refused      []struct{ Reason string }
	LastRevision uint64 `json:"last_revision"`
}

// load imports body and waits until the data plane has acknowledged all of it.
func (p *pair) load(ctx context.Context, body []byte) (imported, error) {
	var out imported
	_, err := p.node.Client.Do(ctx, client.Call{
		Method: http.MethodPost, Path: "/v1/routes/import?timeout=5m", Body: body,
		Header: http.Header{"Content-Type": {"application/x-ndjson"}},
	}, &out)
	if err != nil {
		return out, err
	}
	if len(out.Refused) > 0 {
		return out, fmt.Errorf("%d lines refused, the first: %s", len(out.Refused), out.Refused[0].Reason)
	}
	return out, p.node.InSync(ctx, benchRouter, out.LastRevision)
}

// benchFull: the full table imported until the data plane has acknowledged it,
// the latency of one change on it, and recovery from kill -9.
func benchFull(ctx context.Context, r *report) error {
	body, err := ndjson(64, 0)
	if err != nil {
		return err
	}
	var p *pair
	var seconds []float64
	for i := range 3 {
		if p != nil {
			p.kill()
		}
		if p, err = startPair(ctx, filepath.Join(r.dir, fmt.Sprintf("full-%d", i))); err != nil {
			return err
		}
		begin := time.Now()
		got, err := p.load(ctx, body)
		if err != nil {
			p.kill()
			return err
		}
		if got.Accepted != 901899+160147 {
			p.kill()
			return fmt.Errorf("%d routes accepted", got.Accepted)
		}
		seconds = append(seconds, time.Since(begin).Seconds())
	}
	defer func() { p.kill() }()
	r.add(row{what: "import of 1,062,046 prefixes until the data plane acked", value: median(seconds), unit: "s", must: 5, aim: 2.5})

	if err := latency(ctx, r, p); err != nil {
		return err
	}
	if err := recovery(ctx, r, p); err != nil {
		return err
	}
	return serving(ctx, r, p)
}

// latency: POST with wait=installed answers when the data plane has acked; one
// connection, a pause between calls, so that the system is idle.
func latency(ctx context.Context, r *report, p *pair) error {
	c, err := dial(p.node.API)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	var samples durations
	for i := range 2000 {
		start := time.Now()
		if err := c.post(p.node.API, "/routes?wait=installed", route(200, i), http.StatusCreated); err != nil {
			return err
		}
		samples = append(samples, time.Since(start))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond): // idle between calls is what is measured
		}
	}
	samples.sort()
	r.add(row{what: "POST to data-plane ack, idle, p50", value: milliseconds(samples.at(.5)), unit: "ms", must: 2, aim: 0.8, note: "on the full table, 2,000 calls"})
	r.add(row{what: "POST to data-plane ack, idle, p99", value: milliseconds(samples.at(.99)), unit: "ms", must: 10, aim: 3})
	return nil
}

// recovery: kill -9 of the node with the full table, five times.
func recovery(ctx context.Context, r *report, p *pair) error {
	var ready, synced []float64
	for range 5 {
		p.node.Kill()
		begin := time.Now()
		if err := p.node.Start(); err != nil {
			return err
		}
		if err := p.node.Ready(ctx); err != nil {
			return err
		}
		ready = append(ready, time.Since(begin).Seconds())
		if err := p.node.InSync(ctx, benchRouter, 1); err != nil {
			return err
		}
		synced = append(synced, time.Since(begin).Seconds())
	}
	r.add(row{what: "kill -9 of the node, full table: ready and data plane in sync", value: median(synced), unit: "s", must: 3, aim: 1.5,
		note: fmt.Sprintf("/readyz after %.2f s", median(ready))})
	return nil
}

// serving: kill -9 of the data plane with the full table, five times, while no
// node is there: from its start to the first lookup that its saved FIB answers.
func serving(ctx context.Context, r *report, p *pair) error {
	p.node.Kill()
	var seconds durations
	for range 5 {
		p.dp.Kill()
		begin := time.Now()
		if err := p.dp.Start(); err != nil {
			return err
		}
		if err := firstLookup(ctx, p.dp.Listen); err != nil {
			return fmt.Errorf("first lookup after kill -9 of the data plane: %w", err)
		}
		seconds = append(seconds, time.Since(begin))
	}
	seconds.sort()
	r.add(row{what: "kill -9 of the data plane, full table, no node: first lookup", value: seconds.at(.5).Seconds(), unit: "s", must: 1, aim: 0.5,
		note: fmt.Sprintf("the slowest of %d %.2f s", len(seconds), seconds.at(1).Seconds())})
	return nil
}

// firstLookup asks until an address of the table is found.
func firstLookup(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 5 * time.Millisecond, Multiplier: 1, MaxDelay: 5 * time.Millisecond}, MinConnectTimeout: time.Second}))
	if err != nil {
		return err
	}
	defer conn.Close()
	got, err := fibpb.NewDataPlaneClient(conn).Lookup(ctx, &fibpb.LookupRequest{Address: []byte{8, 8, 8, 8}}, grpc.WaitForReady(true))
	if err == nil && !got.GetFound() {
		err = errors.New("nothing found")
	}
	return err
}

// memoryLimit is GOMEMLIMIT of the node whose memory is measured.
const memoryLimit = "900MiB"

// benchMemory: what the processes hold after ten replacing imports, the churn
// twelve times over, and a million random updates.
func benchMemory(ctx context.Context, r *report) error {
	p, err := startPair(ctx, filepath.Join(r.dir, "memory"), "MEMORY_LIMIT="+memoryLimit)
	if err != nil {
		return err
	}
	defer func() { p.kill() }()
	origins, err := tables.Full()
	if err != nil {
		return err
	}
	hops := newHops(origins)
	for i := range 10 {
		if _, err := p.load(ctx, hops.replaceAll(i)); err != nil {
			return err
		}
	}
	updates, err := tables.Churn()
	if err != nil {
		return err
	}
	var churn []byte
	for _, u := range updates {
		if u.Prefix.Addr().Is4() != u.Peer.Is4() && u.Prefix.Addr().Is6() {
			continue // an IPv6 prefix heard over an IPv4 session: no next hop of its family
		}
		if u.Withdraw {
			churn = fmt.Appendf(churn, "{\"kind\":\"route.withdrawn\",\"destination\":\"%s\",\"next_hop\":\"%s\"}\n", u.Prefix, u.Peer)
			continue
		}
		churn = fmt.Appendf(churn, "{\"kind\":\"route.announced\",\"destination\":\"%s\",\"next_hop\":\"%s\",\"metric\":10}\n", u.Prefix, u.Peer)
	}
	for range 12 {
		if _, err := p.load(ctx, churn); err != nil {
			return fmt.Errorf("churn: %w", err)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		var body []byte
		for range 100_000 {
			body = hops.move(body, random.IntN(len(origins)), random.IntN(benchHops), random.IntN(20))
		}
		if _, err := p.load(ctx, body); err != nil {
			return fmt.Errorf("random updates: %w", err)
		}
	}
	node, err := p.node.Memory()
	if err != nil {
		return err
	}
	dp, err := p.dp.Memory()
	if err != nil {
		return err
	}
	const mib = 1 << 20
	r.add(row{what: "anonymous resident memory of the node after churn", value: float64(node.Anonymous) / mib, unit: "MiB", must: 1229, aim: 600,
		note: fmt.Sprintf("GOMEMLIMIT %s; total %d MiB with the mapped database", memoryLimit, node.Resident/mib)})
	r.add(row{what: "resident memory of the data plane then", value: float64(dp.Resident) / mib, unit: "MiB", must: 200, aim: 100})
	return nil
}

const benchHops = 64

// hops is where every prefix leads at present, so that an update replaces:
// the candidate before is withdrawn by the line before the new one.
type hops struct {
	origins []tables.Origin
	spread  *tables.Spread
	present []int16 // −1: nowhere yet
}

func newHops(origins []tables.Origin) *hops {
	h := &hops{origins: origins, spread: tables.NewSpread(benchHops), present: make([]int16, len(origins))}
	for i := range h.present {
		h.present[i] = -1
	}
	return h
}

// move appends the lines that lead prefix i to another next hop.
func (h *hops) move(body []byte, i, hop, metric int) []byte {
	prefix := h.origins[i].Prefix
	if old := int(h.present[i]); old >= 0 && old != hop {
		body = fmt.Appendf(body, "{\"kind\":\"route.withdrawn\",\"destination\":\"%s\",\"next_hop\":\"%s\"}\n", prefix, tables.NextHop(old, prefix))
	}
	h.present[i] = int16(hop)
	return fmt.Appendf(body, "{\"destination\":\"%s\",\"next_hop\":\"%s\",\"metric\":%d}\n", prefix, tables.NextHop(hop, prefix), metric)
}

// replaceAll is a full import in which every prefix leads elsewhere than before.
func (h *hops) replaceAll(shift int) []byte {
	body := make([]byte, 0, 180<<20)
	for i, o := range h.origins {
		body = h.move(body, i, (h.spread.Index(o)+shift)%benchHops, 10)
	}
	return body
}
