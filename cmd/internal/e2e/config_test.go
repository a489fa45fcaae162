package e2e

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"dvr/cmd/internal/testbed"
)

// TestConfigCheckIsTheNodes: what dvr config check finds is what dvr node ends
// with, by the real program and its environment, and with the same exit code.
func TestConfigCheckIsTheNodes(t *testing.T) {
	dvr, err := testbed.Binary("dvr")
	orSkip(t, err)
	dir := t.TempDir()
	run := func(args ...string) (out, said string, code int) {
		t.Helper()
		cmd := exec.CommandContext(within(t, patience), dvr, args...)
		cmd.Dir = dir
		cmd.Env = []string{"NODE_ID=../x", "DVR_LOG_LEVEL=loud", "DVR_LOGLEVEL=info", "API_ADDR=192.0.2.1:9090", "DATA_DIR=" + dir + "/data"}
		var o, e bytes.Buffer
		cmd.Stdout, cmd.Stderr = &o, &e
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return o.String(), e.String(), cmd.ProcessState.ExitCode()
	}
	found, said, code := run("config", "check")
	if code != 2 || strings.Count(found, "\n") != 4 || !strings.Contains(said, "4 errors") {
		t.Errorf("check: %d\n%s%s", code, found, said)
	}
	out, refused, code := run("node")
	if code != 2 || out != "" || refused != "dvr: "+found {
		t.Errorf("node: %d %q\n%s\ncheck says\n%s", code, out, refused, found)
	}
	if _, shown, code := run("config", "show"); code != 2 || shown != refused {
		t.Errorf("show: %d\n%s", code, shown)
	}
	if left, err := exec.Command("ls", "-A", dir).Output(); err != nil || len(left) > 0 {
		t.Errorf("left behind: %s %v", left, err)
	}
}
