package robustness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"
)

// Cluster is nodes on a Network. The first few form it; others may join.
type Cluster struct {
	Network     *Network
	Binary      string   // acts as a node by roleVariable
	Environment []string // of every node
	Seats       []*Seat  // founders first, then spare ones

	founders int
	dir      string
	asking   *http.Client
	transact sync.Mutex // one change of the members at a time
}

// Options of a Cluster.
type Options struct {
	Dir         string // for data and logs
	Binary      string
	Founders    int
	Spares      int
	Environment []string
}

// NewCluster makes the network and the seats; nothing runs yet.
func NewCluster(o Options) (c *Cluster, err error) {
	c = &Cluster{Binary: o.Binary, Environment: o.Environment, founders: o.Founders, dir: o.Dir}
	if c.Network, err = NewNetwork(); err != nil {
		return nil, err
	}
	c.asking = &http.Client{Transport: &http.Transport{DialContext: c.Network.Dial}}
	for i := range o.Founders + o.Spares {
		s, err := newSeat(c, fmt.Sprintf("node-%d", i+1))
		if err != nil {
			c.Close()
			return nil, err
		}
		c.Seats = append(c.Seats, s)
	}
	return c, nil
}

func (c *Cluster) dialGRPC(ctx context.Context, address string) (net.Conn, error) {
	return c.Network.Dial(ctx, "tcp", address)
}

// initial is the setting with which the founders form the cluster.
func (c *Cluster) initial() string {
	var parts []string
	for _, s := range c.Seats[:c.founders] {
		parts = append(parts, s.Name+"="+s.raft)
	}
	return "INITIAL_CLUSTER=" + strings.Join(parts, ",")
}

// Form starts the founders and waits until all are ready.
func (c *Cluster) Form(ctx context.Context) error {
	for _, s := range c.Seats[:c.founders] {
		s.member = true
		if err := s.Start(c.initial()); err != nil {
			return err
		}
	}
	return c.Recovered(ctx)
}

// Members are the seats that are to be members.
func (c *Cluster) Members() []*Seat {
	var out []*Seat
	for _, s := range c.Seats {
		s.mu.Lock()
		if s.member {
			out = append(out, s)
		}
		s.mu.Unlock()
	}
	return out
}

// Askable are the nodes that callers may turn to: members that are not paused
// (a caller would learn nothing but a time-out), dead ones too.
func (c *Cluster) Askable() []Node {
	var out []Node
	for _, s := range c.Members() {
		s.mu.Lock()
		if !s.paused {
			out = append(out, Node{s.Name, s.API})
		}
		s.mu.Unlock()
	}
	return out
}

// Leader is the member that says it leads; nil: none does.
func (c *Cluster) Leader(ctx context.Context) *Seat {
	for _, s := range c.Members() {
		if st, err := s.Status(ctx); err == nil && st.RaftState == "Leader" {
			return s
		}
	}
	return nil
}

// Restore resumes what is paused, also what another fault has taken out of the
// cluster meanwhile, and starts the members that do not run.
func (c *Cluster) Restore() error {
	for _, s := range c.Seats {
		s.Resume()
	}
	var errs []error
	for _, s := range c.Members() {
		if !s.Running() {
			errs = append(errs, s.Start())
		}
	}
	return errors.Join(errs...)
}

// Recovered waits until every member is ready. One that ended by itself is
// started again: that is its supervisor's part.
func (c *Cluster) Recovered(ctx context.Context) error {
	for _, s := range c.Members() {
		for {
			bounded, cancel := context.WithTimeout(ctx, 2*time.Second)
			_, err := s.get(bounded, "/readyz", nil)
			cancel()
			if err == nil {
				break
			}
			if !s.Running() {
				if e := s.Start(); e != nil {
					return e
				}
			}
			if pause(ctx) != nil {
				return fmt.Errorf("%s does not get ready: %w\n%s", s.Name, err, s.Log())
			}
		}
	}
	return nil
}

// member is an entry of GET /v1/cluster/members.
type member struct {
	NodeID string `json:"node_id"`
	Role   string `json:"role"`
}

// listed is the member list as some node other than the seat tells it.
func (c *Cluster) listed(ctx context.Context, not *Seat) ([]member, error) {
	var err error
	for _, s := range c.Members() {
		if s == not {
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, 2*time.Second)
		var v struct{ Members []member }
		_, err = s.get(bounded, "/v1/cluster/members", &v)
		cancel()
		if err == nil {
			return v.Members, nil
		}
	}
	return nil, fmt.Errorf("nobody lists the members: %w", err)
}

// Remove takes the seat's member out of the cluster, through another one; its
// process ends by itself, if it runs.
func (c *Cluster) Remove(ctx context.Context, s *Seat) error {
	c.transact.Lock()
	defer c.transact.Unlock()
	s.mu.Lock()
	s.member = false
	s.mu.Unlock()
	var last error
	for {
		for _, o := range c.Members() {
			bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
			code, err := o.ask(bounded, http.MethodDelete, "/v1/cluster/members/"+s.Name, nil)
			cancel()
			if err == nil || code == http.StatusNotFound {
				log, err := s.Ended(ctx)
				s.Kill()
				if err != nil {
					return fmt.Errorf("%w\n%s", err, log)
				}
				return nil
			}
			last = err
		}
		if pause(ctx) != nil {
			return fmt.Errorf("remove %s: %w", s.Name, last)
		}
	}
}

// Join starts the seat, blank, as a new member and waits until it votes.
func (c *Cluster) Join(ctx context.Context, s *Seat) error {
	c.transact.Lock()
	defer c.transact.Unlock()
	var join []string
	for _, o := range c.Members() {
		if o != s {
			join = append(join, o.API)
		}
	}
	if err := errors.Join(s.Empty(""), s.Start("JOIN="+strings.Join(join, ","))); err != nil {
		return err
	}
	for {
		list, err := c.listed(ctx, s)
		if err == nil && slices.Contains(list, member{s.Name, "voter"}) {
			s.mu.Lock()
			s.member = true
			s.mu.Unlock()
			return nil
		}
		if !s.Running() {
			if strings.Contains(s.Log(), "refused") {
				return fmt.Errorf("%s does not join:\n%s", s.Name, s.Log())
			}
			if e := s.Start("JOIN=" + strings.Join(join, ",")); e != nil {
				return e
			}
		}
		if pause(ctx) != nil {
			return fmt.Errorf("%s is no voter: %v: %w\n%s", s.Name, list, err, s.Log())
		}
	}
}

// Etcd gives a client of the seat's member.
func (s *Seat) Etcd() *clientv3.Client { return s.etcd }

// Close ends every node and removes the network and the disks. The logs stay.
func (c *Cluster) Close() {
	for _, s := range c.Seats {
		s.Kill()
		_ = s.etcd.Close()
		_ = unix.Unmount(s.data, unix.MNT_DETACH)
	}
	c.asking.CloseIdleConnections()
	c.Network.Close()
}

// keepLogs copies the nodes' logs to a directory.
func (c *Cluster) keepLogs(dir string) error {
	var errs []error
	for _, s := range c.Seats {
		raw, err := os.ReadFile(filepath.Join(s.dir, "node.log"))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, s.Name+".log"), raw, 0o600)
		}
		if !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
