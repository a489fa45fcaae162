package settings

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"dvr/controller/certs"
)

// load runs Load with flags, an environment and the text of a config file ("": none).
func load(t *testing.T, args, environ []string, file string) (*Settings, error) {
	t.Helper()
	fs := pflag.NewFlagSet("node", pflag.ContinueOnError)
	Flags(fs)
	if file != "" {
		path := filepath.Join(t.TempDir(), "dvr.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"--config", path}, args...)
	}
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	return Load(fs, environ)
}

type addresses struct{ Raft, API, FIB, Client Address }

func same(a string) Address { return Address{a, a} }

func TestDefaultsAreTheSeeds(t *testing.T) {
	s, err := load(t, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	want := addresses{same("127.0.0.1:8300"), same("127.0.0.1:9090"), same("127.0.0.1:9190"), same("127.0.0.1:2379")}
	if d := cmp.Diff(want, addresses{s.Raft, s.API, s.FIB, s.Client}); d != "" {
		t.Error(d)
	}
	if s.NodeID != "node-1" || s.DataDir != "./data" || s.LogFormat != "console" || s.LogLevel != "info" || s.Insecure || s.EtcdWritable || s.EtcdQuota != 8<<30 {
		t.Errorf("defaults: %+v", s)
	}
	for _, e := range s.Entries() {
		derived := strings.HasSuffix(e.Name, "_ADVERTISE") || e.Name == "FIB_ADDR" || e.Name == "CLIENT_ADDR"
		if want := map[bool]Origin{true: OriginDerived, false: OriginDefault}[derived]; e.Origin != want {
			t.Errorf("%s: origin %q, want %q", e.Name, e.Origin, want)
		}
	}
}

func TestAddresses(t *testing.T) {
	cases := []struct {
		name string
		env  string
		want addresses
	}{
		{"the seed's second node", "NODE_ID=node-2 RAFT_ADDR=127.0.0.1:8302 API_ADDR=:9092",
			addresses{same("127.0.0.1:8302"), same("127.0.0.1:9092"), same("127.0.0.1:9192"), same("127.0.0.1:2381")}},
		{"prefixed names", "DVR_RAFT_ADDR=:8301 DVR_API_ADDR=localhost:9091",
			addresses{same("127.0.0.1:8301"), same("localhost:9091"), same("localhost:9191"), same("127.0.0.1:2380")}},
		{"IPv6 loopback", "API_ADDR=[::1]:80 RAFT_ADDR=[::1]:8300",
			addresses{same("[::1]:8300"), same("[::1]:80"), same("[::1]:180"), same("[::1]:2379")}},
		{"port 0 follows", "API_ADDR=:0",
			addresses{same("127.0.0.1:8300"), same("127.0.0.1:0"), same("127.0.0.1:0"), same("127.0.0.1:2379")}},
		{"own FIB and client ports", "FIB_ADDR=:7000 CLIENT_ADDR=:7001",
			addresses{same("127.0.0.1:8300"), same("127.0.0.1:9090"), same("127.0.0.1:7000"), same("127.0.0.1:7001")}},
		{"beyond loopback, derived advertises the same host", "INSECURE=1 API_ADDR=0.0.0.0:9090 API_ADVERTISE=r1.example:19090",
			addresses{same("127.0.0.1:8300"), Address{"0.0.0.0:9090", "r1.example:19090"}, Address{"0.0.0.0:9190", "r1.example:9190"}, same("127.0.0.1:2379")}},
		{"beyond loopback, a certain address", "INSECURE=true API_ADDR=192.0.2.1:9090",
			addresses{same("127.0.0.1:8300"), same("192.0.2.1:9090"), same("192.0.2.1:9190"), same("127.0.0.1:2379")}},
		{"advertised host name of a loopback listener", "INSECURE=true API_ADVERTISE=proxy.example:443",
			addresses{same("127.0.0.1:8300"), Address{"127.0.0.1:9090", "proxy.example:443"}, Address{"127.0.0.1:9190", "proxy.example:9190"}, same("127.0.0.1:2379")}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, err := load(t, nil, strings.Fields(c.env), "")
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, addresses{s.Raft, s.API, s.FIB, s.Client}); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPrecedence(t *testing.T) {
	file := "node_id: from-file\ndata_dir: /file\nlog_level: warn\netcd_endpoints: [localhost:2379, 127.0.0.1:2380]\n"
	s, err := load(t, []string{"--node-id", "from-flag", "--insecure"}, []string{"NODE_ID=from-env", "DATA_DIR=/env", "DVR_LOG_FORMAT=json", "LOG_LEVEL=", "PATH=/bin", "DVR_ENDPOINTS=x:1"}, file)
	if err != nil {
		t.Fatal(err)
	}
	if s.NodeID != "from-flag" || s.DataDir != "/env" || s.LogLevel != "warn" || s.LogFormat != "json" || !s.Insecure {
		t.Errorf("%+v", s)
	}
	if d := cmp.Diff([]string{"localhost:2379", "127.0.0.1:2380"}, s.EtcdEndpoints); d != "" {
		t.Error(d)
	}
	for name, want := range map[string]string{"NODE_ID": "flag --node-id", "DATA_DIR": "environment DATA_DIR", "LOG_FORMAT": "environment DVR_LOG_FORMAT", "LOG_LEVEL": "dvr.yaml:3", "RAFT_ADDR": "default"} {
		if got := string(s.Origin(name)); !strings.HasSuffix(got, want) {
			t.Errorf("%s comes from %q, want %q", name, got, want)
		}
	}
}

// With certificates a node may listen and be told beyond loopback.
func TestBeyondLoopbackInTLS(t *testing.T) {
	s, err := load(t, []string{"--ca-file", "a", "--cert-file", "b"}, []string{"DVR_KEY_FILE=c", "API_ADDR=192.0.2.1:9090", "RAFT_ADVERTISE=node-1.example:8300", "JOIN=https://192.0.2.2:9090"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if s.TLS != (certs.Files{CA: "a", Cert: "b", Key: "c"}) || s.API.Listen != "192.0.2.1:9090" || s.Join[0] != "192.0.2.2:9090" {
		t.Errorf("%+v", s)
	}
}

// One environment serves a node, a data plane and the command line: what these
// read is no unknown setting.
func TestVariablesOfOthers(t *testing.T) {
	sources, err := filepath.Glob("../../cmd/internal/cli/*.go")
	if err != nil {
		t.Fatal(err)
	}
	read := regexp.MustCompile(`(?:envname|Getenv|file\("--[a-z-]+",) ?\(?"(DVR_[A-Z_]+)"`)
	found := 0
	for _, source := range append(sources, "../../dataplane/cmd/options.cc") {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		raw, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range read.FindAllStringSubmatch(string(raw), -1) {
			found++
			var unknown *Error
			if _, err := load(t, nil, []string{m[1] + "=x"}, ""); errors.As(err, &unknown) && strings.Contains(unknown.Reason, "unknown") {
				t.Errorf("%s reads %s: %v", source, m[1], err)
			}
			if err := CheckNames([]string{m[1] + "=x"}); err != nil {
				t.Errorf("%s reads %s: %v", source, m[1], err)
			}
		}
	}
	if found < 20 {
		t.Errorf("%d variables found", found)
	}
	for _, name := range []string{"DVR_ROUTERS", "DVR_LISTEN_ADDR", "DVR_"} {
		if _, err := load(t, nil, []string{name + "=x"}, ""); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want it refused by name", name, err)
		}
	}
}

// TestNearestVariable: what is nearly a known name is told which, by node and
// clients; what is near to none is told where they all are, and clients leave it
// to its owner.
func TestNearestVariable(t *testing.T) {
	for name, meant := range map[string]string{
		"DVR_ENDPONTS": "DVR_ENDPOINTS", "DVR_ENDPOINT": "DVR_ENDPOINTS", "DVR_TOKENFILE": "DVR_TOKEN_FILE", "DVR_CONFG": "DVR_CONFIG", "DVR_ROUTR": "DVR_ROUTER",
		"DVR_NODEID": "NODE_ID", "DVR_API_ADRR": "API_ADDR", "DVR_LOGLEVEL": "LOG_LEVEL", "DVR_FOO": "", "DVR_": "", "DVR_X": "", "DVR_MY_OWN_THING": "",
		"DVR_JION": "JOIN", "DVR_JOI": "JOIN", "DVR_JOIM": "JOIN", "DVR_COIN": "", "DVR_LOIN": "", "DVR_MAIN": "", "DVR_MIN": "", "DVR_WIN": "", "DVR_CONFIGS": "DVR_CONFIG",
	} {
		want := "did you mean " + meant + "?"
		if meant == "" {
			want = "`dvr config show` lists"
		}
		if _, err := load(t, nil, []string{name + "=x"}, ""); err == nil || !strings.Contains(err.Error(), want) || meant == "" && strings.Contains(err.Error(), "mean") {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
		if err := CheckNames([]string{"PATH=/bin", name + "=x"}); (err != nil) != (meant != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s of a client: %v", name, err)
		}
	}
	if err := CheckNames([]string{"ENDPONTS=x", "DVR_API_ADDR=x", "DVR_SINK=x"}); err != nil {
		t.Error(err)
	}
}

func TestConfigByEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte("# nothing but a comment\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load(t, nil, []string{"DVR_CONFIG=" + path}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := load(t, nil, []string{"DVR_CONFIG=" + path + ".absent"}, ""); err == nil || !strings.Contains(err.Error(), "DVR_CONFIG") {
		t.Fatalf("absent file: %v", err)
	}
}

func TestRefused(t *testing.T) {
	cases := []struct {
		name      string
		args      string
		env       string
		file      string
		setting   string
		mentioned []string
	}{
		{name: "unknown variable", env: "DVR_API_ADR=:1", setting: "DVR_API_ADR", mentioned: []string{"unknown", "API_ADDR"}},
		{name: "unknown file key", file: "nodeid: x\n", setting: "nodeid", mentioned: []string{"dvr.yaml:1", "NODE_ID"}},
		{name: "key twice", file: "node_id: x\nnode_id: y\n", setting: "NODE_ID", mentioned: []string{"twice", ":2"}},
		{name: "file of a list", file: "- a\n", setting: "", mentioned: []string{"key: value"}},
		{name: "file of garbage", file: "a: [\n", setting: "", mentioned: []string{"not YAML"}},
		{name: "nested value", file: "node_id: {a: b}\n", setting: "NODE_ID", mentioned: []string{"plain"}},
		{name: "value missing", file: "node_id:\n", setting: "NODE_ID", mentioned: []string{"no value"}},
		{name: "contradiction", env: "NODE_ID=a DVR_NODE_ID=b", setting: "NODE_ID", mentioned: []string{"contradict"}},
		{name: "path as node id", env: "NODE_ID=../../victim", setting: "NODE_ID", mentioned: []string{"environment NODE_ID"}},
		{name: "no port", env: "API_ADDR=localhost", setting: "API_ADDR", mentioned: []string{"host:port"}},
		{name: "port too large", env: "API_ADDR=:65536", setting: "API_ADDR"},
		{name: "port by name", env: "API_ADDR=:http", setting: "API_ADDR"},
		{name: "octal port", env: "API_ADDR=:080", setting: "API_ADDR"},
		{name: "raft port 0", env: "RAFT_ADDR=:0", setting: "RAFT_ADDR", mentioned: []string{"port 0"}},
		{name: "host is no name", env: "API_ADDR=a/b:80", setting: "API_ADDR"},
		{name: "host is no address", env: "API_ADDR=1.2.3:80", setting: "API_ADDR"},
		{name: "beyond loopback", env: "API_ADDR=0.0.0.0:9090", setting: "API_ADDR", mentioned: []string{"--insecure", "TLS"}},
		{name: "unknown host counts as beyond", env: "RAFT_ADDR=node-1:8300", setting: "RAFT_ADDR", mentioned: []string{"--insecure"}},
		{name: "every address advertised", env: "API_ADDR=0.0.0.0:9090 INSECURE=true", setting: "API_ADVERTISE", mentioned: []string{"every address"}},
		{name: "0.0.0.0 advertised", env: "API_ADVERTISE=0.0.0.0:9090", setting: "API_ADVERTISE"},
		{name: ":: advertised", env: "RAFT_ADVERTISE=[::]:8300", setting: "RAFT_ADVERTISE"},
		{name: "no host advertised", env: "FIB_ADVERTISE=:9190", setting: "FIB_ADVERTISE", mentioned: []string{"host"}},
		{name: "derived FIB port", env: "API_ADDR=:65500", setting: "FIB_ADDR", mentioned: []string{"65600", "set FIB_ADDR"}},
		{name: "derived client port", env: "RAFT_ADDR=:1", setting: "CLIENT_ADDR", mentioned: []string{"set CLIENT_ADDR"}},
		{name: "ports collide", env: "API_ADDR=:8300", setting: "API_ADDR", mentioned: []string{"RAFT_ADDR"}},
		{name: "level", args: "--log-level loud", setting: "LOG_LEVEL", mentioned: []string{"--log-level", "debug, info, warn, error"}},
		{name: "format", env: "LOG_FORMAT=xml", setting: "LOG_FORMAT"},
		{name: "quota", env: "ETCD_QUOTA=lots", setting: "ETCD_QUOTA", mentioned: []string{"2GiB"}},
		{name: "quota too small", env: "ETCD_QUOTA=1MiB", setting: "ETCD_QUOTA", mentioned: []string{"64MiB"}},
		{name: "boolean", env: "INSECURE=yes", setting: "INSECURE"},
		{name: "endpoint", env: "ETCD_ENDPOINTS=a:1,,b:2", setting: "ETCD_ENDPOINTS"},
		{name: "writable external etcd", env: "ETCD_ENDPOINTS=a:1 ETCD_WRITABLE=true", setting: "ETCD_WRITABLE"},
		{name: "certificate without key", env: "CA_FILE=a CERT_FILE=b", setting: "KEY_FILE", mentioned: []string{"CA_FILE, CERT_FILE and KEY_FILE"}},
		{name: "certificate without authority", env: "CERT_FILE=b KEY_FILE=c", setting: "CA_FILE"},
		{name: "revocations alone", env: "CRL_FILE=b", setting: "CA_FILE"},
		{name: "TLS and insecure", env: "CA_FILE=a CERT_FILE=b KEY_FILE=c INSECURE=true", setting: "INSECURE", mentioned: []string{"contradicts"}},
		{name: "empty data dir", args: "--data-dir=", setting: "DATA_DIR"},
		{name: "unknown flag", args: "--nodeid x"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, strings.Fields(c.args), strings.Fields(c.env), c.file)
			if err == nil {
				t.Fatal("accepted")
			}
			var e *Error
			if c.setting != "" && (!errors.As(err, &e) || e.Name != c.setting) {
				t.Fatalf("%v: want it to name %s", err, c.setting)
			}
			for _, m := range c.mentioned {
				if !strings.Contains(err.Error(), m) {
					t.Errorf("%q does not mention %q", err, m)
				}
			}
		})
	}
}

func TestSizes(t *testing.T) {
	for v, want := range map[string]int64{"0": 0, "1": 1, "7B": 7, "2KiB": 2048, "3 MiB": 3 << 20, "8GiB": 8 << 30, "1TiB": 1 << 40} {
		if got, err := ParseSize(v); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v", v, got, err)
		}
	}
	for _, v := range []string{"", "-1", "1.5GiB", "GiB", "9223372036854775807GiB", "2GB"} {
		if n, err := ParseSize(v); err == nil {
			t.Errorf("ParseSize(%q) = %d", v, n)
		}
	}
	for n, want := range map[int64]string{0: "0", 5: "5", 1024: "1KiB", 3 << 29: "1536MiB"} {
		if got := FormatSize(n); got != want {
			t.Errorf("FormatSize(%d) = %s", n, got)
		}
	}
}

// FuzzEnvironment: whatever the environment says, Load answers with settings
// that can be loaded again to the same, or with an error.
func FuzzEnvironment(f *testing.F) {
	f.Add("API_ADDR", ":9090")
	f.Add("DVR_RAFT_ADDR", "[::1]:8300")
	f.Add("ETCD_ENDPOINTS", "http://a:1,b:2")
	f.Fuzz(func(t *testing.T, name, value string) {
		s, err := Load(nil, []string{name + "=" + value})
		if err != nil {
			return
		}
		var env []string
		for _, e := range s.Entries() {
			env = append(env, e.Name+"="+e.Value)
		}
		again, err := Load(nil, env)
		if err != nil {
			t.Fatalf("%s=%q gives settings that are refused: %v", name, value, err)
		}
		a, b := s.Entries(), again.Entries()
		for i := range a {
			if a[i].Value != b[i].Value {
				t.Fatalf("%s: %q then %q", a[i].Name, a[i].Value, b[i].Value)
			}
		}
	})
}
