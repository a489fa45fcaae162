package testbed

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"time"
)

// Etcd is an etcd server of its own, one member with etcd's defaults. Its ports
// and data stay over restarts.
type Etcd struct {
	*process
	Dir     string
	Client  string // address for clients
	peer    string
	command []string
}

// NewEtcd prepares an etcd with its data under dir; Start runs it. command and
// its arguments are what etcd's own flags are added to.
func NewEtcd(dir string, command ...string) (*Etcd, error) {
	e := &Etcd{Dir: dir, command: command}
	for _, a := range []*string{&e.Client, &e.peer} {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		*a = fmt.Sprintf("127.0.0.1:%d", port)
	}
	return e, nil
}

// Start runs the server and returns at once.
func (e *Etcd) Start() error {
	client, peer := "http://"+e.Client, "http://"+e.peer
	args := append(e.command[1:len(e.command):len(e.command)],
		"--name", "external", "--data-dir", filepath.Join(e.Dir, "etcd"),
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "external="+peer,
		"--log-level", "warn")
	p, err := start(e.command[0], e.Dir, filepath.Join(e.Dir, "etcd.log"), nil, args...)
	e.process = p
	return err
}

// Ready waits until the member has a leader and serves.
func (e *Etcd) Ready(ctx context.Context) error {
	return e.ready(ctx, http.DefaultClient, "http://"+e.Client+"/health")
}

// ready waits until a GET answers 200.
func (p *process) ready(ctx context.Context, asking *http.Client, url string) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if resp, err := asking.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w\n%s", ctx.Err(), p.Log())
		case <-p.done:
			return fmt.Errorf("ended: %w\n%s", p.err, p.Log())
		case <-time.After(2 * time.Millisecond): // polls another process: nothing to wait on
		}
	}
}
