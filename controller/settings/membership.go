package settings

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
)

// initialCluster reads name=host:port pairs.
func initialCluster(v string) (map[string]string, error) {
	if v == "" {
		return nil, nil
	}
	members, names := map[string]string{}, map[string]string{}
	for pair := range strings.SplitSeq(v, ",") {
		name, address, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok {
			return nil, fmt.Errorf("%q is not node-id=host:port", pair)
		}
		if err := checkNodeID(name); err != nil {
			return nil, err
		}
		address, err := dialled(address)
		if err != nil {
			return nil, err
		}
		if _, ok := members[name]; ok {
			return nil, fmt.Errorf("%s is listed twice", name)
		}
		if other, ok := names[address]; ok {
			return nil, fmt.Errorf("%s and %s have one address, %s", other, name, address)
		}
		members[name], names[address] = address, name
	}
	return members, nil
}

// FormatMembers writes name=host:port pairs in the order of the names, as
// INITIAL_CLUSTER reads them.
func FormatMembers(members map[string]string) string {
	parts := make([]string, 0, len(members))
	for _, name := range slices.Sorted(maps.Keys(members)) {
		parts = append(parts, name+"="+members[name])
	}
	return strings.Join(parts, ",")
}

func joinAddresses(v string) ([]string, error) {
	if v == "" {
		return nil, nil
	}
	var out []string
	for a := range strings.SplitSeq(v, ",") {
		a, err := dialled(strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(a), "http://"), "https://"))
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out, nil
}

// dialled checks an address that this node dials; no host means loopback.
func dialled(v string) (string, error) {
	host, port, err := splitHostPort(v, 1)
	if err != nil {
		return "", err
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if isUnspecified(host) {
		return "", fmt.Errorf("%q is every address and none: nobody can dial it", v)
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

func clusterID(v string) (string, error) {
	if v == "" {
		return "", nil
	}
	n, err := strconv.ParseUint(v, 16, 64)
	if err != nil || n == 0 || strings.ContainsAny(v, "+_") {
		return "", fmt.Errorf("%q is not a cluster id: up to 16 hex digits, as GET /v1/cluster/members shows it", v)
	}
	return fmt.Sprintf("%016x", n), nil
}

// checkMembership checks what belongs together among the settings that say
// which cluster the node is part of.
func (s *Settings) checkMembership() error {
	fail := func(name, format string, args ...any) error {
		return &Error{name, s.Origin(name), fmt.Sprintf(format, args...)}
	}
	for _, c := range []struct{ name, value string }{{"ETCD_CA_FILE", s.EtcdTLS.CA}, {"ETCD_CERT_FILE", s.EtcdTLS.Cert}, {"ETCD_KEY_FILE", s.EtcdTLS.Key}} {
		if c.value != "" && !s.EtcdSecure() {
			return fail(c.name, "is for an external etcd in TLS: write https:// before each of ETCD_ENDPOINTS")
		}
	}
	if (s.EtcdTLS.Cert == "") != (s.EtcdTLS.Key == "") {
		return fail("ETCD_CERT_FILE", "goes with ETCD_KEY_FILE: set both or none")
	}
	if len(s.EtcdEndpoints) > 0 {
		for _, c := range []struct {
			name string
			set  bool
		}{{"INITIAL_CLUSTER", len(s.InitialCluster) > 0}, {"JOIN", len(s.Join) > 0}, {"OBSERVER", s.Observer}, {"CLUSTER_ID", s.ClusterID != ""}} {
			if c.set {
				return fail(c.name, "has no meaning with ETCD_ENDPOINTS: the members of an external etcd are its own matter")
			}
		}
		return nil
	}
	switch {
	case len(s.InitialCluster) > 0 && len(s.Join) > 0:
		return fail("JOIN", "contradicts INITIAL_CLUSTER: a node forms a new cluster or joins one that exists; set one")
	case s.Observer && len(s.Join) == 0:
		return fail("OBSERVER", "needs JOIN: the API address of a member whose cluster is to be observed")
	}
	return nil
}

// checkRoster checks the first members of a new cluster against this node.
func (s *Settings) checkRoster() error {
	if len(s.InitialCluster) == 0 {
		return nil
	}
	fail := func(format string, args ...any) error {
		return &Error{"INITIAL_CLUSTER", s.Origin("INITIAL_CLUSTER"), fmt.Sprintf(format, args...)}
	}
	own, ok := s.InitialCluster[s.NodeID]
	switch {
	case !ok:
		return fail("does not list this node, NODE_ID=%s", s.NodeID)
	case own != s.Raft.Advertise:
		return fail("says %s for this node, %s, whose RAFT_ADVERTISE is %s: make them equal", own, s.NodeID, s.Raft.Advertise)
	case len(s.InitialCluster) > MaxVoters:
		return fail("lists %d members; at most %d vote: let the others join with --observer", len(s.InitialCluster), MaxVoters)
	}
	return nil
}

// MaxVoters is how many members of a cluster vote at most; a majority of more
// costs each write more than it adds in safety. Further nodes observe.
const MaxVoters = 7
