package settings

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestMembershipSettings(t *testing.T) {
	s, err := load(t, nil, []string{"NODE_ID=b", "RAFT_ADDR=:8302", "INITIAL_CLUSTER=c=localhost:8303, a=:8301,b=127.0.0.1:8302", "CLUSTER_ID=C1"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := FormatMembers(s.InitialCluster); got != "a=127.0.0.1:8301,b=127.0.0.1:8302,c=localhost:8303" || s.ClusterID != "00000000000000c1" {
		t.Errorf("%s of %s", got, s.ClusterID)
	}
	s, err = load(t, []string{"--observer", "--join", ":9091,http://host.example:9092,127.0.0.1:9091", "--insecure"},
		[]string{"API_ADDR=192.0.2.1:9090", "RAFT_ADDR=192.0.2.1:8300"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Join, []string{"127.0.0.1:9091", "host.example:9092"}) || !s.Observer {
		t.Errorf("%v %v", s.Join, s.Observer)
	}
}

func TestMembershipRefused(t *testing.T) {
	const own = "node-1=127.0.0.1:8300"
	for name, c := range map[string]struct {
		env       []string
		setting   string
		mentioned string
	}{
		"no pair":                 {[]string{"INITIAL_CLUSTER=node-1"}, "INITIAL_CLUSTER", "node-id=host:port"},
		"name twice":              {[]string{"INITIAL_CLUSTER=" + own + ",node-1=127.0.0.1:8301"}, "INITIAL_CLUSTER", "twice"},
		"address twice":           {[]string{"INITIAL_CLUSTER=" + own + ",node-2=:8300"}, "INITIAL_CLUSTER", "one address"},
		"bad name":                {[]string{"INITIAL_CLUSTER=../x=127.0.0.1:8300"}, "INITIAL_CLUSTER", "node id"},
		"unspecified":             {[]string{"INITIAL_CLUSTER=" + own + ",node-2=0.0.0.0:8301"}, "INITIAL_CLUSTER", "every address"},
		"without itself":          {[]string{"INITIAL_CLUSTER=node-2=127.0.0.1:8302"}, "INITIAL_CLUSTER", "NODE_ID=node-1"},
		"other address of itself": {[]string{"INITIAL_CLUSTER=node-1=127.0.0.1:8301"}, "INITIAL_CLUSTER", "127.0.0.1:8300"},
		"too many":                {[]string{"INITIAL_CLUSTER=" + own + ",b=:1,c=:2,d=:3,e=:4,f=:5,g=:6,h=:7"}, "INITIAL_CLUSTER", "--observer"},
		"form and join":           {[]string{"INITIAL_CLUSTER=" + own, "JOIN=:9091"}, "JOIN", "INITIAL_CLUSTER"},
		"observer of nothing":     {[]string{"OBSERVER=true"}, "OBSERVER", "JOIN"},
		"observer that forms":     {[]string{"OBSERVER=true", "INITIAL_CLUSTER=" + own}, "OBSERVER", "JOIN"},
		"cluster id":              {[]string{"CLUSTER_ID=xyz"}, "CLUSTER_ID", "hex"},
		"cluster id 0":            {[]string{"CLUSTER_ID=0"}, "CLUSTER_ID", "hex"},
		"join without port":       {[]string{"JOIN=host"}, "JOIN", "host:port"},
		"external and join":       {[]string{"ETCD_ENDPOINTS=127.0.0.1:1", "JOIN=:9091"}, "JOIN", "ETCD_ENDPOINTS"},
		"external and id":         {[]string{"ETCD_ENDPOINTS=127.0.0.1:1", "CLUSTER_ID=c1"}, "CLUSTER_ID", "ETCD_ENDPOINTS"},
		"loopback told elsewhere": {[]string{"JOIN=192.0.2.1:9090"}, "RAFT_ADVERTISE", "192.0.2.1:9090"},
		"API told elsewhere": {[]string{"JOIN=192.0.2.1:9090", "INSECURE=true", "RAFT_ADDR=192.0.2.2:8300", "API_ADDR=127.0.0.1:9090"},
			"API_ADVERTISE", "cannot dial"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, nil, c.env, "")
			var e *Error
			if !errors.As(err, &e) || e.Name != c.setting || !strings.Contains(err.Error(), c.mentioned) {
				t.Errorf("%v: want it to name %s and mention %q", err, c.setting, c.mentioned)
			}
		})
	}
}
