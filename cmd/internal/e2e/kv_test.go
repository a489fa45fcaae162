package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"dvr/cmd/internal/testbed"
)

// TestSeedKeyValueLines runs the four curl lines of the seed as they are
// written there, but for the port.
func TestSeedKeyValueLines(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	n := startNode(t, scratch(t))
	for i, c := range []struct{ line, want string }{
		{`curl -X PUT -H "Content-Type: application/json" -d '{"value":"is a distributed systems algorithm"}' http://localhost:9000/kv/raft`, `"status":"success"`},
		{`curl http://localhost:9000/kv/raft`, `{"key":"raft","value":"is a distributed systems algorithm",`},
		{`curl http://localhost:9000/kv`, `{"raft":"is a distributed systems algorithm"}` + "\n"},
		{`curl -X DELETE http://localhost:9000/kv/raft`, `"status":"success"`},
		{`curl -X DELETE http://localhost:9000/kv/raft`, `"existed":false`},
		{`curl http://localhost:9000/kv/raft`, `"status":404`},
		{`curl http://localhost:9000/kv`, "{}\n"},
	} {
		line := strings.Replace(strings.ReplaceAll(c.line, "localhost:9000", n.API), "curl", curl+" -sS", 1)
		out, err := exec.CommandContext(within(t, patience), "sh", "-c", line).CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.want) {
			t.Errorf("line %d, %s: %v\n%s", i, c.line, err, out)
		}
	}
}

// TestKeysOutliveTheNode: what was acknowledged is there after kill -9, under
// every spelling of its path, and so are its past and its history.
func TestKeysOutliveTheNode(t *testing.T) {
	n := startNode(t, scratch(t))
	spellings := []struct{ put, get string }{
		{"/kv/a%2Fb", "/kv/a/b"}, {"/kv/a%252Fb", "/kv/a%252fb"}, {"/kv/%25", "/kv/%25"}, {"/kv/%C3%BC%20x", "/kv/%c3%bc%20x"},
		{"/kv/..", "/kv/%2E%2E"}, {"/kv//", "/kv/%2F"}, {"/kv/a/", "/kv/a%2F"}, {"/kv/../../etc", "/kv/..%2F..%2Fetc"},
	}
	for i, s := range spellings {
		must(t, n, http.StatusOK, "PUT", s.put, fmt.Sprintf(`{"value":"%d"}`, i))
	}
	old := must(t, n, http.StatusOK, "PUT", "/kv/changed", `{"value":"old"}`).revision()
	must(t, n, http.StatusOK, "PUT", "/kv/changed", `{"value":"new"}`)
	must(t, n, http.StatusOK, "DELETE", "/kv/a%252Fb", "")
	before := must(t, n, http.StatusOK, "GET", "/kv", "").text
	n.Kill()
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.Ready(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	for i, s := range spellings {
		if i == 1 {
			must(t, n, http.StatusNotFound, "GET", s.get, "")
			continue
		}
		if got := must(t, n, http.StatusOK, "GET", s.get, "").body["value"]; got != fmt.Sprint(i) {
			t.Errorf("%s is %v", s.get, got)
		}
	}
	if after := must(t, n, http.StatusOK, "GET", "/kv", "").text; after != before {
		t.Errorf("before %s after %s", before, after)
	}
	if got := must(t, n, http.StatusOK, "GET", fmt.Sprintf("/kv/changed?at=%d", old), ""); got.body["value"] != "old" || got.revision() != old {
		t.Errorf("at revision %d: %s", old, got.text)
	}
	if got := must(t, n, http.StatusOK, "GET", "/v1/kv/history/changed", ""); len(got.body["changes"].([]any)) != 2 {
		t.Errorf("%s", got.text)
	}
}

// TestKeysFillTheirQuotaAlone: keys stop at KV_QUOTA, routes go on.
func TestKeysFillTheirQuotaAlone(t *testing.T) {
	n := startNode(t, scratch(t), "KV_QUOTA=128KiB")
	value := fmt.Sprintf(`{"value":"%s"}`, strings.Repeat("x", 40<<10))
	for i := range 3 {
		must(t, n, http.StatusOK, "PUT", fmt.Sprintf("/kv/k%d", i), value)
	}
	full := must(t, n, http.StatusInsufficientStorage, "PUT", "/kv/k3", value)
	if full.body["type"] != "/problems/kv-quota" || !strings.Contains(fmt.Sprint(full.body["error"]), "of 131072 bytes (KV_QUOTA) ") {
		t.Errorf("%s", full.text)
	}
	must(t, n, http.StatusCreated, "POST", "/routes", `{"destination":"10.1.0.0/16","next_hop":"192.168.1.1"}`)
	if m := must(t, n, http.StatusOK, "GET", "/metrics", "").text; !strings.Contains(m, "dvr_kv_quota_bytes 131072\n") || !strings.Contains(m, "dvr_kv_keys 3\n") {
		t.Error("metrics lack the quota or the keys")
	}
	must(t, n, http.StatusOK, "DELETE", "/kv/k0", "")
	must(t, n, http.StatusOK, "PUT", "/kv/k3", value)
}

// TestWatchOverARestart: `dvr kv watch` goes on where it was when its node
// comes back, misses and repeats nothing, and ends in order at an interrupt.
func TestWatchOverARestart(t *testing.T) {
	dvr, err := testbed.Binary("dvr")
	orSkip(t, err)
	n := startNode(t, scratch(t))
	cmd := exec.CommandContext(within(t, patience), dvr, "-o", "json", "kv", "watch", "--prefix", "k/", "--after", "1")
	cmd.Env = append(os.Environ(), "DVR_ENDPOINTS="+n.API)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cmd.Stdout, cmd.Stderr = write, os.Stderr // where it says that it waits for the node
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	lines := bufio.NewReader(read)
	expect := func(value string) {
		t.Helper()
		if err := read.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		line, err := lines.ReadString('\n')
		var e struct{ Event, Key, Value string }
		if err != nil || json.Unmarshal([]byte(line), &e) != nil || e.Event != "put" || e.Key != "k/1" || e.Value != value {
			t.Fatalf("watched %q %v, want %s", line, err, value)
		}
	}
	put := func(value string) {
		must(t, n, http.StatusOK, "PUT", "/kv/other", `{"value":"x"}`)
		must(t, n, http.StatusOK, "PUT", "/kv/k%2F1", fmt.Sprintf(`{"value":%q}`, value))
	}
	put("before")
	expect("before")
	for round, end := range []func(){
		n.Kill,
		func() {
			begun := time.Now()
			if err := n.Stop(20 * time.Second); err != nil {
				t.Errorf("stop with a watch open: %v", err)
			}
			if strings.Contains(n.Log(), "calls that were still in progress were cut") {
				t.Errorf("the watch was cut, not ended; the stop took %s", time.Since(begun))
			}
		},
	} {
		end()
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		if err := n.Ready(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			value := fmt.Sprintf("round %d change %d", round, i)
			put(value)
			expect(value)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
}
