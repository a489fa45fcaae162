package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dvr/cmd/internal/testbed"
)

// buildRelease makes the release of the built binaries in dir and gives its files' bytes by name.
func buildRelease(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	for _, tool := range []string{"dpkg-deb", "dpkg-shlibdeps", "strip", "ldd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no packages without Debian's %s", tool)
		}
	}
	for _, name := range []string{"dvr", "dvr-dataplane", "libdvrlpm.so"} {
		_, err := testbed.Binary(name)
		orSkip(t, err)
	}
	program, err := testbed.Binary("dvr")
	orSkip(t, err)
	build := exec.CommandContext(within(t, patience), "../../../deploy/release.sh", dir)
	build.Env = append(os.Environ(), "COMPRESSION=none", "DVR_BIN="+filepath.Dir(program))
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("release.sh: %v\n%s", err, out)
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

// TestRelease: its files are the same bytes whenever they are built, its
// checksums are theirs, and its packages install, run and go without a trace.
func TestRelease(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	made := buildRelease(t, dir)
	again := buildRelease(t, t.TempDir())
	if len(made) != 5 || len(again) != 5 {
		t.Errorf("%d files, then %d, of a tarball, two packages, a bill of materials and checksums", len(made), len(again))
	}
	for name, content := range made {
		if !bytes.Equal(content, again[name]) {
			t.Errorf("%s differs when it is built again", name)
		}
	}
	sums := map[string]string{}
	for line := range strings.Lines(string(made["SHA256SUMS"])) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		sums[name] = sum
	}
	for name, content := range made {
		if sum := sha256.Sum256(content); name != "SHA256SUMS" && sums[name] != hex.EncodeToString(sum[:]) {
			t.Errorf("the checksum of %s is %q", name, sums[name])
		}
		if strings.HasSuffix(name, ".cdx.json") {
			checkBill(t, content)
		}
	}

	try := exec.CommandContext(within(t, patience), "../../../deploy/deb/try.sh", dir)
	out, err := try.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 77 {
		t.Skipf("the packages were not installed: %s", bytes.TrimSpace(out))
	}
	if err != nil {
		t.Errorf("try.sh: %v\n%s", err, out)
	}
}

// checkBill: the bill of materials names what is certainly in the programs.
// Its form is cmd/dvr-sbom's to test.
func checkBill(t *testing.T, content []byte) {
	t.Helper()
	var bill struct {
		Components []struct{ Name, Scope, PURL string }
	}
	if err := json.Unmarshal(content, &bill); err != nil {
		t.Fatal(err)
	}
	for name, scope := range map[string]string{
		"dvr": "", "dvr-dataplane": "", "libdvrlpm.so": "", "go.etcd.io/etcd/server/v3": "", "google.golang.org/grpc": "", "stdlib": "",
		"libgrpc++*": "required", "libmnl0": "required", "g++": "excluded", "protobuf-compiler": "excluded",
	} {
		found := false
		for _, c := range bill.Components {
			same, _ := filepath.Match(name, filepath.Base(c.Name))
			found = found || (same || c.Name == name) && c.Scope == scope
		}
		if !found {
			t.Errorf("the bill of materials lacks %s (scope %q)", name, scope)
		}
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
