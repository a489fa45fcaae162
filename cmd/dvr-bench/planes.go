package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"dvr/cmd/internal/client"
	"dvr/cmd/internal/testbed"
	"dvr/controller/fibpb"
	"dvr/controller/fibstream/fibtest"
)

// planeCount is how many data planes one node has.
const planeCount = 1000

// benchFleet: one node with 1,000 data planes, each a stream of its own over
// loopback from this process. A change of one route until all have acknowledged
// it; the full table to all, and the memory that the node takes for that.
func benchFleet(ctx context.Context, r *report) error {
	if err := changeToAll(ctx, r); err != nil {
		return err
	}
	return tableToAll(ctx, r)
}

// changeToAll: data planes that keep a table and compute its digest, 1,000 routes.
func changeToAll(ctx context.Context, r *report) error {
	n, err := freshNode(ctx, filepath.Join(r.dir, "planes"))
	if err != nil {
		return err
	}
	defer n.Kill()
	c, err := dial(n.API)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	for i := range 1000 {
		if err := c.post(n.API, "/routes?wait=logged", route(201, i), http.StatusCreated); err != nil {
			return err
		}
	}
	f := newFleet(n.FIB)
	defer f.stop()
	if err := f.connect(ctx, 0, planeCount, true); err != nil {
		return err
	}
	var samples durations
	before, err := processTime(n.Pid())
	if err != nil {
		return err
	}
	const changes = 100
	for i := range changes {
		begin := time.Now()
		if err := c.post(n.API, "/routes?wait=installed&timeout=30s", route(200, i), http.StatusCreated); err != nil {
			return f.failure(err)
		}
		samples = append(samples, time.Since(begin))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond): // idle between changes is what is measured
		}
	}
	after, err := processTime(n.Pid())
	if err != nil {
		return err
	}
	samples.sort()
	r.add(row{what: "1,000 data planes, one route changes: POST to all acked, p50", value: milliseconds(samples.at(.5)), unit: "ms", must: 500, aim: 100,
		note: fmt.Sprintf("%d changes; the node's processor time %.0f ms each; the data planes share the processors", changes, milliseconds(time.Duration(after-before))/changes)})
	r.add(row{what: "  p90", value: milliseconds(samples.at(.9)), unit: "ms", unbounded: true, note: fmt.Sprintf("the slowest %.0f ms", milliseconds(samples.at(1)))})
	return nil
}

// tableToAll: the full table to one data plane, then to all at once. These count
// what they receive and keep nothing: 1,000 tables are no single machine's.
func tableToAll(ctx context.Context, r *report) error {
	body, err := ndjson(64, 0)
	if err != nil {
		return err
	}
	n, err := freshNode(ctx, filepath.Join(r.dir, "planes-full"))
	if err != nil {
		return err
	}
	defer n.Kill()
	var out imported
	if _, err := n.Client.Do(ctx, client.Call{
		Method: http.MethodPost, Path: "/v1/routes/import?timeout=5m", Body: body, Header: http.Header{"Content-Type": {"application/x-ndjson"}},
	}, &out); err != nil {
		return err
	}
	body = nil
	runtime.GC()
	f := newFleet(n.FIB)
	defer f.stop()
	begin := time.Now()
	one, err := peak(n, func() error { return f.connect(ctx, 0, 1, false) })
	if err != nil {
		return err
	}
	alone := time.Since(begin)
	begin = time.Now()
	all, err := peak(n, func() error { return f.connect(ctx, 1, planeCount, false) })
	if err != nil {
		return err
	}
	took := time.Since(begin)
	const prefixes = 901899 + 160147
	if got := f.prefixes.Load(); got < prefixes*planeCount || f.again.Load() == 0 && got > prefixes*planeCount {
		return fmt.Errorf("%d prefixes were received, want %d", got, prefixes*planeCount)
	}
	r.add(row{what: "the full table to 1,000 data planes: memory for each beside one copy", value: float64(all-one) / 1024 / (planeCount - 1), unit: "KiB", must: 256, aim: 128,
		note: fmt.Sprintf("anonymous resident memory of the node: with the table and one data plane at most %d MiB, with 1,000 %d MiB", one>>20, all>>20)})
	r.add(row{what: "  until all have acked", value: took.Seconds(), unit: "s", unbounded: true,
		note: fmt.Sprintf("one alone %.2f s; %.1f GB on loopback, read and counted on the same processors; %d connections were lost and made anew", alone.Seconds(), float64(f.bytes.Load())/1e9, f.again.Load())})
	c, err := dial(n.API)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	var samples durations
	for i := range 50 {
		begin := time.Now()
		if err := c.post(n.API, "/routes?wait=installed&timeout=30s", route(200, i), http.StatusCreated); err != nil {
			return f.failure(err)
		}
		samples = append(samples, time.Since(begin))
	}
	samples.sort()
	r.add(row{what: "  one route changes on it: POST to all acked, p50", value: milliseconds(samples.at(.5)), unit: "ms", must: 500, aim: 100,
		note: fmt.Sprintf("the slowest of %d %.0f ms", len(samples), milliseconds(samples.at(1)))})
	return nil
}

// peak is the most anonymous memory that the node had resident while f ran,
// looked at every 10 ms.
func peak(n *testbed.Node, f func() error) (most int64, err error) {
	done := make(chan error, 1)
	go func() { done <- f() }()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		m, err := n.Memory()
		if err != nil {
			return 0, errors.Join(err, <-done)
		}
		most = max(most, m.Anonymous)
		select {
		case err := <-done:
			return most, err
		case <-look.C:
		}
	}
}

// fleet is data planes in this process. The counters are of those that keep nothing.
type fleet struct {
	address         string
	ctx             context.Context
	cancel          context.CancelFunc
	running         sync.WaitGroup
	prefixes, bytes atomic.Int64 // of full tables that came whole
	again           atomic.Int64 // connections that were lost and made anew
	failed          chan error
}

func newFleet(address string) *fleet {
	f := &fleet{address: address, failed: make(chan error, planeCount)}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// stop ends all of them and waits for that.
func (f *fleet) stop() {
	f.cancel()
	f.running.Wait()
}

// failure is err and why the first data plane ended, if one did.
func (f *fleet) failure(err error) error {
	select {
	case why := <-f.failed:
		return errors.Join(err, why)
	default:
		return err
	}
}

// connect starts the data planes from first to before last, and waits until each
// has acknowledged its first table. whole: they keep what they get.
func (f *fleet) connect(ctx context.Context, first, last int, whole bool) error {
	acked := make(chan struct{}, last-first)
	for i := first; i < last; i++ {
		name := fmt.Sprintf("p%04d", i)
		f.running.Go(func() {
			began := sync.OnceFunc(func() { acked <- struct{}{} })
			for {
				err := f.serve(name, whole, began)
				if f.ctx.Err() != nil {
					return
				}
				if code := status.Code(err); code != codes.Unavailable && code != codes.DeadlineExceeded {
					f.failed <- fmt.Errorf("data plane %s: %w", name, err)
					return
				}
				f.again.Add(1) // as dvr-dataplane does
			}
		})
	}
	for range last - first {
		select {
		case <-acked:
		case err := <-f.failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// serve is one data plane, until it is stopped.
func (f *fleet) serve(name string, whole bool, began func()) error {
	conn, err := grpc.NewClient(f.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	plane := fibtest.NewPlane(name, "bench-"+name)
	plane.Credit = 32
	var consumed uint32
	var prefixes, bytes int64
	s, err := plane.Connect(f.ctx, conn, nil)
	if err != nil {
		return err
	}
	defer s.Cut()
	for {
		var c *fibpb.DeltaChunk
		if whole {
			m, err := s.Receive()
			if err != nil {
				return err
			}
			c = m.GetDelta()
		} else {
			m, err := s.Pass()
			if err != nil {
				return err
			}
			if c = m.GetDelta(); c.GetKind() == fibpb.DeltaChunk_FULL {
				set := c.GetSet()
				prefixes += int64(len(set.GetLength4()) + len(set.GetLength6()))
				bytes += int64(proto.Size(c))
			}
		}
		if c == nil {
			continue
		}
		var err error
		if c.GetEnd() {
			if whole {
				err = s.Ack(c)
			} else {
				err = s.Send(&fibpb.DataPlaneMessage{Kind: &fibpb.DataPlaneMessage_Ack{Ack: &fibpb.Ack{Delta: c.GetDelta(), Position: c.GetPosition(), Digest: c.GetDigest()}}})
			}
			if err == nil {
				f.prefixes.Add(prefixes)
				f.bytes.Add(bytes)
				prefixes, bytes = 0, 0
				began()
			}
		}
		if consumed++; err == nil && 2*consumed >= plane.Credit { // as dvr-dataplane does
			err = s.Grant(consumed)
			consumed = 0
		}
		if errors.Is(err, io.EOF) { // sending tells only that it ended
			for err = nil; err == nil; {
				_, err = s.Pass()
			}
		}
		if err != nil {
			return err
		}
	}
}
