package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dvr/controller/certs/authority"
	"dvr/controller/settings"
)

// nodeFile is a config file of a node in a directory of its own.
func nodeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "node.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigShow(t *testing.T) {
	path := nodeFile(t, "log_level: warn\nkv_quota: 8MiB\n")
	t.Setenv("DVR_CONFIG", path)
	t.Setenv("NODE_ID", "node-7")
	t.Setenv("DVR_ETCD_QUOTA", "1GiB")
	t.Setenv("JOIN", "127.0.0.1:9091")
	t.Setenv("JOIN_TOKEN", "dvr_id_hush")
	out, err := runLocal(t, "config", "show", "--log-level", "debug", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Settings []struct{ Name, Value, Origin string }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	s, err := settings.Load(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for i, e := range s.Entries() {
		if i >= len(got.Settings) || got.Settings[i].Name != e.Name {
			t.Fatalf("setting %d is not %s: %v", i, e.Name, got.Settings)
		}
		rows[e.Name] = got.Settings[i].Value + " from " + got.Settings[i].Origin
	}
	for name, want := range map[string]string{
		"JOIN_TOKEN": "(hidden) from environment JOIN_TOKEN",
		"NODE_ID":    "node-7 from environment NODE_ID", "ETCD_QUOTA": "1GiB from environment DVR_ETCD_QUOTA",
		"KV_QUOTA": "8MiB from file " + path + ":2", "LOG_LEVEL": "debug from flag --log-level",
		"LOG_FORMAT": "console from default", "FIB_ADDR": "127.0.0.1:9190 from derived",
	} {
		if rows[name] != want {
			t.Errorf("%s is %q, want %q", name, rows[name], want)
		}
	}
	for format, want := range map[string]string{"table": "NODE_ID node-7 environment NODE_ID", "yaml": "  - name: NODE_ID\n    origin: environment NODE_ID\n    value: node-7\n"} {
		if out, err := runLocal(t, "config", "show", "-o", format); err != nil || !strings.Contains(strings.Join(strings.Fields(out), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("%s: %v\n%s", format, err, out)
		} else if strings.Contains(out, "hush") {
			t.Errorf("%s tells a secret", format)
		}
	}
	if _, err := runLocal(t, "config", "show", "--log-level", "loud", "--raft-addr", "x"); ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), "LOG_LEVEL (flag --log-level)") || !strings.Contains(err.Error(), "RAFT_ADDR (flag --raft-addr)") {
		t.Errorf("wrong settings: %v", err)
	}
}

func TestConfigCheck(t *testing.T) {
	dir := t.TempDir()
	if _, err := authority.Init(dir, authority.CALifetime, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := runLocal(t, "cert", "issue", "node", "node-1", "--dir", dir); err != nil {
		t.Fatal(err)
	}
	tls := []string{"--ca-file", filepath.Join(dir, "ca.crt"), "--cert-file", filepath.Join(dir, "node", "node-1.crt"), "--key-file", filepath.Join(dir, "node", "node-1.key")}
	for _, c := range []struct {
		name string
		args []string
		want []string // the lines begin with these; none: nothing is wrong
	}{
		{name: "defaults"},
		{name: "in TLS", args: tls},
		{name: "of another node", args: append([]string{"--node-id", "node-2"}, tls...), want: []string{"CERT_FILE " + tls[3] + ": it is of dvr://node/node-1"}},
		{name: "absent certificates", args: []string{"--ca-file", "a", "--cert-file", "b", "--key-file", "c"}, want: []string{"CA_FILE, CERT_FILE, KEY_FILE: "}},
		{name: "three", args: []string{"--config", nodeFile(t, "kv_quota: 1\n"), "--observer", "--api-addr", "192.0.2.1:9090"},
			want: []string{"KV_QUOTA (file ", "API_ADDR (flag --api-addr): ", "OBSERVER (flag --observer): "}},
		{name: "no such file", args: []string{"--config", "/nowhere.yaml"}, want: []string{"--config: the config file cannot be read"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := runLocal(t, append([]string{"config", "check"}, c.args...)...)
			if len(c.want) == 0 {
				if err != nil || out != "Nothing is wrong with these settings.\n" {
					t.Errorf("%v\n%s", err, out)
				}
				return
			}
			lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
			if ExitCode(err) != ExitUsage || len(lines) != len(c.want) {
				t.Fatalf("%v\n%s", err, out)
			}
			for i, want := range c.want {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("%q, want %q", lines[i], want)
				}
			}
			raw, err := runLocal(t, append([]string{"config", "check", "-o", "json"}, c.args...)...)
			var body struct {
				Valid  bool
				Errors []struct{ Setting, Origin, Reason string }
			}
			if json.Unmarshal([]byte(raw), &body) != nil || ExitCode(err) != ExitUsage || body.Valid || len(body.Errors) != len(c.want) || body.Errors[0].Reason == "" {
				t.Errorf("%v\n%s", err, raw)
			}
		})
	}
	if out, err := runLocal(t, "config", "check", "-o", "yaml"); err != nil || out != "errors: []\nvalid: true\n" {
		t.Errorf("%v %q", err, out)
	}
	if _, err := runLocal(t, "config", "check", "-o", "xml"); ExitCode(err) != ExitUsage {
		t.Errorf("xml: %v", err)
	}
}
