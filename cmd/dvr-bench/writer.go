package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// writer is one client that writes one route after the other through one node.
// A call that fails is made again under its idempotency key until it succeeds,
// and counts as one, from its first attempt on.
type writer struct {
	node, name string
	pause      time.Duration // between calls
	http       *http.Client

	mu    sync.Mutex
	calls []written
}

// written is one call that succeeded in the end.
type written struct {
	begun, answered time.Time
}

// retryAfter is between two attempts of a call: short, so that what is measured
// is the cluster and not the client.
const retryAfter = 2 * time.Millisecond

func newWriter(api, name string, pause time.Duration) *writer {
	return &writer{node: api, name: name, pause: pause, http: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}}
}

// run writes until ctx ends.
func (w *writer) run(ctx context.Context) {
	defer w.http.CloseIdleConnections()
	for i := 0; ctx.Err() == nil; i++ {
		begun := time.Now()
		for w.once(ctx, i) != nil {
			if ctx.Err() != nil {
				return
			}
			time.Sleep(retryAfter)
		}
		w.mu.Lock()
		w.calls = append(w.calls, written{begun, time.Now()})
		w.mu.Unlock()
		if w.pause > 0 {
			time.Sleep(w.pause)
		}
	}
}

func (w *writer) once(ctx context.Context, i int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+w.node+"/routes?wait=logged", strings.NewReader(string(route(i/250%250, i))))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", fmt.Sprintf("%s-%d", w.name, i))
	resp, err := w.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusCreated {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, answer)
	}
	return err
}

// count is how many calls have succeeded.
func (w *writer) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.calls)
}

// after reports whether a call that was begun after t has succeeded.
func (w *writer) after(t time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.calls) > 0 && w.calls[len(w.calls)-1].begun.After(t)
}

// slowest is the longest that a call took.
func slowest(list []*writer) time.Duration {
	var most time.Duration
	for _, w := range list {
		for _, c := range w.calls {
			most = max(most, c.answered.Sub(c.begun))
		}
	}
	return most
}

// latencies are those of every call, sorted.
func latencies(list []*writer) durations {
	var all durations
	for _, w := range list {
		for _, c := range w.calls {
			all = append(all, c.answered.Sub(c.begun))
		}
	}
	return all.sort()
}

// writing has the writers write while during runs.
func writing(ctx context.Context, list []*writer, during func() error) error {
	ctx, enough := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, w := range list {
		wg.Go(func() { w.run(ctx) })
	}
	err := during()
	enough()
	wg.Wait()
	return err
}

// wait polls until ok holds for all writers; other processes bring it about.
func wait(ctx context.Context, list []*writer, ok func(*writer) bool) error {
	for _, w := range list {
		for !ok(w) {
			select {
			case <-ctx.Done():
				return fmt.Errorf("writes through %s do not succeed: %w", w.node, ctx.Err())
			case <-time.After(time.Millisecond):
			}
		}
	}
	return nil
}
