package cluster

import (
	"context"
	"net/http"
	"sync"
	"time"
)

const (
	probeTimeout = 700 * time.Millisecond
	probeAge     = time.Second
	maxProbed    = 256
)

// prober asks nodes whether they answer and remembers it for a second.
type prober struct {
	client *http.Client
	mu     sync.Mutex
	seen   map[string]probed
}

type probed struct {
	at time.Time
	ok bool
}

func newProber() *prober {
	return &prober{client: newHTTPClient(probeTimeout), seen: map[string]probed{}}
}

// ask asks all URLs at once; an empty one is answered yes.
func (p *prober) ask(ctx context.Context, urls []string, fresh bool) []bool {
	out := make([]bool, len(urls))
	var asking sync.WaitGroup
	for i, u := range urls {
		if u == "" {
			out[i] = true
			continue
		}
		p.mu.Lock()
		last, ok := p.seen[u]
		p.mu.Unlock()
		if ok && !fresh && time.Since(last.at) < probeAge {
			out[i] = last.ok
			continue
		}
		asking.Go(func() {
			status, _, _, err := get(ctx, p.client, u)
			out[i] = err == nil && status == http.StatusOK
			p.mu.Lock()
			defer p.mu.Unlock()
			if len(p.seen) >= maxProbed {
				clear(p.seen)
			}
			p.seen[u] = probed{time.Now(), out[i]}
		})
	}
	asking.Wait()
	return out
}
