package launcher

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"dvr/controller/certs"
)

// What processes print goes to these files of the node's directory.
const (
	nodeLog  = "node.log"
	planeLog = "dataplane.log"
)

// planeState is the directory of a data plane's state, in the node's.
const planeState = "dataplane"

// errRemoved: the cluster has gone on without this node.
var errRemoved = errors.New("it is no longer a member of the cluster: decommission it, and add it again if it is wanted")

func (l *Launcher) nodeDir(id string) string { return filepath.Join(l.dir, "nodes", id) }

// nodeRunner runs `dvr node`.
type nodeRunner struct {
	l  *Launcher
	id string
}

func (r *nodeRunner) command() (*command, *Node, error) {
	c := r.l.store.get()
	n, ok := c.Nodes[r.id]
	if !ok {
		return nil, nil, ErrUnknownNode
	}
	dir := r.l.nodeDir(r.id)
	shows, err := r.l.shown(certs.Node, r.id, "")
	if err != nil {
		return nil, nil, err
	}
	return &command{
		path: r.l.options.Binary, args: []string{"node"}, dir: dir,
		environment: slices.Concat(inherited(r.l.options.Environ), c.nodeEnvironment(r.id, dir), shows),
		log:         filepath.Join(dir, nodeLog), record: filepath.Join(dir, "node.process"), mark: mark("DATA_DIR", dir, "data"),
	}, &n, nil
}

func (r *nodeRunner) adopt() (process, error) {
	c, _, err := r.command()
	if err != nil {
		return nil, err
	}
	return c.adopt()
}

func (r *nodeRunner) start() (process, error) {
	c, n, err := r.command()
	if err != nil {
		return nil, err
	}
	if n.Joined && r.removed() {
		return nil, errRemoved
	}
	if err := checkPorts(n.Ports.nodePorts()); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	return c.start()
}

// removed reports whether a majority of the members knows this one no longer.
func (r *nodeRunner) removed() bool {
	v, _ := r.l.view()
	m, quorum, ok := v.membership()
	if !ok || !quorum || m.ClusterID != v.configuration.ClusterID {
		return false
	}
	_, member := m.of(r.id)
	return !member
}

// planeRunner runs the node's `dvr-dataplane`.
type planeRunner struct {
	l  *Launcher
	id string
}

func (r *planeRunner) command() (*command, *Node, error) {
	c := r.l.store.get()
	n, ok := c.Nodes[r.id]
	if !ok {
		return nil, nil, ErrUnknownNode
	}
	dir := r.l.nodeDir(r.id)
	shows, err := r.l.shown(certs.DataPlane, r.id, "DVR_")
	if err != nil {
		return nil, nil, err
	}
	return &command{
		path: r.l.options.PlaneBinary, dir: dir,
		environment: slices.Concat(inherited(r.l.options.Environ), c.planeEnvironment(r.id, dir), shows),
		log:         filepath.Join(dir, planeLog), record: filepath.Join(dir, "dataplane.process"), mark: mark("DVR_STATE_DIR", dir, planeState),
	}, &n, nil
}

func (r *planeRunner) adopt() (process, error) {
	c, _, err := r.command()
	if err != nil {
		return nil, err
	}
	return c.adopt()
}

func (r *planeRunner) start() (process, error) {
	c, n, err := r.command()
	if err != nil {
		return nil, err
	}
	if err := checkPorts(n.Ports.list()[4:]); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	return c.start()
}
