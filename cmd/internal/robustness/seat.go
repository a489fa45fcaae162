package robustness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"dvr/cmd/internal/testbed"
	"dvr/controller/durable"
)

// Seat is the place of one node: its host, its addresses and its disk stay
// over restarts.
type Seat struct {
	Name    string
	API     string
	Address string
	raft    string

	cluster *Cluster
	dir     string // the log file and the clock's
	data    string // a small tmpfs

	mu       sync.Mutex
	node     *testbed.Node
	settings []string // of the last start
	running  bool
	paused   bool
	member   bool // is to be a member: not on its way in or out
	etcd     *clientv3.Client
}

// diskSize holds etcd's two preallocated WAL segments, its database at the
// quota, and a defragmentation.
const (
	diskSize  = "size=700m"
	etcdQuota = "128MiB"
)

func newSeat(c *Cluster, name string) (*Seat, error) {
	address, err := c.Network.Add(name)
	if err != nil {
		return nil, err
	}
	s := &Seat{Name: name, Address: address, API: address + ":9090", raft: address + ":8300", cluster: c, dir: filepath.Join(c.dir, name)}
	s.data = filepath.Join(s.dir, "data")
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		return nil, err
	}
	// The source names the run, so that a later one can tidy up behind one that was killed.
	if err := unix.Mount(c.Network.run+name, s.data, "tmpfs", 0, diskSize); err != nil {
		return nil, fmt.Errorf("disk of %s: %w", name, err)
	}
	s.etcd, err = clientv3.New(clientv3.Config{
		Endpoints: []string{address + ":2379"}, DialTimeout: time.Second, Logger: zap.NewNop(), MaxCallRecvMsgSize: 256 << 20,
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(c.dialGRPC)},
	})
	return s, err
}

// Start runs the node with further settings, without any with those of the
// last start, and returns at once.
func (s *Seat) Start(settings ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running && s.node.Running() {
		return nil
	}
	if len(settings) > 0 {
		s.settings = settings
	}
	n, err := testbed.NewNodeOf(s.cluster.Binary, s.dir)
	if err != nil {
		return err
	}
	n.API, n.FIB, n.Raft, n.Etcd = s.API, s.Address+":9190", s.raft, s.Address+":2379"
	n.Environment = append([]string{
		"NODE_ID=" + s.Name, "INSECURE=true", "LOG_FORMAT=json", "ETCD_QUOTA=" + etcdQuota, "ETCD_WRITABLE=true", "MEMORY_LIMIT=1GiB",
		roleVariable + "=node", clockVariable + "=" + filepath.Join(s.dir, "clock"),
	}, append(s.cluster.Environment, s.settings...)...)
	n.Wrapper = s.cluster.Network.Wrapper(s.Name)
	if err := n.Start(); err != nil {
		return err
	}
	s.node, s.running, s.paused = n, true, false
	return nil
}

// Kill is SIGKILL, also of a paused node.
func (s *Seat) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running {
		s.node.Kill()
		s.running, s.paused = false, false
	}
}

// Stop is SIGTERM.
func (s *Seat) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running {
		return nil
	}
	s.running = false
	return s.node.Stop(20 * time.Second)
}

// Pause is SIGSTOP, Resume SIGCONT.
func (s *Seat) Pause() { s.signal(syscall.SIGSTOP, true) }

// Resume ends a pause.
func (s *Seat) Resume() { s.signal(syscall.SIGCONT, false) }

func (s *Seat) signal(sig syscall.Signal, paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running && s.node.Running() {
		_ = syscall.Kill(s.node.Pid(), sig) // it has just ended, or takes it
		s.paused = paused
	}
}

// Running reports whether the process is there; one that has ended by itself is not.
func (s *Seat) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running && s.node.Running()
}

// Supervise starts a member's node that ended by itself, as whoever runs it would.
func (s *Seat) Supervise() error {
	s.mu.Lock()
	ended := s.member && s.running && !s.node.Running()
	s.mu.Unlock()
	if !ended {
		return nil
	}
	return s.Start()
}

// Pid is the process id; 0: none.
func (s *Seat) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running || !s.node.Running() {
		return 0
	}
	return s.node.Pid()
}

// Ended waits until the process has ended by itself, and gives the end of its log.
func (s *Seat) Ended(ctx context.Context) (string, error) {
	for s.Running() {
		if err := pause(ctx); err != nil {
			return s.Log(), fmt.Errorf("%s runs on: %w", s.Name, err)
		}
	}
	return s.Log(), nil
}

// Log is the end of what the node printed.
func (s *Seat) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node == nil {
		return ""
	}
	return s.node.Log()
}

// Jump sets the node's clock off by d.
func (s *Seat) Jump(d time.Duration) error {
	return durable.Write(filepath.Join(s.dir, "clock"), []byte(d.String()), 0o600)
}

// Empty removes what lies under the data directory, or under a part of it.
func (s *Seat) Empty(part string) error {
	dir := filepath.Join(s.data, part)
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// FillDisk takes all room on the node's disk; the function that it returns gives it back.
func (s *Seat) FillDisk() (free func() error, err error) {
	path := filepath.Join(s.data, "ballast")
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for err == nil {
		if _, err = f.Write(block); errors.Is(err, unix.ENOSPC) && len(block) > 1 {
			block, err = block[:len(block)/2], nil
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		_ = os.Remove(path)
		return nil, err
	}
	return func() error {
		if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil // the whole disk was emptied meanwhile
	}, nil
}

// get asks the node and decodes the answer; the status is returned.
func (s *Seat) get(ctx context.Context, path string, out any) (int, error) {
	return s.ask(ctx, http.MethodGet, path, out)
}

func (s *Seat) ask(ctx context.Context, method, path string, out any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.API+path, nil)
	if err != nil {
		return 0, err
	}
	resp, err := s.cluster.asking.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, err
	}
	if out != nil {
		err = json.Unmarshal(body, out)
	}
	if resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s at %s: %d %s", method, path, s.Name, resp.StatusCode, body)
	}
	return resp.StatusCode, err
}

// Status is what the node says of itself.
type Status struct {
	RaftState string `json:"raft_state"`
	Quorum    bool
	Revision  uint64
	Hash      string
	Digest    string
	Fault     string
	Position  struct {
		LogID string `json:"log_id"`
		Epoch uint64
	}
	Store struct{ Bytes, Quota uint64 }
}

// Status asks the node, for a second at most.
func (s *Seat) Status(ctx context.Context) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var st Status
	_, err := s.get(ctx, "/v1/status", &st)
	return st, err
}

// pause is the interval at which other processes are looked at: there is
// nothing to wait on.
func pause(ctx context.Context) error {
	t := time.NewTimer(20 * time.Millisecond)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
