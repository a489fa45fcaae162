package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"time"

	"dvr/cmd/internal/client"
	"dvr/dataplane/tables"
)

// benchChange: the full table as one commit until the data plane has it, dry runs
// on it for eight routers, and a declarative import that changes little.
func benchChange(ctx context.Context, r *report) error {
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
		if p, err = startPair(ctx, filepath.Join(r.dir, fmt.Sprintf("change-%d", i))); err != nil {
			return err
		}
		begin := time.Now()
		if err := p.importAs(ctx, "atomic=true", body); err != nil {
			p.kill()
			return err
		}
		seconds = append(seconds, time.Since(begin).Seconds())
	}
	defer func() { p.kill() }()
	r.add(row{what: "atomic import of 1,062,046 prefixes until the data plane acked", value: median(seconds), unit: "s", must: 6, aim: 3})

	if err := p.ring(ctx, 8); err != nil {
		return err
	}
	if err := dryRuns(ctx, r, p); err != nil {
		return err
	}
	return declarations(ctx, r, p)
}

// importAs imports with the query's mode and waits until the data plane has acked.
func (p *pair) importAs(ctx context.Context, query string, body []byte) error {
	_, err := p.node.Client.Do(ctx, client.Call{
		Method: http.MethodPost, Path: "/v1/routes/import?timeout=5m&wait=installed&require=" + benchRouter + "&" + query, Body: body,
		Header: http.Header{"Content-Type": {"application/x-ndjson"}},
	}, nil)
	return err
}

// ring links n routers, the data plane's among them.
func (p *pair) ring(ctx context.Context, n int) error {
	var b bytes.Buffer
	b.WriteString(`{"events":[`)
	for i := range n {
		a, z := i+1, (i+1)%n+1
		if a > z {
			a, z = z, a
		}
		fmt.Fprintf(&b, `%s{"kind":"link.set","a":"r%d","b":"r%d","cost_ab":10,"cost_ba":10,"address_a":["10.255.%d.1"],"address_b":["10.255.%d.2"]}`, comma(i), a, z, i, i)
	}
	b.WriteString(`]}`)
	_, err := p.node.Client.Do(ctx, client.Call{Method: http.MethodPost, Path: "/v1/commits", Body: b.Bytes(), Header: http.Header{"Content-Type": {"application/json"}}}, nil)
	return err
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

// dryRuns asks what 10,000 random changes of the table would do at the routers.
func dryRuns(ctx context.Context, r *report, p *pair) error {
	origins, err := tables.Full()
	if err != nil {
		return err
	}
	spread := tables.NewSpread(64)
	rng := rand.New(rand.NewPCG(1, 2))
	run := func(events int) (float64, error) {
		var samples []float64
		for range 9 {
			var b bytes.Buffer
			b.WriteString(`{"events":[`)
			for i, at := range rng.Perm(len(origins))[:events] {
				o := origins[at]
				index := spread.Index(o)
				switch i % 3 {
				case 0: // withdrawn
					fmt.Fprintf(&b, `%s{"kind":"route.withdrawn","destination":"%s","next_hop":"%s"}`, comma(i), o.Prefix, tables.NextHop(index, o.Prefix))
				case 1: // another candidate, which wins
					fmt.Fprintf(&b, `%s{"kind":"route.announced","destination":"%s","next_hop":"%s"}`, comma(i), o.Prefix, tables.NextHop((index+1)%64, o.Prefix))
				case 2: // of one router only
					fmt.Fprintf(&b, `%s{"kind":"route.announced","router":"r%d","destination":"%s","next_hop":"%s"}`, comma(i), 1+i%8, o.Prefix, tables.NextHop((index+2)%64, o.Prefix))
				}
			}
			b.WriteString(`]}`)
			var out struct {
				Events  int
				Routers []struct{ Router string }
			}
			begin := time.Now()
			if _, err := p.node.Client.Do(ctx, client.Call{Method: http.MethodPost, Path: "/v1/commits?dry_run=true&timeout=1m", Body: b.Bytes(), Header: http.Header{"Content-Type": {"application/json"}}}, &out); err != nil {
				return 0, err
			}
			samples = append(samples, milliseconds(time.Since(begin)))
			if out.Events != events || len(out.Routers) != 8 {
				return 0, fmt.Errorf("a dry run of %d events at %d routers", out.Events, len(out.Routers))
			}
		}
		return median(samples), nil
	}
	one, err := run(1)
	if err != nil {
		return err
	}
	r.add(row{what: "dry run of one event, 1M routes × 8 routers", value: one, unit: "ms", unbounded: true, note: "with HTTP and JSON"})
	many, err := run(10_000)
	if err != nil {
		return err
	}
	r.add(row{what: "dry run of a 10,000-event commit, 1M routes × 8 routers", value: many, unit: "ms", must: 500, aim: 100, note: "with HTTP and JSON"})
	return nil
}

// declarations: the whole table as the desired state, which it is already.
func declarations(ctx context.Context, r *report, p *pair) error {
	same, err := ndjson(64, 0)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := p.importAs(ctx, "mode=replace", same); err != nil {
		return err
	}
	r.add(row{what: "declarative import of the table that is there", value: time.Since(begin).Seconds(), unit: "s", unbounded: true, note: "nothing is committed"})
	return nil
}
