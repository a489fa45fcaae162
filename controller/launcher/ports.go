package launcher

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
)

// Ports of a node and of its data plane, all on loopback.
type Ports struct {
	API       int `json:"api"`
	FIB       int `json:"fib"`
	Raft      int `json:"raft"`
	Client    int `json:"client"` // of the embedded etcd
	DataPlane int `json:"dataplane"`
}

// Distances of the derived ports, as a node and `make run` have them.
const (
	fibAfterAPI       = 100
	dataPlaneAfterAPI = 200
	clientAfterRaft   = 2379 - 8300
)

type port struct {
	name string
	port int
}

func (p Ports) list() []port {
	return []port{{"API", p.API}, {"FIB", p.FIB}, {"Raft", p.Raft}, {"etcd client", p.Client}, {"data plane", p.DataPlane}}
}

// nodePorts are those that the node itself listens on.
func (p Ports) nodePorts() []port { return p.list()[:4] }

func loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// slot is the i-th node's ports.
func (c *Configuration) slot(i int) Ports {
	api, raft := c.APIBase+i*c.APIStep, c.RaftBase+i
	return Ports{API: api, FIB: api + fibAfterAPI, Raft: raft, Client: raft + clientAfterRaft, DataPlane: api + dataPlaneAfterAPI}
}

// next is the first slot all of whose ports are neither configured nor in use.
func (c *Configuration) next(inUse func(port int) error) (Ports, error) {
	taken := map[int]bool{}
	for _, n := range c.Nodes {
		for _, p := range n.Ports.list() {
			taken[p.port] = true
		}
	}
	for i := 0; ; i++ {
		ports := c.slot(i)
		free := true
		for _, p := range ports.list() {
			if p.port > 65535 {
				return Ports{}, fmt.Errorf("%w above %d", ErrNoPorts, c.APIBase)
			}
			free = free && !taken[p.port] && inUse(p.port) == nil
		}
		if free {
			return ports, nil
		}
	}
}

// portInUse is nil where a process could listen there now.
func portInUse(port int) error {
	l, err := net.Listen("tcp", loopback(port))
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("port %d is in use by another program%s", port, passing(port))
		}
		return fmt.Errorf("port %d: %w", port, err)
	}
	return l.Close()
}

// passing says that what holds a port may be no listener but an outgoing
// connection, which goes away without anybody's doing; "" where the system
// gives such connections other ports.
func passing(port int) string {
	raw, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return ""
	}
	var low, high int
	if _, err := fmt.Sscan(string(raw), &low, &high); err != nil || port < low || port > high {
		return ""
	}
	return fmt.Sprintf(" (or by an outgoing connection: the system gives those the ports from %d to %d)", low, high)
}

// checkPorts names the first port that another program holds.
func checkPorts(list []port) error {
	for _, p := range list {
		if err := portInUse(p.port); err != nil {
			return fmt.Errorf("%s %w", p.name, err)
		}
	}
	return nil
}
