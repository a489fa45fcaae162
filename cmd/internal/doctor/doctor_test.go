package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dvr/controller/settings"
)

// want holds a finding to a level and to words of what it says.
func want(t *testing.T, f Finding, level Level, words ...string) {
	t.Helper()
	text := f.Found + " → " + f.Advice
	if f.Level != level || f.Check == "" || f.Found == "" || level != OK && f.Advice == "" || level == OK && f.Advice != "" {
		t.Errorf("%+v, want %s", f, level)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in %s", w, text)
		}
	}
}

func times(slow, fast time.Duration, slowPercent int) []time.Duration {
	var out []time.Duration
	for i := range 100 {
		if i < slowPercent {
			out = append(out, slow)
		} else {
			out = append(out, fast)
		}
	}
	return out
}

func TestSyncLatency(t *testing.T) {
	want(t, syncLatency(times(time.Second, time.Millisecond, 1)), Fail, "p50 1ms, p99 1s", "100 writes")
	want(t, syncLatency(times(11*time.Millisecond, time.Millisecond, 5)), Warn, "below 10 ms")
	want(t, syncLatency(times(time.Millisecond, time.Millisecond, 0)), OK)
	want(t, syncLatency(times(time.Microsecond, time.Microsecond, 0)), Warn, "too fast")
	want(t, syncLatency(nil), Warn, "interrupted")
}

func TestDisk(t *testing.T) {
	for name, level := range map[string]Level{"": OK, "ext4": OK, "xfs": OK, "tmpfs": Warn, "nfs": Warn, "overlay": Warn} {
		want(t, fileSystem("/var/lib/dvr", name), level, "/var/lib/dvr", name)
	}
	want(t, space(1<<20, 8<<30), Fail, "1 MiB free", "256 MiB")
	want(t, space(10<<30, 8<<30), Warn, "17.0 GiB")
	want(t, space(30<<30, 8<<30), OK, "30.0 GiB")
	want(t, space(2<<30, 0), OK)
}

func TestClock(t *testing.T) {
	want(t, clockState(0, 0, 3*time.Millisecond), OK, "3ms")
	want(t, clockState(errorState, 0, 0), Warn, "chrony")
	want(t, clockState(0, unsynchronised, 0), Warn, "chrony")
	want(t, clockState(0, 0, 3*time.Second), Warn, "2 s")
}

func TestPortStates(t *testing.T) {
	p := port{"RAFT_ADDR", "10.0.0.1:8300"}
	want(t, portState(p, nil, ""), OK, "free")
	want(t, portState(p, &net.OpError{Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}, ""), Fail, "another program", "RAFT_ADDR")
	want(t, portState(p, &net.OpError{Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}, "node-1"), OK, "node-1")
	want(t, portState(p, syscall.EACCES, "node-1"), Fail, "CAP_NET_BIND_SERVICE")
	want(t, portState(p, syscall.EADDRNOTAVAIL, ""), Fail, "RAFT_ADVERTISE")
	want(t, portState(p, errors.New("strange"), ""), Fail, "strange")
}

func TestMachine(t *testing.T) {
	want(t, openFiles(100), Fail, "LimitNOFILE")
	want(t, openFiles(1024), Warn, "1024", "LimitNOFILE")
	want(t, openFiles(65536), OK)
	want(t, openFiles(unix.RLIM_INFINITY), OK, "no limit")
	want(t, processors(1), Warn)
	want(t, processors(2), OK)
	want(t, memory(24<<30, 0), OK, "24.0 GiB")
	want(t, memory(1<<30, 0), Warn, "tight")
	want(t, memory(256<<20, 0), Warn, "ten thousand")
	want(t, memory(0, 0), Warn, "MEMORY_LIMIT")
	want(t, memory(24<<30, 32<<30), Fail, "32.0 GiB")
	const meminfo = "MemTotal:       24684004 kB\nMemFree: 1 kB\n"
	for _, test := range []struct {
		meminfo, group string
		want           int64
	}{{meminfo, "", 24684004 << 10}, {meminfo, "max\n", 24684004 << 10}, {meminfo, "1073741824\n", 1 << 30}, {"", "1073741824", 1 << 30}, {"", "", 0}, {"MemTotal: x kB", "-1", 0}} {
		if got := totalMemory(test.meminfo, test.group); got != test.want {
			t.Errorf("%q, %q: %d", test.meminfo, test.group, got)
		}
	}
}

func TestKernel(t *testing.T) {
	want(t, kernelState("6.1", true, "0", "1", "1", true), OK, "Linux 6.1")
	want(t, kernelState("4.19", false, "", "1", "1", true), Warn, "5.3")
	want(t, kernelState("6.1", true, "1", "1", "1", true), Warn, "--tune-kernel")
	want(t, kernelState("6.1", true, "0", "1", "0", false), Warn, "CAP_NET_ADMIN", "forwarding=1")
	for status, may := range map[string]bool{"CapEff:\t000001ffffffffff\n": true, "Name:\tx\nCapEff:\t0000000000000000\n": false, "": false, "CapEff:\t0000000000001000\n": true} {
		if mayAdminister(status) != may {
			t.Errorf("%q: %t", status, !may)
		}
	}
}

func load(t *testing.T, environ ...string) *settings.Settings {
	t.Helper()
	s, err := settings.Load(nil, environ)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestExamine looks at this machine for real: a port that something else holds
// fails, one that a node holds does not, and nothing is left behind.
func TestExamine(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	dir := filepath.Join(t.TempDir(), "data")
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"status":"healthy","node_id":"node-7"}`)
	}))
	defer node.Close()
	find := func(list []Finding, check string) Finding {
		t.Helper()
		for _, f := range list {
			if f.Check == check {
				return f
			}
		}
		t.Fatalf("no %s in %+v", check, list)
		return Finding{}
	}
	taken := other.Addr().String()
	list := Examine(context.Background(), load(t, "DATA_DIR="+dir, "API_ADDR="+taken))
	want(t, find(list, "port API_ADDR"), Fail, taken)
	if Worst(list) != Fail || find(list, "fsync latency").Found == "" || len(list) != 12 {
		t.Errorf("%d: %+v", len(list), list)
	}
	list = Examine(context.Background(), load(t, "DATA_DIR="+dir, "API_ADDR="+strings.TrimPrefix(node.URL, "http://"), "FIB_ADDR="+taken))
	want(t, find(list, "port API_ADDR"), OK, "node-7")
	want(t, find(list, "port FIB_ADDR"), OK, "node-7")
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("left: %v", err)
	}
	raw, err := json.Marshal(list[0])
	if err != nil || !strings.HasPrefix(string(raw), `{"check":"data directory","level":"`) {
		t.Errorf("%v %s", err, raw)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, "file")
	if err := os.WriteFile(bad, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	list = Examine(context.Background(), load(t, "DATA_DIR="+bad))
	want(t, find(list, "data directory"), Fail, "DATA_DIR")
}

// TestExternalStore: where etcd is elsewhere its ports and its space are not asked for.
func TestExternalStore(t *testing.T) {
	s := load(t, "ETCD_ENDPOINTS=127.0.0.1:2379", "DATA_DIR="+t.TempDir())
	if got := portsOf(s); len(got) != 2 {
		t.Errorf("%v", got)
	}
	if got := portsOf(load(t)); len(got) != 4 {
		t.Errorf("%v", got)
	}
	if got := portsOf(load(t, "ADMIN_ADDR=:9990")); len(got) != 5 || got[4] != (port{"ADMIN_ADDR", "127.0.0.1:9990"}) {
		t.Errorf("%v", got)
	}
}

// TestNothingIsLeft: directories that were not there are gone again; one that
// was, or that somebody uses meanwhile, stays.
func TestNothingIsLeft(t *testing.T) {
	there := t.TempDir()
	s := &settings.Settings{DataDir: filepath.Join(there, "a", "b")}
	made := missing(s.DataDir)
	if list := directory(s); Worst(list) == Fail {
		t.Fatal(list)
	}
	used := filepath.Join(there, "a", "b", "used")
	if err := os.WriteFile(used, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	removeMade(made)
	if _, err := os.Stat(used); err != nil {
		t.Error(err)
	}
	if err := os.Remove(used); err != nil {
		t.Fatal(err)
	}
	removeMade(made)
	if left, err := os.ReadDir(there); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if m := missing(there); m != nil {
		t.Errorf("a directory that is there is missing: %v", m)
	}
}
