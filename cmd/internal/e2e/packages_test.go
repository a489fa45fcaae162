package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dvr/cmd/internal/testbed"
)

// buildPackages makes the Debian packages of the built binaries and gives their bytes by name.
func buildPackages(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	program, err := testbed.Binary("dvr")
	orSkip(t, err)
	_, err = testbed.Binary("dvr-dataplane")
	orSkip(t, err)
	for _, tool := range []string{"dpkg-deb", "dpkg-shlibdeps", "strip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no packages without Debian's %s", tool)
		}
	}
	build := exec.CommandContext(within(t, patience), "../../../deploy/deb/build.sh", dir)
	build.Env = append(os.Environ(), "COMPRESSION=none", "DVR_BIN="+filepath.Dir(program))
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build.sh: %v\n%s", err, out)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	made := map[string][]byte{}
	for _, e := range entries {
		if made[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return made
}

// TestPackages: the packages are the same bytes whoever builds them when, and
// install, run and go without a trace.
func TestPackages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	made := buildPackages(t, dir)
	again := buildPackages(t, t.TempDir())
	if len(made) != 2 || len(again) != 2 {
		t.Fatalf("%d packages, then %d", len(made), len(again))
	}
	for name, content := range made {
		if !strings.HasSuffix(name, ".deb") || !bytes.Equal(content, again[name]) {
			t.Errorf("%s differs when it is built again", name)
		}
	}
	try := exec.CommandContext(within(t, patience), "../../../deploy/deb/try.sh", dir)
	out, err := try.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 77 {
		t.Skipf("%s", bytes.TrimSpace(out))
	}
	if err != nil {
		t.Errorf("try.sh: %v\n%s", err, out)
	}
}

// TestVersionsOfPackages: dpkg orders the versions as they came.
func TestVersionsOfPackages(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"dpkg", "git"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing", tool)
		}
	}
	root := t.TempDir()
	script, err := os.ReadFile("../../../deploy/version.sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "deploy"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "deploy/version.sh"), script, 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(within(t, patience), name, args...)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@localhost", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@localhost",
			"GIT_COMMITTER_DATE=2026-11-22T23:30:00-0200")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	var versions []string
	note := func(pattern string) {
		t.Helper()
		version := run("deploy/version.sh", "debian")
		if ok, err := filepath.Match(pattern, version); err != nil || !ok {
			t.Errorf("version %s, want %s", version, pattern)
		}
		if n := len(versions); n > 0 {
			run("dpkg", "--compare-versions", versions[n-1], "lt", version)
		}
		versions = append(versions, version)
	}
	run("git", "init", "-q")
	run("git", "add", ".")
	run("git", "commit", "-qm", "first")
	note("0~20261123.g*") // in UTC
	run("git", "tag", "v1.0.0")
	note("1.0.0")
	run("git", "commit", "-q", "--allow-empty", "-m", "second")
	note("1.0.0+1.g*")
	run("git", "commit", "-q", "--allow-empty", "-m", "third")
	run("git", "tag", "v1.1.0")
	note("1.1.0")
	if err := os.WriteFile(filepath.Join(root, "deploy/version.sh"), append(script, '\n'), 0o755); err != nil {
		t.Fatal(err)
	}
	note("1.1.0+dirty")
}
