package launcher

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dvr/controller/porttest"
)

func TestIDs(t *testing.T) {
	long := strings.Repeat("a", 63)
	for id, ok := range map[string]bool{
		"node1": true, "n": true, "1": true, "node-1": true, "a--b-": true, long: true,
		"": false, "-a": false, long + "a": false, "Node1": false, "node_1": false, "node.1": false, "a b": false, "a\n": false, "\na": false, "ä": false,
		".": false, "..": false, "../../victim": false, "a/b": false, "/etc": false, `a\b`: false, "a\x00": false, "..%2f": false,
	} {
		if err := checkID(id); (err == nil) != ok || !ok && !errors.Is(err, ErrBadID) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// sample is three founders and node4, which joined.
func sample() *Configuration {
	c := &Configuration{Format: configurationFormat, ClusterID: "c1", APIBase: 9000, APIStep: 10, RaftBase: 8310, Nodes: map[string]Node{}}
	for i := range 4 {
		id := fmt.Sprintf("node%d", i+1)
		c.Nodes[id] = Node{Ports: c.slot(i), Joined: true}
		if i < 3 {
			c.Founders = append(c.Founders, id)
		}
	}
	return c
}

func TestConfigurationSurvives(t *testing.T) {
	dir := t.TempDir()
	if c, err := readConfiguration(dir); c != nil || err != nil {
		t.Fatalf("nothing there: %v %v", c, err)
	}
	s := &store{dir: dir, now: sample()}
	if err := s.setNode("node2", func(n *Node) error { n.Stopped = true; return nil }); err != nil {
		t.Fatal(err)
	}
	want := sample()
	n := want.Nodes["node2"]
	n.Stopped = true
	want.Nodes["node2"] = n
	got, err := readConfiguration(dir)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]*Configuration{"read again": got, "in memory": s.get()} {
		if d := cmp.Diff(want, c); d != "" {
			t.Errorf("%s: %s", what, d)
		}
	}
	// What cannot be done leaves both as they are.
	before, _ := os.ReadFile(filepath.Join(dir, configurationName))
	held := s.get()
	for what, change := range map[string]func(*Configuration) error{
		"refused":  func(c *Configuration) error { c.ClusterID = "other"; return ErrExists },
		"bad id":   func(c *Configuration) error { c.Nodes["../x"] = Node{Ports: c.slot(9)}; return nil },
		"bad port": func(c *Configuration) error { c.Nodes["x"] = c.Nodes["node1"]; return nil },
	} {
		if err := s.update(change); err == nil {
			t.Errorf("%s: accepted", what)
		}
		after, _ := os.ReadFile(filepath.Join(dir, configurationName))
		if s.get() != held || string(after) != string(before) {
			t.Errorf("%s: changed", what)
		}
	}
	if err := s.setNode("node9", func(*Node) error { return nil }); !errors.Is(err, ErrUnknownNode) {
		t.Errorf("unknown node: %v", err)
	}
	// A crash in the middle of a replacement leaves another file beside it, never half of this one.
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	if os.Getuid() != 0 { // root writes everywhere
		if err := s.setNode("node1", func(n *Node) error { n.Stopped = true; return nil }); err == nil || s.get().Nodes["node1"].Stopped {
			t.Errorf("kept in memory only: %v", err)
		}
	}
}

func TestConfigurationRefused(t *testing.T) {
	good := `{"format":1,"founders":["node1"],"api_base":9000,"api_step":10,"raft_base":8310,"nodes":{"node1":{"ports":{"api":9000,"fib":9100,"raft":8310,"client":2389,"dataplane":9200}}}}`
	for _, test := range []struct{ name, from, to, want string }{
		{"unchanged", "", "", ""},
		{"empty", good, "", "EOF"},
		{"cut", good, good[:len(good)-9], "EOF"},
		{"newer", `"format":1`, `"format":2`, "format 2"},
		{"unknown member", `"format":1`, `"format":1,"colour":"red"`, "colour"},
		{"path as id", `"node1":`, `"../../victim":`, ErrBadID.Error()},
		{"path as founder", `["node1"]`, `["../x"]`, ErrBadID.Error()},
		{"no nodes", `"node1":{"ports":{"api":9000,"fib":9100,"raft":8310,"client":2389,"dataplane":9200}}`, "", "no nodes"},
		{"port 0", `"api":9000`, `"api":0`, "API port 0"},
		{"port above", `"fib":9100`, `"fib":65536`, "FIB port 65536"},
		{"one port twice", `"fib":9100`, `"fib":9000`, "also that of"},
		{"no step", `"api_step":10`, `"api_step":0`, "positive"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, configurationName), []byte(strings.Replace(good, test.from, test.to, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := readConfiguration(dir)
		if test.want == "" && (err != nil || c == nil) || test.want != "" && (c != nil || !errors.Is(err, ErrConfiguration) || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestNeverAnew: a cluster is formed only where there is neither a
// configuration nor a node.
func TestNeverAnew(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "nodes", "node7"), 0o700); err != nil {
		t.Fatal(err)
	}
	o := Options{DataDir: dir, Listen: "127.0.0.1:0", Nodes: 3, APIBase: 20000, APIStep: 10, RaftBase: 20500}
	if _, err := open(o); !errors.Is(err, ErrConfiguration) || !strings.Contains(err.Error(), "node7") {
		t.Errorf("nodes without a configuration: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, configurationName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(o); !errors.Is(err, ErrConfiguration) {
		t.Errorf("a broken configuration: %v", err)
	}
	if raw, _ := os.ReadFile(filepath.Join(dir, configurationName)); string(raw) != "{" {
		t.Errorf("it was replaced by %s", raw)
	}
}

func TestOpenRefuses(t *testing.T) {
	api, raft := freeBases(t, 3)
	other, err := porttest.Take(0, 3, 6, 100, 103, 106, 200, 203, 206)
	if err != nil {
		t.Fatal(err)
	}
	at := other + 3
	busy, err := net.Listen("tcp", loopback(at))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, test := range []struct {
		name, want string
		change     func(*Options)
	}{
		{"listen form", "not host:port", func(o *Options) { o.Listen = "8080" }},
		{"listen in use", "is in use by another program", func(o *Options) { o.Listen = busy.Addr().String() }},
		{"beyond loopback", "--insecure", func(o *Options) { o.Listen = "0.0.0.0:0" }},
		{"no nodes", "1 to 7 nodes", func(o *Options) { o.Nodes = 0 }},
		{"too many", "1 to 7 nodes", func(o *Options) { o.Nodes = 8 }},
		{"port in use", fmt.Sprintf("node2: API port %d is in use", at), func(o *Options) { o.APIBase, o.APIStep = other, 3 }},
		{"etcd port", "etcd client port", func(o *Options) { o.RaftBase = 5000 }},
	} {
		dir := t.TempDir()
		o := Options{DataDir: dir, Listen: "127.0.0.1:0", Nodes: 3, APIBase: api, APIStep: 10, RaftBase: raft}
		test.change(&o)
		l, err := open(o)
		if l != nil {
			l.release()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		if c, err := readConfiguration(dir); c != nil || err != nil {
			t.Errorf("%s: a configuration was made: %v %v", test.name, c, err)
		}
	}
	// Two launchers on one directory.
	o := Options{DataDir: t.TempDir(), Listen: "127.0.0.1:0", Nodes: 3, APIBase: api, APIStep: 10, RaftBase: raft}
	l, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.release()
	if _, err := open(o); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("a second launcher: %v", err)
	}
}

func TestPorts(t *testing.T) {
	c := sample()
	if d := cmp.Diff(Ports{API: 9020, FIB: 9120, Raft: 8312, Client: 2391, DataPlane: 9220}, c.slot(2)); d != "" {
		t.Error(d)
	}
	free := func(int) error { return nil }
	busy := func(ports ...int) func(int) error {
		return func(p int) error {
			if slices.Contains(ports, p) {
				return errors.New("in use")
			}
			return nil
		}
	}
	for _, test := range []struct {
		name   string
		change func(*Configuration)
		inUse  func(int) error
		api    int // 0: none left
	}{
		{"the next", nil, free, 9040},
		{"a gap is filled", func(c *Configuration) { delete(c.Nodes, "node2") }, free, 9010},
		{"API in use", nil, busy(9040), 9050},
		{"Raft in use", nil, busy(8314), 9050},
		{"etcd client in use", nil, busy(2393, 2394), 9060},
		{"data plane in use", nil, busy(9240), 9050},
		{"FIB of the first is API of the eleventh", func(c *Configuration) {
			for i := 4; i < 10; i++ {
				c.Nodes[fmt.Sprintf("x%d", i)] = Node{Ports: c.slot(i)}
			}
		}, free, 9300},
		{"no more", func(c *Configuration) { c.APIBase = 65320 }, busy(8310, 8311), 0},
		{"all in use", nil, func(int) error { return errors.New("in use") }, 0},
	} {
		c := sample()
		if test.change != nil {
			test.change(c)
		}
		p, err := c.next(test.inUse)
		if p.API != test.api || (err == nil) != (test.api != 0) || err != nil && !errors.Is(err, ErrNoPorts) {
			t.Errorf("%s: %+v %v", test.name, p, err)
		}
		if err != nil {
			continue
		}
		c.Nodes["new"] = Node{Ports: p}
		if err := c.check(); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	address := porttest.Address(t)
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).Port
	if err := checkPorts([]port{{"Raft", at}}); err == nil || !strings.HasSuffix(err.Error(), fmt.Sprintf("Raft port %d is in use by another program", at)) {
		t.Errorf("in use: %v", err)
	}
	// A connection holds its port as a listener does; it is a free one next time.
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := portInUse(conn.LocalAddr().(*net.TCPAddr).Port); err == nil || !strings.Contains(err.Error(), "or by an outgoing connection") {
		t.Errorf("the port of a connection: %v", err)
	}
	_ = l.Close()
	if err := checkPorts([]port{{"Raft", at}}); err != nil {
		t.Errorf("free: %v", err)
	}
}

func TestEnvironment(t *testing.T) {
	c := sample()
	set := func(id string, change func(*Node)) {
		n := c.Nodes[id]
		change(&n)
		c.Nodes[id] = n
	}
	own := func(id string, i int) []string {
		p := c.slot(i)
		return []string{"NODE_ID=" + id, "DATA_DIR=/d/data", "API_ADDR=" + loopback(p.API), "FIB_ADDR=" + loopback(p.FIB), "RAFT_ADDR=" + loopback(p.Raft), "CLIENT_ADDR=" + loopback(p.Client)}
	}
	check := func(what, id string, i int, want ...string) {
		t.Helper()
		if d := cmp.Diff(append(own(id, i), want...), c.nodeEnvironment(id, "/d")); d != "" {
			t.Errorf("%s: %s", what, d)
		}
	}
	const founders = "INITIAL_CLUSTER=node1=127.0.0.1:8310,node2=127.0.0.1:8311,node3=127.0.0.1:8312"
	check("a founder that was a member", "node2", 1, "CLUSTER_ID=c1")
	check("a joined node", "node4", 3, "CLUSTER_ID=c1", "JOIN=127.0.0.1:9000,127.0.0.1:9010,127.0.0.1:9020")
	set("node4", func(n *Node) { n.Joined, n.Observer = false, true })
	set("node2", func(n *Node) { n.Leaving = true })
	check("an observer to be", "node4", 3, "OBSERVER=true", "JOIN=127.0.0.1:9000,127.0.0.1:9020")
	set("node2", func(n *Node) { n.Joined, n.Leaving = false, false })
	check("a founder that was not seen", "node2", 1, founders)
	c.ClusterID = ""
	for _, id := range c.ids() {
		set(id, func(n *Node) { n.Joined = false })
	}
	check("before the cluster", "node1", 0, founders)
	check("added before the cluster", "node4", 3, "OBSERVER=true", "JOIN=127.0.0.1:9000,127.0.0.1:9010,127.0.0.1:9020")

	want := []string{"DVR_ROUTER=node2", "DVR_STATE_DIR=/d/dataplane", "DVR_LISTEN=127.0.0.1:9210", "DVR_CONTROLLER=127.0.0.1:9110,127.0.0.1:9100,127.0.0.1:9120,127.0.0.1:9130"}
	if d := cmp.Diff(want, c.planeEnvironment("node2", "/d")); d != "" {
		t.Error(d)
	}

	from := []string{
		"PATH=/bin", "HOME=/root", "LOG_LEVEL=debug", "DVR_LOG_LEVEL=debug", "DVR_MEMORY_LIMIT=1GiB", "ETCD_QUOTA=1GiB", "GOMEMLIMIT=1GiB", "DVR_TRACE_ENDPOINT=x",
		"NODE_ID=x", "DVR_NODE_ID=x", "JOIN=x", "CLUSTER_ID=x", "INITIAL_CLUSTER=x", "API_ADDR=:1", "FIB_ADVERTISE=x", "ETCD_ENDPOINTS=x", "INSECURE=true", "ADMIN_ADDR=:0", "DVR_ADMIN_ADDR=:0",
		"DVR_CONFIG=x", "DVR_ROUTER=x", "DVR_ADOPT=true", "DVR_ENDPOINTS=x", "DVR_INSECURE=true",
	}
	if d := cmp.Diff(from[:8], inherited(from)); d != "" {
		t.Error(d)
	}
}
