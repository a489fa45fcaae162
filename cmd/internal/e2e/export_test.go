package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dvr/cmd/internal/testbed"
)

// TestExport: what `dvr log export` wrote is proven against the cluster that it is
// of, also when the log goes on and through its end in an archive; each way in
// which a file is not what the cluster's log holds has an exit code of its own.
func TestExport(t *testing.T) {
	n := startNode(t, scratch(t))
	change := func(n *testbed.Node, i int) {
		t.Helper()
		must(t, n, http.StatusCreated, http.MethodPost, "/routes", fmt.Sprintf(`{"destination":"10.%d.0.0/16","next_hop":"192.168.1.1"}`, i))
	}
	must(t, n, http.StatusOK, http.MethodPut, "/v1/routers/r1", "{}")
	for i := range 10 {
		change(n, i)
	}
	var lines bytes.Buffer // staged: more than a batch holds
	for i := range 5000 {
		fmt.Fprintf(&lines, `{"destination":"20.%d.%d.0/24","next_hop":"192.168.1.1"}`+"\n", i>>8, i&255)
	}
	table := filepath.Join(n.Dir, "table.ndjson")
	if err := os.WriteFile(table, lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := run(t, "--endpoint", n.API, "route", "import", "--atomic", table); code != 0 {
		t.Fatalf("import: exit %d: %s", code, out)
	}
	for i := range 4 {
		change(n, 20+i)
	}
	file := filepath.Join(n.Dir, "audit.ndjson")
	dvr := func(want int, says string, args ...string) {
		t.Helper()
		if out, code := run(t, append([]string{"--endpoint", n.API, "log"}, args...)...); code != want || !strings.Contains(out, says) {
			t.Errorf("dvr log %s: exit %d, want %d and %q: %s", strings.Join(args, " "), code, want, says, out)
		}
	}
	verify := func(want int, says string, args ...string) {
		t.Helper()
		dvr(want, says, append([]string{"verify", file}, args...)...)
	}
	dvr(0, "holds 13 commits", "export", "--from", "4", "--to", "16", file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("readable to others: %v, %v", info, err)
	}
	verify(0, "is what the cluster's log holds: 13 commits", "--from", "4", "--to", "16")
	verify(0, "5,012") // events, those staged among them
	if out, code := run(t, "--endpoint", "127.0.0.1:1", "log", "verify", "--offline", file); code != 0 || !strings.Contains(out, "is whole") {
		t.Errorf("offline: exit %d: %s", code, out)
	}
	verify(10, "holds revisions 4 to 16", "--from", "3")
	verify(10, "holds revisions 4 to 16", "--to", "17")
	change(n, 30)
	out, code := run(t, "--endpoint", n.API, "log", "verify", file, "-o", "json")
	var proven struct {
		First, Last int
		Proof       struct{ First, Last, Revision int }
	}
	if err := json.Unmarshal([]byte(out), &proven); err != nil || code != 0 || proven.First != 4 || proven.Proof.First != 4 || proven.Proof.Last != 16 || proven.Proof.Revision != 18 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	if out, code := run(t, "--endpoint", "127.0.0.1:1", "log", "verify", file); code != 5 {
		t.Errorf("nobody to ask: exit %d: %s", code, out)
	}

	// Wrong usage is told before anything is asked.
	dvr(2, "is about an export", "verify", "--from", "3")
	verify(2, "--endpoint", "--data-dir", n.Dir)
	verify(2, "behind --to", "--from", "5", "--to", "4")
	dvr(2, "is one to come", "export", "--to", "99", file+".x")
	dvr(2, "begin with 1", "export", "--from", "0", file+".x")

	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(want int, says string, change func(string) string) {
		t.Helper()
		after := change(string(whole))
		if after == string(whole) {
			t.Fatalf("%q: nothing was changed", says)
		}
		if err := os.WriteFile(file, []byte(after), 0o600); err != nil {
			t.Fatal(err)
		}
		verify(want, says)
	}
	at := func(s string, r int) int {
		return strings.Index(s, fmt.Sprintf(`{"format":1,"epoch":1,"first":%d,`, r))
	}
	changed(9, "revision 7", func(s string) string { return strings.Replace(s, `10.3.0.0/16`, `10.3.0.0/17`, 1) })
	changed(9, "events are not what was staged", func(s string) string { return strings.Replace(s, `20.3.7.0/24`, `20.3.8.0/24`, 1) })
	changed(9, "not an export", func(string) string { return "hello\n" })
	changed(10, "revision 6 is missing", func(s string) string { return s[:at(s, 6)] + s[at(s, 7):] })
	changed(10, "cut off", func(s string) string { return s[:len(s)/2] })
	changed(11, "revision 7 comes before 6", func(s string) string {
		return s[:at(s, 6)] + s[at(s, 7):at(s, 8)] + s[at(s, 6):at(s, 7)] + s[at(s, 8):]
	})

	// Another cluster's export, and that of another history of the same log.
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	other := startNode(t, scratch(t))
	change(other, 1)
	if out, code := run(t, "--endpoint", other.API, "log", "verify", file); code != 12 || !strings.Contains(out, "another log") {
		t.Errorf("of another cluster: exit %d: %s", code, out)
	}
	backup := filepath.Join(n.Dir, "dvr.backup")
	if out, code := run(t, "--endpoint", n.API, "backup", backup); code != 0 {
		t.Fatalf("backup: exit %d: %s", code, out)
	}
	change(n, 31)
	change(n, 32)
	late := filepath.Join(n.Dir, "late.ndjson")
	dvr(0, "holds 3 commits", "export", "--from", "18", late)
	history := filepath.Join(n.Dir, "history")
	dvr(0, "written", "archive", history)
	n.Kill()
	second := *n
	second.Dir = scratch(t)
	if out, code := run(t, "restore", backup, "--data-dir", filepath.Join(second.Dir, "data")); code != 0 {
		t.Fatalf("restore: exit %d: %s", code, out)
	}
	runNode(t, &second)
	change(&second, 33)
	change(&second, 34)
	n = &second
	verify(3, "no longer retained") // the cluster has nothing of it any more
	file = late
	verify(13, "at revision 19")
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	second.Kill()
	second.Environment = append(second.Environment, "ARCHIVE_DIR="+history)
	runNode(t, &second)
	verify(0, "is what the cluster's log holds: 13 commits") // by its archive
	dvr(0, "holds 21 commits", "export", file)
	verify(0, "is what the cluster's log holds")
}
