package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dvr/cmd/internal/testbed"
)

// TestArchive: the history of a cluster, kept in files by `dvr log archive`, is read
// by the nodes of the one that was made of its backup, as if its log held it; what
// is damaged, foreign or left is named and never given away.
func TestArchive(t *testing.T) {
	n := startNode(t, scratch(t))
	kept := filepath.Join(n.Dir, "history")
	archived := func(n *testbed.Node, dir string, want int, says ...string) string {
		t.Helper()
		out, code := run(t, "--endpoint", n.API, "log", "archive", dir)
		for _, s := range says {
			if code != want || !strings.Contains(out, s) {
				t.Errorf("dvr log archive: exit %d, want %d and %q: %s", code, want, s, out)
			}
		}
		return out
	}
	change := func(n *testbed.Node, i int) {
		t.Helper()
		must(t, n, http.StatusOK, http.MethodPut, fmt.Sprintf("/kv/k%d", i%3), fmt.Sprintf(`{"value":"v%d"}`, i))
		must(t, n, http.StatusCreated, http.MethodPost, "/routes", fmt.Sprintf(`{"destination":"10.%d.0.0/16","next_hop":"192.168.1.1"}`, i))
	}
	must(t, n, http.StatusOK, http.MethodPut, "/v1/routers/r1", "{}")
	for i := range 6 {
		change(n, i)
	}
	archived(n, kept, 0, "1 file written: 14 commits")
	for i := range 6 {
		change(n, 6+i)
	}
	archived(n, kept, 0, "1 file written: 12 commits", "1 to 26 ")
	archived(n, kept, 0, "holds everything already")
	if out, code := run(t, "log", "verify", "--archive", kept); code != 0 || !strings.Contains(out, "The archive is intact: 26 commits") {
		t.Errorf("verify: exit %d: %s", code, out)
	}
	questions := []string{
		"/v1/routes?at=9", "/v1/diff?from=3&to=20", "/v1/commits?after=4&limit=7", "/v1/commits/2", "/v1/blame/10.2.0.0/16",
		"/v1/explain?address=10.1.2.3&router=r1&at=12", "/kv/k1?at=10", "/v1/kv/history/k1",
	}
	before := map[string]string{}
	for _, q := range questions {
		before[q] = must(t, n, http.StatusOK, http.MethodGet, q, "").text
	}
	backup := filepath.Join(n.Dir, "dvr.backup")
	if out, code := run(t, "--endpoint", n.API, "backup", backup); code != 0 {
		t.Fatalf("backup: exit %d: %s", code, out)
	}
	change(n, 12) // which the backup lacks
	beyond := filepath.Join(n.Dir, "beyond")
	archived(n, beyond, 0, "1 to 28 ")
	n.Kill()

	// The cluster that is made of the backup has none of this in its log.
	second := *n
	second.Dir = scratch(t)
	if out, code := run(t, "restore", backup, "--data-dir", filepath.Join(second.Dir, "data")); code != 0 {
		t.Fatalf("restore: exit %d: %s", code, out)
	}
	runNode(t, &second)
	if a := call(t, &second, http.MethodGet, questions[0], ""); a.code != http.StatusGone {
		t.Errorf("without the archive: %d %s", a.code, a.text)
	}
	archived(&second, filepath.Join(n.Dir, "late"), 0, "2 files written: 1 commit,", "27 to 27 ", "1 state")
	archived(&second, beyond, 1, "the log has left the history in the archive")
	second.Kill()
	second.Environment = append(second.Environment, "ARCHIVE_DIR="+kept)
	runNode(t, &second)
	for _, q := range questions {
		newest := func(text string, r int) string { // the revision that the answer was given at
			return strings.TrimSuffix(strings.TrimSpace(text), fmt.Sprintf(`,"revision":%d}`, r))
		}
		if a := must(t, &second, http.StatusOK, http.MethodGet, q, ""); newest(a.text, 27) != newest(before[q], 26) {
			t.Errorf("%s: %s\nin the first cluster: %s", q, a.text, before[q])
		}
	}
	if out, code := run(t, "--endpoint", second.API, "log", "list", "--after", "0", "--limit", "2"); code != 0 || !strings.Contains(out, "epoch.started") {
		t.Errorf("dvr log list: exit %d: %s", code, out)
	}
	change(&second, 13)
	archived(&second, kept, 0, "1 file written: 3 commits", "1 to 29 ") // on through the restore

	// Damage is named, and history begins behind it.
	files, err := filepath.Glob(filepath.Join(kept, "*.history"))
	if err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	damaged := append([]byte(nil), raw...)
	damaged[len(damaged)/3] ^= 8
	if err := os.WriteFile(files[0], damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := run(t, "log", "verify", "--archive", kept, "-o", "json")
	var verified struct{ Defects []struct{ File, Why string } }
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&verified); err != nil || code != 1 || len(verified.Defects) != 1 || verified.Defects[0].File != filepath.Base(files[0]) {
		t.Errorf("verify: exit %d, %v: %s", code, err, out)
	}
	second.Kill()
	runNode(t, &second)
	if a := call(t, &second, http.MethodGet, questions[0], ""); a.code != http.StatusGone || !strings.Contains(a.text, filepath.Base(files[0])) {
		t.Errorf("damaged: %d %s", a.code, a.text)
	}
	must(t, &second, http.StatusOK, http.MethodGet, "/v1/commits/20", "")

	// Another cluster's history is not mixed in.
	other := startNode(t, scratch(t))
	archived(other, kept, 1, "it is of log ")
}
