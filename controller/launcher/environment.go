package launcher

import (
	"path/filepath"
	"slices"
	"strings"
)

// Settings that the launcher decides for its nodes, by their bare names. With
// DVR_ in front they are settings too.
var decided = []string{
	"ADMIN_ADDR", "API_ADDR", "API_ADVERTISE", "CA_FILE", "CERT_FILE", "CLIENT_ADDR", "CLIENT_ADVERTISE", "CLUSTER_ID", "CRL_FILE", "DATA_DIR", "ETCD_ENDPOINTS", "FIB_ADDR", "FIB_ADVERTISE",
	"INITIAL_CLUSTER", "INSECURE", "JOIN", "JOIN_TOKEN", "KEY_FILE", "NODE_ID", "OBSERVER", "RAFT_ADDR", "RAFT_ADVERTISE",
}

// Settings that mean the same to every node or data plane may come with DVR_
// from the launcher's own environment; all other DVR_ variables are for others.
var passedOn = []string{"DVR_ARCHIVE_DIR", "DVR_BACKUP_DIR", "DVR_BACKUP_INTERVAL", "DVR_BACKUP_KEEP", "DVR_ETCD_QUOTA", "DVR_ETCD_WRITABLE", "DVR_HOLD_LEVEL", "DVR_LOG_FORMAT", "DVR_LOG_LEVEL",
	"DVR_LOG_SAMPLE", "DVR_MEMORY_LIMIT", "DVR_TRACE_ENDPOINT", "DVR_TRACE_RATIO"}

// inherited is the launcher's environment without what would steer a process of its.
func inherited(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(decided, name) || strings.HasPrefix(name, "DVR_") && !slices.Contains(passedOn, name)
	})
}

// voters is the most that a cluster has; further nodes observe.
const voters = 7

// nodeEnvironment is the settings of a node. A founder forms the cluster with
// the others while there is none; every other node joins; one that was a member
// must find its data.
func (c *Configuration) nodeEnvironment(id, dir string) []string {
	n := c.Nodes[id]
	env := []string{
		"NODE_ID=" + id, mark("DATA_DIR", dir, "data"),
		"API_ADDR=" + loopback(n.Ports.API), "FIB_ADDR=" + loopback(n.Ports.FIB),
		"RAFT_ADDR=" + loopback(n.Ports.Raft), "CLIENT_ADDR=" + loopback(n.Ports.Client),
	}
	if n.Joined && c.ClusterID != "" {
		env = append(env, "CLUSTER_ID="+c.ClusterID)
	}
	if n.Observer {
		env = append(env, "OBSERVER=true")
	}
	var list []string
	if slices.Contains(c.Founders, id) {
		if !n.Joined {
			for _, f := range c.Founders {
				list = append(list, f+"="+loopback(c.Nodes[f].Ports.Raft))
			}
			env = append(env, "INITIAL_CLUSTER="+strings.Join(list, ","))
		}
		return env
	}
	for _, other := range c.ids() {
		if o := c.Nodes[other]; other != id && !o.Leaving && (o.Joined || slices.Contains(c.Founders, other)) {
			list = append(list, loopback(o.Ports.API))
		}
	}
	env = append(env, "JOIN="+strings.Join(list, ","))
	if n.JoinToken != "" {
		env = append(env, "JOIN_TOKEN="+n.JoinToken)
	}
	return env
}

// planeEnvironment is the settings of a node's data plane: its own node's
// controller first, then the others.
func (c *Configuration) planeEnvironment(id, dir string) []string {
	n := c.Nodes[id]
	controllers := []string{loopback(n.Ports.FIB)}
	for _, other := range c.ids() {
		if other != id {
			controllers = append(controllers, loopback(c.Nodes[other].Ports.FIB))
		}
	}
	return []string{
		"DVR_ROUTER=" + id, mark("DVR_STATE_DIR", dir, planeState), "DVR_LISTEN=" + loopback(n.Ports.DataPlane),
		"DVR_CONTROLLER=" + strings.Join(controllers, ","),
	}
}

// mark is the variable by which a running process is known: no two processes
// share a data directory.
func mark(name, dir, part string) string { return name + "=" + filepath.Join(dir, part) }
