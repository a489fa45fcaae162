package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBackupAndRestore: the state of a cluster that is lost, routes, topology and
// keys, comes back out of a file in another directory, under the same log and
// with the same digest, and a data plane that was there all along is in sync
// without one change to what it has installed.
func TestBackupAndRestore(t *testing.T) {
	n := startNode(t, scratch(t))
	p := startPlane(t, n, "r1")
	for _, c := range []struct{ method, path, body string }{
		{http.MethodPost, "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.168.1.1","metric":10}`},
		{http.MethodPost, "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.168.1.2","metric":10}`},
		{http.MethodPost, "/routes", `{"router":"r2","destination":"2001:db8::/32","next_hop":"fe80::2","interface":"eth0"}`},
		{http.MethodPut, "/v1/routers/r1", `{"description":"edge"}`},
		{http.MethodPut, "/v1/links/r1/r2", `{"cost_ab":5,"cost_ba":7,"address_a":["10.255.0.1"],"address_b":["10.255.0.2"]}`},
		{http.MethodPut, "/kv/site", `{"value":"core"}`},
		{http.MethodPut, "/v1/guards/core", `{"type":"protected","prefixes":["10.0.0.0/8"]}`},
		{http.MethodPut, "/kv/later?not_before=8h", `{"value":"scheduled"}`},
	} {
		if a := call(t, n, c.method, c.path, c.body); a.code/100 != 2 {
			t.Fatalf("%s %s: %d %s", c.method, c.path, a.code, a.text)
		}
	}
	must(t, n, http.StatusOK, http.MethodPut, "/kv/last?wait=installed&timeout=60s", `{"value":"one"}`)
	status := must(t, n, http.StatusOK, http.MethodGet, "/v1/status", "")
	p.inSync(t, n, status.revision())
	file := filepath.Join(n.Dir, "dvr.backup")
	if out, code := run(t, "--endpoint", n.API, "backup", file); code != 0 || !strings.Contains(out, "is a backup of revision") {
		t.Fatalf("backup: exit %d: %s", code, out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v %v", info, err)
	}
	n.Kill()

	var verified struct {
		Revision            uint64
		LogID               string `json:"log_id"`
		Digest, Hash        string
		Routes, Links, Keys int
	}
	out, code := run(t, "backup", "verify", file, "-o", "json")
	if err := json.Unmarshal([]byte(out), &verified); err != nil || code != 0 {
		t.Fatalf("verify: exit %d: %s", code, out)
	}
	if verified.Digest != status.body["digest"] || verified.Hash != status.body["hash"] || verified.Revision != status.revision() || verified.Routes != 3 || verified.Links != 1 || verified.Keys != 2 {
		t.Errorf("%+v of %s", verified, status.text)
	}

	// What is damaged is refused, and nothing is written.
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	nowhere := filepath.Join(n.Dir, "nowhere")
	for name, change := range map[string]func([]byte) []byte{
		"cut off":      func(b []byte) []byte { return b[:len(b)-100] },
		"SHA-256":      func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
		"is no backup": func([]byte) []byte { return []byte("not one\n") },
	} {
		damaged := filepath.Join(n.Dir, "damaged.backup")
		if err := os.WriteFile(damaged, change([]byte(string(whole))), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"backup", "verify", damaged}, {"restore", damaged, "--data-dir", nowhere}} {
			if out, code := run(t, args...); code != 1 || !strings.Contains(out, name) || !strings.Contains(out, damaged) {
				t.Errorf("%v, %s: exit %d: %s", args[:1], name, code, out)
			}
		}
	}
	if _, err := os.Stat(nowhere); !os.IsNotExist(err) {
		t.Errorf("a refused restore left something: %v", err)
	}
	if out, code := run(t, "restore", file, "--data-dir", filepath.Join(n.Dir, "data")); code != 7 || !strings.Contains(out, "holds the data of a node") {
		t.Errorf("into the old node's directory: exit %d: %s", code, out)
	}

	before := p.digest(t)
	second := *n // its ports, which the data plane knows
	second.Dir = scratch(t)
	if out, code := run(t, "restore", file, "--data-dir", filepath.Join(second.Dir, "data"), "--reason", "drill"); code != 0 || !strings.Contains(out, "state digest there") {
		t.Fatalf("restore: exit %d: %s", code, out)
	}
	runNode(t, &second)
	again := must(t, &second, http.StatusOK, http.MethodGet, "/v1/status", "")
	if again.revision() != verified.Revision+1 || !strings.Contains(again.text, `"position":{"log_id":"`+verified.LogID+`","epoch":2,`) {
		t.Errorf("the restored node says %s", again.text)
	}
	for path, want := range map[string]string{
		"/kv/site": `"core"`, "/v1/links/r1/r2": `"cost_ba":7`, "/v1/routers/r1": `"edge"`, "/v1/guards": `"core"`, "/v1/timers": "scheduled",
		"/v1/explain?address=10.1.2.3&router=r1": "192.168.1.2", fmt.Sprintf("/v1/commits?after=%d", verified.Revision): "drill",
	} {
		if a := must(t, &second, http.StatusOK, http.MethodGet, path, ""); !strings.Contains(a.text, want) {
			t.Errorf("%s lacks %s: %s", path, want, a.text)
		}
	}
	p.inSync(t, &second, again.revision())
	reconciled := func() int { return strings.Count(p.Log(), "reconciled") } // whatever a full delta changes
	if after := p.digest(t); after != before || reconciled() != 1 {
		t.Errorf("the data plane has %s, before %s, after %d full deltas, the first included", after, before, reconciled())
	}
	if got, err := p.lookup(within(t, patience), netip.MustParseAddr("10.1.2.3")); err != nil || got.via() != "192.168.1.1" {
		t.Errorf("lookup: %v %v", got, err)
	}
	// And one that is started again on its old state directory.
	p.Kill()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.inSync(t, &second, again.revision())
	if after := p.digest(t); after != before || reconciled() != 1 {
		t.Errorf("started again it has %s, before %s, after %d full deltas", after, before, reconciled())
	}
	must(t, &second, http.StatusConflict, http.MethodPost, "/routes", `{"destination":"10.1.0.0/17","next_hop":"192.168.1.1"}`) // guarded still
	must(t, &second, http.StatusCreated, http.MethodPost, "/routes?wait=installed&timeout=60s", `{"destination":"172.16.0.0/12","next_hop":"192.168.1.1"}`)
	if err := second.Stop(15 * time.Second); err != nil {
		t.Fatal(err)
	}
	if out, code := run(t, "log", "verify", "--data-dir", filepath.Join(second.Dir, "data")); code != 0 || !strings.Contains(out, "The log is intact") {
		t.Errorf("log verify: exit %d: %s", code, out)
	}
}
