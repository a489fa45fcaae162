package cluster

import (
	"context"
	"net/http"
	"sync"
	"time"

	"dvr/controller/certs"
)

const (
	probeTimeout = 700 * time.Millisecond
	probeAge     = time.Second
	maxProbed    = 256
)

// question is what a node is asked to find out whether it is online. The zero
// one, about the node itself, is answered yes.
type question struct {
	api     string // of an observer, host:port: does its API answer?
	raft    string // of a member, host:port: does etcd answer there,
	cluster uint64 // as one of this cluster? Another's at the same address is a stranger.
}

// prober asks nodes whether they answer and remembers it for a second.
type prober struct {
	client *httpClient
	mu     sync.Mutex
	seen   map[question]probed
}

type probed struct {
	at time.Time
	ok bool
}

func newProber(tls *certs.Credentials) *prober {
	return &prober{client: newHTTPClient(probeTimeout, tls), seen: map[question]probed{}}
}

// ask asks all questions at once.
func (p *prober) ask(ctx context.Context, questions []question, fresh bool) []bool {
	out := make([]bool, len(questions))
	var asking sync.WaitGroup
	for i, u := range questions {
		if u == (question{}) {
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
			out[i] = p.online(ctx, u)
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

func (p *prober) online(ctx context.Context, q question) bool {
	if q.raft != "" {
		cluster, err := clusterAt(ctx, p.client, q.raft)
		return err == nil && cluster == q.cluster
	}
	status, _, _, err := get(ctx, p.client, p.client.url(q.api, "/livez"))
	return err == nil && status == http.StatusOK
}
