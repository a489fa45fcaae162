package settings

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestEveryErrorAtOnce: all that is wrong is told, each by the setting and where
// it comes from; what only follows from it is not.
func TestEveryErrorAtOnce(t *testing.T) {
	for _, c := range []struct {
		name, args, env, file string
		want                  []string // setting@origin
	}{
		{name: "of every source", args: "--log-level loud --log-format json", env: "ETCD_QUOTA=lots DVR_NODEID=x API_ADDR=:http", file: "kv_quota: much\nnode: x\n",
			want: []string{"DVR_NODEID@environment DVR_NODEID", "KV_QUOTA@file:1", "node@file:2", "ETCD_QUOTA@environment ETCD_QUOTA", "LOG_LEVEL@flag --log-level", "API_ADDR@environment API_ADDR"}},
		{name: "what belongs together, too", env: "DATA_DIR= CERT_FILE=a OBSERVER=true", args: "--data-dir= --admin-addr 0.0.0.0:9990",
			want: []string{"DATA_DIR@flag --data-dir", "CA_FILE@", "ADMIN_ADDR@flag --admin-addr", "OBSERVER@environment OBSERVER"}},
		{name: "an address that is none has no port that collides", env: "API_ADDR=x RAFT_ADDR=:9190",
			want: []string{"API_ADDR@environment API_ADDR"}},
		{name: "each listener for itself", env: "API_ADDR=0.0.0.0:9090 RAFT_ADDR=192.0.2.1:8300",
			want: []string{"RAFT_ADDR@environment RAFT_ADDR", "API_ADDR@environment API_ADDR"}},
		{name: "INSECURE that says nothing allows and refuses nothing", env: "INSECURE=perhaps API_ADDR=0.0.0.0:9090",
			want: []string{"INSECURE@environment INSECURE"}},
		{name: "nor does one that is misspelt", env: "DVR_INSECURED=true API_ADDR=192.0.2.1:9090",
			want: []string{"DVR_INSECURED@environment DVR_INSECURED"}},
		{name: "a file that is not read may have held the rest", env: "API_ADDR=192.0.2.1:9090 LOG_LEVEL=loud", file: "a: [\n",
			want: []string{"--config@", "LOG_LEVEL@environment LOG_LEVEL"}},
		{name: "a value of the file is judged though a flag wins", args: "--log-level info", file: "log_level: loud\n",
			want: []string{"LOG_LEVEL@file:1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, strings.Fields(c.args), strings.Fields(c.env), c.file)
			if err == nil {
				t.Fatal("accepted")
			}
			var got []string
			for _, err := range Errors(err) {
				var e *Error
				if !errors.As(err, &e) {
					t.Fatalf("%v is about no setting", err)
				}
				origin := string(e.Origin)
				if file, line, ok := strings.Cut(origin, "dvr.yaml:"); ok && strings.HasPrefix(file, "file ") {
					origin = "file:" + line
				}
				got = append(got, e.Name+"@"+origin)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestErrorsOfOne(t *testing.T) {
	alone := errors.New("alone")
	if got := Errors(alone); len(got) != 1 || got[0] != alone {
		t.Error(got)
	}
}

// TestAdminAddress: loopback and nothing else, whatever allows more elsewhere.
func TestAdminAddress(t *testing.T) {
	for v, want := range map[string]string{"": "", ":9990": "127.0.0.1:9990", "localhost:9990": "localhost:9990", "[::1]:0": "[::1]:0", "127.1.2.3:80": "127.1.2.3:80"} {
		s, err := load(t, nil, []string{"ADMIN_ADDR=" + v}, "")
		if err != nil || s.Admin != want {
			t.Errorf("%q: %v", v, err)
			continue
		}
		if listed := s.Entries(); listed[10].Name != "ADMIN_ADDR" || listed[10].Value != want {
			t.Errorf("%q: listed as %v", v, listed[10])
		}
	}
	for v, mentioned := range map[string]string{
		"0.0.0.0:9990": "ssh -L", "192.0.2.1:9990": "loopback", "[::]:9990": "loopback", "node-1:9990": "loopback", "9990": "host:port",
		":9090": "API_ADDR", ":9190": "FIB_ADDR", ":8300": "RAFT_ADDR", ":2379": "CLIENT_ADDR",
	} {
		for _, also := range []string{"INSECURE=true", "INSECURE=false"} {
			_, err := load(t, nil, []string{"ADMIN_ADDR=" + v, also}, "")
			if err == nil || !strings.Contains(err.Error(), mentioned) || !strings.Contains(err.Error(), "ADMIN_ADDR") {
				t.Errorf("%q with %s: %v, want it to mention %q", v, also, err, mentioned)
			}
		}
	}
}

// TestContradictionTellsNoValue: it may be a secret.
func TestContradictionTellsNoValue(t *testing.T) {
	_, err := load(t, nil, []string{"NODE_ID=hush", "DVR_NODE_ID=silence"}, "")
	if err == nil || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "silence") {
		t.Error(err)
	}
}

// TestEverySettingIsInTheReference, by its name.
func TestEverySettingIsInTheReference(t *testing.T) {
	reference, err := os.ReadFile("../../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range table {
		if !strings.Contains(string(reference), "`"+d.name+"`") {
			t.Errorf("docs/reference.md says nothing of %s", d.name)
		}
	}
}
