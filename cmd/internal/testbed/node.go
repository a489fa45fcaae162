package testbed

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"dvr/cmd/internal/client"
	"dvr/controller/certs"
)

// Node is a `dvr node` process. Its ports and data directory stay over restarts.
type Node struct {
	*process
	Dir                  string
	API, FIB, Raft, Etcd string // addresses; Etcd is where the log can be read
	Environment          []string
	Arguments            []string
	Wrapper              []string // a command and its arguments that execs the node, such as strace -D
	Client               *client.Client
	binary               string
	command              []string // what comes before Arguments
	defaults             bool
	caller               *certs.Credentials // of an operator; nil: the node speaks clear text
}

// NewNode prepares a node of bin/dvr with its data under dir; Start runs it.
func NewNode(dir string, environment ...string) (*Node, error) {
	binary, err := Binary("dvr")
	if err != nil {
		return nil, err
	}
	n, err := NewNodeOf(binary, dir, environment...)
	if n != nil {
		n.command = []string{"node"}
	}
	return n, err
}

// NewNodeOf is NewNode for a binary that is nothing but a node.
func NewNodeOf(binary, dir string, environment ...string) (*Node, error) {
	n := &Node{Dir: dir, Environment: environment, binary: binary}
	var err error
	for _, a := range []*string{&n.API, &n.FIB, &n.Raft, &n.Etcd} {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		*a = fmt.Sprintf("127.0.0.1:%d", port)
	}
	n.Client, err = client.New([]string{n.API}, "test")
	return n, err
}

// Secure makes the node speak TLS with its certificate's files, and Client call
// it as an operator.
func (n *Node) Secure(own certs.Files, operator *certs.Credentials) error {
	n.Environment = append(n.Environment, "CA_FILE="+own.CA, "CERT_FILE="+own.Cert, "KEY_FILE="+own.Key, "CRL_FILE="+own.CRL)
	n.caller = operator
	var err error
	n.Client, err = client.NewSecure([]string{n.API}, "test", operator)
	return err
}

// Upgrade makes the next Start run another dvr.
func (n *Node) Upgrade(binary string) { n.binary = binary }

// Defaults makes the node start with no setting but Environment, in Dir; the
// addresses are those of the defaults.
func (n *Node) Defaults() {
	n.defaults = true
	n.API, n.FIB, n.Raft, n.Etcd = "127.0.0.1:9090", "127.0.0.1:9190", "127.0.0.1:8300", "127.0.0.1:2379"
	n.Client, _ = client.New([]string{n.API}, "test") // cannot fail on this address
}

// Start runs the node and returns at once.
func (n *Node) Start() error {
	env := append([]string{
		"NODE_ID=node-1", "DATA_DIR=" + filepath.Join(n.Dir, "data"),
		"API_ADDR=" + n.API, "FIB_ADDR=" + n.FIB, "RAFT_ADDR=" + n.Raft, "CLIENT_ADDR=" + n.Etcd,
	}, n.Environment...)
	if n.defaults {
		env = n.Environment
	}
	line := slices.Concat(n.Wrapper, []string{n.binary}, n.command, n.Arguments)
	p, err := start(line[0], n.Dir, filepath.Join(n.Dir, "node.log"), env, line[1:]...)
	n.process = p
	return err
}

// Ready waits until /readyz answers 200.
func (n *Node) Ready(ctx context.Context) error {
	asking := http.DefaultClient
	if n.caller != nil {
		asking = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialTLSContext: n.caller.Dial(time.Second, certs.Node)}}
	}
	return n.ready(ctx, asking, n.caller.Scheme()+"://"+n.API+"/readyz")
}

// Use makes the node keep its log in e, which must outlive it.
func (n *Node) Use(e *Etcd) {
	n.Environment = append(n.Environment, "ETCD_ENDPOINTS="+e.Client)
	n.Etcd = e.Client
}

// Get decodes the answer of a GET.
func (n *Node) Get(ctx context.Context, path string, out any) error {
	_, err := n.Client.Do(ctx, client.Call{Method: http.MethodGet, Path: path}, out)
	return err
}

// DataPlaneStatus is an entry of /v1/dataplanes.
type DataPlaneStatus struct {
	Router      string
	Connected   bool
	Lag         uint64
	DigestEqual bool `json:"digest_equal"`
	Failed      uint64
	Position    struct{ Revision uint64 }
}

// InSync waits until the router's data plane has acknowledged at least
// revision with an equal digest.
func (n *Node) InSync(ctx context.Context, router string, revision uint64) error {
	var last error
	for {
		var body struct{ Dataplanes []DataPlaneStatus }
		last = n.Get(ctx, "/v1/dataplanes", &body)
		for _, d := range body.Dataplanes {
			if d.Router == router && d.Connected && d.DigestEqual && d.Lag == 0 && d.Position.Revision >= revision {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			state, _ := json.Marshal(body)
			return errors.Join(fmt.Errorf("data plane %s is not in sync at %d: %s", router, revision, state), last)
		case <-time.After(2 * time.Millisecond): // polls another process: nothing to wait on
		}
	}
}

// DataPlane is a `dvr-dataplane` process.
type DataPlane struct {
	*process
	Dir, Router, Listen string
	Controllers         string
	Sink                string // empty: memory
	Arguments           []string
	Wrapper             []string // as a Node's
	binary              string
}

// NewDataPlane prepares a data plane for router, its state under dir.
func NewDataPlane(dir, router, controllers string, arguments ...string) (*DataPlane, error) {
	binary, err := Binary("dvr-dataplane")
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	return &DataPlane{Dir: dir, Router: router, Listen: fmt.Sprintf("127.0.0.1:%d", port), Controllers: controllers, Arguments: arguments, binary: binary}, nil
}

// Start runs the data plane and returns at once.
func (d *DataPlane) Start() error {
	args := append([]string{
		"--controller", d.Controllers, "--router", d.Router, "--sink", cmp.Or(d.Sink, "memory"),
		"--state-dir", filepath.Join(d.Dir, "dataplane-"+d.Router), "--listen", d.Listen,
	}, d.Arguments...)
	line := slices.Concat(d.Wrapper, []string{d.binary}, args)
	p, err := start(line[0], d.Dir, filepath.Join(d.Dir, "dataplane-"+d.Router+".log"), nil, line[1:]...)
	d.process = p
	return err
}
