package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"dvr/cmd/internal/client"
	"dvr/controller/launcher"
	"dvr/eventlog"
)

// Options of Run.
type Options struct {
	// DataDir is where everything is kept; empty: a temporary directory, which is
	// removed at the end.
	DataDir           string
	Listen            string // of dashboard and control API
	APIBase, RaftBase int
	Routes            int           // of the Internet; more than there are: all
	Pace              time.Duration // between two changes; 0: none are made
	Binary            string        // dvr, absolute
	PlaneBinary       string        // dvr-dataplane, absolute; empty: no data planes
	Out               io.Writer
}

// nodes of the cluster, and the distance of their ports.
const (
	nodes   = 3
	apiStep = 10
)

// Run brings the demonstration up, says where it is, and keeps it going until
// ctx ends; then it stops everything that it started.
func Run(ctx context.Context, o Options) (err error) {
	if o.DataDir == "" {
		if o.DataDir, err = os.MkdirTemp("", "dvr-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.DataDir)) }()
	} else if o.DataDir, err = filepath.Abs(o.DataDir); err != nil {
		return err
	}
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(o.DataDir, "launcher.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel(nil)
	run := func(what func(ctx context.Context) error) {
		work.Go(func() {
			if err := what(ctx); err != nil {
				cancel(err)
			}
		})
	}
	run(func(ctx context.Context) error {
		return launcher.Run(ctx, launcher.Options{
			DataDir: filepath.Join(o.DataDir, "launcher"), Listen: o.Listen, Nodes: nodes, APIBase: o.APIBase, APIStep: apiStep, RaftBase: o.RaftBase,
			Binary: o.Binary, Environ: os.Environ(), Logger: logger(log),
		})
	})
	d := &demonstration{Options: o}
	for i := range nodes {
		port := o.APIBase + i*apiStep
		d.apis = append(d.apis, loopback(port))
		d.fibs = append(d.fibs, loopback(port+100))
	}
	err = d.run(ctx, run)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func logger(w io.Writer) *zap.Logger {
	c := zap.NewProductionEncoderConfig()
	c.EncodeTime = zapcore.ISO8601TimeEncoder
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(c), zapcore.Lock(zapcore.AddSync(w)), zapcore.InfoLevel))
}

// demonstration is a cluster under way.
type demonstration struct {
	Options
	apis, fibs []string
	client     *client.Client
}

// self is who makes the changes that no router's speaker makes.
const self = "demo"

// filled is the key that says that routers and routes are there.
const filled = "demo/filled"

func (d *demonstration) run(ctx context.Context, spawn func(func(ctx context.Context) error)) error {
	var err error
	if d.client, err = client.New(d.apis, ""); err != nil {
		return err
	}
	table, err := internet(d.Routes)
	if err != nil {
		return err
	}
	changes := newChurn(table, uint64(time.Now().UnixNano()))
	d.say("A demonstration of %d nodes and %d routers; Ctrl-C ends it. Data: %s\n", nodes, len(routers), d.DataDir)
	if err := d.step(ctx, "nodes", func(ctx context.Context) (string, error) { return fmt.Sprintf("%d, one leads", nodes), d.ready(ctx) }); err != nil {
		return err
	}
	if d.PlaneBinary == "" {
		d.say("  %-14s none: dvr-dataplane is not beside dvr (make cpp builds it)\n", "data planes")
	}
	for i, r := range borders {
		if d.PlaneBinary != "" {
			spawn(func(ctx context.Context) error { return plane(ctx, d.Options, r, d.fibs, d.APIBase+i*apiStep+200) })
		}
	}
	var problem *client.Problem
	_, err = d.client.Do(ctx, client.Call{Method: http.MethodGet, Path: "/kv/" + filled}, nil)
	switch {
	case errors.As(err, &problem) && problem.Status == http.StatusNotFound:
		if err := d.fill(ctx, table); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		d.say("  %-14s as they were left\n", "routes")
	}
	if d.PlaneBinary != "" {
		if err := d.step(ctx, "data planes", d.inSync); err != nil {
			return err
		}
	}
	d.announce()
	table = nil
	debug.FreeOSMemory() // the table was most of this process
	return d.keepChanging(ctx, changes)
}

func (d *demonstration) say(format string, args ...any) { fmt.Fprintf(d.Out, format, args...) }

// step does something that takes time and says what came of it.
func (d *demonstration) step(ctx context.Context, name string, do func(ctx context.Context) (string, error)) error {
	begin := time.Now()
	said, err := do(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	d.say("  %-14s %s (%.1f s)\n", name, said, time.Since(begin).Seconds())
	return nil
}

// patience bounds what a start waits for.
const patience = 5 * time.Minute

// poll asks until ok, every now and then.
func poll(ctx context.Context, ok func(ctx context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		done, err := ok(ctx)
		if done || err != nil {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ready waits until every node says so itself.
func (d *demonstration) ready(ctx context.Context) error {
	for _, api := range d.apis {
		if err := poll(ctx, func(ctx context.Context) (bool, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+api+"/readyz", nil)
			if err != nil {
				return false, err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return false, nil // not yet
			}
			_ = resp.Body.Close()
			return resp.StatusCode == http.StatusOK, nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// fill declares the network and imports the table, in portions that are
// repeated safely.
func (d *demonstration) fill(ctx context.Context, table []placed) error {
	if err := d.step(ctx, "network", func(ctx context.Context) (string, error) {
		return fmt.Sprintf("%d routers, %d links", len(routers), len(links)), d.commit(ctx, self, "the network", network())
	}); err != nil {
		return err
	}
	return d.step(ctx, "routes", func(ctx context.Context) (string, error) {
		const portion = 50000
		var lines []byte
		for i := 0; i < len(table); i += portion {
			part := table[i:min(i+portion, len(table))]
			lines = lines[:0]
			for _, p := range part {
				lines = append(eventlog.AppendEvent(lines, p.announced()), '\n')
			}
			if err := d.importLines(ctx, lines); err != nil {
				return "", err
			}
		}
		value, _ := json.Marshal(map[string]string{"value": time.Now().UTC().Format(time.RFC3339)})
		_, err := d.client.Do(ctx, client.Call{Method: http.MethodPut, Path: "/kv/" + filled, Header: http.Header{"X-Dvr-Actor": {self}}, Body: value}, nil)
		return strconv.Itoa(len(table)) + " of the Internet", err
	})
}

func (d *demonstration) importLines(ctx context.Context, lines []byte) error {
	call := client.Call{
		Method: http.MethodPost, Path: "/v1/routes/import", Query: url.Values{"timeout": {patience.String()}, "reason": {"full table"}},
		Header: http.Header{"Content-Type": {"application/x-ndjson"}, "X-Dvr-Actor": {self}}, IdempotencyKey: client.NewKey(),
	}
	_, err := d.client.Upload(ctx, call, bytes.NewReader(lines), nil)
	return err
}

// commit is one of several events by an actor.
func (d *demonstration) commit(ctx context.Context, actor, reason string, events []eventlog.Event) error {
	body := []byte(`{"events":[`)
	for i, e := range events {
		if i > 0 {
			body = append(body, ',')
		}
		body = eventlog.AppendEvent(body, e)
	}
	body = append(body, `]}`...)
	_, err := d.client.Do(ctx, client.Call{
		Method: http.MethodPost, Path: "/v1/commits", Query: url.Values{"reason": {reason}}, Header: http.Header{"X-Dvr-Actor": {actor}}, Body: body,
	}, nil)
	return err
}

// inSync waits until the data planes have what the nodes computed.
func (d *demonstration) inSync(ctx context.Context) (string, error) {
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		var got struct {
			DataPlanes []struct {
				Connected   bool   `json:"connected"`
				DigestEqual bool   `json:"digest_equal"`
				Lag         uint64 `json:"lag"`
			} `json:"dataplanes"`
		}
		if _, err := d.client.Do(ctx, client.Call{Method: http.MethodGet, Path: "/v1/dataplanes"}, &got); err != nil {
			return false, err
		}
		good := 0
		for _, p := range got.DataPlanes {
			if p.Connected && p.DigestEqual && p.Lag == 0 {
				good++
			}
		}
		return good == len(borders), nil
	})
	return fmt.Sprintf("in sync at %s, %s, %s", borders[0], borders[1], borders[2]), err
}

func (d *demonstration) announce() {
	listen := d.Listen
	if strings.HasPrefix(listen, ":") {
		listen = "127.0.0.1" + listen
	}
	d.say("\nDashboard      http://%s\nAPI reference  http://%s/docs\n\nIn another terminal:\n  export DVR_ENDPOINTS=%s\n  dvr top\n  dvr explain 10.9.0.1 --router lon\nand then docs/tutorial.md.\n",
		listen, listen, strings.Join(d.apis, ","))
}

// keepChanging makes a change at each pace until ctx ends. What a change is
// refused with passes: nodes may be away for a while, guards may be set.
func (d *demonstration) keepChanging(ctx context.Context, c *churn) error {
	if d.Pace <= 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	tick := time.NewTicker(d.Pace)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		one, cancel := context.WithTimeout(ctx, 30*time.Second)
		m := c.next()
		events, err := c.events(m, func(p netip.Prefix) ([]eventlog.RouteID, error) { return d.candidates(one, p) })
		if err == nil && len(events) > 0 {
			err = d.commit(one, m.actor, "path change", events)
		}
		cancel()
		if err == nil {
			c.moved(m)
		}
	}
}

// candidates are those that a prefix of the Internet has, as the cluster has them
// now: a change may have been stored whose answer was lost, an operator may have
// rolled one back, and an earlier demonstration have left its own.
func (d *demonstration) candidates(ctx context.Context, p netip.Prefix) ([]eventlog.RouteID, error) {
	var got struct {
		Routes []struct {
			Router    eventlog.RouterID `json:"router"`
			NextHop   netip.Addr        `json:"next_hop"`
			Type      string            `json:"type"`
			Interface string            `json:"interface"`
			Origin    string            `json:"origin"`
		} `json:"routes"`
	}
	query := url.Values{"within": {p.String()}, "covering": {p.String()}, "tag": {internetTag}, "consistency": {"linearizable"}}
	if _, err := d.client.Do(ctx, client.Call{Method: http.MethodGet, Path: "/v1/routes", Query: query}, &got); err != nil {
		return nil, err
	}
	var out []eventlog.RouteID
	for _, r := range got.Routes {
		if r.Type+r.Interface+r.Origin == "" { // as all that the demonstration announces
			out = append(out, eventlog.RouteID{Router: r.Router, Destination: p, NextHop: r.NextHop, Origin: eventlog.DefaultOrigin})
		}
	}
	return out, nil
}
