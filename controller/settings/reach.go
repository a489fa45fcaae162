package settings

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
)

// peers is a setting that names machines whose nodes must reach this one.
type peers struct {
	name      string   // of the setting
	addresses []string // host:port
	told      []string // which of this node's addresses those nodes dial
}

// reachable refuses to tell loopback to nodes on other machines: each of them
// would find itself there. A host that is not known to be this machine is
// another one; nothing is resolved. An external etcd elsewhere does not count: a
// lone node on this machine may well use it.
func (s *Settings) reachable() error {
	all := []string{"RAFT", "API", "FIB", "CLIENT"}
	return s.advertisedTo(
		peers{"INITIAL_CLUSTER", slices.Sorted(maps.Values(s.InitialCluster)), all},
		peers{"JOIN", s.Join, all},
	)
}

func (s *Settings) advertisedTo(list ...peers) error {
	own := map[string]Address{"RAFT": s.Raft, "API": s.API, "FIB": s.FIB, "CLIENT": s.Client}
	for _, p := range list {
		far := elsewhere(p.addresses)
		if far == "" {
			continue
		}
		for _, name := range p.told {
			setting, address := name+"_ADVERTISE", own[name].Advertise
			if host, _, _ := net.SplitHostPort(address); !IsLoopback(host) {
				continue
			}
			return &Error{setting, s.Origin(setting), fmt.Sprintf("%s=%s names %s, which is not this machine, and nodes there cannot dial the loopback address %s: set %s, or %s_ADDR, to an address that they reach",
				p.name, strings.Join(p.addresses, ","), far, address, setting, name)}
		}
	}
	return nil
}

// elsewhere is the first host that is not loopback; "" if all are.
func elsewhere(addresses []string) string {
	for _, a := range addresses {
		if host, _, err := net.SplitHostPort(a); err == nil && host != "" && !IsLoopback(host) {
			return host
		}
	}
	return ""
}
