package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dvr/cmd/internal/testbed"
	"dvr/controller/etcdserver"
)

// run executes bin/dvr and gives what it printed and its exit code.
func run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	dvr, err := testbed.Binary("dvr")
	orSkip(t, err)
	cmd := exec.CommandContext(within(t, patience), dvr, args...)
	cmd.Env = os.Environ()
	out, _ := cmd.CombinedOutput() // the exit code tells
	return string(out), cmd.ProcessState.ExitCode()
}

// TestVerifyAndRepairOffline: the log of a stopped node is checked in its data
// directory; a head that went is named, rebuilt from the batches, and the node
// goes on with it.
func TestVerifyAndRepairOffline(t *testing.T) {
	n := startNode(t, scratch(t))
	var last uint64
	for i := range 50 {
		last = must(t, n, http.StatusCreated, http.MethodPost, "/routes", fmt.Sprintf(`{"destination":"10.%d.0.0/16","next_hop":"192.168.1.1"}`, i)).revision()
	}
	digest := must(t, n, http.StatusOK, http.MethodGet, "/v1/status", "").body["digest"].(string)
	data := filepath.Join(n.Dir, "data")
	if out, code := run(t, "log", "verify", "--data-dir", data); code != 1 || !strings.Contains(out, "in use") {
		t.Errorf("verify of a running node's directory: exit %d, %s", code, out)
	}
	if out, code := run(t, "log", "repair", "--etcd", n.Etcd); code != 0 || !strings.Contains(out, "nothing to repair") {
		t.Errorf("repair of a good head: exit %d, %s", code, out)
	}
	if err := n.Stop(15 * time.Second); err != nil {
		t.Fatal(err)
	}
	verified := func() {
		t.Helper()
		out, code := run(t, "log", "verify", "--data-dir", data)
		if code != 0 || !strings.Contains(out, digest) || !strings.Contains(out, fmt.Sprint(last)) {
			t.Errorf("verify: exit %d, digest %s and revision %d wanted in\n%s", code, digest, last, out)
		}
	}
	verified()
	if out, code := run(t, "log", "repair", "--data-dir", data); code != 0 || !strings.Contains(out, "nothing to repair") {
		t.Errorf("repair of a good head: exit %d, %s", code, out)
	}

	tamper(t, data, "/dvr/log/head", "")
	if out, code := run(t, "log", "verify", "--data-dir", data); code != 1 || !strings.Contains(out, "/dvr/log/head") {
		t.Errorf("verify without a head: exit %d, %s", code, out)
	}
	if out, code := run(t, "log", "repair", "--data-dir", data); code != 0 || !strings.Contains(out, fmt.Sprint(last)) {
		t.Errorf("repair: exit %d, %s", code, out)
	}
	verified()

	batch := fmt.Sprintf("/dvr/log/b/%020d", 7)
	good := tamper(t, data, batch, "garbage")
	if out, code := run(t, "log", "verify", "--data-dir", data); code != 1 || !strings.Contains(out, batch) {
		t.Errorf("verify with a damaged batch: exit %d, %s", code, out)
	}
	tamper(t, data, "/dvr/log/head", "")
	if out, code := run(t, "log", "repair", "--data-dir", data); code != 1 || !strings.Contains(out, batch) {
		t.Errorf("repair with a damaged batch: exit %d, %s", code, out)
	}
	tamper(t, data, batch, good)
	if out, code := run(t, "log", "repair", "--data-dir", data); code != 0 {
		t.Errorf("repair: exit %d, %s", code, out)
	}
	verified()

	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.Ready(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	if got := must(t, n, http.StatusOK, http.MethodGet, "/v1/status", ""); got.body["digest"] != digest || got.revision() != last {
		t.Errorf("the node came back with %s", got.text)
	}
	must(t, n, http.StatusCreated, http.MethodPost, "/routes", `{"destination":"11.0.0.0/8","next_hop":"192.168.1.1"}`)
}

// tamper changes a key of a stopped node's etcd, or deletes it, and gives what
// it was.
func tamper(t *testing.T, data, key, value string) (was string) {
	t.Helper()
	ctx := within(t, patience)
	s, err := etcdserver.Start(ctx, etcdserver.Config{Name: "node-1", DataDir: data, PeerListen: "127.0.0.1:0", ClientListen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	r, err := s.Client().Get(ctx, key)
	if err != nil || len(r.Kvs) != 1 {
		t.Fatalf("%s: %v %v", key, r, err)
	}
	if value == "" {
		_, err = s.Client().Delete(ctx, key)
	} else {
		_, err = s.Client().Put(ctx, key, value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(r.Kvs[0].Value)
}
