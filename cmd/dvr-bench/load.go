package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// connection is a keep-alive HTTP/1.1 connection that costs the load
// generator little: requests are prepared bytes, answers are read by the
// standard library's parser.
type connection struct {
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
}

func dial(addr string) (*connection, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return newConnection(conn), nil
}

func newConnection(conn net.Conn) *connection {
	return &connection{conn, bufio.NewReaderSize(conn, 4096), bufio.NewWriterSize(conn, 4096)}
}

// post sends one body and wants the status code.
func (c *connection) post(host, path string, body []byte, want int) error {
	fmt.Fprintf(c.w, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, host, len(body))
	c.w.Write(body)
	if err := c.w.Flush(); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != want {
		return fmt.Errorf("status %d: %s", resp.StatusCode, bytes.TrimSpace(answer))
	}
	return nil
}

// hammer sends bodies over n connections for d and gives calls a second and
// the latencies of every call.
func hammer(ctx context.Context, addr, path string, n int, d time.Duration, body func(worker, i int) []byte) (float64, durations, error) {
	var connections []*connection
	for range n {
		c, err := dial(addr)
		if err != nil {
			return 0, nil, err
		}
		defer c.conn.Close()
		connections = append(connections, c)
	}
	return hammerOver(ctx, connections, addr, path, d, body)
}

// hammerOver is hammer over connections that stand.
func hammerOver(ctx context.Context, connections []*connection, addr, path string, d time.Duration, body func(worker, i int) []byte) (float64, durations, error) {
	var wg sync.WaitGroup
	samples := make([]durations, len(connections))
	failures := make([]error, len(connections))
	begin := time.Now()
	for w, c := range connections {
		wg.Go(func() {
			for i := 0; time.Since(begin) < d && ctx.Err() == nil; i++ {
				start := time.Now()
				if err := c.post(addr, path, body(w, i), http.StatusCreated); err != nil {
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
	if err := errors.Join(failures...); err != nil {
		return 0, nil, err
	}
	if len(all) == 0 {
		return 0, nil, errors.New("no call was made")
	}
	return float64(len(all)) / elapsed.Seconds(), all.sort(), nil
}

// route is a body for worker w's i-th call: destinations of its own that repeat
// after a while with another metric, so that routes are both added and changed.
func route(w, i int) []byte {
	return fmt.Appendf(nil, `{"destination":"10.%d.%d.0/24","next_hop":"192.168.1.%d","metric":%d}`, w, i%250, 1+w%200, i%1000)
}
